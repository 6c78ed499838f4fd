import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

from pipeline.models import bgnbd
from pipeline.models.clv import run_clv
from pipeline.models.expected_spend import SCHEMA, fit_clv, predict_clv, predict_spend, summarise_purchases
from pipeline.models.records import BACKTEST_SCHEMA

AS_OF = dt.date(2025, 1, 1)
LAW = {
    "bgnbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "gamma_gamma": {"p": 6.25, "q": 3.74, "gamma": 15.44},
    "mean_spend_amount": 35.0,
}


@pytest.fixture
def simulate_facts(make_facts):
    def simulate(n, seed, law=LAW):
        rng = np.random.default_rng(seed)
        age_days = rng.integers(1, 730, n)
        x, t_x = bgnbd.simulate(law["bgnbd"], age_days / 7, seed)
        t_days = np.where(x > 0, np.clip(np.round(t_x * 7), 1, age_days), 0).astype(int)
        x = np.minimum(x, t_days).astype(int)
        spend = law["gamma_gamma"]
        scale = rng.gamma(spend["q"], 1 / spend["gamma"], n)
        repeat_spend = np.where(x > 0, rng.gamma(np.maximum(spend["p"] * x, 1e-9), 1 / scale), 0).round(2)
        first = np.datetime64(AS_OF) - age_days - 1
        return make_facts(
            order_day_count=x + 1,
            first_order_on=pl.Series(first),
            last_order_on=pl.Series(first + t_days),
            repeat_day_spend_amount=repeat_spend,
            net_spend_amount=(repeat_spend + 30).round(2),
        )

    return simulate


def test_fit_recovers_the_law_and_shapes_hold(simulate_facts):
    facts = simulate_facts(30_000, 1)
    scores, run, backtests = run_clv(facts, AS_OF)
    params = json.loads(run["params"])
    # whole days round the law a little
    for group, rel in (("bgnbd", 0.12), ("gamma_gamma", 0.12)):
        for name, value in LAW[group].items():
            assert params[group][name] == pytest.approx(value, rel=rel)
    assert dict(scores.schema) == SCHEMA and len(scores) == 30_000
    assert scores["customer_id"].is_sorted()
    # none of these lines has a cost
    assert {column.name for column in scores if column.null_count()} == {"margin_share", "margin_365d_amount"}
    assert run["status"] == "used" and run["row_count"] == 30_000
    assert dict(backtests.schema) == BACKTEST_SCHEMA and backtests.is_empty()
    assert abs(json.loads(run["metrics"])["frequency_spend_correlation"]) < 0.05


@pytest.mark.parametrize("seed", range(20))
def test_invariants(simulate_facts, seed):
    facts = simulate_facts(300, seed)
    scores = predict_clv(facts, LAW, seed)
    values = scores.drop("customer_id", "as_of", "margin_share", "margin_365d_amount").to_numpy()
    assert np.all(np.isfinite(values)) and np.all(values >= 0)
    assert scores.filter(pl.col("p_alive") > 1).is_empty()
    assert scores.filter(pl.col("expected_orders_90d") > pl.col("expected_orders_365d")).is_empty()
    assert scores.filter(
        (pl.col("clv_365d_low") > pl.col("clv_365d_amount")) | (pl.col("clv_365d_amount") > pl.col("clv_365d_high"))
    ).is_empty()
    assert predict_clv(facts.sample(fraction=1, shuffle=True, seed=seed), LAW, seed).equals(scores)


