"""Open DuckDB, run queries, comment tables, publish a night."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import polars as pl


class Busy(Exception):
    """Another run holds the data folder; the message says which."""


def connect(settings, scratch: Path) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with the night's limits: memory, threads, and a spill folder in scratch."""
    con = duckdb.connect()
    con.execute(f"set memory_limit = {literal(settings.memory_limit)}")
    con.execute(f"set temp_directory = {literal(scratch / 'spill')}")
    con.execute("set timezone = 'UTC'")
    con.execute("set enable_progress_bar = false")
    if settings.threads:
        con.execute(f"set threads = {settings.threads}")
    return con


def attach(con, path: Path, name: str, storage_version: str | None = None) -> None:
    """Attach a database: a new one to write when storage_version is given, else an existing one to read."""
    option = f"storage_version {literal(storage_version)}" if storage_version else "read_only"
    con.execute(f"attach {literal(path)} as {identifier(name)} ({option})")


def literal(text) -> str:
    """A SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def frame(con, sql: str, parameters=()) -> pl.DataFrame:
    """A query's rows as a Polars frame."""
    return con.sql(sql, params=list(parameters)).pl()


def value(con, sql: str, parameters=()):
    """The one value of a query that gives one row of one column."""
    return con.execute(sql, parameters).fetchall()[0][0]


def write_frame(con, table: str, rows: pl.DataFrame) -> None:
    """A Polars frame as a table, in place of one of the same name."""
    con.register("frame_to_write", rows)
    con.execute(f"create or replace table {table} as select * from frame_to_write")
    con.unregister("frame_to_write")


def has_table(con, database: str, schema: str, table: str) -> bool:
    """Whether an attached database has a table."""
    return bool(
        value(
            con,
            "select count(*) from duckdb_tables() where database_name = ? and schema_name = ? and table_name = ?",
            (database, schema, table),
        )
    )


def copy_schemas(con, schemas: tuple[str, ...], target: Path, storage_version: str) -> None:
    """Copy whole schemas of the default database into a fresh file, their comments too."""
    attach(con, target, "copy_target", storage_version)
    for schema in schemas:
        con.execute(f"create schema copy_target.{schema}")
        for (table,) in con.execute(
            "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ?"
            " order by table_name",
            (schema,),
        ).fetchall():
            con.execute(f"create table copy_target.{schema}.{table} as select * from {schema}.{table}")
    for schema, table, column, comment in con.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns()"
        " where database_name = current_database() and comment is not null and list_contains(?, schema_name)"
        " union all select schema_name, table_name, null, comment from duckdb_tables()"
        " where database_name = current_database() and comment is not null and list_contains(?, schema_name)",
        (list(schemas), list(schemas)),
    ).fetchall():
        what = (
            f"column copy_target.{schema}.{table}.{identifier(column)}"
            if column
            else f"table copy_target.{schema}.{table}"
        )
        con.execute(f"comment on {what} is {literal(comment)}")
    con.execute("checkpoint copy_target")
    con.execute("detach copy_target")


@contextmanager
def lock(path: Path, holder: dict):
    """Hold a data folder for one run. Raises Busy, naming the holder, when another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Busy(
                f"another run holds this data folder: {file.read().strip() or 'unknown'}; wait for it"
            ) from error
        file.seek(0)
        file.truncate()
        file.write(", ".join(f"{name} {text}" for name, text in holder.items()))
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


@contextmanager
def publication_lock(folder: Path):
    """Hold what is published still for a moment; folder is the warehouse's. Waits for whoever holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "publication.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def publish(
    journal: Path,
    before: list,
    commit: tuple[Path, Path],
    after: list,
    night: dict,
    record: Callable[[dict], None] | None = None,
) -> None:
    """Move a finished night into place. The move of `commit` (scratch file, published file) is the commit.

    before, after: (scratch path, published path) of files or folders, moved before and after it. The journal, which
    holds night (as_of, run_id) too, lets finish_publication complete or undo what a crash interrupts. record(night) puts
    the night on the ledger while nobody can see the one without the other.
    """
    for source, _ in (*before, commit, *after):
        _sync(source)
    plan = [[str(source), str(target)] for source, target in after]
    part = journal.with_name(journal.name + ".part")
    part.write_text(
        json.dumps({"night": night, "commit": [str(path) for path in commit], "after": plan}), encoding="utf-8"
    )
    _sync(part)
    with publication_lock(journal.parent):
        os.replace(part, journal)
        _sync(journal.parent)
        for source, target in (*before, commit, *after):
            _move(source, target)
        if record:
            record(night)
        journal.unlink()


