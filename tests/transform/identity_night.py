"""Landed rows by hand -> a night's identity, with the vault's state carried from night to night."""

from datetime import date, datetime
from pathlib import Path

import duckdb

from pipeline.ingest.contracts import load_contracts
from pipeline.transform.build import build_golden, set_night, start_of_day_utc
from pipeline.transform.companies import resolve_companies
from pipeline.transform.identity import customers_then, resolve_customers
from pipeline.transform.identity_rules import load_rules
from pipeline.transform.references import collect_references
from pipeline.transform.staging import read_landed, stage_entities
from pipeline.transform.survivorship import load_survivorship

NEVER = date(2999, 1, 1)
OBSERVED_AT = datetime(2026, 1, 1)


def record(source, key, **columns):
    """A customer's own record in a source, registered on 2025-01-01 unless told."""
    return {
        "source": source,
        "customer_key": key,
        "source_customer_id": key,
        "registered_at": datetime(2025, 1, 1),
    } | columns


def order(order_id, email=None, phone=None, key=None, source="shop", ordered_at=datetime(2025, 6, 1)):
    """An order; a guest's when no key is given."""
    key = key or (f"e:{email}" if email else f"p:{phone}" if phone else None)
    return {
        "source": source,
        "customer_key": key,
        "order_id": order_id,
        "email": email,
        "phone": phone,
        "ordered_at": ordered_at,
    }


def identify(con, paths, as_of, timezone, company_rules=None, is_newest=True):
    """The steps of a night from landed files to who is who. keyed() leaves the text as it is. Counts of companies."""
    con.execute("create or replace temp macro keyed(v) as v")
    read_landed(con, paths)
    rules, moment = load_rules(), start_of_day_utc(as_of, timezone)
    collect_references(con, load_contracts(), rules, 20, moment)
    stage_entities(con)
    resolve_customers(con, rules, (), 20, moment, is_newest, (as_of, "run"))
    counts = resolve_companies(con, company_rules or rules["companies"], is_newest)
    build_golden(con, load_survivorship(Path("no folder of the user's"), set()))
    return counts


class Nights:
    """A vault and its nights. keyed() leaves the text as it is, so that keys can be read."""

    def __init__(self):
        self.vault = duckdb.connect()
        self.state = {}

    def run(self, customers=(), orders=(), decisions=(), rules=None, limit=20, as_of=NEVER, is_newest=True):
        """{(source, customer_key): customer_id} of a night; its connection stays in self.con."""
        con = self.con = duckdb.connect()
        con.execute("attach ':memory:' as vault")
        con.execute("attach ':memory:' as work")
        con.execute("set search_path = 'memory.main,work.main'")
        con.execute("create temp macro keyed(v) as v")
        for table, rows in self.state.items():
            con.register("carried", rows)
            con.execute(f"create table vault.{table} as select * from carried")
        set_night(con, as_of, "UTC")
        read_landed(con, {})
        for entity, rows in (("customers", customers), ("orders", orders)):
            self._land(entity, rows)
        rules = rules or load_rules()
        moment = datetime.combine(as_of, datetime.min.time())
        collect_references(con, load_contracts(), rules, limit, moment)
        stage_entities(con)
        self.counts = resolve_customers(con, rules, decisions, limit, moment, is_newest, (as_of, f"run of {as_of}"))
        self.state = {
            table: con.sql(f"select * from vault.{table}").pl()
            for (table,) in con.sql("select table_name from duckdb_tables() where database_name = 'vault'").fetchall()
        }
        return self.ids()

    def _land(self, entity, rows):
        kinds = load_contracts()[entity].landed_columns()
        self.con.execute(f"create or replace table rows_{entity} ({', '.join(f'{n} {k}' for n, k in kinds.items())})")
        for place, row in enumerate(rows):
            row = {"file_id": "f", "file_record": place, "observed_at": OBSERVED_AT, "delivery": "full"} | row
            self.con.execute(
                f"insert into rows_{entity} ({', '.join(row)}) values ({', '.join('?' for _ in row)})",
                list(row.values()),
            )
        key = ", customer_key_of(customer_key, email, phone) as customer_key"
        self.con.execute(
            f"create or replace temp view landed_{entity} as select * exclude (customer_key){key} from rows_{entity}"
        )

    def ids(self):
        rows = self.con.sql("select source, customer_key, customer_id from customer_map").fetchall()
        return {(source, key): customer_id for source, key, customer_id in rows}

    def then(self, cut_off):
        """The ids of tonight's records as they were known at a cut-off."""
        self.con.execute("create or replace temp table cohort as select distinct customer_id from customer_map")
        customers_then(self.con, datetime.combine(cut_off, datetime.min.time()))
        moved = self.con.sql("select source, customer_key, customer_id from moved_customers").fetchall()
        return self.ids() | {(source, key): customer_id for source, key, customer_id in moved}

    def changes(self):
        return self.con.sql(
            "select changed_on, customer_id, change, other_customer_id, record_count, reason from vault.identity_changes"
            " order by all"
        ).fetchall()
