"""Whoever asked to be forgotten stays out: rows that show one of the suppressed keyed hashes are found, and do not land.

What a row shows is a list of texts such as `email:ann@example.com`; the ledger keeps their keyed hashes alone. A
suppressed line leaves a mark in the kept file, so that lines and records keep their numbers however often it lands.
"""

import re
from dataclasses import replace

import numpy as np
import polars as pl

from pipeline.ingest.contracts import Column
from pipeline.ingest.layouts import Field
from pipeline.ingest.lines import Edit
from pipeline.ingest.rules import raw_cell, typed_cell
from pipeline.warehouse import identifier, literal, value, write_frame

MARK = "#suppressed"
PERSONAL = ("email", "phone", "wechat", "social_account", "national_id")
SEPARATORS = r"""[,;|\t\r\n"']"""


def load_suppressions(con, ledger) -> bool:
    """The table scratch.suppressions (sieve, hash), where the ledger has any. Says whether it has."""
    con.execute("create schema if not exists scratch")
    con.execute("drop table if exists scratch.suppressions")
    rows = ledger.rows("select sieve, hash from suppressions")
    if rows:
        write_frame(con, "scratch.suppressions", pl.DataFrame(rows, {"sieve": pl.String, "hash": pl.String}))
        con.execute("create or replace table scratch.derived (kind varchar, sieve varchar, hash varchar)")
    return bool(rows)


def is_suppressing(con) -> bool:
    """Whether anybody is suppressed on this connection."""
    found = "select count(*) from duckdb_tables() where schema_name = 'scratch' and table_name = 'suppressions'"
    return value(con, found) > 0


def shown(kind: str, *parts: str) -> str:
    """SQL for what a row shows; null where a part is null."""
    return f"'{kind}:' || " + " || chr(31) || ".join(parts)


def record_shows(columns, source: str, customer_key: str | None) -> list[str]:
    """SQL for what a record of an export shows of its customer, from its columns.

    An order's number tells whose a line is only where the record names no customer of its own.
    """
    found = [shown(kind, kind) for kind in PERSONAL if kind in columns]
    if customer_key:
        found.append(shown("customer", source, customer_key))
    if "order_id" in columns:
        order = shown("order", source, "order_id")
        found.append(f"case when {customer_key} is null then {order} end" if customer_key else order)
    return found


def table_shows(columns) -> list[str]:
    """SQL for what a row of a table or file of ours shows of whom, from its columns' names."""
    found = [shown(kind, kind) for kind in PERSONAL if kind in columns]
    ids = [name for name in columns if name.endswith("customer_id") and "source_customer_id" not in name]
    found += [shown("customer_id", identifier(name)) for name in ids if name != "referred_by_customer_id"]
    for name in columns:
        source = re.sub("source_customer_id|customer_key", "source", name)
        if source != name and source in columns:
            found.append(shown("customer", identifier(source), identifier(name)))
    if {"source", "order_id"} <= set(columns):
        named = [name for name in ("customer_id", "customer_key") if name in columns]
        nobody = " and ".join(f"{name} is null" for name in named) or "true"
        found.append(f"case when {nobody} then {shown('order', 'source', 'order_id')} end")
    return found


def find_matches(con, rows: str, place: str, shows: list[str], into: str) -> int:
    """Make the table `into` (place): the rows of a query that show a suppressed text. Their count."""
    parts = [f"select {place} as place, {one} as shown from ({rows})" for one in shows]
    listed = " union all ".join(parts) or "select null::bigint as place, null::varchar as shown where false"
    con.execute(
        f"""
        create or replace table {into} as
        with candidates as materialized (
            select place, shown from ({listed})
            where shown is not null and sieve(shown) in (select sieve from scratch.suppressions)
        )

        select distinct place from candidates
        where keyed(shown) in (select hash from scratch.suppressions)
        """
    )
    return value(con, f"select count(*) from {into}")


