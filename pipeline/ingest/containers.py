"""What a file of the inbox is, by its content; and the tables in an archive, a workbook, JSON or Parquet, as text files.

Whatever is no delimited text is turned into it by a child process: its libraries are not ours, and a file of 5 KB can
make them ask for more memory than there is. What the child writes is a rendition: UTF-8, commas, every cell that holds
anything quoted, \\n as line end, a blank row as a blank line.
"""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.ingest.archives import DAMAGED, Allowance, is_gzip, unpack_gzip, unpack_zip
from pipeline.ingest.read import UnreadableFile

HEAD_BYTES = 1 << 12
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# what begins so holds no table, and is passed over where it lies in an archive
NO_TABLE = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
}
OTHER_ARCHIVES = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}
JSON_BEGINS = re.compile(r"\s*(\{\s*(\"|\})|\[\s*(\{|\]\s*$))")
# a list of texts or numbers may also be the first record of a CSV: its whole decides
LIST_BEGINS = re.compile(r'\s*\[\s*("|-?\d|true|false|null)')
MAX_LIST_BYTES = 16 << 20
MARKUP_BEGINS = re.compile(
    r"\s*(<\?[^>]*>\s*)*(<!--.*?-->\s*)*<(!doctype html|html|head|meta|body|table|workbook)\b", re.S
)
MAX_PARTS = 999
LEAST_MEMORY = 2 << 30
# what the child needs of ours
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
SECONDS = 120
BYTES_PER_SECOND = 100_000


@dataclass(frozen=True)
class Part:
    """One table of a file. label: its name in there, '' for the file itself. failure: why it cannot be read.

    warnings: what a person should know, in English and Chinese. is_keyed: its columns are the keys of JSON or Parquet.
    """

    label: str
    path: Path | None = None
    failure: str = ""
    is_rendition: bool = False
    warnings: tuple[tuple[str, str], ...] = ()
    is_keyed: bool = False


@dataclass(frozen=True)
class Opened:
    """A file's tables. is_container: they are files of their own, and the file itself holds them."""

    parts: tuple[Part, ...]
    is_container: bool
    notes: tuple[str, ...] = ()


def open_file(path: Path, scratch: Path, settings) -> Opened:
    """The tables in a file, in its order. Raises UnreadableFile where it holds none that can be read."""
    allowance = Allowance(path, scratch)
    unpacked = unpack_gzip(path, scratch, allowance)
    kind = kind_of(unpacked)
    if kind == "text":
        return Opened((Part("", unpacked),), is_container=False)
    if kind == "zip":
        members, notes = unpack_zip(unpacked, scratch, allowance)
        parts = []
        for member in members:
            try:
                parts += _open_member(member, scratch, settings, allowance, notes)
            except UnreadableFile as error:
                parts.append(Part(member.label, failure=str(error)))
    else:
        parts, notes = render(kind, unpacked, scratch, settings)
    if not parts:
        raise UnreadableFile(f"it holds no table{': ' if notes else ''}{'; '.join(notes)}; export it again")
    if len(parts) > MAX_PARTS:
        raise UnreadableFile(f"it holds {len(parts)} tables, more than {MAX_PARTS}; split it")
    return Opened(tuple(parts), is_container=True, notes=tuple(notes))


def _open_member(member, scratch, settings, allowance, notes):
    if member.failure:
        return [Part(member.label, failure=member.failure)]
    path = member.path
    if is_gzip(path):
        path = unpack_gzip(path, scratch, allowance)
    for begin, what in NO_TABLE.items():
        if _head(path).startswith(begin):
            notes.append(f"{member.label}: {what}, no table")
            return []
    kind = kind_of(path)
    if kind == "text":
        return [Part(member.label, path)]
    if kind == "zip" or (kind == "gzip" and path is not member.path):
        raise UnreadableFile("an archive inside an archive is not opened; put it there unpacked")
    found, inner_notes = render(kind, path, scratch, settings)
    notes += [f"{member.label}: {note}" for note in inner_notes]
    return [replace(part, label=f"{member.label}/{part.label}".rstrip("/")) for part in found]


