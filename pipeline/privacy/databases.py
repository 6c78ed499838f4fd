"""A DuckDB file without the suppressed: written afresh, since rows that are deleted leave their bytes in the file."""

from collections import Counter
from pathlib import Path

from pipeline.ingest.suppressions import find_matches, shown, table_shows
from pipeline.warehouse import attach, identifier, literal, replace_file


def clean_database(con, path: Path, storage_version: str, scratch: Path) -> Counter:
    """Write a database file again without the rows of the suppressed. Returns table -> rows; empty where it holds none.

    A file that holds none is left as it is. Comments go with their tables.
    """
    attach(con, path, "found")
    try:
        doomed, referring = _find(con)
        if not doomed and not referring:
            return Counter()
        fresh = scratch / f"{path.name}.fresh"
        attach(con, fresh, "fresh", storage_version)
        _copy(con, doomed, referring)
        con.execute("checkpoint fresh")
        con.execute("detach fresh")
    finally:
        con.execute("detach found")
    replace_file(fresh, path)
    return Counter({table: count for table, (_, count) in doomed.items()})


def _tables(con):
    """schema.table -> its columns' names, of the database found."""
    rows = con.execute(
        "select schema_name, table_name, list(column_name order by column_index) from duckdb_columns()"
        " where database_name = 'found' and not internal group by all order by all"
    ).fetchall()
    return {f"{identifier(schema)}.{identifier(table)}": columns for schema, table, columns in rows}


def _find(con):
    """(table -> (scratch table of its doomed rows, their count), table -> scratch table of rows whose referrer is doomed)."""
    doomed, referring = {}, {}
    for number, (table, columns) in enumerate(_tables(con).items()):
        rows, into = f"select rowid as place, * from found.{table}", f"scratch.doomed_{number}"
        count = find_matches(con, rows, "place", table_shows(columns), into)
        if count:
            doomed[table] = (into, count)
        if "referred_by_customer_id" in columns:
            into = f"scratch.referring_{number}"
            if find_matches(con, rows, "place", [shown("customer_id", "referred_by_customer_id")], into):
                referring[table] = into
    return doomed, referring


def _copy(con, doomed, referring):
    tables = _tables(con)
    for schema in sorted({table.split(".")[0] for table in tables}):
        con.execute(f"create schema if not exists fresh.{schema}")
    for table in tables:
        columns, where = "*", ""
        if table in referring:
            nobody = f"rowid in (select place from {referring[table]})"
            columns = f"* replace (case when not {nobody} then referred_by_customer_id end as referred_by_customer_id)"
        if table in doomed:
            where = f"where rowid not in (select place from {doomed[table][0]})"
        con.execute(f"create table fresh.{table} as select {columns} from found.{table} {where}")
    for schema, table, column, comment in con.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns()"
        " where database_name = 'found' and not internal and comment is not null"
        " union all select schema_name, table_name, null, comment from duckdb_tables()"
        " where database_name = 'found' and not internal and comment is not null"
    ).fetchall():
        name = f"fresh.{identifier(schema)}.{identifier(table)}"
        what = f"column {name}.{identifier(column)}" if column else f"table {name}"
        con.execute(f"comment on {what} is {literal(comment)}")
