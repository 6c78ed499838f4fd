"""Lines that the fast reader refused, looked at one by one: what can only mean one thing is written as it was meant."""

import csv
import io
import re
from contextlib import suppress
from dataclasses import dataclass

from pipeline.ingest.dialect import VALUE, Dialect, parse
from pipeline.ingest.lines import Edit

# beyond it a file is not damaged here and there: it is written otherwise than it was taken to be
MAX_LINES = 1_000_000
MAX_PARTS = 5
KINDS = (
    ("number", re.compile(r"[-+]?[$€£¥￥]?\s?\d[\d,. ]*[%元]?")),
    ("date", re.compile(r"\d{2,4}[-/.年]\d{1,2}[-/.月]\d{1,4}日?.*")),
    ("address", re.compile(r"[\w.+'-]+@[\w.-]+|https?://\S+")),
    ("code", re.compile(r"[A-Za-z#]{1,5}[-_]?\d[\w-]*")),
)


@dataclass(frozen=True)
class Refused:
    """A record that the reader refused: the physical line it begins on, how many it takes, the rule, and its text."""

    line: int
    line_count: int
    rule: str
    text: str


def kind(cell: str) -> str:
    """What a cell looks like: '' where blank, number, date, address, code, value or text."""
    text = cell.strip()
    if not text:
        return ""
    if len(text) > 100:
        return "text"
    for name, pattern in KINDS:
        if pattern.fullmatch(text):
            return name
    return "value" if VALUE.fullmatch(text) else "text"


def column_kinds(rows: list[list[str]], width: int) -> list[set[str]]:
    """The kinds of the filled cells that each column of good records shows."""
    fitting = [row for row in rows if len(row) == width]
    return [{kind(row[place]) for row in fitting} - {""} for place in range(width)]


def repairs(
    refused: list[Refused], dialect: Dialect, width: int, kinds: list[set[str]], has_spare: bool = False
) -> tuple[list[Edit], list[str]]:
    """The refused records that mean one thing, as edits that keep their physical lines, and notes that count them.

    refused: in the order of their lines. width: cells of a record, where has_spare with the empty one after the last
    delimiter. kinds: of the columns of good records (column_kinds).
    """
    edits, counts = [], dict.fromkeys(("trailing", "inner", "joined"), 0)
    place = 0
    while place < len(refused):
        one = refused[place]
        cells = with_width(one.text, dialect, width, kinds, has_spare)
        if cells:
            counts["trailing"] += 1
        elif cells := _with_inner_quotes(one.text, dialect, width, kinds):
            counts["inner"] += 1
        if cells:
            edits.append(Edit(one.line, one.line_count, written(cells, dialect)))
            place += 1
            continue
        parts, cells = _joined(refused, place, dialect, width, kinds)
        if cells:
            counts["joined"] += 1
            line_count = sum(part.line_count for part in refused[place : place + parts])
            edits.append(Edit(one.line, line_count, written(cells, dialect)))
        place += parts
    words = {
        "trailing": "lines: delimiters beyond the last column put right",
        "inner": "lines: a quote inside a quoted value read as text",
        "joined": "records split by a line end joined again",
    }
    return edits, [f"{counts[name]} {text}" for name, text in words.items() if counts[name]]


def written(cells: list[str], dialect: Dialect) -> str:
    """A record as text in a dialect, without a line end; every cell quoted where the dialect has quotes."""
    if not dialect.quote:
        return dialect.delimiter.join(cells)
    out = io.StringIO()
    csv.writer(
        out, delimiter=dialect.delimiter, quotechar=dialect.quote, quoting=csv.QUOTE_ALL, lineterminator=""
    ).writerow(cells)
    return out.getvalue()


def _cells(text, dialect):
    """The cells of the one record that a text is, by the rules of its dialect; None when it is none or several."""
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    try:
        records = list(
            csv.reader(
                io.StringIO(text, newline=""),
                delimiter=dialect.delimiter,
                quotechar=dialect.quote or None,
                quoting=quoting,
                strict=True,
            )
        )
    except csv.Error:
        return None
    return records[0] if len(records) == 1 else None


def is_overlong(text: str, dialect: Dialect, width: int) -> bool:
    """Whether a record has more cells than it may, be they empty."""
    cells = _cells(text, dialect)
    return cells is None or len(cells) > width


