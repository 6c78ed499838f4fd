"""Lines around a table, and blank ones within: what is not given to the reader."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipeline.ingest.edges import find_footer
from pipeline.ingest.lines import Edit
from pipeline.ingest.scan import REFUSED

CHUNK = 1 << 22
# lines around the table: no bad rows of it
OUTSIDE = ("before_header", "after_table", "total_line")


@dataclass(frozen=True)
class Aside:
    """Physical lines that are not given to the reader (ascending), what is said of them (frame REFUSED), and edits."""

    lines: np.ndarray
    refused: pl.DataFrame
    edits: list[Edit] = field(default_factory=list)


def find_edges(profile, form, index):
    """The lines around the table as Aside."""
    if form.dialect.delimiter == "whitespace":
        return Aside(np.array([], np.int64), pl.DataFrame(schema=REFUSED))
    found = dict.fromkeys(range(1, form.header_line), "before_header")
    width = len(form.header) + form.ends_in_delimiter
    below = find_footer(profile.path, profile.line_count, form.dialect, width)
    below = {line: rule for line, rule in below.items() if line > form.header_line}
    if below and index().is_odd[: min(below) - 1].sum() % 2 == 0:
        found |= below
    if _has_empty_rows(profile, form.dialect, width):
        found |= dict.fromkeys(index().empty_rows(form.dialect.delimiter, form.dialect.quote).tolist(), "")
    lines = np.array(sorted(found), np.int64)
    texts = index().texts(lines) if found else []
    listed = pl.DataFrame({"line": lines, "rule": [found[line] for line in lines.tolist()], "text": texts}, REFUSED)
    is_blank = pl.col("text").str.strip_chars(form.dialect.delimiter + form.dialect.quote + " \t\r\ufeff") == ""
    return Aside(lines, listed.filter(~is_blank).with_columns(pl.col("text").str.strip_prefix("\ufeff")))


def _has_empty_rows(profile, dialect, width):
    """Whether a file has lines of delimiters alone, or of them and empty quotes: blank lines as spreadsheets write them."""
    if width < 2:
        return False
    mark, quotes = dialect.delimiter.encode(), dialect.quote.encode() * 2
    begins = [b"\n" + mark * (width - 1)] + ([b"\n" + (quotes + mark) * (width - 1)] if quotes else [])
    rows = [begin + end + line_end for begin in begins for end in {b"", quotes, mark} for line_end in (b"\n", b"\r\n")]
    for chunk in overlapping_chunks(profile.path, len(rows[-1]) + 8):
        data = np.frombuffer(chunk, np.uint8)
        is_end = data[:-1] == 10
        for begin in begins:
            if (is_end & (data[1:] == begin[1])).any() and any(row in chunk for row in rows):
                return True
    return False


def overlapping_chunks(path, overlap):
    """The chunks of a file, each with the last bytes of the one before."""
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield tail + chunk
            tail = (tail + chunk)[-overlap:] if overlap else b""
