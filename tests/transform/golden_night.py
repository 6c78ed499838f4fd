"""A small house of customer records: rows in, core and vault tables and facts out."""

from datetime import date, datetime

import duckdb
import polars as pl

from pipeline.ingest.contracts import load_contracts
from pipeline.transform import build
from pipeline.transform.regions import build_regions
from pipeline.transform.staging import read_landed, stage_entities
from pipeline.transform.survivorship import load_survivorship

AS_OF, TIMEZONE = date(2026, 11, 1), "UTC"


def make_record(day: str, source="crm", key="K1", customer_id="C1", **cells) -> dict:
    """A version of a customer's record that became known on a day, at noon. Any other cell of a landed row by name."""
    row = dict.fromkeys(load_contracts()["customers"].landed_columns())
    known_at = datetime.fromisoformat(day if "T" in day else f"{day}T12:00:00")
    row |= {"source": source, "customer_key": key, "file_id": "f", "file_record": 1}
    return row | {"updated_at": known_at, "observed_at": known_at, "customer_id": customer_id} | cells


def build_records(tmp_path, records: list[dict], rules=""):
    """A connection with core, vault and work of these records. rules: the user's survivorship.yaml."""
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    con.execute("attach ':memory:' as vault")
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    types = {"varchar": pl.String, "date": pl.Date, "timestamp": pl.Datetime, "boolean": pl.Boolean, "bigint": pl.Int64}
    landed = {name: types[kind] for name, kind in load_contracts()["customers"].landed_columns().items()}
    pl.DataFrame(
        [{name: row[name] for name in landed} | {"source_customer_id": row["customer_key"]} for row in records], landed
    ).write_parquet(tmp_path / "customers.parquet")
    build.set_night(con, AS_OF, TIMEZONE)
    read_landed(con, {"customers": [tmp_path / "customers.parquet"]})
    stage_entities(con)
    links = {(row["source"], row["customer_key"]): row["customer_id"] for row in records}
    con.execute("create table work.customer_map (source varchar, customer_key varchar, customer_id varchar)")
    con.executemany("insert into work.customer_map values (?, ?, ?)", [(*key, link) for key, link in links.items()])
    con.execute(
        "create table work.customer_references as"
        " select source, customer_key, email, phone, registered_at as seen_at from landed_customers"
    )
    if rules:
        (tmp_path / "survivorship.yaml").write_text(rules, encoding="utf-8")
    build.build_golden(con, load_survivorship(tmp_path if rules else tmp_path / "none", {"crm", "shop", "erp"}))
    build.build_contacts(con)
    con.execute("create schema core")
    build_regions(con)
    con.execute(
        "create table core.customer_sources as select source, customer_key as source_customer_id, customer_id,"
        " null::timestamp as first_evidence_at from customer_map"
    )
    for name in ("customer_versions", "customers_history", "customers", "customer_attribute_sources"):
        build._create(con, f"core.{name}", (build.FOLDER / "core" / f"{name}.sql").read_text(encoding="utf-8"))
    return con


def rows(con, sql: str) -> list[tuple]:
    return con.execute(sql).fetchall()


def facts_as_of(con, day: date) -> list[dict]:
    """work.attribute_facts as of a day, by customer."""
    con.execute("create or replace temp table cut_offs (as_of date, as_of_utc timestamp)")
    con.execute("insert into cut_offs values (?, ?)", (day, build.start_of_day_utc(day, TIMEZONE)))
    con.execute("create or replace temp view customer_versions_then as select * from core.customer_versions")
    con.execute("create or replace temp table cohort as select customer_id from core.customers")
    sql = (build.FOLDER / "facts" / "attribute_facts.sql").read_text(encoding="utf-8")
    return con.sql(sql).pl().sort("customer_id").to_dicts()
