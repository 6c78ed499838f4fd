"""Rows -> facts: runs the SQL folders in dependency order. core/ and marts/ are published, the rest is of the night alone."""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from zoneinfo import ZoneInfo

from pipeline.transform.contactability import set_contact_rules
from pipeline.transform.identity import customers_then
from pipeline.transform.regions import build_regions
from pipeline.transform.survivorship import Survivorship, define_survivorship
from pipeline.warehouse import value

FOLDER = Path(__file__).parent
# records as known at a cut-off, by one SQL for customers (facts) and for companies (company_facts)
KNOWN = ("orders", "tickets", "opportunities", "subscriptions")
# what takes memory for each customer is made for so many versions of source records at once
VERSIONS_A_SLICE = 1_000_000
# what a later moment may rewrite or nobody stated then is no input to a model: see DECISIONS.md, "Attributes"
ATTRIBUTES = [
    "gender",
    "birth_year",
    "birth_month",
    "age_years",
    "age_band",
    "occupation",
    "education",
    "marital_status",
    "income_band",
    "country",
    "province",
    "city",
    "acquisition_channel",
    "owner",
    "loyalty_tier",
    "loyalty_points",
    "referred_by_customer",
]

# core.company_contacts is not among them: no model and no other fact reads the company_id that it gives.
# what facts read of core as <name>_then -> the relation, and the record that names its customer: entity and key
READ_BY_FACTS = {
    "orders": ("orders_versions", "orders", "order_id"),
    "order_items": ("order_items_versions", "orders", "order_id"),
    "returns": ("returns_versions", "orders", "order_id"),
    "tickets": ("tickets_versions", "tickets", "ticket_id"),
    "subscriptions": ("subscriptions_versions", "subscriptions", "subscription_id"),
    "opportunities": ("opportunities_versions", "opportunities", "opportunity_id"),
    "interactions": ("core.interactions", "customers", "source_customer_id"),
    "feedback": ("core.feedback", "feedback", "feedback_id"),
    "consents": ("core.consents", "customers", "source_customer_id"),
    "customer_versions": ("core.customer_versions", "customers", "source_customer_id"),
    "customer_sources": ("core.customer_sources", "customers", "source_customer_id"),
}


def start_of_day_utc(day: date, timezone: str) -> datetime:
    """00:00 of a business day as a UTC timestamp without zone."""
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)


def set_night(
    con,
    as_of: date,
    timezone: str,
    consent_when_silent: dict | None = None,
    contact_limits=(),
    rfm_window_days: int = 0,
) -> None:
    """The one-row table `night`, which all SQL may read, and the rules of contact: see set_contact_rules."""
    set_contact_rules(con, consent_when_silent or {}, contact_limits)
    _define_conversion(con)
    con.execute(
        "create or replace temp table night"
        " (as_of date, as_of_utc timestamp, business_timezone varchar, rfm_window_days integer)"
    )
    con.execute(
        "insert into night values (?, ?, ?, ?)", (as_of, start_of_day_utc(as_of, timezone), timezone, rfm_window_days)
    )


def _define_conversion(con):
    """How core brings amounts into the reporting currency; an unknown rate gives no amount, never 1."""
    con.execute(
        "create or replace temp macro in_reporting_currency(amount, rate) as"
        " case when rate = 1 then amount else (amount * rate)::decimal(18, 4) end"
    )
    # what states no currency of its own is in its order's; without an order it is in the reporting currency
    con.execute(
        "create or replace temp macro rate_of_order(own, currency, rate) as"
        " case when own is null and currency is null then 1 when own is null or own = currency then rate end"
    )


def build_core(con, report: Callable[[str, int], None]) -> None:
    """Every core table, from the staged views and customer_map.

    A file that reads versions makes two tables: core.<name>, each record as last known, and core.<name>_history, what
    it was before, from valid_from until valid_to. The view <name>_versions is both, for the facts. Customers have
    their own files for versions and history, from golden_records.
    """
    con.execute("create schema if not exists core")
    build_regions(con)
    for path in in_order(FOLDER / "core"):
        sql = path.read_text(encoding="utf-8")
        if f"stg_{path.stem}_versions" in sql:
            con.execute(f"create or replace temp view all_versions as {sql}")
            con.execute(
                f"create or replace table core.{path.stem} as"
                " select * exclude (valid_to) from all_versions where valid_to is null"
            )
            con.execute(
                f"create or replace table core.{path.stem}_history as"
                " select * from all_versions where valid_to is not null"
            )
            con.execute(
                f"create or replace temp view {path.stem}_versions as select *, null::timestamp as valid_to"
                f" from core.{path.stem} union all by name select * from core.{path.stem}_history"
            )
        else:
            _create(con, f"core.{path.stem}", sql)
        report(f"core.{path.stem}", value(con, f"select count(*) from core.{path.stem}"))


