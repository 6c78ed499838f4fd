"""One export file -> typed rows as Parquet, and its bad rows in quarantine, each line accounted for."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipeline.ingest.contracts import Contract, load_contracts
from pipeline.ingest.lines import LineIndex
from pipeline.ingest.read import Profile, Rows, UnreadableFile, first_text, header_of, keep_raw, read_rows, unique_names
from pipeline.ingest.rules import Reading, problems, range_problems, raw_cell, typed_cell
from pipeline.ingest.sources import EntityMap, Field, Layout
from pipeline.ingest.suppressions import (
    MARK,
    begin_file,
    edits_of,
    empty_suppressed,
    find_suppressed,
    hide_refused,
    is_suppressing,
    mark_refused,
    without_texts,
)
from pipeline.warehouse import frame, identifier, literal, value, write_frame

REJECTS = {
    "line": pl.Int64,
    "column_name": pl.String,
    "rule": pl.String,
    "action": pl.String,
    "raw_line": pl.String,
}


EDITED = "edited"


@dataclass(frozen=True)
class Landing:
    """One entity of one file: where its rows lie, and its lines: read = landed + rejected + duplicates.

    record_count is less than landed only where several lines fold into one record. failed says why nothing landed.
    suppressed: how many of the rejected lines are of somebody who is to be forgotten.
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


def land_file(con, profile: Profile, layout: Layout, reading: Reading, target, scratch: Path) -> tuple[Landing, ...]:
    """Land every entity of a readable file. target(kind, entity) gives the path of a landed or rejected Parquet file.

    con holds the variables file_id, observed_at and pseudonym_key, and the table scratch.suppressions where anybody is
    suppressed: their rows do not land, and the file as it may be kept is then scratch / EDITED. Raises UnreadableFile
    when the file cannot be read.
    """
    delimiter = layout.delimiter or header_of(first_text(profile))[0]
    names = unique_names(header_of(first_text(profile), (delimiter,))[1]) if layout.header else layout.column_names
    absent = {entity: _absent(load_contracts()[entity], mapping, names) for entity, mapping in layout.entities.items()}
    keep, marker = keep_raw, names[0] if is_suppressing(con) else None
    if len(layout.entities) == 1 and not any(absent.values()):
        # typed straight from the file: the text itself is kept only where several entities need it
        ((entity, mapping),) = layout.entities.items()

        def keep(con):
            return _check(con, load_contracts()[entity], mapping, reading, set(names), "scratch.records", marker)

    rows = read_rows(
        con, profile, delimiter, layout.quote, None if layout.header else layout.column_names, scratch, keep
    )
    if marker is not None:
        present = [entity for entity in layout.entities if not absent[entity]]
        begin_file(con)
        for entity in present:
            contract, mapping = load_contracts()[entity], layout.entities[entity]
            if keep is keep_raw:
                _check(con, contract, mapping, reading, set(names), "scratch.raw", marker)
            find_suppressed(con, contract, layout, mapping.fold, customer_key(contract, layout))
        rows = replace(rows, refused=mark_refused(con, rows.refused, layout, reading))
        edits = edits_of(con, rows, layout, delimiter)
        if edits:
            LineIndex(profile.path, "").write_with(edits, scratch / EDITED)
        rows = hide_refused(rows)
    landings = []
    for entity, mapping in layout.entities.items():
        contract = load_contracts()[entity]
        lines_read = rows.records + len(rows.refused)
        if absent[entity]:
            why = f"required column missing: {'; '.join(absent[entity])}; the file has {', '.join(rows.columns)}"
            landings.append(Landing(entity, lines_read, 0, lines_read, 0, 0, failed=why))
            continue
        if keep is keep_raw:
            _check(con, contract, mapping, reading, set(names), "scratch.raw", marker)
        if marker is not None:
            empty_suppressed(con, contract)
        landings.append(_land_entity(con, rows, layout, contract, mapping, lines_read, target))
    return tuple(landings)


