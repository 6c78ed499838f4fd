"""How an export writes its days and times: the formats that read every value, and which orders of day and month fit."""

from dataclasses import dataclass
from itertools import product

from pipeline.ingest.contracts import Column
from pipeline.ingest.layouts import Field
from pipeline.ingest.rules import Reading, typed_cell

DAYS = {
    "year first": ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%m月%d日"),
    "day first": (
        *("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%d-%m-%y", "%d.%m.%y"),
        *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y"),
    ),
    "month first": ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
}
TIMES = (
    "",
    " %H:%M:%S",
    " %H:%M",
    "T%H:%M:%S",
    "T%H:%M:%SZ",
    "T%H:%M:%S.%fZ",
    "T%H:%M:%S%z",
    "T%H:%M:%S.%f%z",
    "T%H:%M:%S.%f",
    "T%H:%M",
    " %H:%M:%S.%f",
    " %H:%M:%S %z",
    " %H:%M:%S%z",
    " %I:%M %p",
    " %I:%M:%S %p",
    ", %H:%M:%S",
    ", %H:%M",
    " %H时%M分",
    " %H时%M分%S秒",
)
MOMENT = Column("moment", "timestamp", "", "")
UTC = Reading("UTC", "CNY", "CNY", "86")


@dataclass(frozen=True)
class Moments:
    """How a column's moments are written. read, other_read: how many of its values the formats read.

    other: what would read them with day and month exchanged. The column is ambiguous where that reads as many.
    """

    formats: tuple[str, ...]
    other: tuple[str, ...] = ()
    read: int = 0
    other_read: int = 0

    @property
    def is_ambiguous(self):
        return bool(self.other) and self.read == self.other_read


def candidate_formats(con, table: str, cell: str) -> tuple[str, ...]:
    """The formats that read at least one value of a column (SQL) of a small table."""
    formats = [day + time for day, time in product(sum(DAYS.values(), ()), TIMES)]
    counts = con.execute(
        f"select {', '.join(f'count({moment_of(cell, form)})' for form in formats)} from {table}"
    ).fetchall()[0]
    return tuple(form for form, count in zip(formats, counts, strict=True) if count)


def moment_of(cell: str, form: str) -> str:
    """SQL for the moment that a cell says by a format, as landing reads it; null where it says none."""
    return typed_cell(Field(column=("moment",), formats=(form,)), MOMENT, UTC, cell)


def settle_formats(con, table: str, cell: str) -> Moments | None:
    """The fewest formats that read most of a column (SQL) of a small table. None where no format reads any."""
    candidates = candidate_formats(con, table, cell)
    ways = {order: _fewest(con, table, cell, _of_order(candidates, days)) for order, days in DAYS.items()}
    order = max(ways, key=lambda name: ways[name][1])
    formats, read = ways[order]
    other, other_read = ways.get({"day first": "month first", "month first": "day first"}.get(order), ((), 0))
    return Moments(formats, other, read, other_read) if formats else None


def read_by(cell: str, formats: tuple[str, ...]) -> str:
    """SQL for the moment that the first fitting format gives; null where none of them fits."""
    return f"coalesce({', '.join([*(moment_of(cell, form) for form in formats), 'null'])})"


def recount(moments: Moments, read: int, other_read: int) -> Moments:
    """The same column judged by all its values: the order that reads more of them stands."""
    if other_read > read:
        return Moments(moments.other, moments.formats, other_read, read)
    return Moments(moments.formats, moments.other, read, other_read)


def _of_order(candidates, days):
    return [form for form in candidates if any(form in {day + time for time in TIMES} for day in days)]


def _fewest(con, table, cell, formats):
    """(the formats needed, how many values they read): each next one is that which reads most of what is left."""
    chosen, read = (), 0
    while len(chosen) < len(formats):
        unread = " and ".join([f"{cell} is not null", *(f"{moment_of(cell, form)} is null" for form in chosen)])
        counts = con.execute(
            f"select {', '.join(f'count({moment_of(cell, form)})' for form in formats)} from {table} where {unread}"
        ).fetchall()[0]
        best = max(range(len(formats)), key=lambda place: counts[place])
        if not counts[best]:
            break
        chosen, read = (*chosen, formats[best]), read + counts[best]
    return chosen, read
