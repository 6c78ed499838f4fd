"""One export file -> typed rows as Parquet, and its bad rows in quarantine, each line accounted for."""

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.ingest.asides import OUTSIDE
from pipeline.ingest.checked_rows import check_rows, place_sql, what_is_none
from pipeline.ingest.contracts import Contract, load_contracts
from pipeline.ingest.folding import folded_sql, settle_repeated_keys
from pipeline.ingest.layouts import Layout
from pipeline.ingest.lines import LineIndex
from pipeline.ingest.quarantine import find_rejects
from pipeline.ingest.rates import missing_rates
from pipeline.ingest.read import Profile, UnreadableFile
from pipeline.ingest.recognition import fitted
from pipeline.ingest.rows import keep_raw, read_rows
from pipeline.ingest.rules import Reading
from pipeline.ingest.scan import unique_names
from pipeline.ingest.suppressions import (
    begin_file,
    edits_of,
    empty_suppressed,
    find_suppressed,
    hide_refused,
    is_suppressing,
    mark_refused,
)
from pipeline.ingest.text_form import TextForm
from pipeline.ingest.unmapped import unmapped_words
from pipeline.warehouse import identifier, literal, value, write_frame

EDITED = "edited"


@dataclass(frozen=True)
class Landing:
    """One entity of one file: where its rows lie, and its lines: read = landed + rejected + duplicates.

    record_count is less than landed only where several lines fold into one record. failed says why nothing landed.
    suppressed: how many of the rejected lines are of somebody who is to be forgotten. outside: how many of them stand
    around the table: titles above its header, totals and notes below its last record. absent: the required columns for
    want of which nothing landed. words: what no value map knows, as column_name, word and row_count, the most frequent of
    each column; word '' stands for all that must not be shown. elsewhere: the file's lines that are none of the entity, and
    are not among those read. broken: how many of the rejected lines make no record, so that nobody knows what they are of.
    unrated: the currencies and days for which no rate is known. warnings: what a person should know, in English and Chinese.
    """

    entity: str
    lines_read: int
    landed: int
    rejected: int
    duplicates: int
    record_count: int
    path: Path | None = None
    rejects_path: Path | None = None
    rejects: pl.DataFrame | None = None
    failed: str | None = None
    notes: tuple[str, ...] = ()
    suppressed: int = 0
    outside: int = 0
    absent: tuple[str, ...] = ()
    words: tuple[dict, ...] = ()
    elsewhere: int = 0
    broken: int = 0
    unrated: str = ""
    warnings: tuple[tuple[str, str], ...] = ()


def land_file(
    con, profile: Profile, form: TextForm, layout: Layout, reading: Reading, target, scratch: Path, is_rendition=False
) -> tuple[Landing, ...]:
    """Land every entity of a readable file; open_text gives the file and its form.

    target(kind, entity) gives the path of a landed or rejected Parquet file. con holds the variables file_id, observed_at
    and pseudonym_key, and the table scratch.suppressions where anybody is suppressed: their rows do not land, and the
    file as it may be kept is then scratch / EDITED. is_rendition: rejected rows are numbered as rows, not as lines of text.
    Raises UnreadableFile when the file cannot be read.
    """
    names = unique_names(form.header)
    layout = fitted(layout, names)
    reading = replace(reading, **{f"{kind}_columns": _columns_of_type(layout, kind) for kind in ("email", "phone")})
    absent = {entity: _absent(load_contracts()[entity], mapping, names) for entity, mapping in layout.entities.items()}
    keep, marker = keep_raw, names[0] if is_suppressing(con) else None
    ((entity, mapping), *others) = layout.entities.items()
    if not others and not mapping.is_numbered and not any(absent.values()):
        # typed straight from the file: the text itself is kept only where several entities need it, or not all lines

        def keep(con):
            return check_rows(con, load_contracts()[entity], mapping, reading, set(names), "scratch.records", marker)

    rows = read_rows(con, profile, form, scratch, keep)
    if marker is not None:
        present = [entity for entity in layout.entities if not absent[entity]]
        begin_file(con)
        for entity in present:
            contract, mapping = load_contracts()[entity], layout.entities[entity]
            if keep is keep_raw:
                check_rows(con, contract, mapping, reading, set(names), "scratch.raw", marker)
            find_suppressed(con, contract, layout, mapping.fold, customer_key(contract, layout))
        rows = replace(rows, refused=mark_refused(con, rows.refused, layout, reading))
        edits = edits_of(con, rows, layout, form)
        if edits:
            LineIndex(profile.path, "").write_with(edits, scratch / EDITED)
        rows = hide_refused(rows)
    landings, repeated = [], _repeated_columns(con, form, layout, names)
    rows_of_sheet = cache(lambda: LineIndex(profile.path, form.dialect.quote).unit_lines) if is_rendition else None
    for entity, mapping in layout.entities.items():
        contract = load_contracts()[entity]
        lines_read = rows.records + len(rows.refused)
        if absent[entity]:
            gone = "; ".join(f"{name} (from {', '.join(cells)})" for name, cells in absent[entity].items())
            why = f"required column missing: {gone}; the file has {', '.join(rows.columns)}"
            landings.append(Landing(entity, lines_read, 0, lines_read, 0, 0, failed=why, absent=tuple(absent[entity])))
            continue
        if keep is keep_raw:
            check_rows(con, contract, mapping, reading, set(names), "scratch.raw", marker)
        if marker is not None:
            empty_suppressed(con, contract, place_sql(mapping))
        lines_read -= rows.records - value(con, "select count(*) from scratch.checked_rows")
        landings.append(
            _land_entity(con, rows, layout, contract, mapping, reading, lines_read, target, repeated, rows_of_sheet)
        )
    return tuple(landings)