def contradicts(text: str, dialect: Dialect, width: int, kinds: list[set[str]]) -> bool:
    """Whether two cells or more of a record are of a kind that their columns do not show."""
    cells = _cells(text, dialect) or []
    wrong = [
        bool(known) and cell.strip() and kind(cell) not in known for cell, known in zip(cells, kinds, strict=False)
    ]
    return len(cells) >= width and sum(map(bool, wrong)) >= min(2, width - 1)


def with_width(text: str, dialect: Dialect, width: int, kinds: list[set[str]], has_spare: bool) -> list[str] | None:
    """The cells of a record that has too many only because empty ones follow the last, or that lacks but the spare one."""
    cells = _cells(text, dialect)
    if cells and len(cells) > width and not any(cells[width - has_spare :]):
        cells = cells[:width]
    elif cells and has_spare and len(cells) == width - 1:
        cells = [*cells, ""]
    else:
        return None
    # a cell too many further left would have moved the others
    return cells if _is_record(cells, None, kinds) else None


def _with_inner_quotes(text, dialect, width, kinds):
    """A record in which quotes stand undoubled inside a quoted value: one ends where a delimiter or the end follows.

    An escaped quote (a backslash before it) counts as inside too.
    """
    quote, mark = dialect.quote, dialect.delimiter
    if not quote or quote not in text or _cells(text, dialect):
        return None
    cells, position, length = [], 0, len(text)
    while position <= length:
        if text.startswith(quote, position):
            end = position + 1
            while True:
                end = text.find(quote, end)
                if end < 0:
                    return None
                if text.startswith(quote, end + 1) and not _closes(text, end + 1, mark, length):
                    end += 2
                elif _closes(text, end, mark, length) and text[end - 1] != "\\":
                    break
                else:
                    end += 1
            inner = text[position + 1 : end]
            cells.append(inner.replace("\\" + quote, quote).replace(quote * 2, quote))
            position = end + 1 + len(mark)
            if end + 1 == length:
                break
        else:
            end = text.find(mark, position)
            end = length if end < 0 else end
            cells.append(text[position:end])
            position = end + len(mark)
            if end == length:
                break
    return cells if len(cells) == width and _is_record(cells, None, kinds) else None


def _closes(text, place, mark, length):
    return place + 1 == length or text.startswith(mark, place + 1)


def _joined(refused, place, dialect, width, kinds):
    """(how many refused records go together, their cells): parts of one record between which no quote is open.

    Too short each, they make one record of the right width when the last cell of a part and the first of the next are
    one value; the cells after the break must be of the kinds that their columns show, and one of these kinds must tell.
    """
    parts = [_cells(refused[place].text, dialect)]
    if not parts[0] or len(parts[0]) >= width:
        return 1, None
    joined = list(parts[0])
    for count in range(2, MAX_PARTS + 1):
        following = refused[place + count - 1 : place + count]
        before = refused[place + count - 2]
        if not following or following[0].line != before.line + before.line_count:
            break
        cells = _cells(following[0].text, dialect)
        if not cells or len(cells) >= width or len(joined) + len(cells) - 1 > width:
            break
        broken = len(joined) - 1
        joined = [*joined[:-1], f"{joined[-1]}\n{cells[0]}", *cells[1:]]
        if len(joined) == width and _is_record(joined, broken, kinds):
            return count, joined
    return 1, None


def _is_record(cells, broken, kinds):
    """Whether each cell is of a kind that its column shows, and one of them tells its column from the others.

    broken: the place of a value of several lines, which must be text, while what tells must stand after it; or None.
    """
    telling = False
    for place, cell in enumerate(cells):
        if place == broken or not cell.strip():
            continue
        if kinds[place] and kind(cell) not in kinds[place]:
            return False
        is_after = broken is None or place > broken
        telling = telling or (is_after and bool(kinds[place]) and "text" not in kinds[place])
    return telling and (broken is None or "text" in kinds[broken])


def good_rows(text: str, dialect: Dialect, width: int, most: int = 1000) -> list[list[str]]:
    """The records of a text that have the right width, at most so many."""
    found = []
    with suppress(csv.Error):
        for row in parse(text, dialect):
            if len(row) == width:
                found.append(row)
            if len(found) == most:
                break
    return found
