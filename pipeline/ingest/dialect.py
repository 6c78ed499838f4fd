"""How a text table is written: its delimiter, quotes and escapes, and on which line its header stands."""

import csv
import io
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

HEADER_LINES = 50
SAMPLE_RECORDS = 200
# the likelier first: of two that do equally well the first is taken
DELIMITERS = (",", "\t", ";", "|", "^", "~", "\x01", "\x1f", "¦", "§", ":", "#", "!")
RARE = {":": 0.6, "#": 0.7, "!": 0.7, "~": 0.95, "^": 0.95}
STRONG = ",;\t|^~\x01\x1f¦§"
QUOTINGS = (('"', '"'), ('"', "\\"), ("'", "'"), ("'", "\\"), ("", ""))
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
VALUE = re.compile(
    r"[-+]?[$€£¥￥]?\s?\d{1,3}(?:[,.' ]\d{3})*(?:[.,]\d+)?\s?[%元]?|[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"
    r"|\d{2,4}[-/.年]\d{1,2}[-/.月]\d{1,4}日?(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|\s?[-+]\d{2}:?\d{2})?)?"
    r"|\d{1,2}:\d{2}(?::\d{2})?|[\w.+'-]+@[\w.-]+|https?://\S+|\+?[\d ()-]{7,}"
)


@dataclass(frozen=True)
class Dialect:
    """A delimiter, a quote character ('' for none), and what stands before a quote inside a value: itself or a backslash."""

    delimiter: str
    quote: str = '"'
    escape: str = '"'


@dataclass(frozen=True)
class Header:
    """The line a table begins on (counted from 1) and its cells, trimmed."""

    line: int
    cells: tuple[str, ...]


def parse(text: str, dialect: Dialect):
    """The records of a text, lazily, as lists of cells; quotes that do not match are taken as they come."""
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    has_backslash = dialect.quote and dialect.escape == "\\"
    return csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=quoting,
        doublequote=not has_backslash,
        escapechar="\\" if has_backslash else None,
    )


def records_of(text: str, dialect: Dialect, most: int = SAMPLE_RECORDS) -> list[list[str]]:
    """The first records of a text; as many as can be parsed."""
    found = []
    # a value beyond the module's limit: what came before it must do
    with suppress(csv.Error):
        found.extend(islice(parse(text, dialect), most))
    return found


def trimmed(cells) -> tuple[str, ...]:
    """Header cells as they are compared and named."""
    return tuple(cell.strip().removeprefix("\ufeff") for cell in cells)


def leading_headers(text: str, delimiters) -> list[tuple[str, Header]]:
    """(delimiter, header) for each of the leading lines and each delimiter that it holds, top line first."""
    found, begin = [], 0
    lines = text.split("\n", HEADER_LINES)[:HEADER_LINES]
    for number, line in enumerate(lines, start=1):
        for mark in delimiters:
            if mark in line or (line.strip() and mark == delimiters[0]):
                for quote in ('"', "'") if "'" in line else ('"',):
                    cells = next(iter(records_of(text[begin:], Dialect(mark, quote), 1)), [])
                    found.append((mark, Header(number, trimmed(cells))))
        begin += len(line) + 1
    return found


def separator_line(text: str) -> str | None:
    """The delimiter that a first line `sep=;` names, as Excel writes it."""
    match = SEPARATOR_LINE.match(text.split("\n", 1)[0])
    return match[1] if match else None


def guess_delimiter(text: str) -> str:
    """The delimiter that makes the most even table of a text: rows of one width whose cells look like values."""
    named = separator_line(text)
    if named:
        return named
    return max(
        DELIMITERS, key=lambda mark: (_evenness(text, Dialect(mark)) * RARE.get(mark, 1), -DELIMITERS.index(mark))
    )


def guess_quoting(text: str, delimiter: str) -> Dialect:
    """The quotes and escapes by which a text falls into rows of one width; `"` doubled where nothing tells."""
    dialects = [
        Dialect(delimiter, quote, escape) for quote, escape in QUOTINGS if _is_used(text, delimiter, quote, escape)
    ]
    dialects = dialects or [Dialect(delimiter)]
    scores = {dialect: _consistency(text, dialect) for dialect in dialects}
    best = max(scores.values())
    return next(dialect for dialect in dialects if scores[dialect] >= best - 0.005)