def _repeated_columns(con, form, layout, names):
    """Warnings on columns that stand more than once in the header with different values: the first one is read."""
    used = {name for mapping in layout.entities.values() for name in mapping.source_columns()}
    first, warnings = {}, []
    for cell, name in zip(form.header, names, strict=True):
        if cell and (kept := first.setdefault(cell.lower(), name)) != name and kept in used:
            differ = f"{identifier(kept)} is distinct from {identifier(name)}"
            # read once more, which few files need
            count = value(con, f"select count(*) from scratch.records where {differ}")
            if count:
                warnings.append(
                    (
                        f"the column {cell} stands there more than once, with other values in {count} rows; the first is"
                        " read: rename the one that is not meant",
                        f"列 {cell} 重复出现，有 {count} 行取值不同；已读取第一列，请给另一列改名",
                    )
                )
    return tuple(warnings)


def _columns_of_type(layout, kind):
    """The columns of a file that any of its entities reads as an e-mail address, or phone."""
    return frozenset(
        column
        for entity, mapping in layout.entities.items()
        for name, field in mapping.columns.items()
        if load_contracts()[entity].columns[name].type == kind
        for column in field.column
    )


def lacks_currency(layout: Layout, entity: str, names) -> bool:
    """Whether amounts of an entity are taken for the reporting currency though its layout knows a column of currencies.

    The file has none, and the layout states no currency. A layout that maps none, as one's own may, says by that what it is.
    """
    mapping, contract = fitted(layout, names).entities[entity], load_contracts()[entity]
    field = mapping.columns.get("currency")
    has_amount = any(
        contract.columns[name].type == "money" and not one.missing_from(names) for name, one in mapping.columns.items()
    )
    return bool(
        field and has_amount and not layout.currency and not contract.follows_order and field.missing_from(names)
    )


def _absent(contract, mapping, names):
    """The required columns whose cells the file does not have, each with the file's columns that it lacks."""
    return {
        name: gone
        for name, field in mapping.columns.items()
        if contract.columns[name].required and (gone := field.missing_from(names))
    }