def _absent(contract, mapping, names):
    """The required columns whose cells the file does not have."""
    return [
        f"{name} (from {', '.join(gone)})"
        for name, field in mapping.columns.items()
        if contract.columns[name].required and (gone := [cell for cell in field.columns() if cell not in names])
    ]


def _land_entity(con, rows, layout, contract, mapping, lines_read, target):
    optional = sorted({cell for field in mapping.columns.values() for cell in field.columns()} - set(rows.columns))
    notes = (*rows.notes, *([f"not in this file: {', '.join(optional)}"] if optional else []))

    if mapping.fold:
        con.execute(_folded_sql(contract, mapping))
    _settle_repeated_keys(con, contract, mapping.fold)
    rejects = _rejects(con, rows, mapping.fold, contract)

    path, rejects_path = target("landed", contract.entity), None
    _copy(con, _landed_sql(contract, layout, mapping.fold), path)
    count, lines = con.execute(
        f"select count(*), coalesce(sum(line_count), 0)::bigint from scratch.{'folded' if mapping.fold else 'checked'}"
        " where good_record not in (select good_record from scratch.left_out)"
    ).fetchall()[0]
    duplicates = value(con, "select count(*) from scratch.left_out where rule = 'duplicate'")
    rejected = rejects.filter(pl.col("action") == "rejected")["line"].n_unique()
    suppressed = rejects.filter(pl.col("rule") == "suppressed")["line"].n_unique()
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
    )


def _check(con, contract, mapping, reading, available, table, marker=None):
    """Type and check the records of a table: scratch.checked (good_record, typed columns, reject, emptied). Their count.

    good_record is the place in the table, as rows are kept in the file's order: numbering them while they are typed would
    leave that work to one core. marker: the column that tells a line already emptied for somebody suppressed (is_marked).
    """
    con.execute(_checked_sql(contract, mapping, reading, available, table, marker))
    con.execute(
        "create or replace view scratch.checked as select rowid + 1 as good_record, * from scratch.checked_rows"
    )
    return value(con, "select count(*) from scratch.checked_rows")


def _checked_sql(
    contract: Contract, mapping: EntityMap, reading: Reading, available: set[str], table: str, marker: str | None = None
) -> str:
    """scratch.checked_rows: typed columns, `reject` and `emptied` (`column|rule;...` or ''), one row a record, in order."""
    cells, typed, kept, rejecting, emptying = [], [], [], [], []
    summed = {}
    for name, field in mapping.columns.items():
        column = contract.columns[name]
        cell, typed_name = identifier(f"cell_{name}"), identifier(f"typed_{name}")
        if field.add or field.subtract:
            # a sum that lacks a column is not known
            field = field if available.issuperset(field.columns()) else Field()
            summed |= dict.fromkeys(identifier(part) for part in field.columns())
        text = raw_cell(field, column, available)
        if column.type == "currency":
            text = f"coalesce({text}, {literal(reading.currency)})"
        cells.append(f"{text} as {cell}")
        source_cell = f"raw_cells.{cell}"
        typed.append(f"{typed_cell(field, column, reading, source_cell)} as {typed_name}")
        later = _rules_of_record(contract, column, field) if mapping.fold else {}
        broken = {rule: sql for rule, sql in problems(column, cell, typed_name).items() if rule not in later}
        if column.on_error == "reject":
            rejecting += [(f"{name}|{rule}", condition) for rule, condition in broken.items()]
            kept.append(f"{typed_name} as {identifier(name)}")
        else:
            emptying += [(f"{name}|{rule}", condition) for rule, condition in broken.items()]
            outside = " or ".join(f"coalesce({condition}, false)" for rule, condition in broken.items())
            kept.append(f"case when not ({outside}) then {typed_name} end as {identifier(name)}")
    ruled = [(f"|{rule}", f"not coalesce({spec['condition']}, false)") for rule, spec in contract.rules.items()]
    unmapped = [
        f"null::{column.sql_type} as {identifier(name)}"
        for name, column in contract.columns.items()
        if name not in mapping.columns and name != "currency"
    ]
    if "currency" in contract.columns and "currency" not in mapping.columns:
        unmapped.append(f"{literal(reading.currency)} as currency")
        if reading.currency != reading.reporting_currency:
            rejecting.append(("currency|no_exchange_rate", "true"))
    mark = [f"coalesce({identifier(marker)} = {literal(MARK)}, false) as is_marked"] if marker else []
    is_marked = ["is_marked"] if marker else []
    return f"""
        create or replace table scratch.checked_rows as
        with raw_cells as (
            select {", ".join([*cells, *summed, *mark])} from {table}
        ),

        typed as (
            select {", ".join([*(identifier(f"cell_{name}") for name in mapping.columns), *typed, *is_marked])}
            from raw_cells
        ),

        kept as (
            select
                {", ".join([*kept, *unmapped, *is_marked])},
                {_problem_list(rejecting)} as reject_cells,
                {_problem_list(emptying)} as emptied
            from typed
        )

        select
            * exclude (reject_cells),
            1 as line_count,
            concat_ws(';', nullif(reject_cells, ''), nullif({_problem_list(ruled)}, '')) as reject
        from kept
    """


