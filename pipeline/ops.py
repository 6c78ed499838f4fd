"""The ops schema of a night: what was read, rejected, checked, modelled and run, from the ledger and the night before."""

import polars as pl

from pipeline.ingest import suites
from pipeline.ingest.contracts import load_contracts
from pipeline.warehouse import has_table, literal, write_frame

FILES = {
    "run_id": pl.String,
    "file_id": pl.String,
    "file_name": pl.String,
    "layout": pl.String,
    "source": pl.String,
    "status": pl.String,
    "message": pl.String,
    "size_bytes": pl.Int64,
    "line_count": pl.Int64,
    "observed_at": pl.String,
    "schema_change": pl.String,
}
RECONCILIATION = {
    "run_id": pl.String,
    "as_of": pl.Date,
    "file_id": pl.String,
    "file_name": pl.String,
    "layout": pl.String,
    "entity": pl.String,
    "lines_read": pl.Int64,
    "landed": pl.Int64,
    "rejected": pl.Int64,
    "duplicates": pl.Int64,
    "record_count": pl.Int64,
    "is_repeat": pl.Boolean,
}
UNMAPPED_WORDS = {
    "run_id": pl.String,
    "as_of": pl.Date,
    "file_id": pl.String,
    "file_name": pl.String,
    "layout": pl.String,
    "entity": pl.String,
    "column_name": pl.String,
    "word": pl.String,
    "row_count": pl.Int64,
}
RUNS = {
    "run_id": pl.String,
    "as_of": pl.String,
    "status": pl.String,
    "started_at": pl.String,
    "ended_at": pl.String,
    "message": pl.String,
}
AUDIT = {
    "done_at": pl.String,
    "run_id": pl.String,
    "who": pl.String,
    "what": pl.String,
    "object_name": pl.String,
    "row_count": pl.Int64,
    "purpose": pl.String,
}
TRAININGS = {
    "as_of": pl.Date,
    "is_trained_tonight": pl.Boolean,
    "trained_on": pl.Date,
    "reason": pl.String,
    "conditions": pl.String,
}
CHECKS = {"run_id": pl.String, "as_of": pl.Date} | suites.CHECKS
# landed for analysts; no fact, score or tag is made of them
NOT_NEEDED = {"payments"}


class LinesLost(Exception):
    """A file's lines do not add up; the night must not be published."""


def write_ops(con, ledger, settings, run_id, as_of, landings: list[dict], warnings: str) -> None:
    """ops.night, runs, files, audit, reconciliation, rejects, unmapped_words.

    Raises LinesLost unless every file's lines read are landed, rejected or duplicates.
    """
    con.execute("create schema if not exists ops")
    con.execute(
        f"create or replace table ops.night as select date '{as_of}' as as_of, {literal(run_id)} as run_id,"
        f" {literal(settings.business_timezone)} as business_timezone,"
        f" {literal(settings.reporting_currency)} as reporting_currency, {literal(settings.language)} as language"
    )
    # a file that can be read is published, so its own run is done
    runs = ledger.frame(
        "select run_id, as_of, case when run_id = ? then 'done' else status end as status, started_at, ended_at,"
        " case when run_id = ? then ? else message end as message from runs order by started_at",
        (run_id, run_id, warnings),
        RUNS,
    )
    write_frame(con, "ops.runs", _times(runs.with_columns(pl.col("as_of").str.to_date()), "started_at", "ended_at"))
    files = ledger.frame("select * from files where run_id = ? order by file_name, file_id", (run_id,), FILES)
    write_frame(con, "ops.files", _times(files, "observed_at"))
    audited = ledger.frame("select * from audit order by done_at, rowid", (), AUDIT)
    write_frame(con, "ops.audit", _times(audited, "done_at"))
    write_frame(con, "ops.reconciliation", _reconciliation(ledger, run_id, as_of, landings))
    _write_rejects(con, settings, run_id, as_of, landings)
    write_frame(con, "ops.unmapped_words", _unmapped_words(ledger, run_id, as_of, landings))


