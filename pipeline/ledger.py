"""What is remembered outside the warehouse, so that a failed night is on record: runs, files, landings, audit. SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl

SCHEMA = """
create table if not exists runs (
    run_id text primary key, as_of text, status text, started_at text, ended_at text, message text
);
create table if not exists contents (
    content_hash text primary key, file_id text, file_name text, size_bytes integer, line_count integer,
    observed_at text, raw_path text, layout text, header text, raw_hash text, container text, is_rendition integer
);
create table if not exists landings (
    content_hash text, fingerprint text, entity text, lines_read integer, landed integer, rejected integer,
    duplicates integer, record_count integer, path text, rejects_path text, notes text, rates_version text,
    primary key (content_hash, fingerprint, entity)
);
create table if not exists unmapped_words (
    content_hash text, fingerprint text, entity text, column_name text, word text, row_count integer,
    primary key (content_hash, fingerprint, entity, column_name, word)
);
create table if not exists files (
    run_id text, file_id text, file_name text, layout text, source text, status text, message text,
    size_bytes integer, line_count integer, observed_at text
);
create table if not exists cursors (
    entry text primary key, statement text, kind text, last text, boundary text, content_hash text
);
create table if not exists nights (as_of text primary key, run_id text, is_stale integer);
create table if not exists repeats (
    run_id text, content_hash text, file_name text, lines_read integer
);
create table if not exists waiting (
    file_name text primary key, size_bytes integer, modified_ns integer, version text, outcomes text
);
create table if not exists audit (
    done_at text, run_id text, who text, what text, object_name text, row_count integer, purpose text
);
create trigger if not exists audit_rows_stay before delete on audit
begin select raise(abort, 'audit rows are not deleted'); end;
create trigger if not exists audit_rows_stand before update on audit
begin select raise(abort, 'audit rows are not changed'); end;
create table if not exists suppressions (
    kind text, sieve text, hash text primary key, request_id text, suppressed_on text
);
create table if not exists erasures (
    request_id text primary key, requested_at text, status text, persons integer, shared_identifiers integer
);
create table if not exists removals (request_id text, place text, what text, count integer);
"""


class Ledger:
    """The ledger file. Every method is one transaction; frames come back typed as they went in."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as db, db:
            db.executescript(SCHEMA)
            columns = [row[1] for row in db.execute("pragma table_info(contents)")]
            # ledgers of before files could be kept without some of their lines, or hold several tables
            for name, kind in (
                ("raw_hash", "text"),
                ("container", "text"),
                ("is_rendition", "integer"),
                ("kinds", "text"),
            ):
                if name not in columns:
                    db.execute(f"alter table contents add column {name} {kind}")
            if "schema_change" not in [row[1] for row in db.execute("pragma table_info(files)")]:
                db.execute("alter table files add column schema_change text")
            if "rates_version" not in [row[1] for row in db.execute("pragma table_info(landings)")]:
                # a ledger of before amounts of other currencies could land
                db.execute("alter table landings add column rates_version text")

    def _open(self):
        return sqlite3.connect(self.path, timeout=30)

    def insert(self, table: str, **row) -> None:
        """One row in, in place of one with the same key."""
        self.insert_all(table, [row])

    def insert_all(self, table: str, rows: list[dict]) -> None:
        """Rows with the same columns in, all or none, in place of those with the same keys."""
        if rows:
            names = ", ".join(rows[0])
            marks = ", ".join("?" for _ in rows[0])
            with closing(self._open()) as db, db:
                db.executemany(
                    f"insert or replace into {table} ({names}) values ({marks})", [tuple(row.values()) for row in rows]
                )

    def insert_together(self, tables: dict[str, list[dict]]) -> None:
        """Rows into several tables, all or none, in place of those with the same keys."""
        self._insert(tables, "replace")

    def insert_new(self, tables: dict[str, list[dict]]) -> None:
        """Rows into several tables, all or none; rows whose key is there already stay as they are."""
        self._insert(tables, "ignore")

    def _insert(self, tables, on_same_key):
        with closing(self._open()) as db, db:
            for table, rows in tables.items():
                for row in rows:
                    marks = ", ".join("?" for _ in row)
                    db.execute(
                        f"insert or {on_same_key} into {table} ({', '.join(row)}) values ({marks})", tuple(row.values())
                    )

    def change(self, sql: str, parameters=()) -> None:
        """An update or a deletion."""
        with closing(self._open()) as db, db:
            db.execute(sql, parameters)

    def rows(self, sql: str, parameters=()) -> list[dict]:
        """A query's rows as dictionaries."""
        with closing(self._open()) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, parameters).fetchall()]

    def frame(self, sql: str, parameters=(), schema=None) -> pl.DataFrame:
        """A query's rows as a Polars frame with the given schema."""
        return pl.DataFrame(self.rows(sql, parameters), schema=schema, infer_schema_length=None)

    def finish_run(self, run_id: str, status: str, ended_at: str, message: str) -> None:
        """Close a run as done, failed or interrupted."""
        with closing(self._open()) as db, db:
            db.execute(
                "update runs set status = ?, ended_at = ?, message = ? where run_id = ?",
                (status, ended_at, message, run_id),
            )

    def close_interrupted(self, ended_at: str) -> int:
        """Runs that a crash left RUNNING are marked so; the caller holds the lock, so none of them lives. Their count."""
        with closing(self._open()) as db, db:
            return db.execute(
                "update runs set status = 'interrupted', ended_at = ?, message = 'the process ended before the night did'"
                " where status = 'running'",
                (ended_at,),
            ).rowcount

    def has_orders(self, file_id: str) -> bool:
        """Whether a kept file ever landed orders or order lines."""
        sql = (
            "select 1 from landings inner join contents using (content_hash)"
            " where file_id = ? and entity in ('orders', 'order_items') limit 1"
        )
        return bool(self.rows(sql, (file_id,)))

    def publish_night(self, as_of: str, run_id: str) -> list[str]:
        """A night stands published; the nights after it were built on what it replaces: their dates, now stale."""
        with closing(self._open()) as db, db:
            db.execute("insert or replace into nights values (?, ?, 0)", (as_of, run_id))
            db.execute("update nights set is_stale = 1 where as_of > ?", (as_of,))
        return [row["as_of"] for row in self.rows("select as_of from nights where is_stale = 1 order by as_of")]