def _problem_list(found):
    """SQL text listing `column|rule` of every broken rule, '' when none is."""
    if not found:
        return "''"
    cases = ", ".join(f"case when {condition} then {literal(label)} end" for label, condition in found)
    # the text is made only for the few rows that need one
    return f"case when {' or '.join(condition for _, condition in found)} then concat_ws(';', {cases}) else '' end"


def _folded_sql(contract, mapping):
    """scratch.folded: one row a key, from the lines of scratch.checked; values that differ reject the record."""
    key = [identifier(name) for name in contract.key]
    columns, differing = [], []
    for name, column in contract.columns.items():
        if name in contract.key:
            continue
        quoted, field = identifier(name), mapping.columns.get(name)
        if field and field.fold == "sum":
            columns.append(f"sum({quoted})::{column.sql_type} as {quoted}")
        else:
            columns.append(f"arg_min({quoted}, good_record) as {quoted}")
            if field and (column.required or name in ("source_customer_id", "currency")):
                differing.append((f"{name}|differs_between_lines", f"min({quoted}) <> max({quoted})"))
        if field:
            differing += [(f"{name}|{rule}", sql) for rule, sql in _rules_of_record(contract, column, field).items()]
    return f"""
        create or replace table scratch.folded as
        select
            {", ".join(key)},
            {", ".join(columns)},
            min(good_record) as good_record,
            count(*) as line_count,
            '' as emptied,
            concat_ws(';', nullif(max(reject), ''), nullif({_problem_list(differing)}, '')) as reject
        from scratch.checked
        group by {", ".join(key)}
    """


def _rules_of_record(contract, column, field):
    """Rule name -> SQL over the lines of a folded record: what a single line need not keep to.

    A value may stand on one line of several, and a sum may be in range where a part of it is not.
    """
    quoted, found = identifier(column.name), {}
    if column.required and column.name not in contract.key:
        found["missing"] = f"max(reject) = '' and count({quoted}) = 0"
    if field.fold == "sum" and column.on_error == "reject":
        found |= range_problems(column, f"sum({quoted})")
    return found