def append_history(con, table: str, tonight: pl.DataFrame, as_of, previous: str | None) -> None:
    """A table of ops with tonight's rows after those of earlier nights."""
    write_frame(con, f"ops.{table}", tonight)
    if previous and has_table(con, previous, "ops", table):
        con.execute(f"insert into ops.{table} by name select * from {previous}.ops.{table} where as_of < ?", (as_of,))


def _reconciliation(ledger, run_id, as_of, landings):
    rows = [
        {name: landing[name] for name in RECONCILIATION if name in landing}
        | {"run_id": run_id, "as_of": as_of, "is_repeat": False}
        for landing in landings
    ]
    repeats = ledger.rows(
        "select repeats.file_name, repeats.lines_read, contents.file_id, contents.layout, min(landings.entity) as entity"
        " from repeats inner join contents using (content_hash) inner join landings using (content_hash)"
        " where repeats.run_id = ? group by repeats.file_name, repeats.content_hash",
        (run_id,),
    )
    rows += [
        repeat
        | {
            "run_id": run_id,
            "as_of": as_of,
            "landed": 0,
            "rejected": 0,
            "duplicates": repeat["lines_read"],
            "record_count": 0,
            "is_repeat": True,
        }
        for repeat in repeats
    ]
    table = pl.DataFrame(rows, RECONCILIATION, infer_schema_length=None).sort("file_name", "entity", "file_id")
    lost = table.filter(pl.col("lines_read") != pl.col("landed") + pl.col("rejected") + pl.col("duplicates"))
    if len(lost):
        first = lost.row(0, named=True)
        raise LinesLost(
            f"{first['file_name']}, {first['entity']}: {first['lines_read']} lines read are not {first['landed']} landed +"
            f" {first['rejected']} rejected + {first['duplicates']} duplicates"
        )
    return table


def _unmapped_words(ledger, run_id, as_of, landings):
    """The words of what the night builds on that no value map knows; '' for those that are not shown."""
    known = {}
    for row in ledger.rows("select * from unmapped_words"):
        known.setdefault((row["content_hash"], row["fingerprint"], row["entity"]), []).append(row)
    rows = [
        {"run_id": run_id, "as_of": as_of}
        | {name: (landing | word)[name] for name in UNMAPPED_WORDS if name not in ("run_id", "as_of")}
        for landing in landings
        for word in known.get((landing.get("content_hash"), landing.get("fingerprint"), landing["entity"]), [])
    ]
    return pl.DataFrame(rows, UNMAPPED_WORDS, infer_schema_length=None).sort(
        "file_name", "entity", "column_name", "row_count", "word", descending=[False, False, False, True, False]
    )


def _write_rejects(con, settings, run_id, as_of, landings):
    """ops.rejects: file, line, column and rule of every broken rule, without the line's text, which stays in the vault."""
    con.execute(
        "create or replace table ops.rejects (run_id varchar, as_of date, file_id varchar, file_name varchar,"
        " entity varchar, line bigint, column_name varchar, rule varchar, action varchar)"
    )
    for landing in landings:
        if landing["rejects_path"]:
            con.execute(
                "insert into ops.rejects select ?, ?, ?, ?, ?, line, column_name, rule, action from read_parquet(?)",
                (
                    run_id,
                    as_of,
                    landing["file_id"],
                    landing["file_name"],
                    landing["entity"],
                    str(settings.vault / landing["rejects_path"]),
                ),
            )


def absent_entities(landings: list[dict]) -> list[str]:
    """Entities of the contracts that something is made of and no file delivers."""
    return sorted(set(load_contracts()) - NOT_NEEDED - {landing["entity"] for landing in landings})


def _times(table, *columns):
    return table.with_columns(pl.col(column).str.to_datetime(strict=False).alias(column) for column in columns)
