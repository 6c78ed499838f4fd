"""Contracts as known at a cut-off, and what became of them."""

from datetime import date, datetime, timedelta

from pipeline.transform import build
from tests.transform.small_night import AS_OF, TIMEZONE, connect, rows_of, run_night

CUT_OFF = date(2025, 12, 1)
# 1 December in Shanghai
CUT_OFF_UTC = datetime(2025, 11, 30, 16)
SEEN = datetime(2026, 2, 20)


def make_subscription(name, started_days_before, ended_days_after=None, customer=None, **overrides):
    """A subscription of the customer of its name; days count from the cut-off."""
    ended = None if ended_days_after is None else CUT_OFF_UTC + timedelta(days=ended_days_after)
    return {
        "subscription_id": name,
        "source_customer_id": customer or name,
        "plan": "monthly",
        "status": "active",
        "started_at": CUT_OFF_UTC - timedelta(days=started_days_before),
        "ended_at": ended,
        "amount": 89,
        "observed_at": SEEN,
    } | overrides


def run(tmp_path, *subscriptions):
    """(facts at CUT_OFF, facts tonight, names whose contract ran 60 days after CUT_OFF), by name."""
    con = connect()
    names = sorted({row["source_customer_id"] for row in subscriptions})
    customers = [{"source_customer_id": name, "registered_at": datetime(2024, 1, 1)} for name in names]
    run_night(con, tmp_path, customers=customers, subscriptions=subscriptions)
    build.build_facts(con, AS_OF, TIMEZONE, [CUT_OFF], 1000, lambda name, rows: None)
    build.build_outcomes(con, [(CUT_OFF, 60)], TIMEZONE)
    name_of = dict(con.sql("select customer_id, source_customer_id from core.customer_sources").fetchall())
    then, tonight = (
        {name_of[row["customer_id"]]: row for row in rows_of(con, f"from {table}")}
        for table in ("training_facts", "marts.customer_facts")
    )
    kept = {name_of[row["customer_id"]] for row in rows_of(con, "from contract_outcomes")}
    return then, tonight, kept


def test_a_contract_then_and_what_became_of_it(tmp_path):
    then, tonight, kept = run(
        tmp_path,
        make_subscription("runs on", 40),
        # ends before day 60 less the 14 days in which it may be renewed
        make_subscription("ends", 40, 45),
        make_subscription("ends late", 40, 47),
        make_subscription("over", 40, -15),
        make_subscription("just over", 40, -13),
        make_subscription("first", 400, 10, "renews"),
        make_subscription("second", -15, None, "renews"),
        make_subscription("begins later", -5),
    )
    assert {name for name, row in then.items() if row["has_contract"]} == {
        "runs on",
        "ends",
        "ends late",
        "just over",
        "renews",
    }
    assert kept == {"runs on", "ends late", "renews", "begins later"}
    one = then["runs on"]
    assert (one["contract_plan"], one["contract_amount"], one["contract_age_days"]) == ("monthly", 89, 40)
    assert (one["subscription_count"], one["renewal_count"], one["active_subscription_count"]) == (1, 0, 1)
    assert (then["just over"]["contract_days_since_end"], then["just over"]["active_subscription_count"]) == (13, 0)
    assert (then["renews"]["renewal_count"], tonight["renews"]["renewal_count"]) == (0, 1)
    assert (tonight["renews"]["subscriber_days"], tonight["renews"]["contract_age_days"]) == (400 + 90, 90 - 15)
    assert not then["begins later"]["has_contract"] and tonight["begins later"]["has_contract"]


def test_an_end_announced_is_known_from_when_it_was_announced(tmp_path):
    early, late = CUT_OFF_UTC - timedelta(days=5), CUT_OFF_UTC + timedelta(days=5)
    then, tonight, kept = run(
        tmp_path,
        make_subscription("told before", 40, 100, updated_at=early, status="cancelling"),
        # what is seen lately only may have been anything then
        make_subscription("seen lately", 40, 100, status="cancelling"),
        make_subscription("told later", 40, None, updated_at=early),
        make_subscription("told later", 40, 100, updated_at=late, status="cancelling", plan="yearly", amount=800),
    )
    assert [then[name]["contract_days_to_end"] for name in ("told before", "seen lately", "told later")] == [
        100,
        None,
        None,
    ]
    assert [then[name]["contract_status"] for name in ("told before", "seen lately", "told later")] == [
        "cancelling",
        None,
        "active",
    ]
    # a change of terms counts from when it became known
    assert (then["told later"]["contract_plan"], tonight["told later"]["contract_plan"]) == ("monthly", "yearly")
    assert [tonight[name]["contract_days_to_end"] for name in ("told before", "seen lately", "told later")] == [10] * 3
    assert all(row["has_contract"] for row in then.values()) and kept == {"told before", "seen lately", "told later"}


def test_a_status_that_ends_without_a_date(tmp_path):
    seen = CUT_OFF_UTC - timedelta(days=1)
    then, tonight, kept = run(
        tmp_path,
        make_subscription("seen to end", 40, observed_at=seen),
        make_subscription("seen to end", 40, status="Expired", updated_at=CUT_OFF_UTC + timedelta(days=20)),
        # nobody knows when: neither a contract nor a past one
        make_subscription("ended some day", 40, status="expired"),
    )
    assert then["seen to end"]["has_contract"] and not tonight["seen to end"]["has_contract"]
    assert (then["seen to end"]["contract_days_to_end"], kept) == (None, set())
    assert [facts["ended some day"]["has_contract"] for facts in (then, tonight)] == [False, False]
    assert tonight["ended some day"]["subscription_count"] == 0


def test_what_comes_after_the_cut_off_changes_no_fact_then(tmp_path):
    before = [
        make_subscription("a", 40, observed_at=CUT_OFF_UTC - timedelta(days=3)),
        make_subscription("b", 40, 100, observed_at=CUT_OFF_UTC - timedelta(days=3)),
        make_subscription("c", 90, -50),
    ]
    after = [
        make_subscription("a", 40, 10, status="expired", plan="none", amount=1),
        make_subscription("b", 40, 3, status="cancelled"),
        make_subscription("c2", -1, None, "c"),
        make_subscription("a2", -30, None, "a"),
    ]
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    then, _, _ = run(tmp_path / "before", *before)
    then_again, _, kept = run(tmp_path / "after", *before, *after)
    assert then == then_again
    assert kept == {"a", "c"}


def test_without_subscriptions_nothing_is_said(tmp_path):
    con = connect()
    run_night(con, tmp_path, customers=[{"source_customer_id": "P1", "registered_at": SEEN}])
    (row,) = rows_of(con, "from marts.customer_facts")
    names = [name for name in row if name.startswith(("contract_", "subscri", "renewal")) or name == "has_contract"]
    assert len(names) == 10 and all(row[name] is None for name in names)
