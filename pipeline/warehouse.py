"""Open DuckDB, run a .sql file, publish a night."""

import os
from pathlib import Path

import duckdb
import polars as pl


def open_scratch(path: Path, settings) -> duckdb.DuckDBPyConnection:
    """A scratch database with the night's limits: memory, threads, a spill folder beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect(str(path))
    con.execute(f"set memory_limit = {literal(settings.memory_limit)}")
    con.execute(f"set temp_directory = {literal(str(path.parent / 'spill'))}")
    con.execute("set timezone = 'UTC'")
    con.execute("set enable_progress_bar = false")
    if settings.threads:
        con.execute(f"set threads = {settings.threads}")
    return con


def literal(text: str) -> str:
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
    """A Polars frame as a new table."""
    con.register("frame_to_write", rows)
    con.execute(f"create or replace table {table} as select * from frame_to_write")
    con.unregister("frame_to_write")