@pytest.mark.parametrize(
    ("x", "t_days", "age_days", "z"), [(0, 0, 200, 0.0), (3, 150, 200, 40.0), (40, 590, 600, 15.0)]
)
def test_interval_is_that_of_simulated_futures(x, t_days, age_days, z):
    purchases = pl.DataFrame({"x": [x, 90], "t_days": [t_days, 650], "age_days": [age_days, 700], "z": [z, 9.0]})
    # ends are drawn, each with an error of 1 to 2 %
    drawn = [predict_spend(purchases, LAW, 365, seed) for seed in range(4)]
    found = {name: np.mean([one[name] for one in drawn], axis=0) for name in drawn[0]}
    rng = np.random.default_rng(5)
    n = 100_000
    timing, spend = LAW["bgnbd"], LAW["gamma_gamma"]
    rate = rng.gamma(timing["r"] + x, 1 / (timing["alpha"] + age_days / 7), n)
    drop_out = rng.beta(timing["a"], timing["b"] + x, n)
    orders = np.minimum(rng.poisson(rate * 365 / 7), rng.geometric(drop_out))
    orders *= rng.random(n) < bgnbd.prob_alive(timing, x, t_days / 7, age_days / 7)
    scale = rng.gamma(spend["p"] * x + spend["q"], 1 / (spend["gamma"] + x * z), n)
    futures = np.where(orders > 0, rng.gamma(np.maximum(spend["p"] * orders, 1e-9), 1 / scale), 0)
    low, high = np.quantile(futures, [0.1, 0.9])
    assert found["orders"][0] == pytest.approx(orders.mean(), rel=0.03)
    assert found["amount"][0] == pytest.approx(futures.mean(), rel=0.03)
    assert np.mean(futures <= found["high"][0]) == pytest.approx(0.9, abs=0.01)
    assert found["high"][0] == pytest.approx(max(high, futures.mean()), rel=0.05)
    assert found["low"][0] == pytest.approx(low, rel=0.05, abs=1e-9)


def test_weeks_are_counted_as_the_reference_has_them(make_facts):
    facts = make_facts(
        order_day_count=3,
        first_order_on=dt.date(2024, 12, 1),
        last_order_on=dt.date(2024, 12, 15),
        repeat_day_spend_amount=90.0,
    )
    assert summarise_purchases(facts).select("x", "t_days", "age_days", "z").row(0) == (2, 14, 30, 45.0)


def test_bought_for_the_first_time_yesterday(make_facts):
    yesterday = dt.date(2024, 12, 31)
    facts = make_facts(order_day_count=1, first_order_on=yesterday, last_order_on=yesterday)
    scores = predict_clv(facts, LAW)
    assert scores["p_alive"][0] == 1 and scores["clv_365d_amount"][0] > 0


def test_dates_after_as_of_are_refused(make_facts):
    with pytest.raises(ValueError, match="c000000: needs first_order_on <= last_order_on < as_of"):
        predict_clv(make_facts(last_order_on=AS_OF), LAW)


def test_not_enough_data(make_facts, simulate_facts):
    scores, run, backtests = run_clv(make_facts(), AS_OF)
    assert (len(scores), run["status"]) == (0, "not enough data")
    assert "needs 50, has 1" in run["message"]
    once = make_facts(200, order_day_count=1, last_order_on=dt.date(2024, 6, 1), repeat_day_spend_amount=0.0)
    scores, run, _ = run_clv(once, AS_OF)
    assert (len(scores), run["status"]) == (0, "not enough data")
    assert "second purchase day (needs 20, has 0)" in run["message"]


def test_no_repeat_spend_falls_back_to_the_mean(simulate_facts):
    facts = simulate_facts(2_000, 2).with_columns(repeat_day_spend_amount=pl.lit(0.0))
    scores, run, _ = run_clv(facts, AS_OF)
    assert json.loads(run["params"])["gamma_gamma"] is None
    assert "everyone's spend a day is the mean" in run["message"] and run["status"] == "used"
    spend = scores["clv_365d_amount"] / scores["expected_orders_365d"]
    assert spend.filter(scores["expected_orders_365d"] > 0.01).to_numpy() == pytest.approx(
        json.loads(run["params"])["mean_spend_amount"], rel=1e-3
    )


def test_constant_spend_and_dependent_spend(simulate_facts):
    facts = simulate_facts(3_000, 3)
    flat = facts.with_columns(repeat_day_spend_amount=(pl.col("order_day_count") - 1) * 20.0)
    scores, run, _ = run_clv(flat, AS_OF)
    assert run["status"] == "used" and scores["clv_365d_amount"].is_finite().all()
    rising = facts.with_columns(repeat_day_spend_amount=(pl.col("order_day_count") - 1) ** 2 * 20.0)
    assert "Gamma-Gamma takes them as independent" in run_clv(rising, AS_OF)[1]["message"]


def test_refused_profiling_is_neither_learned_from_nor_scored(simulate_facts):
    facts = simulate_facts(500, 4)
    refused = facts.with_columns(is_profiling_allowed=pl.int_range(pl.len()) >= 100)
    kept = facts[100:]
    assert fit_clv(refused) == fit_clv(kept)
    assert predict_clv(refused, LAW)["customer_id"].equals(kept["customer_id"])
