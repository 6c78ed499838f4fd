"""An export file's bytes -> a readable file: unpacked, UTF-8, one kind of line end, the same physical lines."""

import gzip
import hashlib
import mmap
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

CHUNK = 1 << 22
HEAD = 1 << 16
MAX_SAMPLE_LINE = 1 << 16
WITH_MARK = "with mark"


class UnreadableFile(Exception):
    """A file cannot be read as a whole; the message says why and the mend."""

    status = "unreadable"


@dataclass(frozen=True)
class Profile:
    """What one pass over a file's bytes shows. line_count: physical lines. copied_from: the encoding of which it is a copy."""

    path: Path
    size_bytes: int
    content_hash: str
    line_count: int
    encoding: str
    newline: str
    has_bom: bool
    copied_from: str | None = None
    has_backslash: bool = False


def profile_file(path: Path) -> Profile:
    """Size, hash, physical lines, encoding and line ends, in one pass. Raises UnreadableFile on an empty file."""
    digest, lines, returns, crlf, size = hashlib.sha256(), 0, 0, 0, 0
    valid, has_backslash, tail, previous = True, False, b"", b""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            has_backslash = has_backslash or b"\\" in chunk
            crlf += chunk.count(b"\r\n") + (previous.endswith(b"\r") and chunk.startswith(b"\n"))
            previous = chunk[-1:]
            if valid:
                valid, tail = _utf8_so_far(tail + chunk)
    if size == 0:
        raise UnreadableFile("the file is empty; export it again")
    ends = lines
    lines += previous != b"\n"
    encoding = "utf-8" if valid and not tail else "unknown"
    with_returns = "\\r\\n" if returns == crlf == ends else "mixed"
    newline = with_returns if returns else "\\n"
    has_bom = head.startswith(b"\xef\xbb\xbf")
    return Profile(path, size, digest.hexdigest(), lines, encoding, newline, has_bom, has_backslash=has_backslash)


def _utf8_so_far(data):
    """(all valid so far, bytes of a character that the next chunk must finish)."""
    try:
        data.decode("utf-8")
        return True, b""
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and len(data) - error.start < 4:
            return True, data[error.start :]
        return False, b""


def readable_copy(profile: Profile, encoding: str, scratch: Path) -> tuple[Profile, tuple[str, ...]]:
    """The file itself when it is UTF-8 with one kind of line end, else a UTF-8 copy in scratch, with notes on what was done.

    It has the same physical lines. Bytes that are nothing in the encoding are copied as they are, so that their line is
    refused. Raises UnreadableFile when it ends inside a character of UTF-16.
    """
    # DuckDB takes a quote after a byte order mark for text, and a header of several lines for its first one
    splits_header = profile.has_bom and first_text(profile).split("\n", 1)[0].count('"') % 2 == 1
    is_plain = encoding == "utf-8" and profile.newline != "mixed" and not splits_header
    if is_plain:
        return replace(profile, encoding="utf-8"), ()
    copy = scratch / f"{profile.content_hash[:16]}.utf8"
    has_mark, is_first = False, True
    try:
        with (
            profile.path.open(encoding=encoding, errors="surrogateescape", newline="") as source,
            copy.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            carry = ""
            while text := source.read(CHUNK):
                if is_first and text.startswith("\ufeff"):
                    has_mark, text = True, text[1:]
                is_first = False
                text = carry + text
                carry = "\r" if text.endswith("\r") else ""
                text = text[: len(text) - len(carry)]
                out.write(text.replace("\r\n", "\n").replace("\r", "\n"))
            out.write("\n" * len(carry))
    except UnicodeError as error:
        raise UnreadableFile(f"not {encoding} ({getattr(error, 'reason', error)}); export it again") from error
    # of UTF-16 the line ends could not be told before
    is_mixed = profile.newline == "mixed" and not encoding.startswith("utf-16")
    notes = ("line ends were mixed; read as one kind",) if is_mixed else ()
    fresh = profile_file(copy)
    copied_from = f"{encoding} {WITH_MARK}" if has_mark else encoding
    return replace(fresh, content_hash=profile.content_hash, encoding="utf-8", copied_from=copied_from), notes


def unescaped_copy(profile: Profile, quote: str, scratch: Path) -> Profile:
    """A copy of a readable file in which a quote inside a value is doubled, not behind a backslash."""
    copy = scratch / f"{profile.content_hash[:16]}.doubled"
    escaped = re.compile(rb"\\([\\" + quote.encode() + rb"])")
    twice = quote.encode() * 2
    with profile.path.open("rb") as source, copy.open("wb") as out:
        carry = b""
        while chunk := source.read(CHUNK):
            chunk = carry + chunk
            # an escape must not lie across two chunks
            tail = len(chunk) - len(chunk.rstrip(b"\\"))
            carry = chunk[len(chunk) - tail :]
            whole = chunk[: len(chunk) - tail]
            out.write(escaped.sub(lambda found: b"\\" if found[1] == b"\\" else twice, whole))
        out.write(carry)
    fresh = profile_file(copy)
    return replace(profile, path=copy, size_bytes=fresh.size_bytes, copied_from=profile.copied_from or "utf-8")


def line_with(profile: Profile, needle: bytes) -> str:
    """The first physical line of a readable file that holds some bytes, a backslash among them; '' when none does."""
    if not profile.has_backslash:
        return ""
    with profile.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(needle)
        if place < 0:
            return ""
        begin, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
        end = len(data) if end < 0 else end
        return data[begin : min(end, begin + MAX_SAMPLE_LINE)].decode("utf-8", "replace").rstrip("\r")


def write_kept(edited: Path, copied_from: str | None, is_packed: bool, target: Path) -> str:
    """An edited readable file as it is to be kept: in the encoding of the original, packed if that was. Its content's hash."""
    content = edited
    if copied_from:
        content = edited.with_name(edited.name + ".encoded")
        encoding, _, mark = copied_from.partition(" ")
        with (
            edited.open(encoding="utf-8", errors="surrogateescape", newline="") as source,
            content.open("w", encoding=encoding, errors="surrogateescape", newline="") as out,
        ):
            out.write("\ufeff" if mark else "")
            shutil.copyfileobj(source, out, CHUNK)
    content_hash = profile_file(content).content_hash
    with content.open("rb") as source, gzip.open(target, "wb") if is_packed else target.open("wb") as out:
        shutil.copyfileobj(source, out, CHUNK)
    return content_hash


def first_text(profile: Profile) -> str:
    """The first 64 KiB of a readable file as text, with plain line ends."""
    with profile.path.open("rb") as file:
        text = file.read(HEAD).decode("utf-8", errors="replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")