def kind_of(path: Path) -> str:
    """text, zip, gzip, workbook, json, parquet or markup. Raises UnreadableFile for what is known and not read."""
    head = _head(path)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(OLE):
        return "workbook"
    for begin, what in (OTHER_ARCHIVES | NO_TABLE).items():
        if head.startswith(begin):
            raise UnreadableFile(f"is {what}, which is not read; put the tables there as CSV or in a zip")
    if head[257:262] == b"ustar":
        raise UnreadableFile("is a tar archive, which is not read; put the tables there as CSV or in a zip")
    text = text_of(head)
    if JSON_BEGINS.match(text):
        return "json"
    if MARKUP_BEGINS.match(text.lower()):
        return "markup"
    if LIST_BEGINS.match(text) and _is_list_of_values(path):
        raise UnreadableFile("is a JSON list of single values, which holds no records; export it as a list of objects")
    return "text"


def _is_list_of_values(path):
    if path.stat().st_size > MAX_LIST_BYTES:
        return False
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return not any(isinstance(one, dict | list) for one in found)


def text_of(head: bytes) -> str:
    """The beginning of a file as text, by its byte order mark, else as if it were ASCII with something more."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "ignore")
    return head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _head(path):
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _kind_of_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.lower() for name in archive.namelist()}
            if names & {"xl/workbook.xml", "xl/workbook.bin"}:
                return "workbook"
            if "mimetype" in names:
                with archive.open("mimetype") as member:
                    # no more of it: it may unpack to anything
                    if b"opendocument.spreadsheet" in member.read(100):
                        return "workbook"
            if "[content_types].xml" in names and names & {"word/document.xml", "ppt/presentation.xml"}:
                raise UnreadableFile("is a document, no workbook; put its tables there as CSV or xlsx")
    except (*DAMAGED, RuntimeError, KeyError):
        # broken: said where it is unpacked
        return "zip"
    return "zip"


# renditions, made by a child


def render(kind: str, path: Path, scratch: Path, settings) -> tuple[list[Part], list[str]]:
    """The tables of one workbook, JSON or Parquet file as renditions in scratch, and notes on what was passed over.

    The child has the settings' memory_limit and a time that grows with the file; a message says when it needed more.
    """
    folder = scratch / f"rendition-{path.name[:60]}"
    folder.mkdir()
    memory = max(memory_bytes(settings.memory_limit), LEAST_MEMORY)
    seconds = SECONDS + path.stat().st_size // BYTES_PER_SECOND
    allowed = Allowance(path, scratch).whole
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "pipeline.ingest.render", kind, str(path), str(folder), str(memory), str(allowed)]
    try:
        status = subprocess.run(
            command,
            # not all of the environment: it may hold the passwords of databases
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
            | {"PYTHONPATH": root, "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise UnreadableFile(
            f"reading it took more than {seconds} seconds; split it, or save it as CSV (UTF-8)"
        ) from None
    report = folder / "report.json"
    if status or not report.exists():
        raise UnreadableFile(_killed(kind, status, settings))
    found = json.loads(report.read_text(encoding="utf-8"))
    if found["failure"]:
        raise UnreadableFile(found["failure"])
    parts = [
        Part(
            part["label"],
            folder / part["file"],
            is_rendition=True,
            warnings=tuple((english, chinese) for english, chinese in part["warnings"]),
            is_keyed=kind in ("json", "parquet"),
        )
        for part in found["parts"]
    ]
    return parts, found["notes"]


def _killed(kind, status, settings):
    how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
    if kind == "workbook":
        return (
            f"reading it needs more than memory_limit {settings.memory_limit} ({how}): a cell far below or right of the"
            " table, or a very large sheet; delete what stands there (Ctrl+End shows it), or save it as CSV (UTF-8)"
        )
    return f"reading it failed in memory_limit {settings.memory_limit} ({how}); export it again as CSV or JSON lines"


def memory_bytes(limit: str) -> int:
    """A size such as 4GiB or 500MB in bytes."""
    number, unit = re.fullmatch(r"([\d.]+) ?([KMGT]i?B)", limit).groups()
    base = 1024 if "i" in unit else 1000
    return int(float(number) * base ** (" KMGT".index(unit[0])))
