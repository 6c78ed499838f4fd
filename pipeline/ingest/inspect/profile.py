"""A text table's columns in figures: what kind of values, how many blank and distinct, the range, the words of categories."""

import re
from collections import Counter
from dataclasses import dataclass

import polars as pl

from pipeline.ingest.contracts import Column
from pipeline.ingest.inspect.moments import Moments, read_by, recount, settle_formats
from pipeline.ingest.inspect.words import concepts_of
from pipeline.ingest.kinds import MOST, bare, kind_of
from pipeline.ingest.layouts import Field
from pipeline.ingest.phones import read_phone, region_of
from pipeline.ingest.rules import Reading, typed_cell
from pipeline.warehouse import frame, identifier, write_frame

SAMPLE_PLACES, SAMPLE_BLOCK = 20, 100
CONSTANCY_KEYS = 2000
MEASURED_AT_ONCE = 40
# above it, distinct values are estimated (HyperLogLog, about 2 % off): exact ones would have to be held in memory
EXACT_DISTINCT_RECORDS = 200_000
MAX_WORDS = 60
# no thousands and their decimals after a point: 3.254,41 and 12,5; and the other way round
NEEDS_COMMA = re.compile(r"\.\d{3},\d|^[^,\d]*\d+,(\d{1,2}|\d{4,})(?!\d)[^,\d]*$|^[^,\d]*0\d*,\d+[^,\d]*$")
NEEDS_POINT = re.compile(
    r",\d{3}\.\d|^[^.\d]*\d+\.(\d{1,2}|\d{4,})(?!\d)[^.\d]*$|^[^.\d]*0\d*\.\d+[^.\d]*$|\d,\d{3},\d{3}"
)
# 2000 to 2040, in seconds
EPOCHS = (946_684_800, 2_208_988_800)
MOMENT_KINDS = ("date", "timestamp")
NUMBER_KINDS = ("integer", "decimal", "money")
# what phones of a shape that is not known look like
UNSURE_KINDS = ("integer", "id", "text", "category", "decimal")
WORD_KINDS = ("category", "boolean")
BLANK_WORDS = "('', '-', '--', 'null', 'n/a', '#n/a', 'nan', '\\n')"


@dataclass(frozen=True)
class ColumnProfile:
    """One column. low, high: the range of numbers and moments as text. cells: of the sample. words: of a category, with
    how often each stands in the sample."""

    header: str
    kind: str
    filled: int
    blanks: int
    distinct: int
    is_exact: bool
    low: str
    high: str
    cells: tuple[str, ...]
    words: dict[str, int]
    moments: Moments | None = None

    def is_unique(self, records: int) -> bool:
        """Whether each record has a value of its own, as far as the count of distinct ones shows."""
        return self.filled == records > 0 and self.distinct >= records * (1 if self.is_exact else 0.96)


@dataclass(frozen=True)
class TableProfile:
    """A text table. records: how many were read. sample: frame of text cells, in the order of the file, from 20 places.

    decimal: the mark of decimals in its numbers, a comma only where one cannot be read otherwise and none contradicts.
    """

    columns: tuple[ColumnProfile, ...]
    records: int
    sample: pl.DataFrame
    decimal: str = "."