def build_golden(con, survivorship: Survivorship) -> None:
    """work.customer_records and work.golden_records, from the staged views and customer_map, for core and vault."""
    define_survivorship(con, survivorship)
    for path in in_order(FOLDER / "golden"):
        _create(con, f"work.{path.stem}", path.read_text(encoding="utf-8"))


def build_contacts(con) -> None:
    """vault.contacts and vault.contacts_history: the personal part of each customer's golden record."""
    for path in in_order(FOLDER / "vault"):
        con.execute(f"create or replace table vault.{path.stem} as {path.read_text(encoding='utf-8')}")


def build_facts(
    con,
    as_of: date,
    timezone: str,
    training_cut_offs: list[date],
    training_customers: int,
    report: Callable[[str, int], None],
) -> None:
    """marts.customer_facts as of tonight, and the same SQL's work.training_facts as of each training cut-off.

    One cut-off at a time, so that memory holds one night's facts; tonight comes last and leaves its parts for outcomes.
    Tonight holds everybody; a training cut-off at most training_customers, drawn by the hash of their id. Whom a link
    made one since a training cut-off counts there as the several customers known then.
    """
    con.execute("create schema if not exists marts")
    final = (FOLDER / "marts" / "customer_facts.sql").read_text(encoding="utf-8")
    con.execute("drop table if exists work.training_facts")
    con.execute(
        "create or replace table work.former_customers (as_of date, customer_id varchar, current_customer_id varchar)"
    )
    for cut_off in [*sorted(training_cut_offs), as_of]:
        con.execute("create or replace temp table cut_offs (as_of date, as_of_utc timestamp)")
        con.execute("insert into cut_offs values (?, ?)", (cut_off, start_of_day_utc(cut_off, timezone)))
        drawn = "" if cut_off == as_of else f"order by md5(customer_id) limit {int(training_customers)}"
        con.execute(f"create or replace temp table cohort as select customer_id from core.customers {drawn}")
        moved = 0 if cut_off == as_of else customers_then(con, start_of_day_utc(cut_off, timezone))
        _read_as_then(con, cut_off, moved > 0)
        _set_scope(con, "then", "semi join cohort using (customer_id)")
        for path in in_order(FOLDER / "facts"):
            con.execute(f"create or replace table work.{path.stem} as {path.read_text(encoding='utf-8')}")
        if cut_off == as_of:
            con.execute(f"create or replace table marts.customer_facts as {final}")
            report("marts.customer_facts", value(con, "select count(*) from marts.customer_facts"))
        else:
            exists = value(con, "select count(*) from duckdb_tables() where table_name = 'training_facts'")
            con.execute(
                f"insert into work.training_facts {final}" if exists else f"create table work.training_facts as {final}"
            )
            count = value(con, f"select count(*) from training_facts where as_of = date '{cut_off}'")
            report(f"training facts as of {cut_off}", count)


def build_purchase_days(con, before: date, timezone: str, customers: int) -> None:
    """work.purchase_days (customer_id, ordered_on): days before `before` with an order that counted then.

    Of at most `customers` customers, drawn by the hash of their id.
    """
    con.execute("create or replace temp table cut_offs (as_of date, as_of_utc timestamp)")
    con.execute("insert into cut_offs values (?, ?)", (before, start_of_day_utc(before, timezone)))
    con.execute(
        f"create or replace temp table cohort as select customer_id from core.customers order by md5(customer_id)"
        f" limit {int(customers)}"
    )
    _read_as_then(con, before, False)
    _set_scope(con, "then", "semi join cohort using (customer_id)")
    sql = (FOLDER / "facts" / "orders_known.sql").read_text(encoding="utf-8")
    con.execute(f"create or replace table work.orders_known as {sql}")
    con.execute(
        "create or replace table work.purchase_days as"
        " select distinct customer_id, ordered_on from orders_known where is_counted"
    )


