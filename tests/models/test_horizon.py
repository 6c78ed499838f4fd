import datetime as dt
import json
from types import SimpleNamespace

import duckdb
import numpy as np
import polars as pl
import pytest

from pipeline.models.horizon import estimate_horizon, last_day_of_estimate, run_horizon, share_returned
from pipeline.models.records import NotEnoughData
from pipeline.steps import training_sets

AS_OF, OLDEST = dt.date(2025, 1, 1), dt.date(2022, 1, 1)


def simulate_gaps(mean_gap, seed, customers=400, window=400, drop_out=0.1):
    """Purchases by exponential gaps, customers beginning at any time and leaving with a chance after each purchase."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        now = rng.uniform(0, window)
        while True:
            gap = np.inf if rng.random() < drop_out else max(1, rng.exponential(mean_gap))
            if now + gap >= window:
                rows.append((customer, int(window - now), True))
                break
            rows.append((customer, int(np.ceil(gap)), False))
            now += gap
    customers, days, is_open = zip(*rows, strict=True)
    return np.array(customers), np.array(days), np.array(is_open)


def test_kaplan_and_meier_by_hand():
    # at risk 4, 3, (2: open), 1
    _, shares = share_returned(np.array([1, 2, 3, 4]), np.array([False, False, True, False]), np.ones(4))
    assert shares[:5].tolist() == [0, 0.25, 0.5, 0.5, 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("mean_gap", "horizon"), [(10, 30), (20, 60), (33, 90)])
def test_recovers_the_law_in_spite_of_open_gaps(mean_gap, horizon, seed):
    # nine in ten gaps are shorter than 2.303 mean gaps: 23, 46 and 76 days
    found = estimate_horizon(*simulate_gaps(mean_gap, seed))
    assert found["horizon_days"] == horizon
    share = {days: share for days, share, _ in found["shares"]}[horizon]
    assert share == pytest.approx(1 - np.exp(-horizon / mean_gap), abs=0.025)


def test_what_had_no_time_to_come_is_not_judged():
    customers, days, is_open = simulate_gaps(33, 1, customers=2000, window=100)
    with pytest.raises(NotEnoughData, match="days that 30 gaps between purchases were followed"):
        estimate_horizon(customers, days, is_open)


def test_few_gaps_give_the_default_and_say_so():
    days, first, run = run_horizon(AS_OF, OLDEST, lambda before: (np.zeros(3), np.ones(3), np.zeros(3, bool)))
    assert (days, first, run["status"]) == (90, None, "not enough data")
    assert "(needs 200, has 3)" in run["message"] and json.loads(run["params"])["origin"] == "default"
    assert run_horizon(AS_OF, None, None)[0] == 90


def test_an_estimate_is_kept_and_a_setting_wins():
    asked = []

    def read_gaps(before):
        asked.append(before)
        return simulate_gaps(20, 1)

    days, first, run = run_horizon(AS_OF, OLDEST, read_gaps)
    assert (days, first, asked) == (60, dt.date(2023, 1, 1), [dt.date(2023, 1, 1)])
    kept = json.loads(run["params"])
    later = AS_OF + dt.timedelta(days=100)
    assert run_horizon(later, OLDEST, read_gaps, kept=kept)[:2] == (60, first) and len(asked) == 1
    assert run_horizon(later, OLDEST, read_gaps, kept=kept)[2]["params"] == run["params"]
    days, first, run = run_horizon(AS_OF, OLDEST, read_gaps, setting=45, kept=kept)
    assert (days, first, json.loads(run["params"])["origin"]) == (45, None, "setting")


def test_cut_offs_lie_after_the_orders_of_the_estimate(monkeypatch):
    con = duckdb.connect()
    con.execute("create schema core")
    con.execute("create table core.orders (customer_id varchar, ordered_on date)")
    customers, days, is_open = simulate_gaps(20, 3, window=1000)
    began = pl.DataFrame({"customer": customers, "days": days}).with_columns(
        before=pl.col("days").sum().over("customer") - pl.col("days").cum_sum().over("customer")
    )
    for customer, gap, rest in began.select("customer", "days", "before").iter_rows():
        day = AS_OF - dt.timedelta(days=gap + rest)
        con.execute("insert into core.orders values (?, ?)", (f"c{customer:04d}", day))

    def purchase_days(con, before, timezone, customers):
        con.execute(
            "create or replace table purchase_days as select distinct * from core.orders where ordered_on < ?",
            (before,),
        )

    monkeypatch.setattr(training_sets, "build_purchase_days", purchase_days)
    settings = SimpleNamespace(business_timezone="UTC", training_customers=1000, churn_horizon_days=0, seed=1)
    night = SimpleNamespace(con=con, settings=settings, as_of=AS_OF, orders_until=AS_OF, is_training=True)
    training_sets.choose_cut_offs(night, None)
    oldest = con.execute("select min(ordered_on) from core.orders").fetchone()[0]
    before = last_day_of_estimate(oldest, AS_OF)
    assert night.horizon_days == 60 and night.horizon_run["status"] == "used"
    assert night.cut_offs == [AS_OF - dt.timedelta(days=60 * back) for back in range(1, 9)]
    assert min(night.cut_offs) >= before
    pairs = training_sets.outcome_horizons(night)
    assert (night.cut_offs[0], 60) in pairs and (night.cut_offs[0], 90) not in pairs
    assert (night.cut_offs[1], 90) in pairs and (night.cut_offs[7], 30) in pairs
    # orders after the early third change nothing
    con.execute("insert into core.orders select customer_id, ? from core.orders", (AS_OF - dt.timedelta(days=1),))
    first = json.loads(night.horizon_run["params"])
    training_sets.choose_cut_offs(night, None)
    assert json.loads(night.horizon_run["params"]) == first
    settings.churn_horizon_days = 200
    training_sets.choose_cut_offs(night, first)
    assert night.horizon_days == 200 and len(night.cut_offs) == 4