def _settle_repeated_keys(con, contract, fold):
    """scratch.left_out (good_record, rule): rejected records, duplicates of another, and keys in conflict.

    A key that stands again with the same content is a duplicate; with other content it is a version when the record
    tells its own modified time, and else a conflict: all its rows are rejected.
    """
    table = "folded" if fold else "checked"
    con.execute(
        f"create or replace table scratch.left_out as"
        f" select good_record, 'rejected' as rule from scratch.{table} where reject <> ''"
    )
    if fold:
        return
    key = ", ".join(identifier(name) for name in contract.key)
    version = f"{key}, updated_at" if "updated_at" in contract.columns else key
    content = ", ".join(identifier(name) for name in contract.columns)
    con.execute(
        f"""
        insert into scratch.left_out
        with repeated as (
            select hash({key}) as key_hash from scratch.checked where reject = '' group by key_hash having count(*) > 1
        ),

        candidates as (
            select good_record, {version}, hash({content}) as content_hash
            from scratch.checked
            where reject = '' and hash({key}) in (select key_hash from repeated)
        ),

        judged as (
            select
                good_record,
                min(content_hash) over same_version <> max(content_hash) over same_version as is_in_conflict,
                row_number() over (partition by {version}, content_hash order by good_record) as place
            from candidates
            window same_version as (partition by {version})
        )

        select good_record, case when is_in_conflict then 'conflict' else 'duplicate' end as rule
        from judged
        where is_in_conflict or place > 1
        """
    )


def _rejects(con, rows: Rows, fold, contract):
    """Frame of REJECTS: a row for each broken rule of each line, refused lines among them."""
    if fold:
        key = ", ".join(identifier(name) for name in contract.key)
        lines = f"""
            select checked.good_record, coalesce(nullif(checked.reject, ''), nullif(folded.reject, '')) as problems
            from scratch.checked
            inner join scratch.folded using ({key})
            where folded.reject <> ''
            union all by name
            select good_record, reject as problems from scratch.checked
            where reject <> '' and ({" or ".join(f"{identifier(name)} is null" for name in contract.key)})
        """
    else:
        lines = "select good_record, reject as problems from scratch.checked where reject <> ''"
    found = frame(
        con,
        f"""
        with listed as (
            select good_record, unnest(string_split(problems, ';')) as problem, 'rejected' as action from ({lines})
            union all
            select good_record, unnest(string_split(emptied, ';')) as problem, 'emptied' as action
            from scratch.checked where emptied <> '' and reject = ''
            union all
            select good_record, {literal(" + ".join(contract.key))} || '|conflicting_rows' as problem, 'rejected' as action
            from scratch.left_out where rule = 'conflict'
        )
        select
            good_record,
            nullif(split_part(problem, '|', 1), '') as column_name,
            split_part(problem, '|', 2) as rule,
            action
        from listed
        order by good_record, column_name, rule
        """,
    )
    lines = rows.good_lines()[found["good_record"].to_numpy() - 1] if len(found) else []
    named = found.with_columns(line=pl.Series(lines, dtype=pl.Int64))
    unique = named["line"].unique().sort() if len(found) else pl.Series("line", [], pl.Int64)
    texts = pl.DataFrame(
        {"line": unique, "raw_line": rows.texts(unique.to_numpy()) if len(found) else []},
        {"line": pl.Int64, "raw_line": pl.String},
    )
    refused = rows.refused.select(
        "line",
        pl.lit(None, pl.String).alias("column_name"),
        "rule",
        pl.lit("rejected").alias("action"),
        pl.col("text").alias("raw_line"),
    )
    listed = pl.concat([named.join(texts, on="line", how="left").select(*REJECTS), refused])
    return without_texts(listed).sort("line", "column_name", "rule")


def _landed_sql(contract, layout, fold):
    columns = ", ".join(
        f"'h:' || keyed({identifier(name)}) as {identifier(name)}"
        if name == "referred_by" and layout.personal_ids
        else identifier(name)
        for name in contract.columns
    )
    return f"""
        select
            {columns},
            {literal(layout.source)} as source,
            {customer_key(contract, layout) or "null::varchar"} as customer_key,
            getvariable('file_id') as file_id,
            good_record as file_record,
            getvariable('observed_at')::timestamp as observed_at,
            {literal(layout.delivery)} as delivery
        from scratch.{"folded" if fold else "checked"}
        where good_record not in (select good_record from scratch.left_out)
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
