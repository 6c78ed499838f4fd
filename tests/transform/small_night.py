"""A night of hand-made landed rows: staged, resolved, core and facts built in memory."""

from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl

from pipeline.ingest.contracts import load_contracts
from pipeline.transform import build
from pipeline.transform.company_rules import load_company_rules
from tests.transform.identity_night import identify

AS_OF = date(2026, 3, 1)
TIMEZONE = "Asia/Shanghai"
LANDED_AT = datetime(2026, 2, 28, 18)
RULES = load_company_rules(Path("no folder of the user's"))


def connect():
    """A connection with the databases of a night, all in memory; the vault in it goes from night to night."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    con.execute("attach ':memory:' as vault")
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    return con


def make_landed(folder, entity, rows):
    """Landed rows of an entity as Parquet. A row: its columns, and source (crm), customer_key (its source_customer_id,
    else its e-mail), observed_at (LANDED_AT) where they differ."""
    types = load_contracts()[entity].landed_columns()
    con = duckdb.connect()
    columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    con.execute(f"create table landed ({columns})")
    for place, given in enumerate(rows, start=1):
        row = {
            "source": "crm",
            "customer_key": given.get("source_customer_id") or given.get("email"),
            "file_id": "file",
            "file_record": place,
            "observed_at": LANDED_AT,
            "delivery": "delta",
        } | given
        con.execute(f"insert into landed ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values()))
    path = folder / f"{entity}.parquet"
    con.execute(f"copy landed to '{path}' (format parquet)")
    return path


def run_night(con, folder, as_of=AS_OF, rules=RULES, is_newest=True, rfm_window_days=0, **rows):
    """Run identity, core and facts over landed rows by entity. Returns what resolve_companies counted."""
    build.set_night(con, as_of, TIMEZONE, rfm_window_days=rfm_window_days)
    paths = {entity: [make_landed(folder, entity, given)] for entity, given in rows.items()}
    counts = identify(con, paths, as_of, TIMEZONE, rules, is_newest)
    build.build_core(con, _ignore)
    build.build_facts(con, as_of, TIMEZONE, [], 1000, _ignore)
    build.build_company_facts(con, _ignore)
    return counts


def _ignore(name, rows):
    pass


def rows_of(con, sql):
    """A query's rows as dicts."""
    return con.sql(sql).pl().to_dicts()


def company_facts(con, company_id="K000000001"):
    """One company's facts as a dict."""
    frame = con.sql("from marts.company_facts").pl().filter(pl.col("company_id") == company_id)
    assert frame.height == 1
    return frame.to_dicts()[0]
