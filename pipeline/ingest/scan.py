"""One reading of a text table by DuckDB: its records, the lines that it refused, and where each of them stands."""

import glob
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from pipeline.ingest.read import Profile
from pipeline.ingest.text_form import TextForm
from pipeline.warehouse import frame, identifier, literal

MAX_LINE_BYTES = 16 << 20
REFUSED = {"line": pl.Int64, "rule": pl.String, "text": pl.String}
# no text is a value of this type but the empty one
NOTHING = "enum('\x01')"


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


@dataclass(frozen=True)
class Table:
    """A readable file that is being read: by which form, into what (keep), and its lines (index, made when asked for)."""

    con: object
    profile: Profile
    form: TextForm
    scratch: Path
    keep: Callable
    index: Callable

    @property
    def width(self):
        return len(self.form.header) + self.form.ends_in_delimiter


def read_once(table, profile, index):
    """The Rows of a file, or None when its lines do not add up or a refused record holds several of them."""
    try:
        names, records, refused, several = _read_records(table, profile)
    except duckdb.InvalidInputException:
        # the reader gave up; its message may quote a line of the file
        return None
    good_lines, refused_lines = _lines(records, profile, index, refused, table)
    if good_lines is None or several:
        return None
    texts = index().texts(refused_lines) if len(refused) else []
    listed = pl.DataFrame({"line": refused_lines, "rule": refused["rule"], "text": texts}, REFUSED)
    return Rows(names, records, listed, (), lambda lines: index().unit_texts(lines), good_lines)


def _read_records(table, profile):
    """(names, records, refused units as the reader counts them with their rule, whether one holds several lines)."""
    con, dialect = table.con, table.form.dialect
    names = tuple(unique_names(table.form.header))
    con.execute("drop table if exists reject_errors")
    con.execute("drop table if exists reject_scans")
    if dialect.delimiter == "whitespace":
        con.execute(
            "create or replace table scratch.scanned as"
            r" select row_number() over () as unit, regexp_split_to_array(trim(text), '\s+') as cells"
            f" from {_csv(profile, chr(1), '', {'text': 'varchar'}, False)}"
        )
        cells = ", ".join(f"cells[{position}] as {identifier(name)}" for position, name in enumerate(names, start=1))
        source = f"scratch.scanned where len(cells) = {len(names)}"
    else:
        types = dict.fromkeys(names, "varchar")
        spare = unique_names([*names, "spare"])[-1] if table.form.ends_in_delimiter else None
        cells = f"* exclude ({identifier(spare)})" if spare else "*"
        source = _csv(
            profile,
            dialect.delimiter,
            dialect.quote,
            types | ({spare: NOTHING} if spare else {}),
            table.form.header_line > 0,
        )
        # a column that nothing asks for is not read: then what stands in it would go unseen
        source += f" where {identifier(spare)} is null" if spare else ""
    con.execute(
        f"create or replace view scratch.records as select row_number() over () as good_record, {cells} from {source}"
    )
    records = table.keep(con)
    refused = frame(
        con,
        """
        select
            line as unit,
            replace(lower(replace(min(error_type::varchar), ' ', '_')), 'cast', 'too_many_columns') as rule,
            bool_or(contains(trim(csv_line, chr(13) || chr(10)), chr(10))) as holds_several_lines
        from reject_errors
        group by line
        order by line
        """,
    )
    if dialect.delimiter == "whitespace":
        wrong = frame(
            con,
            "select unit::ubigint as unit, 'number_of_columns' as rule, false as holds_several_lines"
            f" from scratch.scanned where len(cells) <> {len(names)} order by unit",
        )
        refused = pl.concat([refused, wrong]).sort("unit")
    return tuple(names), records, refused, bool(refused["holds_several_lines"].any())


def _csv(profile, delimiter, quote, types, header):
    columns = "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items()) + "}"
    return (
        f"read_csv({literal(glob.escape(str(profile.path)))}, compression = 'none',"
        f" header = {str(header).lower()}, delim = {literal(delimiter)}, quote = {literal(quote)},"
        f" escape = {literal(quote)}, columns = {columns}, auto_detect = false, store_rejects = true,"
        f" max_line_size = {MAX_LINE_BYTES})"
    )


def _lines(records, profile, index, refused, table):
    """(a function giving the line of each good record, the lines of the refused), or (None, None) if they do not add up."""
    has_header = table.form.header_line > 0
    refused_units = refused["unit"].to_numpy().astype(np.int64)
    if profile.line_count == records + len(refused) + has_header:
        unit_lines = np.arange(1, profile.line_count + 1)
        unit_is_blank = np.zeros(profile.line_count, bool)
    else:
        unit_lines, unit_is_blank = index().unit_lines, index().unit_is_blank
        if index().ends_inside_a_quote or (~unit_is_blank).sum() != records + len(refused) + has_header:
            return None, None
        dialect = table.form.dialect
        if dialect.quote and index().swallows(dialect.delimiter, dialect.quote, table.width):
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
