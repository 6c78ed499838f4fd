"""Writing the demo shop's exports block by block, with faulty lines among the good ones."""

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

# faulty lines of each kind per line of the export, and how much of one file they may be at most
FAULT_RATE = 5e-5
MAX_FAULT_SHARE = 0.0025

BAD_WORD = "???"
BAD_DATES = ["2025-02-30 10:00:00", "31/31/2025", "yesterday"]
BAD_NUMBERS = ["N/A", "abc", "12..5"]


@dataclass(frozen=True)
class Layout:
    """How one export is written and which faults it gets: kind -> the column that is spoiled."""

    stem: str
    key: str
    faults: dict[str, str]
    datetime_format: str = "%Y-%m-%d %H:%M:%S"
    has_bom: bool = False

    @property
    def initials(self):
        return "".join(word[0] for word in self.stem.split("_")).upper()


@dataclass
class Export:
    """The open files of one layout: one, or one a year. Lines are counted with the header as line 1."""

    layout: Layout
    folder: Path
    handles: dict[str, object] = field(default_factory=dict)
    lines: Counter = field(default_factory=Counter)
    fault_lines: dict = field(default_factory=dict)
    planted: Counter = field(default_factory=Counter)
    rows: int = 0

    def write(self, rng, parts: dict[str, pl.DataFrame]):
        """Append each part to the file of its name; the largest part takes this block's faulty lines."""
        self.rows += sum(part.height for part in parts.values())
        largest = max(parts, key=lambda name: parts[name].height) if parts else None
        for name, part in parts.items():
            if name not in self.handles:
                self._open(name, part)
            spoiled = self._spoil(rng, name, part) if name == largest and part.height else []
            self._append(rng, name, part, spoiled)

    def close(self):
        for handle in self.handles.values():
            handle.close()

    def _open(self, name, part):
        handle = (self.folder / name).open("wb")
        handle.write(("\ufeff" if self.layout.has_bom else "").encode() + (",".join(part.columns) + "\n").encode())
        self.handles[name], self.lines[name] = handle, 1

    def _append(self, rng, name, part, spoiled):
        places = np.sort(rng.integers(0, part.height + 1, len(spoiled)))
        start = 0
        for place, (kind, line) in zip([*places, part.height], [*spoiled, (None, "")], strict=True):
            if place > start:
                self._dump(name, part.slice(start, place - start))
            start = place
            if kind is not None:
                self.handles[name].write(line.encode())
                self.lines[name] += 1
                self.fault_lines.setdefault(name, {}).setdefault(kind, []).append(self.lines[name])

    def _dump(self, name, part):
        part.write_csv(
            self.handles[name],
            include_header=False,
            datetime_format=self.layout.datetime_format,
            float_precision=2,
        )
        self.lines[name] += part.height

    def _spoil(self, rng, name, part) -> list[tuple[str, str]]:
        """New (kind, line) pairs, so that each kind keeps to FAULT_RATE and the file to MAX_FAULT_SHARE.

        Every faulty line is one more, made from a copy of a good one: what the truth says stands in good
        lines too.
        """
        in_file = sum(len(found) for found in self.fault_lines.get(name, {}).values())
        budget = int(MAX_FAULT_SHARE * (self.lines[name] + part.height)) - in_file
        made = []
        for kind in self.layout.faults:
            per_fault = 2 if kind == "id_conflict" else 1
            wanted = max(1, int(FAULT_RATE * self.rows)) - self.planted[kind]
            for _ in range(max(wanted, 0)):
                if len(made) + per_fault > budget:
                    return made
                cells = self._cells(part, int(rng.integers(0, part.height)))
                made += [(kind, line) for line in self._faulty_lines(rng, kind, cells, part.columns)]
                self.planted[kind] += 1
        return made

    def _cells(self, part, row):
        text = part.slice(row, 1).write_csv(
            include_header=False, datetime_format=self.layout.datetime_format, float_precision=2
        )
        return next(csv.reader(io.StringIO(text)))

    def _faulty_lines(self, rng, kind, cells, columns):
        """The line of one fault; two lines, both new, for an id that comes twice with other content."""
        column = columns.index(self.layout.faults[kind])
        if kind == "exact_duplicate":
            return [_line(cells)]
        cells = list(cells)
        # an id of its own, so that no good line is disputed
        cells[columns.index(self.layout.key)] = f"X{self.layout.initials}{self.planted.total():06d}"
        if kind == "missing_id":
            cells[column] = ""
        elif kind == "ragged_line":
            return [_line([*cells, "stray", "cells"] if rng.random() < 0.5 else cells[:3])]
        elif kind == "id_conflict":
            other = list(cells)
            cells[column], other[column] = "1", "2"
            return [_line(cells), _line(other)]
        elif kind == "bad_date":
            cells[column] = BAD_DATES[int(rng.integers(0, len(BAD_DATES)))]
        elif kind == "bad_number":
            cells[column] = BAD_NUMBERS[int(rng.integers(0, len(BAD_NUMBERS)))]
        elif kind == "negative_quantity":
            cells[column] = "-1"
        elif kind == "bad_email":
            cells[column] = "nobody at example.com"
        elif kind == "bad_phone":
            cells[column] = "12345"
        elif kind == "unknown_word":
            cells[column] = BAD_WORD
        return [_line(cells)]


def _line(cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def by_year(stem, frame: pl.DataFrame, year) -> dict[str, pl.DataFrame]:
    """The frame cut at the turn of each year; year: ascending int array."""
    years, starts = np.unique(year, return_index=True)
    ends = [*starts[1:], frame.height]
    return {
        f"{stem}_{each}.csv": frame.slice(int(start), int(end) - int(start))
        for each, start, end in zip(years.tolist(), starts.tolist(), ends, strict=True)
    }
