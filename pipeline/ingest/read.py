"""An export file -> rows of text, each line accounted for: read, or refused with its line number and reason."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.ingest.lines import LineIndex
from pipeline.ingest.sources import header_of
from pipeline.warehouse import frame, identifier, literal, value

CHUNK = 1 << 22
MAX_UNPACKED_BYTES = 50 << 30
MAX_LINE_BYTES = 16 << 20


class UnreadableFile(Exception):
    """A file cannot be read as a whole; the message says why and the mend."""


@dataclass(frozen=True)
class Profile:
    """What one pass over a file's bytes shows. line_count: physical lines."""

    path: Path
    size_bytes: int
    content_hash: str
    line_count: int
    encoding: str
    newline: str
    has_bom: bool


@dataclass(frozen=True)
class Rows:
    """What became of a file's lines once its records are read.

    records: how many. refused: frame (line, rule, text) of the lines that are no
    record. notes: what a person should know of how the file was read.
    """

    columns: tuple[str, ...]
    records: int
    refused: pl.DataFrame
    notes: tuple[str, ...]
    index: Callable[[], LineIndex]
    good_lines: Callable[[], np.ndarray]


def profile_file(path: Path) -> Profile:
    """Size, hash, physical lines, encoding and line ends, in one pass. Raises UnreadableFile on an empty file."""
    digest, lines, crlf, size = hashlib.sha256(), 0, 0, 0
    valid, tail, previous = True, b"", b""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
            crlf += chunk.count(b"\r\n") + (previous.endswith(b"\r") and chunk.startswith(b"\n"))
            previous = chunk[-1:]
            if valid:
                valid, tail = _utf8_so_far(tail + chunk)
    if size == 0:
        raise UnreadableFile("the file is empty; export it again")
    lines += previous != b"\n"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        encoding = "utf-8" if valid and not tail else "unknown"
    ends = lines - (previous != b"\n")
    newline = "\\r\\n" if crlf and crlf == ends else ("\\n" if crlf == 0 else "mixed")
    return Profile(path, size, digest.hexdigest(), lines, encoding, newline, head.startswith(b"\xef\xbb\xbf"))


def _utf8_so_far(data):
    """(all valid so far, bytes of a character that the next chunk must finish)."""
    try:
        data.decode("utf-8")
        return True, b""
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and len(data) - error.start < 4:
            return True, data[error.start :]
        return False, b""


def readable_copy(profile: Profile, scratch: Path, stated_encoding: str | None) -> tuple[Profile, tuple[str, ...]]:
    """The file itself when it is UTF-8 with one kind of line end, else a UTF-8 copy in scratch, with notes on what was done.

    Raises UnreadableFile when no encoding fits. An encoding stated by the layout is tried first.
    """
    notes = []
    if profile.encoding == "utf-8" and profile.newline != "mixed" and (stated_encoding or "utf-8").startswith("utf-8"):
        return profile, ()
    candidates = [stated_encoding] if stated_encoding else []
    candidates += [profile.encoding] if profile.encoding != "unknown" else ["gb18030"]
    for encoding in dict.fromkeys(candidates):
        copy = scratch / f"{profile.content_hash[:16]}.utf8"
        try:
            with (
                profile.path.open(encoding=encoding, newline="") as source,
                copy.open("w", encoding="utf-8", newline="") as out,
            ):
                carry = ""
                while text := source.read(CHUNK):
                    text = carry + text
                    carry = "\r" if text.endswith("\r") else ""
                    text = text[: len(text) - len(carry)]
                    out.write(text.replace("\r\n", "\n") if profile.newline == "mixed" else text)
                out.write(carry)
        except UnicodeDecodeError as error:
            notes.append(f"not {encoding} (byte {error.start})")
            continue
        if encoding not in ("utf-8", "utf-8-sig"):
            notes.append(f"read as {encoding}")
        if profile.newline == "mixed":
            notes.append("line ends were mixed; read as one kind")
        fresh = profile_file(copy)
        return replace(fresh, content_hash=profile.content_hash), tuple(notes)
    if profile.encoding == "unknown" and (stated_encoding or "utf-8").startswith("utf-8"):
        # neither UTF-8 nor GB18030 as a whole: read it as UTF-8, and the lines that are not go to quarantine
        newline = profile.newline if profile.newline != "mixed" else "\\n"
        return replace(profile, encoding="utf-8", newline=newline), (*notes, "lines that are not UTF-8 are rejected")
    raise UnreadableFile(f"encoding: {'; '.join(notes)}; state it as read.encoding in the layout")