def find_lines(con, lines: str, source: str | None, reading, into: str) -> int:
    """Make the table `into` (place): the lines of a query (place, text) that hold a suppressed text. Their count.

    Such a line is no record of a known shape: each of its cells is looked at as an e-mail, a phone and an id.
    """
    con.execute(
        f"""
        create or replace table scratch.line_cells as
        with cells as (
            select place, unnest(string_split_regex(text, {literal(SEPARATORS)})) as cell from ({lines})
        )

        select place, trim(cell) as cell from cells
        union
        select place, unnest(string_split(cell, ' ')) as cell from cells
        """
    )
    shows = [shown("email", "lower(cell)"), shown("phone", phone_sql("cell", reading))]
    shows += [shown(kind, "cell") for kind in PERSONAL if kind not in ("email", "phone")]
    if source is not None:
        for kind in ("customer", "order"):
            shows.append(shown(kind, literal(source), "cell"))
        # an id that is an address or phone is keyed in its normal form
        for own in ("cell", "lower(cell)", phone_sql("cell", reading)):
            shows.append(shown("customer", literal(source), f"'h:' || keyed({own})"))
    return find_matches(con, "select * from scratch.line_cells where cell <> ''", "place", shows, into)


def email_sql(cell: str, reading) -> str:
    """The normalised e-mail address of a text, as a landed row has it."""
    return _typed("email", cell, reading)


def phone_sql(cell: str, reading) -> str:
    """The normalised phone number of a text, as a landed row has it."""
    return _typed("phone", cell, reading)


def _typed(kind, cell, reading):
    field, column = Field(column=(cell,)), Column(kind, kind, "", "")
    return typed_cell(field, column, reading, raw_cell(field, column, {cell}))


# while a file lands


def begin_file(con) -> None:
    """No record of the file is suppressed yet."""
    con.execute("create or replace table scratch.suppressed (good_record bigint)")
    con.execute("create or replace table scratch.referring (good_record bigint)")


def find_suppressed(con, contract, layout, fold: bool, customer_key: str | None) -> None:
    """Add the records of scratch.checked_rows that show somebody suppressed, or are marked, to scratch.suppressed."""
    source, rows = literal(layout.source), "select * from scratch.checked"
    find_matches(
        con, rows, "good_record", record_shows(contract.columns, source, customer_key), "scratch.suppressed_rows"
    )
    found = "select place from scratch.suppressed_rows union select good_record from scratch.checked where is_marked"
    if fold:
        key = ", ".join(identifier(name) for name in contract.key)
        keyed_rows = " and ".join(f"{identifier(name)} is not null" for name in contract.key)
        found = (
            f"select good_record from scratch.checked where good_record in ({found}) or {keyed_rows} and hash({key}) in"
            f" (select hash({key}) from scratch.checked where good_record in ({found}) and {keyed_rows})"
        )
    con.execute(f"insert into scratch.suppressed {found}")
    if "referred_by" in contract.columns:
        referrer = "'h:' || keyed(referred_by)" if layout.personal_ids else "referred_by"
        find_matches(con, rows, "good_record", [shown("customer", source, referrer)], "scratch.referring_rows")
        con.execute("insert into scratch.referring select place from scratch.referring_rows")
    _derive(con, contract, source, customer_key)


def _derive(con, contract, source, customer_key):
    """What a suppressed record shows beside what was known: its order's number, and the id of a described customer."""
    kinds = {"orders": ("order", "order_id"), "customers": ("customer", customer_key)}
    if contract.entity not in kinds:
        return
    kind, key = kinds[contract.entity]
    con.execute(
        f"""
        create or replace table scratch.derived_now as
        with listed as (
            select distinct {shown(kind, source, key)} as shown
            from scratch.checked
            where good_record in (select good_record from scratch.suppressed)
        )

        select '{kind}' as kind, sieve(shown) as sieve, keyed(shown) as hash
        from listed
        where shown is not null and keyed(shown) not in (select hash from scratch.suppressions)
        """
    )
    con.execute("insert into scratch.derived select * from scratch.derived_now")
    con.execute("insert into scratch.suppressions select sieve, hash from scratch.derived_now")


