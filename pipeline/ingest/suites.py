"""Great Expectations suites from the contracts, run inside DuckDB: what accepted rows must be, and what only a set can show.

Row rules are run once, as quarantine SQL, when a file lands. The nightly suites check that what landed keeps to them, and
beyond that keys, emptiness and volume. Their results hold counts, never a value.
"""

import math
import re
from dataclasses import replace
from datetime import date

import polars as pl

from pipeline.ingest.checked_rows import exchange_rate, has_no_rate
from pipeline.ingest.contracts import Contract, load_contracts
from pipeline.ingest.layouts import EntityMap, Field
from pipeline.ingest.rules import Reading, problems, range_problems, raw_cell, typed_cell
from pipeline.warehouse import identifier

CHECKS = {
    "entity": pl.String,
    "column_name": pl.String,
    "rule": pl.String,
    "success": pl.Boolean,
    "element_count": pl.Int64,
    "unexpected_count": pl.Int64,
    "unexpected_share": pl.Float64,
    "message": pl.String,
}
LEAST_SHARE_OF_PREVIOUS_ROWS = 0.5
# texts of errors that speak of tables and columns; any other may quote a value
SAYABLE = re.compile(r"(?:Binder|Catalog|Parser) Error: .*|The column .* does not exist")
KIND_OF_ERROR = re.compile(r"\) ([A-Z][A-Za-z ]* Error):")


def check_entities(
    con, entities: list[str], run_id: str, as_of: date, previous_counts: dict[str, int] | None = None
) -> pl.DataFrame:
    """One row per expectation over the views landed_<entity> of con: run_id, as_of and the columns of CHECKS.

    previous_counts: landed rows of the night before, by entity; an entity that has fallen below half of them fails.
    unexpected_count and unexpected_share are null for rules about the table, and where message says that an
    expectation could not be checked.
    """
    contracts, previous = load_contracts(), previous_counts or {}
    checks = [_check(con, contracts[name], f"landed_{name}", False, previous.get(name)) for name in entities]
    found = pl.concat([pl.DataFrame(schema=CHECKS), *checks])
    return found.select(pl.lit(run_id).alias("run_id"), pl.lit(as_of, pl.Date).alias("as_of"), pl.all())


def check_unfiltered(
    con, contract: Contract, mapping: EntityMap, reading: Reading, available: set[str]
) -> pl.DataFrame:
    """The contract's suite over every record of the file last read (scratch.records), good or bad.

    Its counts are those of the quarantine by rule.

    One row per expectation, with the columns of CHECKS. Not for a mapping that folds several lines into a record. con
    holds the variables file_id and observed_at. available: the columns of the file.
    """
    view = f"unfiltered_{contract.entity}"
    con.execute(f"create or replace temp view {view} as {_unfiltered_sql(contract, mapping, reading, available)}")
    return _check(con, contract, view, True, None)


def _unfiltered_sql(contract, mapping, reading, available):
    """Each raw row as typed, beside cell_<column>, its text, and <rule>_<column>, true where the text breaks a rule of its type.

    A category's value stays when it is not one of the contract's, so that the suite can find it.
    """
    cells, columns = [], []
    for name, column in contract.columns.items():
        unmapped = Field(constant=reading.currency) if name == "currency" else Field()
        field = mapping.columns.get(name, unmapped)
        given = raw_cell(field, column, available)
        cell = identifier(f"cell_{name}")
        typed = typed_cell(field, replace(column, values=()), reading, cell)
        if column.values:
            typed = f"lower({typed})"
        found = problems(column, cell, typed, field)
        if column.type == "currency":
            found["no_exchange_rate"] = exchange_rate(contract, mapping, reading)[1]
        if has_no_rate(contract, column, reading):
            found["no_exchange_rate"] = f"{typed} is not null"
        cells.append(f"{given} as {cell}")
        columns += [
            cell,
            f"{typed} as {identifier(f'typed_{name}')}",
            f"{identifier(f'typed_{name}')} as {identifier(name)}",
        ]
        columns += [
            f"case when {found.get(rule, 'false')} then true end as {identifier(f'{rule}_{name}')}"
            for rule in _rules_of_cell(column)
        ]
    return f"""
        with raw_cells as (
            select *, {", ".join(cells)} from scratch.records
        )

        select
            {", ".join(columns)},
            '' as source,
            getvariable('file_id') as file_id,
            getvariable('observed_at')::timestamp as observed_at
        from raw_cells
    """


