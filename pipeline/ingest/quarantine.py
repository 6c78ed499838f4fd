"""The rows of a file that broke a rule, each with its line, column, rule and text."""

import polars as pl

from pipeline.ingest.scan import Rows
from pipeline.ingest.suppressions import without_texts
from pipeline.warehouse import frame, identifier, literal

REJECTS = {
    "line": pl.Int64,
    "column_name": pl.String,
    "rule": pl.String,
    "action": pl.String,
    "raw_line": pl.String,
}


def find_rejects(con, rows: Rows, fold, contract):
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
