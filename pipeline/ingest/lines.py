"""Where the lines and records of a text file begin, found in its bytes: exact line numbers for the quarantine."""

import csv
import io
import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CHUNK = 1 << 24
MAX_RECORD_BYTES = 1 << 17


@dataclass(frozen=True)
class Edit:
    """A place of a text file that is not kept as it is: its first line, how many, and what stands there instead."""

    line: int
    line_count: int
    text: str


class LineIndex:
    """Byte offsets of a file's physical lines, and which of them begin a record.

    A unit is what the CSV reader counts as one line: a record (several physical lines where a quoted value holds
    line ends) or a blank line. quote: the quote character, or '' for a file without quoting.
    """

    def __init__(self, path: Path, quote: str):
        self.path = path
        quote_byte = ord(quote) if quote else -1
        starts, odd, position, open_quotes = [np.zeros(1, np.int64)], [], 0, 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                data = np.frombuffer(chunk, np.uint8)
                ends = np.flatnonzero(data == 10)
                quotes = np.flatnonzero(data == quote_byte)
                per_line = np.bincount(np.searchsorted(ends, quotes), minlength=len(ends) + 1)
                per_line[0] += open_quotes
                open_quotes = per_line[-1]
                odd.append(per_line[:-1] % 2 == 1)
                starts.append(ends + position + 1)
                position += len(data)
        odd.append(np.array([open_quotes % 2 == 1]))
        self.offsets = np.concatenate([*starts, [position]])
        self.is_odd = np.concatenate(odd)
        if len(self.offsets) >= 2 and self.offsets[-1] == self.offsets[-2]:
            self.offsets, self.is_odd = self.offsets[:-1], self.is_odd[:-1]
        lengths = np.diff(self.offsets)
        self._is_blank = (lengths == 1) | ((lengths == 2) & self._byte_is(self.offsets[:-1], 13, lengths == 2))
        self._find_units()

    def _find_units(self):
        inside_quote = np.concatenate([[False], np.cumsum(self.is_odd)[:-1] % 2 == 1])
        self.unit_lines = np.flatnonzero(~inside_quote) + 1
        self.unit_is_blank = self._is_blank[~inside_quote]

    def _byte_is(self, offsets, value, where):
        """Whether the byte at each offset is value, looked up only where asked."""
        found = np.zeros(len(offsets), bool)
        if where.any():
            data = np.memmap(self.path, np.uint8, "r")
            found[where] = data[offsets[where]] == value
        return found

    @property
    def ends_inside_a_quote(self):
        return bool(self.is_odd.sum() % 2)

    def texts(self, lines: np.ndarray) -> list[str]:
        """The text of physical lines (numbered from 1), without their line end."""
        return self._between(self.offsets[lines - 1], self.offsets[lines])

    def unit_texts(self, lines: np.ndarray) -> list[str]:
        """The whole text of the units that begin at physical lines, without their last line end."""
        edges = np.append(self.offsets[self.unit_lines - 1], self.offsets[-1])
        return self._between(self.offsets[lines - 1], edges[np.searchsorted(self.unit_lines, lines, side="right")])

    def _between(self, begins, ends):
        if len(begins) == 0:
            return []
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return [
                data[begin:end].decode("utf-8", "replace").rstrip("\r\n")
                for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
            ]

    def empty_rows(self, delimiter: str, quote: str) -> np.ndarray:
        """The units of one line that hold delimiters and empty quotes alone."""
        first = np.memmap(self.path, np.uint8, "r")[self.offsets[self.unit_lines - 1]]
        marks = {delimiter.encode()[0], *([ord(quote)] if quote else [])}
        lines = self.unit_lines[np.isin(first, list(marks)) & ~self.unit_is_blank]
        lines = lines[np.diff(self.offsets)[lines - 1] < MAX_RECORD_BYTES]
        texts = self.texts(lines)
        is_empty = [not text.replace(quote * 2, "").strip(delimiter) for text in texts] if quote else []
        is_empty = is_empty or [not text.strip(delimiter) for text in texts]
        return lines[np.array(is_empty, bool)] if len(lines) else lines

    def _delimiters(self, delimiter, bare=False):
        """How many delimiters each physical line holds, quoted or not. bare: without those before a space, as in prose."""
        data = np.memmap(self.path, np.uint8, "r")
        counts, first = [], 0
        while first < len(self.offsets) - 1:
            after = max(first + 1, int(np.searchsorted(self.offsets, self.offsets[first] + CHUNK)))
            after = min(after, len(self.offsets) - 1)
            block = data[self.offsets[first] : self.offsets[after]]
            is_mark = np.ones(len(block), bool)
            for place, byte in enumerate(delimiter.encode()):
                is_mark[: len(block) - place] &= block[place:] == byte
            if bare:
                is_mark[:-1] &= block[1:] != 32
            marks = np.flatnonzero(is_mark) + self.offsets[first]
            counts.append(np.diff(np.searchsorted(marks, self.offsets[first : after + 1])))
            first = after
        return np.concatenate(counts)

    def swallows(self, delimiter: str, quote: str, width: int) -> bool:
        """Whether a quoted value of several lines holds a line that looks like a record of so many cells itself."""
        if width < 3 or len(self.unit_lines) == len(self.offsets) - 1:
            return False
        is_inside = self._delimiters(delimiter, bare=True) >= width - 1
        is_inside[self.unit_lines - 1] = False
        return self._is_record(np.flatnonzero(is_inside) + 1, delimiter, quote)

    def _is_record(self, lines, delimiter, quote):
        """Whether one of some lines with a record's delimiters is one, and not the end of a quoted value and what follows."""
        if not self.is_odd[lines - 1].all():
            return True
        # a quote that opens a value stands behind a delimiter
        return any(text.split(quote, 1)[0].endswith(delimiter) for text in self.texts(lines))

    def overlong(self, delimiter: str, quote: str, width: int) -> np.ndarray:
        """The first lines of units that hold more delimiters than a record of so many cells, and end in an empty cell."""
        data = np.memmap(self.path, np.uint8, "r")
        per_unit = np.add.reduceat(self._delimiters(delimiter), self.unit_lines - 1)
        longer = np.flatnonzero(per_unit >= width)
        ends = np.append(self.offsets[self.unit_lines - 1], self.offsets[-1])[longer + 1]
        # without the line end; bytes before the file's first cannot be meant, as a unit holds delimiters
        ends -= data[ends - 1] == 10
        ends -= data[ends - 1] == 13
        last, before = data[ends - 1], data[ends - 3]
        mark = delimiter.encode()[-1]
        is_empty = last == mark
        if quote:
            is_empty |= (last == ord(quote)) & (data[ends - 2] == ord(quote)) & (before == mark)
        return self.unit_lines[longer[is_empty]]

    def settle(self, delimiter: str, quote: str, width: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Judge each line with an odd number of quotes by the width, in cells, of a record.

        Returns the lines that leave a quote unclosed, and the ragged records of several lines (first line, last line).
        A line that is a record by itself has a quote that opens nothing (27" screen) and is odd no longer; but after an
        unclosed line it may be the rest of that one, and counts as unclosed too. A line that is a record together with
        the next odd one, and what stands between, begins a quoted value of several lines; but not where one of these has
        a record's delimiters itself.
        """
        odd = np.flatnonzero(self.is_odd) + 1
        looks_whole = self._delimiters(delimiter, bare=True) >= max(width - 1, 2)
        unclosed, ragged, position = [], [], 0
        while position < len(odd):
            line, following = odd[position], odd[position + 1 : position + 2]
            if self._width(line, line, delimiter, quote) == width and (
                position == 0 or odd[position - 1] not in unclosed[-1:]
            ):
                self.is_odd[line - 1] = False
                position += 1
            elif (
                len(following)
                and not self._is_record(np.flatnonzero(looks_whole[line : following[0]]) + line + 1, delimiter, quote)
                and (found := self._width(line, following[0], delimiter, quote))
            ):
                if found != width:
                    ragged.append((int(line), int(following[0])))
                position += 2
            else:
                unclosed.append(line)
                position += 1
        unclosed = np.array(unclosed, np.int64)
        # what stands below such a line is not inside its quote
        self.is_odd[unclosed - 1] = False
        self._find_units()
        return unclosed, ragged

    def _width(self, first, last, delimiter, quote):
        """Cells of the one record that two lines and those between them are; None when they are no single record."""
        begin, end = self.offsets[[first - 1, last]]
        if end - begin > MAX_RECORD_BYTES:
            return None
        text = io.StringIO(self._between(np.array([begin]), np.array([end]))[0], newline="")
        try:
            records = list(csv.reader(text, delimiter=delimiter, quotechar=quote, strict=True))
        except csv.Error:
            return None
        return len(records[0]) if len(records) == 1 else None

    def write_without(self, lines: np.ndarray, target: Path, edits: list[Edit] = ()) -> None:
        """A copy of the file without some physical lines (numbered from 1, ascending), and with other text in some places.

        The edits (ascending, none on a line left out) keep their number of lines.
        """
        steps = [(int(line), 1, None) for line in lines] + [(edit.line, edit.line_count, edit.text) for edit in edits]
        with self.path.open("rb") as source, target.open("wb") as out:
            end = b"\r\n" if source.readline().endswith(b"\r\n") else b"\n"
            position = 0
            for line, line_count, text in sorted(steps):
                begin, after = (int(self.offsets[number - 1]) for number in (line, line + line_count))
                _copy_bytes(source, position, begin, out)
                if text is not None:
                    out.write(text.encode() + end * (line_count - text.count("\n")))
                position = after
            _copy_bytes(source, position, int(self.offsets[-1]), out)

    def write_with(self, edits: list[Edit], target: Path) -> None:
        """A copy of the file with other text in some places (ascending), as many lines as before."""
        self.write_without([], target, edits)


def _copy_bytes(source, begin, end, out):
    source.seek(begin)
    remaining = end - begin
    while remaining:
        chunk = source.read(min(remaining, CHUNK))
        out.write(chunk)
        remaining -= len(chunk)
