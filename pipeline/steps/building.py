"""Landed rows -> who is who, core, facts, and the contracts as checks over them."""

import json

import polars as pl

from pipeline import ops
from pipeline.ingest.connection import define_keyed
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.suites import check_entities
from pipeline.settings import contact_limits
from pipeline.steps.freshness import find_orders_until, freshness_check
from pipeline.steps.training_nights import decide_training
from pipeline.steps.training_sets import choose_cut_offs, outcome_horizons
from pipeline.transform.build import (
    build_company_facts,
    build_contacts,
    build_core,
    build_facts,
    build_golden,
    build_outcomes,
    set_night,
    start_of_day_utc,
)
from pipeline.transform.companies import resolve_companies
from pipeline.transform.company_ids import carry_companies
from pipeline.transform.contactability import build_contactability
from pipeline.transform.identity import resolve_customers
from pipeline.transform.lasting_ids import STATE
from pipeline.transform.references import collect_references
from pipeline.transform.staging import read_landed, stage_entities
from pipeline.warehouse import (
    attach,
    has_table,
    newest_as_of,
    state_before,
    value,
)

# in the vault, the newest night's
CONTACTS = ("contacts", "contacts_history")


def open_warehouse(night):
    """The scratch warehouse as the default database, the scratch vault beside it, and the night before to read."""
    settings, con = night.settings, night.con
    # tables here have no order of their own, and keeping one takes memory
    con.execute("set preserve_insertion_order = false")
    # our joins name the large side first. DuckDB thinks that a filter on a union leaves a handful of rows, and would
    # build the hash table on 10M orders: out of memory at 4 GiB, where the order as written takes seconds
    con.execute("set disabled_optimizers = 'build_side_probe_side'")
    attach(con, night.scratch / "warehouse.duckdb", "warehouse", settings.storage_version)
    attach(con, night.scratch / "vault.duckdb", "vault", settings.storage_version)
    # what only this night needs goes to a file too: temporary tables would fill the memory
    attach(con, night.scratch / "work.duckdb", "work", settings.storage_version)
    con.execute("set search_path = 'warehouse.main,work.main'")
    con.execute("create schema ops")
    vault = settings.vault / "vault.duckdb"
    if vault.exists():
        attach(con, vault, "previous_vault")
        for table in STATE:
            if has_table(con, "previous_vault", "main", table):
                con.execute(f"create table vault.{table} as select * from previous_vault.{table}")
        carry_companies(con, "previous_vault")
        if not is_newest_night(night):
            # an earlier night tells nobody anew how to reach whom: the newest night's ids and words stand
            for table in CONTACTS:
                if has_table(con, "previous_vault", "main", table):
                    con.execute(f"create table vault.{table} as select * from previous_vault.{table}")
        con.execute("detach previous_vault")
    kept = value(con, "select count(*) from vault.customer_map") if vault.exists() else 0
    night.audit("vault opened", "vault/vault.duckdb", kept, "identity")
    state = state_before(settings, night.as_of)
    if state:
        attach(con, state, "previous")
        night.previous = "previous"
        night.is_previous_earlier = value(con, "select max(as_of) from previous.ops.night") < night.as_of


def identity(night, report):
    """Which source records are one customer."""
    paths = {}
    for landing in night.landings:
        paths.setdefault(landing["entity"], []).append(night.settings.vault / landing["path"])
    open_warehouse(night)
    settings, con, rules = night.settings, night.con, night.identity_rules
    set_night(
        con,
        night.as_of,
        settings.business_timezone,
        settings.consent_when_silent,
        contact_limits(settings),
        settings.rfm_window_days,
    )
    define_keyed(con, settings)
    read_landed(con, paths)
    as_of_utc = start_of_day_utc(night.as_of, settings.business_timezone)
    limit, is_newest = settings.max_customers_per_identifier, is_newest_night(night)
    report("blocked identifiers", collect_references(con, load_contracts(), rules, limit, as_of_utc))
    stage_entities(con)
    counts = resolve_customers(
        con,
        rules,
        night.identity_decisions,
        limit,
        as_of_utc,
        is_newest,
        (night.as_of, night.run_id),
        settings.seed,
    )
    counts |= resolve_companies(con, night.company_rules, is_newest)
    for name, count in counts.items():
        report(name.replace("_", " "), count)
    build_golden(con, night.survivorship)
    if is_newest:
        build_contacts(con)
    return counts["customers"]


def is_newest_night(night) -> bool:
    """Whether no later night is published."""
    newest = newest_as_of(night.settings)
    return newest is None or night.as_of >= newest


def core(night, report):
    """Everything landed, as tables."""
    build_core(night.con, report)
    return value(night.con, "select count(*) from core.orders")


def facts(night, report):
    """What was known of each customer before as_of, and before each training cut-off."""
    find_orders_until(night)
    decide_training(night, report)
    choose_cut_offs(night, _kept_horizon(night))
    build_facts(
        night.con,
        night.as_of,
        night.settings.business_timezone,
        night.cut_offs,
        night.settings.training_customers,
        report,
    )
    build_contactability(night.con, report)
    build_company_facts(night.con, report)
    build_outcomes(night.con, outcome_horizons(night), night.settings.business_timezone)
    return value(night.con, "select count(*) from marts.customer_facts")


def _kept_horizon(night):
    """Params of the newest horizon that was estimated before tonight: it stays, whatever came since."""
    if not (night.previous and has_table(night.con, "previous", "ops", "model_runs")):
        return None
    rows = night.con.execute(
        "select params from previous.ops.model_runs where model = 'horizon' and status = 'used'"
        " and json_extract_string(params, '$.origin') = 'estimated' and as_of < ? order by as_of desc limit 1",
        (night.as_of,),
    ).fetchall()
    return json.loads(rows[0][0]) if rows else None


def checks(night, report):
    """The contracts as Great Expectations suites, over what landed."""
    delivered = sorted({landing["entity"] for landing in night.landings})
    before = None
    if night.is_previous_earlier:
        rows = night.con.execute(
            "select entity, sum(record_count) from previous.ops.reconciliation group by entity"
        ).fetchall()
        before = {entity: int(count) for entity, count in rows}
    results = check_entities(night.con, delivered, night.run_id, night.as_of, before)
    results = pl.concat([results.select(*ops.CHECKS), freshness_check(night)])
    ops.append_history(night.con, "checks", results, night.as_of, None)
    # whether orders still come is told in words of its own
    failed = results.filter(~pl.col("success") & (pl.col("rule") != "stale"))
    for row in failed.iter_rows(named=True):
        where = f"{row['entity']} {row['column_name'] or ''} {row['rule']}: {row['message']}"
        night.warn(f"check failed: {where}", f"检查未通过：{where}")
    return len(results)