def unpack_gzip(path: Path, scratch: Path) -> Path:
    """A .gz file unpacked into scratch (others as they are). Raises UnreadableFile on a broken or boundless one."""
    if path.suffix.lower() != ".gz":
        return path
    target = scratch / path.stem
    try:
        with gzip.open(path) as packed, target.open("wb") as out:
            while chunk := packed.read(CHUNK):
                out.write(chunk)
                if out.tell() > MAX_UNPACKED_BYTES:
                    raise UnreadableFile(f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB; split it")
    except (gzip.BadGzipFile, EOFError) as error:
        raise UnreadableFile(f"is no complete gzip file ({error}); copy it again") from error
    return target


def first_text(profile: Profile) -> str:
    """The first 64 KiB as text, for the header line."""
    encoding = profile.encoding if profile.encoding != "unknown" else "gb18030"
    with profile.path.open("rb") as file:
        return file.read(1 << 16).decode(encoding, errors="replace").removeprefix("\ufeff")


def keep_raw(con) -> int:
    """The records of the view scratch.records as the table scratch.raw. Their count."""
    con.execute("create or replace table scratch.raw as select * from scratch.records")
    return value(con, "select count(*) from scratch.raw")


def read_rows(
    con,
    profile: Profile,
    delimiter: str,
    quote: str,
    columns: tuple[str, ...] | None,
    scratch: Path,
    keep: Callable = keep_raw,
) -> Rows:
    """A delimited file -> its records (good_record, then the columns as text), and the lines that are no record.

    columns: names for a headerless file, else None. keep(con) reads the view scratch.records once, makes tables of it,
    and returns how many records there were; it is called again if the file must be repaired. Every physical line is part of a record, refused, or blank: when
    that does not come out, the lines with an unclosed quote are set aside and the rest is read again; when it still
    does not, UnreadableFile is raised.
    """
    con.execute("create schema if not exists scratch")
    names, records, refused, several = _read_once(con, profile, delimiter, quote, columns, keep)
    index = cache(lambda: LineIndex(profile.path, "" if delimiter == "whitespace" else quote))
    good_lines, refused_lines = _lines(records, profile, index, refused, columns is None)
    if good_lines is not None and not several:
        return _rows(names, records, refused, refused_lines, index, good_lines)

    set_aside = np.flatnonzero(index().is_odd) + 1
    if columns is None:
        set_aside = set_aside[set_aside > 1]
    if len(set_aside) == 0:
        raise UnreadableFile("its lines do not add up; state read.delimiter and read.quote in the layout")
    repaired_path = scratch / f"{profile.content_hash[:16]}.closed"
    index().write_without(set_aside, repaired_path)
    repaired = replace(profile_file(repaired_path), newline=profile.newline)
    repaired_index = cache(lambda: LineIndex(repaired_path, quote))
    names, records, refused, several = _read_once(con, repaired, delimiter, quote, columns, keep)
    good_lines, refused_lines = _lines(records, repaired, repaired_index, refused, columns is None)
    if good_lines is None or several:
        raise UnreadableFile("its lines do not add up; state read.delimiter and read.quote in the layout")
    original = np.setdiff1d(np.arange(1, len(index().offsets)), set_aside, assume_unique=True)
    rows = _rows(names, records, refused, refused_lines, repaired_index, good_lines)
    aside = pl.DataFrame({"line": set_aside, "rule": "unclosed_quote", "text": index().texts(set_aside)}, REFUSED)
    moved = rows.refused.with_columns(line=pl.Series(original[rows.refused["line"].to_numpy() - 1], dtype=pl.Int64))
    return replace(
        rows,
        refused=pl.concat([moved, aside]).sort("line"),
        notes=("lines with an unclosed quote set aside",),
        index=index,
        good_lines=cache(lambda: original[good_lines() - 1]),
    )


REFUSED = {"line": pl.Int64, "rule": pl.String, "text": pl.String}


def _read_once(con, profile, delimiter, quote, columns, keep):
    """(names, records, refused units as the reader counts them with their rule, whether one holds several lines)."""
    names = columns or tuple(unique_names(header_of(first_text(profile), (delimiter,))[1]))
    con.execute("drop table if exists reject_errors")
    con.execute("drop table if exists reject_scans")
    if delimiter == "whitespace":
        con.execute(
            "create or replace table scratch.scanned as"
            r" select row_number() over () as unit, regexp_split_to_array(trim(text), '\s+') as cells"
            f" from {_csv(profile, chr(1), '', ('text',), False)}"
        )
        cells = ", ".join(f"cells[{position}] as {identifier(name)}" for position, name in enumerate(names, start=1))
        source = f"scratch.scanned where len(cells) = {len(names)}"
    else:
        cells, source = "*", _csv(profile, delimiter, quote, names, columns is None)
    con.execute(
        f"create or replace view scratch.records as select row_number() over () as good_record, {cells} from {source}"
    )
    records = keep(con)
    refused = frame(
        con,
        """
        select
            line as unit,
            lower(replace(min(error_type::varchar), ' ', '_')) as rule,
            bool_or(contains(trim(csv_line, chr(13) || chr(10)), chr(10))) as holds_several_lines
        from reject_errors
        group by line
        order by line
        """,
    )
    if delimiter == "whitespace":
        wrong = frame(
            con,
            "select unit::ubigint as unit, 'number_of_columns' as rule, false as holds_several_lines"
            f" from scratch.scanned where len(cells) <> {len(names)} and cells <> [''] order by unit",
        )
        refused = pl.concat([refused, wrong]).sort("unit")
    return tuple(names), records, refused, bool(refused["holds_several_lines"].any())


def _csv(profile, delimiter, quote, columns, header):
    names = "{" + ", ".join(f"{literal(name)}: 'varchar'" for name in columns) + "}"
    return (
        f"read_csv({literal(str(profile.path))}, header = {str(header).lower()}, delim = {literal(delimiter)},"
        f" quote = {literal(quote)}, escape = {literal(quote)}, columns = {names}, auto_detect = false,"
        f" store_rejects = true, max_line_size = {MAX_LINE_BYTES})"
    )


def _lines(records, profile, index, refused, has_header):
    """(a function giving the line of each good record, the lines of the refused), or (None, None) if they do not add up."""
    refused_units = refused["unit"].to_numpy().astype(np.int64)
    if profile.line_count == records + len(refused) + has_header:
        unit_lines = np.arange(1, profile.line_count + 1)
        unit_is_blank = np.zeros(profile.line_count, bool)
    else:
        unit_lines, unit_is_blank = index().unit_lines, index().unit_is_blank
        if index().ends_inside_a_quote or (~unit_is_blank).sum() != records + len(refused) + has_header:
            return None, None

    def good_lines():
        is_good = ~unit_is_blank
        is_good[refused_units - 1] = False
        if has_header:
            is_good[np.argmax(is_good)] = False
        return unit_lines[is_good]

    return cache(good_lines), unit_lines[refused_units - 1]


def _rows(names, records, refused, refused_lines, index, good_lines):
    texts = index().texts(refused_lines) if len(refused) else []
    frame = pl.DataFrame({"line": refused_lines, "rule": refused["rule"], "text": texts}, REFUSED)
    return Rows(names, records, frame, (), index, good_lines)


def unique_names(header):
    """Header cells made unique and non-empty: a second `Tax` becomes `Tax_2`, an empty cell `column_5`."""
    names, seen = [], {}
    for position, cell in enumerate(header, start=1):
        name = cell or f"column_{position}"
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        names.append(name if seen[name.lower()] == 1 else f"{name}_{seen[name.lower()]}")
    return names