def empty_suppressed(con, contract, place: str) -> None:
    """Suppressed records of scratch.checked_rows lose every value and are rejected; others lose a suppressed referrer.

    place: SQL for a record's number in that table.
    """
    emptied = ", ".join(f"{identifier(name)} = null" for name in [*contract.columns, "custom"])
    con.execute(
        f"update scratch.checked_rows set {emptied}, emptied = '', reject = '|suppressed'"
        f" where {place} in (select good_record from scratch.suppressed)"
    )
    if "referred_by" in contract.columns:
        con.execute(
            "update scratch.checked_rows set referred_by = null"
            f" where {place} in (select good_record from scratch.referring)"
        )


def mark_refused(con, refused: pl.DataFrame, layout, reading) -> pl.DataFrame:
    """The lines that are no record (line, rule, text): those of somebody suppressed lose their text and are named so."""
    if len(refused) == 0:
        return refused
    con.register("refused_lines", refused)
    find_lines(con, "select line as place, text from refused_lines", layout.source, reading, "scratch.refused_found")
    con.unregister("refused_lines")
    found = con.sql("select place from scratch.refused_found").pl()["place"]
    is_found = pl.col("line").is_in(found.implode()) | pl.col("text").str.starts_with(MARK)
    return refused.with_columns(rule=pl.when(is_found).then(pl.lit("suppressed")).otherwise("rule"))


def edits_of(con, rows, layout, form) -> list[Edit]:
    """What the kept file must not hold, in the order of its lines."""
    delimiter, width = form.dialect.delimiter, len(rows.columns) + form.ends_in_delimiter
    fill, joint = (" -", " ") if delimiter == "whitespace" else (delimiter, delimiter)
    edits = {}
    referring = _places(con, "scratch.referring")
    if len(referring):
        names = {
            name
            for one in layout.entities.values()
            if (field := one.columns.get("referred_by"))
            for name in field.columns()
        }
        cells = [rows.columns.index(name) for name in names]
        lines = rows.good_lines()[referring - 1]
        for line, text in zip(lines.tolist(), rows.texts(lines), strict=True):
            edits[line] = Edit(line, text.count("\n") + 1, _without_cells(text, delimiter, form.dialect.quote, cells))
    suppressed = _places(con, "scratch.suppressed")
    lines = rows.good_lines()[suppressed - 1] if len(suppressed) else np.array([], np.int64)
    for line, text in zip(lines.tolist(), rows.texts(lines), strict=True):
        edits[line] = Edit(line, text.count("\n") + 1, MARK + fill * (width - 1))
    # more cells than the file has columns: the reader refuses it again, and the records keep their numbers
    for line, text in rows.refused.filter(pl.col("rule") == "suppressed").select("line", "text").iter_rows():
        edits[line] = Edit(line, text.count("\n") + 1, joint.join([MARK] * (width + 2)))
    return [edits[line] for line in sorted(edits)]


def _places(con, table):
    return con.sql(f"select distinct good_record from {table} order by good_record").pl()["good_record"].to_numpy()


def _without_cells(text, delimiter, quote, positions):
    """A record's text with some cells (counted from 0) emptied."""
    if delimiter == "whitespace":
        spans = [match.span() for match in re.finditer(r"\S+", text)]
    else:
        spans, begin, is_quoted = [], 0, False
        for place, character in enumerate(text):
            if quote and character == quote:
                is_quoted = not is_quoted
            elif character == delimiter and not is_quoted:
                spans.append((begin, place))
                begin = place + 1
        spans.append((begin, len(text)))
    for begin, end in sorted((spans[position] for position in positions), reverse=True):
        text = text[:begin] + ("-" if delimiter == "whitespace" else "") + text[end:]
    return text


def without_texts(rejects: pl.DataFrame) -> pl.DataFrame:
    """The listing of broken rules, without the lines of the suppressed."""
    text = pl.when(pl.col("rule") == "suppressed").then(None).otherwise("raw_line")
    return rejects.with_columns(raw_line=text)


def hide_refused(rows):
    """The rows without the texts of suppressed lines, once the edits are known."""
    text = pl.when(pl.col("rule") == "suppressed").then(None).otherwise("text")
    return replace(rows, refused=rows.refused.with_columns(text=text))