def _is_used(text, delimiter, quote, escape):
    """Whether a text gives reason to think of a way of quoting."""
    if not quote:
        # quotes that open nothing, again and again, and none that does: inch marks and the like
        odd = sum(line.count('"') % 2 for line in text.split("\n"))
        return odd >= 3 and not _quoted_cells(text, delimiter, '"')
    if escape == quote:
        return quote == '"' or _quoted_cells(text, delimiter, quote) >= 3
    return f"\\{quote}" in text and _quoted_cells(text, delimiter, quote) > 0


def _quoted_cells(text, delimiter, quote):
    """How many cells of a text stand between quotes, counted up to 3."""
    edge = re.escape(delimiter)
    pair = rf"(?:^|{edge}){quote}(?:[^{quote}\n]|{quote}{quote}|\\{quote})*{quote}(?=\r?$|{edge})"
    return sum(1 for _ in islice(re.finditer(pair, text, re.MULTILINE), 3))


def _consistency(text, dialect):
    """The share of lines that stand in records of the commonest width; a quote where none may be spoils a record."""
    rows = [row for row in records_of(text, dialect) if row]
    if not rows:
        return 0.0
    width = modal_width(rows)
    good = sum(len(row) == width and not _is_spoilt(row, dialect) for row in rows)
    lines = sum(1 + (0 if len(row) == width else sum(cell.count("\n") for cell in row)) for row in rows)
    return good / lines


def _is_spoilt(row, dialect):
    """Whether quotes or escapes are left in the cells that this dialect should have taken away."""
    if any(len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'" for cell in row):
        return True
    mark = "\\" + dialect.quote
    return bool(dialect.quote) and dialect.escape != "\\" and any(mark in cell or cell.endswith("\\") for cell in row)


def modal_width(rows) -> int:
    """The commonest number of cells, the larger where two are as common."""
    widths = Counter(len(row) for row in rows)
    return max(widths, key=lambda width: (widths[width], width))


def _evenness(text, dialect):
    rows = [row for row in records_of(text, dialect) if any(cell.strip() for cell in row)]
    if not rows:
        return 0.0
    width = modal_width([row for row in rows if len(row) > 1] or rows)
    if width < 2:
        return 0.001
    fitting = [row for row in rows if len(row) == width]
    cells = [cell for row in fitting[:50] for cell in row]
    clean = sum(_is_clean(cell, dialect.delimiter) for cell in cells) / len(cells)
    return (len(fitting) / len(rows)) * (0.1 + 0.9 * clean**2) * (width - 1) / width


def _is_clean(cell, delimiter):
    """Whether a cell looks like one value, and not like several that another delimiter sets apart."""
    text = cell.strip()
    if not text or len(text) < 100 and VALUE.fullmatch(text):
        return True
    return not any(mark in text and mark != delimiter and f"{mark} " not in text for mark in STRONG)


def find_header(text: str, dialect: Dialect) -> Header:
    """The header of a table that no layout knows: the first row that is as wide as most and mostly filled.

    Where most records end in a delimiter, it may lack that.
    """
    records = records_of(text, dialect)
    rows = [row for row in records if any(cell.strip() for cell in row)]
    if not rows:
        return Header(1, ())
    width = modal_width([row for row in rows if len(row) > 1] or rows)
    fitting = [row for row in rows if len(row) == width]
    is_spare = width > 2 and sum(not row[-1] for row in fitting) > 0.9 * len(fitting)
    line = 1
    for row in records[:HEADER_LINES]:
        filled = sum(bool(cell.strip()) for cell in row)
        fits = len(row) == width or (is_spare and len(row) == width - 1 == filled and not looks_like_data(row))
        if fits and filled >= max(1, width / 2):
            return Header(line, trimmed(row))
        line += 1 + sum(cell.count("\n") for cell in row)
    return Header(1, trimmed(rows[0]))


def looks_like_data(cells: tuple[str, ...]) -> bool:
    """Whether a first row is a record: a number, date or address among its cells, as no header has."""
    return any(VALUE.fullmatch(cell) for cell in cells if 0 < len(cell) < 100)