def _read_as_then(con, cut_off, has_moved):
    """The views <name>_then: core's rows with the customers known at the cut-off; and who of the cohort was several."""
    for name, (relation, entity, key) in READ_BY_FACTS.items():
        if not has_moved:
            con.execute(f"create or replace temp view {name}_then as select * from {relation}")
            continue
        named = "source_customer_id" if entity == "customers" else key
        rows = (
            "select source, customer_key as source_customer_id, customer_id from moved_customers"
            if entity == "customers"
            else f"select distinct on (stg.source, stg.{key}) stg.source, stg.{key}, moved.customer_id"
            f" from stg_{entity} as stg inner join moved_customers as moved"
            " on stg.source = moved.source and stg.customer_key = moved.customer_key"
        )
        con.execute(f"create or replace table work.moved_{name} as {rows}")
        con.execute(
            f"""
            create or replace temp view {name}_then as
            select rows.* replace (coalesce(moved.customer_id, rows.customer_id) as customer_id)
            from {relation} as rows
            left join work.moved_{name} as moved on rows.source = moved.source and rows.{named} = moved.{named}
            """
        )
    if has_moved:
        con.execute(
            "insert into work.former_customers"
            " select distinct ?::date, moved.customer_id, customer_map.customer_id"
            " from moved_customers as moved inner join customer_map using (source, customer_key)",
            (cut_off,),
        )
        con.execute(
            "create or replace temp table cohort as select customer_id from cohort union"
            " select customer_id from work.former_customers where as_of = ?",
            (cut_off,),
        )


def _set_scope(con, rows, condition):
    """The views <entity>_in_scope that the SQL of KNOWN reads: the versions of whom a set of facts is about."""
    for entity in KNOWN:
        con.execute(
            f"create or replace temp view {entity}_in_scope as select * from {entity}_{rows} as versions {condition}"
        )


def build_company_facts(con, report: Callable[[str, int], None]) -> None:
    """marts.company_facts at the cut-offs that build_facts left, which are tonight's."""
    _set_scope(con, "versions", "where company_id is not null")
    for entity in KNOWN:
        sql = (FOLDER / "facts" / f"{entity}_known.sql").read_text(encoding="utf-8")
        con.execute(f"create or replace table work.company_{entity}_known as {sql}")
    for path in in_order(FOLDER / "company_facts"):
        con.execute(f"create or replace table work.{path.stem} as {path.read_text(encoding='utf-8')}")
    final = (FOLDER / "marts" / "company_facts.sql").read_text(encoding="utf-8")
    con.execute(f"create or replace table marts.company_facts as {final}")
    report("marts.company_facts", value(con, "select count(*) from marts.company_facts"))


def _create(con, table, sql):
    """A table from a query, which may ask for one slice of the customers at a time."""
    slices = 1
    if "getvariable('slice')" in sql:
        slices += value(con, "select count(*) from customer_records") // VERSIONS_A_SLICE
    con.execute(f"set variable slice_count = {slices}")
    for number in range(slices):
        con.execute(f"set variable slice = {number}")
        con.execute(f"insert into {table} {sql}" if number else f"create or replace table {table} as {sql}")


def build_outcomes(con, horizons: list[tuple[date, int]], timezone: str, only: str | None = None) -> None:
    """work.outcomes: what customers bought in [cut-off, cut-off + days) for each (cut-off, days); work.contract_outcomes: whose
    contract ran on when it was over. only: one of the two."""
    con.execute(
        "create or replace table work.horizons (as_of date, horizon_days integer, as_of_utc timestamp, end_utc timestamp)"
    )
    for cut_off, days in horizons:
        begin, end = (start_of_day_utc(day, timezone) for day in (cut_off, cut_off + timedelta(days=days)))
        con.execute("insert into horizons values (?, ?, ?, ?)", (cut_off, days, begin, end))
    for path in in_order(FOLDER / "training"):
        if only in (None, path.stem):
            con.execute(f"create or replace table work.{path.stem} as {path.read_text(encoding='utf-8')}")


def model_facts(table: str, where: str = "true") -> str:
    """SQL for facts as models may see them: attributes that became known later than their cut-off are left out."""
    replaced = ", ".join(f"case when not is_attribute_backdated then {name} end as {name}" for name in ATTRIBUTES)
    return f"select * replace ({replaced}) from {table} where {where}"


def in_order(folder: Path) -> list[Path]:
    """The SQL files of a folder, each after those whose tables it reads."""
    paths = {path.stem: path for path in sorted(folder.glob("*.sql"))}
    graph = {}
    for name, path in paths.items():
        read = re.findall(r"\b(?:from|join)\s+(?:\w+\.)?(\w+)", path.read_text(encoding="utf-8"), re.IGNORECASE)
        graph[name] = sorted({table for table in read if table in paths and table != name})
    return [paths[name] for name in TopologicalSorter(graph).static_order()]
