"""Where the lines and records of a text file begin, found in its bytes: exact line numbers for the quarantine."""

import csv
import io
import mmap
from pathlib import Path

import numpy as np

CHUNK = 1 << 24
MAX_RECORD_BYTES = 1 << 17


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

    def settle(self, delimiter: str, quote: str, width: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Judge each line with an odd number of quotes by the width, in cells, of a record.

        Returns the lines that leave a quote unclosed, and the ragged records of several lines (first line, last line).
        A line that is a record by itself has a quote that opens nothing (27" screen) and is odd no longer; but after an
        unclosed line it may be the rest of that one, and counts as unclosed too. A line that is a record together with
        the next odd one, and what stands between, begins a quoted value of several lines.
        """
        odd = np.flatnonzero(self.is_odd) + 1
        unclosed, ragged, position = [], [], 0
        while position < len(odd):
            line, following = odd[position], odd[position + 1 : position + 2]
            if self._width(line, line, delimiter, quote) == width and (
                position == 0 or odd[position - 1] not in unclosed[-1:]
            ):
                self.is_odd[line - 1] = False
                position += 1
            elif len(following) and (found := self._width(line, following[0], delimiter, quote)):
                if found != width:
                    ragged.append((int(line), int(following[0])))
                position += 2
            else:
                unclosed.append(line)
                position += 1
        self._find_units()
        return np.array(unclosed, np.int64), ragged

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

    def write_without(self, lines: np.ndarray, target: Path) -> None:
        """A copy of the file without some physical lines (numbered from 1, ascending)."""
        edges = np.concatenate(
            [[0], np.stack([self.offsets[lines - 1], self.offsets[lines]], 1).ravel(), [self.offsets[-1]]]
        )
        with self.path.open("rb") as source, target.open("wb") as out:
            for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                _copy_bytes(source, begin, end, out)

    def write_with(self, edits: list, target: Path) -> None:
        """A copy of the file with other text in some places (line, line_count, text; ascending), as many lines as before."""
        with self.path.open("rb") as source, target.open("wb") as out:
            end = b"\r\n" if source.readline().endswith(b"\r\n") else b"\n"
            position = 0
            for edit in edits:
                begin, after = (int(self.offsets[line - 1]) for line in (edit.line, edit.line + edit.line_count))
                _copy_bytes(source, position, begin, out)
                out.write(edit.text.encode() + end * (edit.line_count - edit.text.count("\n")))
                position = after
            _copy_bytes(source, position, int(self.offsets[-1]), out)


def _copy_bytes(source, begin, end, out):
    source.seek(begin)
    remaining = end - begin
    while remaining:
        chunk = source.read(min(remaining, CHUNK))
        out.write(chunk)
        remaining -= len(chunk)