def finish_publication(journal: Path, record: Callable[[dict], None] | None = None) -> tuple[str, dict] | None:
    """After a crash or an error: complete the publication if its commit happened, else forget it.

    Returns ("completed" or "undone", the night's as_of and run_id), None where nothing was interrupted. The scratch
    folder must still be there: what was not moved yet lies in it. record(night) is called for a completed one.
    """
    if not journal.exists():
        return None
    plan = json.loads(journal.read_text(encoding="utf-8"))
    committed = not Path(plan["commit"][0]).exists()
    with publication_lock(journal.parent):
        if committed:
            for source, target in plan["after"]:
                if Path(source).exists():
                    _move(Path(source), Path(target))
            if record:
                record(plan["night"])
        journal.unlink()
    return ("completed" if committed else "undone"), plan["night"]


def replace_file(source: Path, target: Path) -> None:
    """Put a finished file into the place of another, safely on disk: readers see the old one or the new one, whole."""
    _sync(source)
    _move(source, target)


def _move(source: Path, target: Path):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_name(target.name + ".wal").unlink(missing_ok=True)
    if source.is_dir() and target.exists():
        # a folder that is not empty cannot be replaced, nor can a file by a folder: step it aside first
        aside = target.with_name(f".{target.name}.replaced")
        shutil.rmtree(aside, ignore_errors=True)
        aside.unlink(missing_ok=True)
        os.rename(target, aside)
        os.rename(source, target)
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    else:
        os.replace(source, target)
    _sync(target.parent)


def _sync(path: Path):
    """Force a file, or a folder's entries and the files in it, to disk."""
    if path.is_dir():
        for entry in path.iterdir():
            if entry.is_file():
                _sync(entry)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def published_nights(settings) -> dict[date, Path]:
    """The as_of and file of everything published: snapshots, and the warehouse in place of its own snapshot."""
    nights = {date.fromisoformat(path.stem): path for path in settings.snapshots.glob("????-??-??.duckdb")}
    newest = newest_as_of(settings)
    return nights | ({newest: settings.warehouse} if newest else {})


def newest_as_of(settings) -> date | None:
    """The as_of of warehouse.duckdb, None where nothing is published."""
    if not settings.warehouse.exists():
        return None
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        return value(con, "select max(as_of) from ops.night")


def state_before(settings, as_of: date) -> Path | None:
    """The published file whose state a night carries on: the newest before as_of, else the oldest from it on."""
    nights = published_nights(settings)
    earlier = [day for day in nights if day < as_of]
    if earlier:
        return nights[max(earlier)]
    return nights[min(nights)] if nights else None


def prune_snapshots(settings, just_published: date) -> list[Path]:
    """Delete the snapshots beyond the newest N days and the last one of each of M months, but not the one just published.

    Returns the deleted paths.
    """
    days = sorted((date.fromisoformat(path.stem), path) for path in settings.snapshots.glob("????-??-??.duckdb"))
    kept = {path for _, path in days[-settings.daily_snapshots :]}
    month_ends = {(day.year, day.month): path for day, path in days}
    kept |= set(
        [month_ends[month] for month in sorted(month_ends)][-settings.monthly_snapshots :]
        if settings.monthly_snapshots
        else []
    )
    dropped = [path for day, path in days if path not in kept and day != just_published]
    with publication_lock(settings.warehouse.parent):
        for path in dropped:
            path.unlink()
    return dropped
