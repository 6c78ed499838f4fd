"""An export file -> rows of text, each line accounted for: read, or refused with its line number and reason."""

import glob
import gzip
import hashlib
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import duckdb
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
    """What one pass over a file's bytes shows. line_count: physical lines. copied_from: the encoding of which it is a copy."""

    path: Path
    size_bytes: int
    content_hash: str
    line_count: int
    encoding: str
    newline: str
    has_bom: bool
    copied_from: str | None = None


@dataclass(frozen=True)
class Rows:
    """What became of a file's lines once its records are read.

    records: how many. refused: frame (line, rule, text) of the lines that are no record. notes: what a person should
    know of how the file was read. texts: the whole records that begin at given lines. good_lines: where the records begin.
    """

    columns: tuple[str, ...]
    records: int
    refused: pl.DataFrame
    notes: tuple[str, ...]
    texts: Callable[[np.ndarray], list[str]]
    good_lines: Callable[[], np.ndarray]


def profile_file(path: Path) -> Profile:
    """Size, hash, physical lines, encoding and line ends, in one pass. Raises UnreadableFile on an empty file."""
    digest, lines, returns, crlf, size = hashlib.sha256(), 0, 0, 0, 0
    valid, tail, previous = True, b"", b""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            crlf += chunk.count(b"\r\n") + (previous.endswith(b"\r") and chunk.startswith(b"\n"))
            previous = chunk[-1:]
            if valid:
                valid, tail = _utf8_so_far(tail + chunk)
    if size == 0:
        raise UnreadableFile("the file is empty; export it again")
    ends = lines
    lines += previous != b"\n"
    unmarked = "utf-8" if valid and not tail else "unknown"
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else unmarked
    with_returns = "\\r\\n" if returns == crlf == ends else "mixed"
    newline = with_returns if returns else "\\n"
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
    # DuckDB takes a quote after a byte order mark for text, and a header of several lines for its first one
    splits_header = profile.has_bom and first_text(profile).split("\n", 1)[0].count('"') % 2 == 1
    is_plain = profile.encoding == "utf-8" and profile.newline != "mixed" and not splits_header
    if is_plain and (stated_encoding or "utf-8").startswith("utf-8"):
        return profile, ()
    candidates = [stated_encoding] if stated_encoding else []
    candidates += [profile.encoding] if profile.encoding != "unknown" else ["gb18030"]
    candidates = ["utf-8-sig" if name == "utf-8" else name for name in candidates]
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
                    out.write(text.replace("\r\n", "\n").replace("\r", "\n"))
                out.write("\n" * len(carry))
        except UnicodeError as error:
            notes.append(f"not {encoding} ({getattr(error, 'reason', error)})")
            continue
        if encoding not in ("utf-8", "utf-8-sig"):
            notes.append(f"read as {encoding}")
        if profile.newline == "mixed" and not encoding.lower().startswith("utf-16"):
            notes.append("line ends were mixed; read as one kind")
        fresh = profile_file(copy)
        return replace(fresh, content_hash=profile.content_hash, copied_from=encoding), tuple(notes)
    if profile.encoding == "unknown" and (stated_encoding or "utf-8").startswith("utf-8"):
        # neither UTF-8 nor GB18030 as a whole: read it as UTF-8, and the lines that are not go to quarantine
        newline = profile.newline if profile.newline != "mixed" else "\\n"
        return replace(profile, encoding="utf-8", newline=newline), (*notes, "lines that are not UTF-8 are rejected")
    raise UnreadableFile(f"encoding: {'; '.join(notes)}; state it as read.encoding in the layout")


def write_kept(edited: Path, copied_from: str | None, is_packed: bool, target: Path) -> str:
    """An edited readable file as it is to be kept: in the encoding of the original, packed if that was. Its content's hash."""
    content = edited
    if copied_from:
        content = edited.with_name(edited.name + ".encoded")
        with (
            edited.open(encoding="utf-8", newline="") as source,
            content.open("w", encoding=copied_from, newline="") as out,
        ):
            shutil.copyfileobj(source, out, CHUNK)
    content_hash = profile_file(content).content_hash
    with content.open("rb") as source, gzip.open(target, "wb") if is_packed else target.open("wb") as out:
        shutil.copyfileobj(source, out, CHUNK)
    return content_hash


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
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFile(f"is no complete gzip file ({error}); copy it again") from error
    return target