def profile_records(con, names: tuple[str, ...], expected: int, currency: str, calling_code: str) -> TableProfile:
    """The profile of the view scratch.records, read twice and never held whole. expected: about how many records it has.

    currency: whose sign amounts may carry. calling_code: of phone numbers without one.
    Every figure but the words of categories is of all records.
    """
    step = max(1, expected // (SAMPLE_PLACES * SAMPLE_BLOCK))
    columns = ", ".join(identifier(name) for name in names)
    con.execute(
        f"create or replace table scratch.sampled as select good_record, {columns} from scratch.records"
        f" where (good_record - 1) // {SAMPLE_BLOCK} % {step} = 0"
    )
    sample = frame(con, f"select {columns} from scratch.sampled order by good_record limit {100 * SAMPLE_BLOCK}")
    cells = {name: tuple("" if cell is None else cell for cell in sample[name].to_list()) for name in names}
    kinds = {name: kind_of(list(cells[name])) for name in names}
    epochs = {name: form for name in names if (form := epoch_format(name, cells[name]))}
    kinds |= dict.fromkeys(epochs, "timestamp")
    region = region_of(calling_code)
    kinds |= {name: "phone" for name in names if kinds[name] in UNSURE_KINDS and are_phones(name, cells[name], region)}
    decimal = decimal_mark([cell for name in names if kinds[name] in NUMBER_KINDS for cell in cells[name]])
    bared = pl.DataFrame(
        {name: [bare(cell) or None for cell in cells[name]] for name in names}, dict.fromkeys(names, pl.String)
    )
    write_frame(con, "scratch.bared", bared)
    moments = {
        name: Moments((epochs[name],)) if name in epochs else settle_formats(con, "scratch.bared", identifier(name))
        for name in names
        if kinds[name] in MOMENT_KINDS
    }
    reading = Reading("UTC", currency, currency, "0", decimal)
    records, figures = 0, []
    # a few columns at a time: what is computed for a hundred at once takes gigabytes
    for begin in range(0, len(names), MEASURED_AT_ONCE):
        measures = ["count(*)"]
        for name in names[begin : begin + MEASURED_AT_ONCE]:
            measures += _measures(name, kinds[name], moments.get(name), expected, reading)
        ((records, *measured),) = con.execute(f"select {', '.join(measures)} from scratch.records").fetchall()
        figures += measured
    figures = iter(figures)
    found = []
    for name in names:
        filled, distinct, low, high, read, other_read, words = (next(figures) for _ in range(7))
        column_moments = moments.get(name)
        if column_moments:
            column_moments = recount(column_moments, read, other_read)
        counts = Counter(text for cell in cells[name] if (text := cell.strip()))
        known = {word: counts.get(word, 0) for word in (words or []) if word} if kinds[name] in WORD_KINDS else {}
        found.append(
            ColumnProfile(
                name,
                kinds[name],
                filled,
                records - filled,
                distinct,
                expected <= EXACT_DISTINCT_RECORDS,
                low or "",
                high or "",
                cells[name],
                dict(sorted(known.items(), key=lambda item: (-item[1], item[0]))),
                column_moments,
            )
        )
    return TableProfile(tuple(found), records, sample, decimal)


def decimal_mark(cells: list[str]) -> str:
    """The mark of decimals in a table's numbers: "," where some number cannot be read with a point, and all can with a comma."""
    numbers = [bare(cell) for cell in cells if any(mark in cell for mark in ".,")]
    needs_comma = any(NEEDS_COMMA.search(number) for number in numbers)
    return "," if needs_comma and not any(NEEDS_POINT.search(number) for number in numbers) else "."


def are_phones(header: str, cells: tuple[str, ...], region: str) -> bool:
    """Whether a column named as one of phones holds numbers that exist in a region, in whatever shape."""
    filled = [cell for cell in cells if cell.strip()]
    if not filled or "phone" not in concepts_of(header):
        return False
    return sum(read_phone(cell, region, None) is not None for cell in filled) >= MOST * len(filled)


def epoch_format(header: str, cells: tuple[str, ...]) -> str | None:
    """epoch_s or epoch_ms where a column named as one of times holds whole numbers that count from 1970 to 2000..2040."""
    filled = [bare(cell) for cell in cells if cell.strip()]
    if not filled or "time" not in concepts_of(header):
        return None
    for form, digits, unit in (("epoch_s", 10, 1), ("epoch_ms", 13, 1000)):
        fitting = [one for one in filled if len(one) == digits and one.isascii() and one.isdigit()]
        if len(fitting) >= MOST * len(filled) and all(EPOCHS[0] <= int(one) // unit < EPOCHS[1] for one in fitting):
            return form
    return None


def _measures(name, kind, moments, expected, reading):
    """SQL of filled, distinct, low, high, values read, values read with day and month exchanged, words."""
    quoted = identifier(name)
    text = f"trim({quoted}, chr(9) || ' ')"
    cell = f"case when lower({text}) not in {BLANK_WORDS} then {text} end"
    distinct = f"count(distinct {cell})" if expected <= EXACT_DISTINCT_RECORDS else f"approx_count_distinct({cell})"
    low = high = "null"
    read = other_read = "0"
    words = "null"
    if kind in NUMBER_KINDS:
        number = typed_cell(Field(column=(name,)), Column(name, "money", "", ""), reading, cell)
        low, high = f"min({number})::varchar", f"max({number})::varchar"
    if moments:
        moment = read_by(cell, moments.formats)
        low, high = f"min({moment})::varchar", f"max({moment})::varchar"
        read, other_read = f"count({moment})", f"count({read_by(cell, moments.other)})"
    if kind in WORD_KINDS:
        words = f"approx_top_k({cell}, {MAX_WORDS})"
    return [f"count({cell})", distinct, low, high, read, other_read, words]


def constant_columns(con, key: ColumnProfile, names: tuple[str, ...]) -> dict[str, bool]:
    """Column -> whether it is the same on all lines of one key, blanks aside, by some 2,000 keys of scratch.records with
    all their lines, wherever these stand; {} where hardly any key stands on two lines.

    Tells what belongs to an order from what belongs to its lines.
    """
    others = [name for name in names if name != key.header]
    quoted, step = identifier(key.header), max(1, key.distinct // CONSTANCY_KEYS)
    counts = ", ".join(f"count(distinct nullif(trim({identifier(name)}), '')) as {identifier(name)}" for name in others)
    judged = ", ".join(f"max({identifier(name)}) <= 1" for name in others)
    found = con.execute(
        f"""
        with lines_of_keys as (
            select {counts}
            from scratch.records
            where {quoted} <> '' and hash({quoted}) % {step} = 0
            group by {quoted}
            having count(*) > 1
        )

        select count(*), {judged} from lines_of_keys
        """
    ).fetchall()[0]
    return dict(zip(others, found[1:], strict=True)) if found[0] > 1 else {}