def _rules_of_cell(column):
    """The rules that the text of a column breaks before it has a value, by any layout."""
    by_value = {"missing", *range_problems(column, "")}
    rules = [rule for rule in problems(column, "", "") if rule not in by_value]
    return [*rules, "no_exchange_rate"] if column.type in ("currency", "money") else rules


def _check(con, contract, view, is_unfiltered, previous_count):
    from pipeline.ingest.expectations import run_suite

    expectations = _suite(contract, is_unfiltered, previous_count)
    results = run_suite(con, view, expectations)
    return pl.DataFrame([_row(contract.entity, result) for result in results], CHECKS, orient="row")


def _suite(contract, is_unfiltered, previous_count):
    """The contract as expectations, each with its place, column and rule in its meta."""
    from pipeline.ingest import expectations as kinds

    suite = []

    def expect(kind, column, rule, /, **arguments):
        suite.append(kind(**arguments, meta={"place": len(suite), "column": column, "rule": rule}))

    for name, column in contract.columns.items():
        if column.required:
            expect(kinds.ExpectFilled, name, "missing", column=f"cell_{name}" if is_unfiltered else name)
        if column.values:
            expect(kinds.ExpectKnown, name, "unknown_value", column=name, value_set=list(column.values))
        elif is_unfiltered:
            for rule in _rules_of_cell(column):
                expect(kinds.ExpectEmpty, name, rule, column=f"{rule}_{name}")
        if column.min is not None:
            expect(kinds.ExpectWithin, name, "below_min", column=name, min_value=column.min)
        if column.max is not None:
            expect(kinds.ExpectWithin, name, "above_max", column=name, max_value=column.max)
        if column.not_in_future:
            late = f"select 1 from {{batch}} where {identifier(name)} > observed_at + interval 1 day"
            expect(kinds.ExpectNoRows, name, "in_future", unexpected_rows_query=late)
    for rule, spec in contract.rules.items():
        broken = f"select 1 from {{batch}} where not coalesce({_text(spec['condition'])}, false)"
        expect(kinds.ExpectNoRows, None, rule, unexpected_rows_query=broken)
    expect(kinds.ExpectNoRows, " + ".join(contract.key), "repeated_key", unexpected_rows_query=_repeated_sql(contract))
    expect(kinds.ExpectRowCount, None, "empty", min_value=1)
    if previous_count:
        least = math.ceil(previous_count * LEAST_SHARE_OF_PREVIOUS_ROWS)
        expect(kinds.ExpectRowCount, None, "fewer_rows", min_value=least)
    return suite


def _text(condition):
    """A contract's condition as it must stand in a query that is formatted ({batch}) and bound (:name)."""
    return condition.replace("{", "{{").replace("}", "}}").replace(":", r"\:")


def _repeated_sql(contract):
    """Every row that shares its key, as one row each. One file may hold versions; another file may deliver it again."""
    key = [identifier(name) for name in contract.key]
    version = ["updated_at"] if "updated_at" in contract.columns else []
    return f"""
        select unnest(range(row_count)) from (
            select count(*) as row_count
            from {{batch}}
            where {" and ".join(f"{name} is not null" for name in key)}
            group by hash({", ".join(["source", "file_id", *key, *version])})
            having count(*) > 1
        )
    """


def _row(entity, result):
    meta, counts = result.expectation_config.meta, result.result
    rows, unexpected = counts.get("element_count"), counts.get("unexpected_count")
    share = unexpected / rows if unexpected is not None and rows else None
    failure = _failure(result.exception_info)
    if failure:
        message = f"could not be checked: {failure}"
    elif result.success:
        message = ""
    elif unexpected is None:
        message = f"{rows} rows; at least {result.expectation_config.kwargs['min_value']} expected"
    else:
        message = f"{unexpected} of {rows} rows"
    return entity, meta["column"], meta["rule"], bool(result.success), rows, unexpected, share, message


def _failure(exception_info):
    """What kept an expectation from being checked, without any value of the data; None when nothing did."""
    several = [exception_info] if "raised_exception" in exception_info else exception_info.values()
    for failed in several:
        if failed["raised_exception"]:
            text = failed["exception_message"] or ""
            said, kind = SAYABLE.search(text), KIND_OF_ERROR.search(text)
            return said[0] if said else kind[1] if kind else "an error whose text may hold values"
    return None