def first_text(profile: Profile, encoding: str | None = None) -> str:
    """The first 64 KiB as text, for the header line."""
    encoding = encoding or (profile.encoding if profile.encoding != "unknown" else "gb18030")
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
    and returns how many records there were; it is called again if the file must be repaired. Every physical line is
    part of a record, refused, or blank: when that does not come out, the lines with an unclosed quote are set aside and
    the rest is read again; when it still does not, UnreadableFile is raised.
    """
    con.execute("create schema if not exists scratch")
    quote = "" if delimiter == "whitespace" else quote
    index = cache(lambda: LineIndex(profile.path, quote))
    rows = _read_once(con, profile, delimiter, quote, columns, keep, index)
    if rows is None and quote:
        width = len(columns or header_of(first_text(profile), (delimiter,))[1])
        odd = np.flatnonzero(index().is_odd) + 1
        unclosed, ragged = index().settle(delimiter, quote, width)
        for lines, records in ((unclosed, ragged), (odd, [])):
            if rows is None:
                aside = _set_aside(index(), lines[lines > (columns is None)], records)
                rows = _read_without(con, profile, delimiter, quote, columns, keep, index(), aside, width, scratch)
    if rows is None:
        raise UnreadableFile("its lines do not add up; state read.delimiter and read.quote in the layout")
    return rows


def _set_aside(index, unclosed, ragged):
    """(the physical lines to set aside, the frame REFUSED of them): unclosed lines, and ragged records as a whole."""
    first = np.array([begin for begin, _ in ragged], np.int64)
    spans = [np.arange(begin, end + 1) for begin, end in ragged]
    refused = pl.DataFrame(
        {
            "line": np.concatenate([unclosed, first]),
            "rule": ["unclosed_quote"] * len(unclosed) + ["number_of_columns"] * len(first),
            "text": index.texts(unclosed) + index.unit_texts(first),
        },
        REFUSED,
    )
    return np.sort(np.concatenate([unclosed, *spans])), refused


def _read_without(con, profile, delimiter, quote, columns, keep, index, aside, width, scratch):
    """The Rows of a file without the lines set aside, or None when its lines do not add up even so."""
    set_aside, also_refused = aside
    path = scratch / f"{profile.content_hash[:16]}.closed"
    index.write_without(set_aside, path)
    if path.stat().st_size == 0:
        return None

    @cache
    def rest():
        found = LineIndex(path, quote)
        found.settle(delimiter, quote, width)
        return found

    shorter = replace(profile_file(path), newline=profile.newline)
    rows = _read_once(con, shorter, delimiter, quote, columns, keep, rest)
    if rows is None or len(set_aside) == 0:
        return rows
    original = np.setdiff1d(np.arange(1, len(index.offsets)), set_aside, assume_unique=True)
    moved = rows.refused.with_columns(line=pl.Series(original[rows.refused["line"].to_numpy() - 1], dtype=pl.Int64))
    return replace(
        rows,
        refused=pl.concat([moved, also_refused]).sort("line"),
        notes=("lines whose quotes do not match set aside",),
        texts=lambda lines: rows.texts(np.searchsorted(original, lines) + 1),
        good_lines=cache(lambda: original[rows.good_lines() - 1]),
    )


REFUSED = {"line": pl.Int64, "rule": pl.String, "text": pl.String}


def _read_once(con, profile, delimiter, quote, columns, keep, index):
    """The Rows of a file, or None when its lines do not add up or a refused record holds several of them."""
    try:
        names, records, refused, several = _read_records(con, profile, delimiter, quote, columns, keep)
    except duckdb.InvalidInputException:
        # the reader gave up; its message may quote a line of the file
        return None
    good_lines, refused_lines = _lines(records, profile, index, refused, columns is None)
    if good_lines is None or several:
        return None
    texts = index().texts(refused_lines) if len(refused) else []
    frame = pl.DataFrame({"line": refused_lines, "rule": refused["rule"], "text": texts}, REFUSED)
    return Rows(names, records, frame, (), lambda lines: index().unit_texts(lines), good_lines)


def _read_records(con, profile, delimiter, quote, columns, keep):
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
            f" from scratch.scanned where len(cells) <> {len(names)} order by unit",
        )
        refused = pl.concat([refused, wrong]).sort("unit")
    return tuple(names), records, refused, bool(refused["holds_several_lines"].any())


def _csv(profile, delimiter, quote, columns, header):
    names = "{" + ", ".join(f"{literal(name)}: 'varchar'" for name in columns) + "}"
    return (
        f"read_csv({literal(glob.escape(str(profile.path)))}, compression = 'none',"
        f" header = {str(header).lower()}, delim = {literal(delimiter)}, quote = {literal(quote)},"
        f" escape = {literal(quote)}, columns = {names}, auto_detect = false, store_rejects = true,"
        f" max_line_size = {MAX_LINE_BYTES})"
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


def unique_names(header):
    """Header cells made unique and non-empty: a second `Tax` becomes `Tax_2`, an empty cell `column_5`."""
    taken = {cell.lower() for cell in header if cell}
    names, seen = [], {"good_record"}
    for position, cell in enumerate(header, start=1):
        name, number = cell or f"column_{position}", 2
        if name.lower() in (seen if cell else seen | taken):
            while f"{name}_{number}".lower() in taken | seen:
                number += 1
            name = f"{name}_{number}"
        seen.add(name.lower())
        names.append(name)
    return names