def _land_entity(con, rows, layout, contract, mapping, reading, lines_read, target, warnings, rows_of_sheet):
    optional = sorted(set(mapping.source_columns()) - set(rows.columns))
    elsewhere = rows.records + len(rows.refused) - lines_read
    notes = (
        *rows.notes,
        *([f"not in this file: {', '.join(optional)}"] if optional else []),
        *([f"{contract.entity}: {elsewhere} lines {what_is_none(mapping)} are none"] if elsewhere else []),
    )

    if mapping.fold:
        con.execute(folded_sql(contract, mapping, reading))
    settle_repeated_keys(con, contract, mapping.fold)
    rejects = find_rejects(con, rows, mapping.fold, contract)
    if rows_of_sheet and len(rejects):
        # a row whose cells hold line breaks is several lines
        rejects = rejects.with_columns(line=pl.Series(np.searchsorted(rows_of_sheet(), rejects["line"]) + 1))
    unordered = rejects.filter(pl.col("rule") == "order_of_date_not_stated")
    if len(unordered):
        columns = ", ".join(unordered["column_name"].unique().sort())
        notes += (
            f"{contract.entity}: {len(unordered)} dates in {columns} do not tell day from month: state the order in"
            f' {layout.name}.yaml, such as format: "%d/%m/%Y" or "%m/%d/%Y"',
        )

    unrated = ""
    if (rejects["rule"] == "no_exchange_rate").any():
        unrated = missing_rates(con, contract, "scratch.folded" if mapping.fold else "scratch.checked", reading)
        notes += (f"{contract.entity}: no exchange rate for {unrated}",)

    path, rejects_path = target("landed", contract.entity), None
    _copy(con, _landed_sql(contract, layout, mapping), path)
    count, lines = con.execute(
        f"select count(*), coalesce(sum(line_count), 0)::bigint from scratch.{'folded' if mapping.fold else 'checked'}"
        " where good_record not in (select good_record from scratch.left_out)"
    ).fetchall()[0]
    duplicates = value(con, "select count(*) from scratch.left_out where rule = 'duplicate'")
    rejected = rejects.filter(pl.col("action") == "rejected")["line"].n_unique()
    suppressed = rejects.filter(pl.col("rule") == "suppressed")["line"].n_unique()
    outside = rejects.filter(pl.col("rule").is_in(OUTSIDE))["line"].n_unique()
    if len(rejects):
        rejects_path = target("rejected", contract.entity)
        write_frame(con, "scratch.rejects", rejects)
        _copy(con, "select * from scratch.rejects", rejects_path)
    if lines_read != lines + rejected + duplicates:
        raise UnreadableFile(
            f"{contract.entity}: {lines_read} lines read, but {lines} landed + {rejected} rejected + {duplicates} duplicates"
        )
    return Landing(
        contract.entity,
        lines_read,
        lines,
        rejected,
        duplicates,
        count,
        path,
        rejects_path,
        rejects.drop("raw_line"),
        None,
        notes,
        suppressed,
        outside,
        words=unmapped_words(con, contract, mapping, rows.columns),
        elsewhere=elsewhere,
        broken=rows.refused.filter(~pl.col("rule").is_in(["suppressed", *OUTSIDE]))["line"].n_unique(),
        unrated=unrated,
        warnings=warnings,
    )


def _landed_sql(contract, layout, mapping):
    columns = ", ".join(
        f"'h:' || keyed({identifier(name)}) as {identifier(name)}"
        if name == "referred_by" and layout.personal_ids
        else identifier(name)
        for name in contract.columns
    )
    return f"""
        select
            {columns},
            {"exchange_rate," if "currency" in contract.columns else ""}
            {literal(layout.source)} as source,
            {customer_key(contract, layout) or "null::varchar"} as customer_key,
            getvariable('file_id') as file_id,
            good_record as file_record,
            getvariable('observed_at')::timestamp as observed_at,
            {literal(layout.delivery)} as delivery,
            custom
        from scratch.{"folded" if mapping.fold else "checked"}
        where good_record not in (select good_record from scratch.left_out)
        {"order by good_record" if mapping.is_numbered else ""}
    """


def customer_key(contract: Contract, layout: Layout) -> str | None:
    """SQL for the key of a record's customer in its source: the id, else a keyed hash of e-mail or phone."""
    if not contract.has_customer:
        return None
    own = "source_customer_id"
    keys = [f"'h:' || keyed({own})" if layout.personal_ids else own]
    keys += [
        f"'{kind}:' || keyed({column})"
        for kind, column in (("e", "email"), ("p", "phone"))
        if column in contract.columns
    ]
    return f"coalesce({', '.join(keys)})"


def _copy(con, sql, path):
    """Write a query as Parquet, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        con.execute(f"copy ({sql}) to {literal(part)} (format parquet)")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
