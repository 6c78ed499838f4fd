"""Archives: what lies in a zip or gzip, unpacked under names of our own. The names in it are labels, never paths."""

import gzip
import lzma
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.ingest.read import CHUNK, UnreadableFile

GZIP = b"\x1f\x8b"
MAX_UNPACKED_BYTES = 50 << 30
MAX_RATIO = 250
RATIO_COUNTS_FROM = 256 << 20
MAX_MEMBERS = 999
# how the packed content of a member shows that it is broken
DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError)
NOT_LOOKED_AT = ("__macosx", "thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name there, and where it lies unpacked, or why it could not be."""

    label: str
    path: Path | None = None
    failure: str = ""


class Allowance:
    """How many bytes a file may still unpack to, all that lies in it together."""

    def __init__(self, packed: Path, scratch: Path):
        by_ratio = max(RATIO_COUNTS_FROM, MAX_RATIO * packed.stat().st_size)
        self.left = self.whole = min(MAX_UNPACKED_BYTES, by_ratio, shutil.disk_usage(scratch).free // 2)

    def copy(self, source, target: Path) -> None:
        """What source gives, as a file. Raises UnreadableFile when it is more than is left."""
        with target.open("wb") as out:
            while chunk := source.read(CHUNK):
                self.left -= len(chunk)
                if self.left < 0:
                    raise UnreadableFile(
                        f"unpacks to more than {self.whole:,} bytes (at most {MAX_RATIO} times its size, 50 GiB and half"
                        " of the free disk); split it, or put it there unpacked"
                    )
                out.write(chunk)


def is_gzip(path: Path) -> bool:
    """Whether a file is gzip, or says so by its name."""
    with path.open("rb") as file:
        return file.read(2) == GZIP or path.suffix.lower() == ".gz"


def unpack_gzip(path: Path, scratch: Path, allowance: Allowance | None = None) -> Path:
    """A gzip file unpacked into scratch (others as they are). Raises UnreadableFile on a broken or boundless one."""
    if not is_gzip(path):
        return path
    target = scratch / (path.stem if path.suffix.lower() == ".gz" else f"{path.name}.unpacked")
    try:
        with gzip.open(path) as packed:
            (allowance or Allowance(path, scratch)).copy(packed, target)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFile(f"is no complete gzip file ({error}); copy it again") from error
    return target


def unpack_zip(path: Path, scratch: Path, allowance: Allowance) -> tuple[list[Member], list[str]]:
    """The files of a zip in scratch, in the archive's order, and notes on what in it is no file.

    Raises UnreadableFile where the archive is no zip, holds too many files, or unpacks without bounds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            if len(listed) > MAX_MEMBERS:
                raise UnreadableFile(f"holds {len(listed)} files, more than {MAX_MEMBERS}; split it")
            members, notes = [], []
            for position, info in enumerate(listed):
                label = label_of(info)
                if info.is_dir() or _is_passed_over(label):
                    continue
                if stat.S_ISLNK(info.external_attr >> 16):
                    notes.append(f"{label}: a link is not followed")
                    continue
                members.append(_unpack(archive, info, label, scratch / f"member-{position}", allowance))
            return members, notes
    except (zipfile.BadZipFile, OSError, ValueError, OverflowError) as error:
        raise UnreadableFile(f"is no complete zip file ({type(error).__name__}); copy it again") from error


def _unpack(archive, info, label, target, allowance):
    if info.flag_bits & 0x1:
        return Member(label, failure="is encrypted; put it there unpacked")
    try:
        with archive.open(info) as packed:
            allowance.copy(packed, target)
    except DAMAGED as error:
        target.unlink(missing_ok=True)
        return Member(label, failure=f"is damaged in the archive ({type(error).__name__}); make the archive again")
    except (NotImplementedError, RuntimeError):
        return Member(label, failure="is packed in a way that is not read; make the archive again as a plain zip")
    return Member(label, target)


def _is_passed_over(label):
    parts = [part.lower() for part in label.split("/")]
    return parts[0] in NOT_LOOKED_AT or parts[-1] in NOT_LOOKED_AT or any(part.startswith(".") for part in parts)


def label_of(info: zipfile.ZipInfo) -> str:
    """A member's name as text: UTF-8 where the archive says so, else UTF-8, GBK or code page 437, whichever it can be."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        content = name.encode("cp437", "replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = content.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return printable("/".join(parts)) or "unnamed"


def printable(text: str) -> str:
    """A label that cannot steer a terminal, at most 200 characters of it."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)[:200]
