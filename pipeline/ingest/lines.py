"""Where the lines and records of a text file begin, found in its bytes: exact line numbers for the quarantine."""

from pathlib import Path

import numpy as np

CHUNK = 1 << 24


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
        is_blank = (lengths == 1) | ((lengths == 2) & self._byte_is(self.offsets[:-1], 13, lengths == 2))
        inside_quote = np.concatenate([[False], np.cumsum(self.is_odd)[:-1] % 2 == 1])
        self.unit_lines = np.flatnonzero(~inside_quote) + 1
        self.unit_is_blank = is_blank[~inside_quote]

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
        if len(lines) == 0:
            return []
        data = np.memmap(self.path, np.uint8, "r")
        return [
            data[self.offsets[line - 1] : self.offsets[line]].tobytes().decode("utf-8", "replace").rstrip("\r\n")
            for line in lines
        ]

    def write_without(self, lines: np.ndarray, target: Path) -> None:
        """A copy of the file without some physical lines (numbered from 1, ascending)."""
        edges = np.concatenate(
            [[0], np.stack([self.offsets[lines - 1], self.offsets[lines]], 1).ravel(), [self.offsets[-1]]]
        )
        with self.path.open("rb") as source, target.open("wb") as out:
            for begin, end in zip(edges[::2], edges[1::2], strict=True):
                source.seek(begin)
                remaining = int(end - begin)
                while remaining:
                    chunk = source.read(min(remaining, CHUNK))
                    out.write(chunk)
                    remaining -= len(chunk)
