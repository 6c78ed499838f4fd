"""Rolling origins of lifetime value: the published holdout, no look ahead, who is used and who is not."""

import datetime as dt
import json
import re

import numpy as np
import polars as pl
import pytest

from pipeline.model_messages import find_untranslated, translate
from pipeline.models import clv, clv_backtest, measures
from pipeline.models.clv import backtest_clv, put_in_challenger, run_clv
from pipeline.models.clv_backtest import Forecast, choose_origins, foretell, known_at, select_customers
from pipeline.models.clv_measures import MEASURES, Resample, measure_forecast
from pipeline.models.expected_spend import SCHEMA, chance_of_order, fit_purchases, predict_spend, summarise_purchases
from pipeline.models.purchase_models import pool_rows, race
from pipeline.models.records import BACKTEST_SCHEMA, make_backtests
from tests.models.conftest import build_facts

AS_OF = dt.date(2025, 1, 1)
QUARTERS = [AS_OF - dt.timedelta(days=90 * back) for back in (1, 2, 3, 4)]


@pytest.mark.realdata
def test_cdnow_holdout_of_all_models(cdnow_days, make_past_of_days):
    # the challenger learns from the two quarters before the holdout, known on 1997-10-01
    start, end = dt.date(1997, 10, 1), dt.date(1998, 7, 1)
    cut_offs = [start - dt.timedelta(days=days) for days in (0, 90, 180)]
    past = select_customers(make_past_of_days(cdnow_days, cut_offs, end, (90, 273)))
    (forecast,), _ = foretell(past, 20260101, "bgnbd", (273,))
    assert (forecast.cut_off, forecast.days, len(forecast.x)) == (start, 273, 2357)
    table = make_backtests(end, "clv", start, 273, measure_forecast(forecast, {"purchases": "bgnbd"}, 1))
    found = {
        (candidate, metric, baseline): (value, other)
        for candidate, metric, baseline, value, other in table.select(
            "candidate", "metric", "baseline", "value", "baseline_value"
        ).iter_rows()
    }

    def close(*values, rel=2e-3):
        return pytest.approx(values, rel=rel)

    # reference-numbers.md
    assert found["bgnbd", "orders_total", "actual"] == close(1653, 1882)
    assert found["bgnbd", "orders_bias_share", "own rate"][0] == pytest.approx(-0.121, abs=1e-3)
    assert (1 + found["bgnbd", "orders_bias_share", "own rate"][1]) * 1882 == pytest.approx(2930, rel=1e-3)
    assert found["bgnbd", "orders_mae", "own rate"] == close(0.785, 1.024)
    assert found["bgnbd", "orders_rmse", "own rate"][0] == pytest.approx(1.608, rel=1e-3)
    assert found["bgnbd", "orders_correlation", "own rate"][0] == pytest.approx(0.626, abs=1e-3)
    by_x = [found["bgnbd", f"orders_mean_x{k}" + ("_or_more" if k == 7 else ""), "actual"] for k in range(8)]
    assert [pair[0] for pair in by_x] == close(0.225, 0.523, 1.044, 1.52, 2.164, 2.654, 3.504, 6.157, rel=1e-3)
    assert [pair[1] for pair in by_x] == close(0.237, 0.697, 1.393, 1.56, 2.532, 2.947, 3.862, 6.359)
    assert found["bgnbd", "spend_total", "actual"] == close(59_956, 70_976, rel=1e-3)
    assert found["bgnbd", "spend_bias_share", "own rate"] == pytest.approx((-0.155, 0.61), abs=2e-3)
    assert found["bgnbd", "spend_mae", "own rate"] == close(30.4, 43.3, rel=1e-3)
    assert found["bgnbd", "spend_normalised_gini", "own rate"] == pytest.approx((0.638, 0.671), abs=1e-3)
    assert found["bgnbd", "spend_rmse", "zero"] == close(72.3, 91.7, rel=1e-3)

    # measured here: bias, RMSE, normalised Gini of orders and of spend
    measured = {
        "mbgnbd": (-0.162, 1.607, 0.664, -0.195, 71.95, 0.638),
        "paretonbd": (-0.115, 1.603, 0.673, -0.148, 72.18, 0.659),
    }
    for name, values in measured.items():
        ours = [
            found[name, f"{what}_{measure}", "own rate"][0]
            for what in ("orders", "spend")
            for measure in ("bias_share", "rmse", "normalised_gini")
        ]
        assert ours == pytest.approx(values, rel=3e-3, abs=1e-3)

    # the challenger ranks spend better than any of them; floors leave room for another version of its library
    assert found["boosting", "spend_normalised_gini", "own rate"][0] > 0.66
    assert found["boosting", "spend_rmse", "mean"][0] < 74 < found["boosting", "spend_rmse", "mean"][1]
    assert found["boosting", "orders_normalised_gini", "own rate"][0] > 0.64
    assert found["boosting", "orders_rmse", "mean"][0] < 1.8 < found["boosting", "orders_rmse", "mean"][1]
    for what in ("orders", "spend"):
        assert abs(found["boosting", f"{what}_bias_share", "own rate"][0]) < 0.25
    for name in ("bgnbd", "mbgnbd", "paretonbd"):
        for what in ("orders", "spend"):
            assert 0.8 <= found[name, f"{what}_interval_coverage", "nominal"][0] < 0.96
            assert found[name, f"{what}_interval_below", "nominal"][0] < 0.1


def simulate_past(make_facts, count, seed, cut_offs=QUARTERS, complainer_share=0.4):
    """Customers at past cut-offs who go on buying at a steady pace, but who once complained never come back."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.0, 0.06, count) + 0.005
    frames = []
    for cut_off in cut_offs:
        age = rng.integers(60, 700, count)
        x = np.minimum(rng.poisson(rate * age / 7), age // 2)
        t_days = np.where(x > 0, (age * rng.beta(np.maximum(x, 1), 1)).astype(int).clip(1), 0)
        has_complained = rng.random(count) < complainer_share
        bought = rng.poisson(rate * 90 / 7) * ~has_complained
        first = np.datetime64(cut_off) - age - 1
        facts = make_facts(
            as_of=[cut_off] * count,
            order_count=x + 1,
            order_day_count=x + 1,
            recency_days=age + 1 - t_days,
            first_order_on=pl.Series(first),
            last_order_on=pl.Series(first + t_days),
            repeat_day_spend_amount=(x * rng.gamma(20, 2, count)).round(2),
            net_spend_amount=((x + 1) * 40.0).round(2),
            complaint_count=has_complained.astype(int),
        )
        passed = cut_off + dt.timedelta(days=90) <= AS_OF
        frames.append(
            facts.with_columns(
                orders_next_90d=pl.Series(bought.astype(float)) if passed else None,
                spend_next_90d=pl.Series((bought * rng.gamma(20, 2, count)).round(2)) if passed else None,
            )
        )
    return pl.concat(frames)


@pytest.fixture(scope="module")
def complaints():
    """A shop that only the challenger can read: (tonight's facts, past, its run)."""
    past = simulate_past(build_facts, 1_050, 1, QUARTERS[:3])
    tonight = simulate_past(build_facts, 700, 2, [AS_OF]).drop("orders_next_90d", "spend_next_90d")
    return tonight, past, run_clv(tonight, AS_OF, past)


def test_the_challenger_replaces_what_it_beats(complaints):
    tonight, past, (scores, run, backtests) = complaints
    used = json.loads(run["params"])["used"]
    assert run["status"] == "used"
    assert used["orders_90d"] == used["spend_90d"] == "boosting"
    # no cut-off lies a year back: nobody could judge a year
    assert used["purchases"] == used["orders_365d"] == used["spend_365d"] != "boosting"
    assert re.search(
        r"orders of 90 days: gradient boosting \(RMSE [\d.]+, baseline '\w+' [\d.]+, 2 cut-offs\), replacing BG/NBD"
        r" \(squared error -[\d.]+ %, -[\d.]+ % to -[\d.]+ %\)",
        run["message"],
    )
    assert dict(backtests.schema) == BACKTEST_SCHEMA
    by_complaint = (
        scores.join(tonight, on="customer_id").group_by("complaint_count").agg(pl.col("clv_90d_amount").mean())
    )
    amount = dict(by_complaint.iter_rows())
    assert amount[1] < 0.1 * amount[0]


def test_scores_of_the_challenger_hang_together(complaints):
    tonight, _, (scores, run, _) = complaints
    for days in (90, 365):
        amount, low, high = (pl.col(f"clv_{days}d_{what}") for what in ("amount", "low", "high"))
        assert scores.filter((low > amount) | (amount > high) | (low < 0)).is_empty()
    assert scores.filter(pl.col("clv_90d_amount") > pl.col("clv_365d_amount")).is_empty()
    assert scores.filter(pl.col("expected_orders_90d") > pl.col("expected_orders_365d")).is_empty()
    # what a file keeps of the night scores the same
    kept = json.loads(json.dumps(run["kept"]))
    again, later, backtests = run_clv(tonight, AS_OF, kept=kept)
    assert again.equals(scores) and backtests.is_empty() and later["row_count"] == 700


def test_every_figure_of_every_candidate_has_a_row(complaints):
    _, _, (_, _, backtests) = complaints
    rows = backtests.filter(pl.col("metric") == "orders_rmse", pl.col("baseline") == "zero")
    assert rows["cut_off"].unique().sort(descending=True).to_list() == QUARTERS[:3]
    # at the oldest there was nothing yet to learn from
    assert rows.filter(pl.col("candidate") == "boosting")["cut_off"].n_unique() == 2
    assert rows.filter(pl.col("value_low") > pl.col("value")).is_empty()
    keys = ["candidate", "cut_off", "horizon_days", "metric", "baseline"]
    assert backtests.select(keys).is_duplicated().sum() == 0
    # and the intervals of the challenger hold what they say
    covered = backtests.filter(pl.col("metric").str.ends_with("interval_coverage"), pl.col("candidate") == "boosting")
    assert len(covered) == 4 and covered["value"].min() > 0.75


def test_no_forecast_looks_ahead(make_facts):
    past = select_customers(simulate_past(make_facts, 1_050, 1, QUARTERS[:3]))
    origin = QUARTERS[1]
    later = pl.col("as_of") + dt.timedelta(days=90) > origin
    changed = past.with_columns(
        pl.when(later).then(pl.col(name) * 9 + 1).otherwise(pl.col(name))
        for name in ("orders_next_90d", "spend_next_90d")
    )
    # facts of later cut-offs too
    changed = changed.with_columns(
        repeat_day_spend_amount=pl.when(pl.col("as_of") > origin).then(999.0).otherwise("repeat_day_spend_amount")
    )
    one, other = (
        next(forecast for forecast in foretell(frame, 1, horizons=(90,))[0] if forecast.cut_off == origin)
        for frame in (past, changed)
    )
    assert {*one.candidates} == {*other.candidates} >= {"bgnbd", "boosting"}
    for name, figures in one.candidates.items():
        for figure, values in figures.items():
            assert np.array_equal(values, other.candidates[name][figure]), (name, figure)
    for name, figures in one.baselines.items():
        assert all(np.array_equal(values, other.baselines[name][quantity]) for quantity, values in figures.items())
    assert not np.array_equal(one.actual["orders"], other.actual["orders"])


def test_a_year_raised_to_its_quarter_is_raised_discounted_too(monkeypatch):
    used = {"purchases": "bgnbd", "spend_90d": "boosting"} | dict.fromkeys(
        ("spend_365d", "orders_90d", "orders_365d"), "bgnbd"
    )
    # expected to spend 90 in the quarter and 150 in the year; of the second the challenger foretells more in the quarter
    scores = pl.DataFrame({name: [0.0, 0.0] for name, kind in SCHEMA.items() if kind == pl.Float64}).with_columns(
        clv_365d_amount=pl.Series([150.0, 150.0]),
        clv_365d_discounted_amount=pl.Series([120.0, 120.0]),
        margin_share=pl.Series([0.5, 0.5]),
    )
    figures = {"amount": np.array([90.0, 300.0]), "low": np.zeros(2), "high": np.array([200.0, 600.0])}
    monkeypatch.setattr(clv, "select_customers", lambda facts: facts)
    monkeypatch.setattr(clv, "predict_mean", lambda *given: None)
    monkeypatch.setattr(clv, "stretch", lambda *given: 1.0)
    monkeypatch.setattr(clv, "predict_horizon", lambda *given: figures)
    found = put_in_challenger(scores, None, None, {"used": used}, None)
    assert found["clv_365d_amount"].to_list() == [150, 300]
    assert found["clv_365d_discounted_amount"].to_list() == [120, 240]
    assert found["margin_365d_amount"].to_list() == [75, 150]


def test_what_was_known_at_an_origin():
    days = [dt.date(2024, 1, 1), dt.date(2024, 3, 31), dt.date(2024, 4, 1), dt.date(2024, 6, 30)]
    past = pl.DataFrame({"as_of": days, "orders_next_90d": [1.0, 2, 3, 4], "spend_next_365d": [5.0, 6, 7, 8]})
    # 2024-03-31 + 90 days is 2024-06-29, and 2024-04-01 + 90 days is 2024-06-30 itself: [cut-off, origin) has passed
    assert known_at(past, days[3])["orders_next_90d"].to_list() == [1, 2, 3]
    assert known_at(past, dt.date(2024, 6, 29))["orders_next_90d"].to_list() == [1, 2, None]
    assert known_at(past, days[3])["spend_next_365d"].to_list() == [None] * 3


def test_origins_are_the_newest_whose_windows_do_not_overlap():
    days = [AS_OF - dt.timedelta(days=45 * back) for back in range(1, 12)]
    passed = [1.0 if day + dt.timedelta(days=90) <= AS_OF else None for day in days]
    first = AS_OF - dt.timedelta(days=2000)
    past = pl.DataFrame({"as_of": days, "orders_next_90d": passed, "first_order_on": first})
    assert choose_origins(past, 90) == [AS_OF - dt.timedelta(days=90 * back) for back in (1, 2, 3, 4)]
    assert choose_origins(past, 365) == []
    # 90 days of orders lie before the cut-off 270 days ago, not before the next
    young = past.with_columns(first_order_on=pl.lit(AS_OF - dt.timedelta(days=360)))
    assert choose_origins(young, 90) == [AS_OF - dt.timedelta(days=90 * back) for back in (1, 2, 3)]


def test_a_shop_where_nobody_came_back_is_held(make_facts):
    past = simulate_past(make_facts, 300, 1, QUARTERS[:2], complainer_share=1.0)
    scores, run, backtests = run_clv(simulate_past(make_facts, 300, 2, [AS_OF]), AS_OF, past)
    assert (run["status"], len(scores), run["row_count"]) == ("held", 0, 0)
    assert "orders of 90 days: nothing beats the baseline 'zero' (RMSE 0, " in run["message"]
    # measures without a meaning there are null, and no error
    shares = backtests.filter(pl.col("metric") == "orders_bias_share")
    assert len(shares) and shares["value"].null_count() == len(shares)


def test_one_past_cut_off_replaces_nothing(make_facts):
    past = simulate_past(make_facts, 300, 1, QUARTERS[:1], complainer_share=0.0)
    used, words, backtests = backtest_clv(past, AS_OF, {"purchases": "paretonbd"})
    assert set(used.values()) == {"paretonbd"}
    assert "judged at one past cut-off (needs 2 to replace a model): nothing is replaced" in words
    assert backtests["cut_off"].unique().to_list() == QUARTERS[:1]


def test_history_that_cannot_judge(make_facts):
    tonight = simulate_past(make_facts, 300, 2, [AS_OF], complainer_share=0.0)
    for past, words in (
        (None, "no past cut-off whose 90 days have passed"),
        (simulate_past(make_facts, 300, 1, QUARTERS[:1]).clear(), "no past cut-off whose 90 days have passed"),
        (simulate_past(make_facts, 30, 1, QUARTERS[:1]), "customers with an order (needs 50, has 30)"),
        (
            simulate_past(make_facts, 300, 1, QUARTERS[:1]).with_columns(
                order_day_count=pl.lit(1), last_order_on=pl.col("first_order_on"), repeat_day_spend_amount=pl.lit(0.0)
            ),
            "customers with a second purchase day (needs 20, has 0)",
        ),
    ):
        scores, run, backtests = run_clv(tonight, AS_OF, past)
        assert run["status"] == "used" and len(scores) == 300 and backtests.is_empty()
        assert words in run["message"] and "not judged" in run["message"]


def test_a_model_without_a_maximum_is_named(monkeypatch, make_facts):
    past = simulate_past(make_facts, 300, 1, QUARTERS[:3], complainer_share=0.0)
    fits, failing = clv_backtest.fit_purchases, {("paretonbd", QUARTERS[0]), ("paretonbd", QUARTERS[2])}

    def fit(purchases, name):
        params, metrics, notes = fits(purchases, name)
        is_failing = (name, purchases["as_of"][0]) in failing
        return params, metrics | {f"{name}_converged": not is_failing}, notes

    monkeypatch.setattr(clv_backtest, "fit_purchases", fit)
    _, words, backtests = backtest_clv(past, AS_OF, {"purchases": "bgnbd"})
    said = f"Pareto/NBD not judged: no maximum found at {QUARTERS[0]}, {QUARTERS[2]}"
    assert said in words and find_untranslated(said) == []
    assert translate(said) == f"Pareto/NBD 未作检验：在 {QUARTERS[0]}、{QUARTERS[2]} 未找到似然函数的最大值"
    raced = backtests.filter(pl.col("metric") == "orders_pooled_squared_error")
    assert "mbgnbd" in raced["candidate"] and "paretonbd" not in raced["candidate"]
    # the one in use runs all the same
    _, words, _ = backtest_clv(past, AS_OF, {"purchases": "paretonbd"})
    assert not [word for word in words if word.startswith("Pareto/NBD not judged")]


def make_forecast(cut_off, days, **offsets):
    """A Forecast of 60 customers by models that are so much too high; the baselines are 9 too high."""
    actual = np.arange(60.0) % 4
    return Forecast(
        cut_off,
        days,
        np.array([f"c{number:02d}" for number in range(60)]),
        np.zeros(60),
        {"orders": actual, "spend": actual},
        {name: {"orders": actual + offset, "amount": actual + offset} for name, offset in offsets.items()},
        {name: {"orders": actual + 9, "spend": actual + 9} for name in ("own rate", "zero", "mean")},
    )


def backtest_made(monkeypatch, forecasts, in_use):
    monkeypatch.setattr(clv, "foretell", lambda *given: (forecasts, []))
    past = pl.DataFrame(
        {"order_day_count": [1], "is_profiling_allowed": [True], "as_of": [AS_OF], "customer_id": ["a"]}
    )
    return backtest_clv(past, AS_OF, {"purchases": in_use})[:2]


def test_a_model_that_lacks_the_year_is_not_judged_over_it(monkeypatch):
    quarters = [make_forecast(day, 90, bgnbd=2.0, mbgnbd=1.0) for day in QUARTERS[:2]]
    year = make_forecast(QUARTERS[3], 365, bgnbd=2.0)
    used, words = backtest_made(monkeypatch, [*quarters, year], "bgnbd")
    assert used["purchases"] == used["orders_365d"] == "mbgnbd"
    said = "365 days not judged: no past cut-off at which MBG/NBD has figures"
    assert said in words and find_untranslated(said) == []


def test_who_cannot_run_has_somebody_stand_in(monkeypatch):
    quarters = [make_forecast(day, 90, mbgnbd=1.0, paretonbd=1.0) for day in QUARTERS[:2]]
    used, words = backtest_made(monkeypatch, quarters, "bgnbd")
    assert used["purchases"] == "mbgnbd"
    assert words[0] == "MBG/NBD stands in for BG/NBD, which has no figures at some past cut-off"
    assert find_untranslated("; ".join(words)) == []


def interval_by_rows(measure, actual, predicted, seed, draws=200):
    """(low, high) of a measure's 95 % bootstrap interval, drawing row by row."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, len(actual), len(actual)) for _ in range(draws))
    return np.quantile([measure(actual[rows], predicted[rows]) for rows in drawn], [0.025, 0.975]).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_drawn_measures_are_those_of_drawn_customers(seed):
    rng = np.random.default_rng(seed)
    actual = rng.poisson(0.8, 200) * rng.gamma(2, 20, 200)
    forecasts = {"one": rng.gamma(1, 20, 200).round(-1), "other": actual + rng.normal(0, 30, 200)}
    sample = Resample(200, seed)
    found = sample.measure(actual, forecasts)
    for draw in range(0, 200, 40):
        rows = np.repeat(np.arange(200), sample.drawn[draw].astype(int))
        for name, values in forecasts.items():
            for measure, of in MEASURES.items():
                assert found[name, measure][draw] == pytest.approx(of(actual[rows], values[rows]), rel=1e-9, abs=1e-9)
    low, high = np.quantile(found["one", "rmse"], [0.025, 0.975])
    assert (low, high) == pytest.approx(interval_by_rows(measures.rmse, actual, forecasts["one"], seed), rel=0.1)


def make_chances(count=400):
    """A Forecast of chances: a customer orders or not, the model knows half of it."""
    rng = np.random.default_rng(3)
    actual = (rng.random(count) < 0.4).astype(float)
    chances = {"bgnbd": np.clip(0.3 + 0.2 * actual + rng.normal(0, 0.05, count), 0.01, 0.99)}
    chances |= {"mbgnbd": np.full(count, 0.4), "base rate": np.full(count, 0.4)}
    figures = {
        name: {"orders": values, "amount": 10 * values} for name, values in chances.items() if name != "base rate"
    }
    naive = {name: {"orders": actual * 0 + 0.5, "spend": actual * 0 + 5} for name in ("own rate", "zero", "mean")}
    ids = np.array([f"c{number:03d}" for number in range(count)])
    actual = {"orders": actual, "spend": 10 * actual}
    return clv_backtest.Forecast(QUARTERS[0], 90, ids, np.arange(count) % 9, actual, figures, naive, chances)


def test_the_chance_of_any_order_is_held_against_what_came():
    forecast = make_chances()
    table = make_backtests(AS_OF, "clv", QUARTERS[0], 90, measure_forecast(forecast, {"purchases": "bgnbd"}, 1))
    found = {(row["candidate"], row["metric"], row["baseline"]): row for row in table.to_dicts()}
    bought = (forecast.actual["orders"] > 0).astype(float)
    row = found["bgnbd", "buyer_auc", "base rate"]
    assert (row["value"], row["baseline_value"]) == (
        pytest.approx(measures.auc(bought, forecast.chances["bgnbd"]), abs=1e-6),
        0.5,
    )
    assert row["value_low"] <= row["value"] <= row["value_high"] and row["difference_low"] > 0.3
    for name in ("pr_auc", "lift_10", "brier", "log_loss"):
        assert found["bgnbd", f"buyer_{name}", "base rate"]["difference_low"] is not None
        # and the others against the model in use
        assert ("mbgnbd", f"buyer_{name}", "bgnbd") in found and ("bgnbd", f"buyer_{name}", "bgnbd") not in found
    assert found["mbgnbd", "orders_normalised_gini", "bgnbd"]["baseline_value"] == pytest.approx(
        measures.normalised_gini(forecast.actual["orders"], forecast.chances["bgnbd"]), abs=1e-6
    )


def test_deciles_totals_and_means_have_intervals_of_what_was_foretold_less_what_came():
    forecast = make_chances()
    rows = measure_forecast(forecast, {"purchases": "bgnbd"}, 1)
    shown = [row for row in rows if row.baseline == "actual" and row.candidate == "bgnbd"]
    assert {row.metric.rstrip("0123456789") for row in shown} >= {
        "orders_decile_",
        "spend_total",
        "buyer_decile_",
        "orders_mean_x",
        "orders_mean_x7_or_more",
    }
    for row in shown:
        gap = row.value - row.baseline_value
        assert row.value_low <= row.value <= row.value_high and row.difference_low <= gap <= row.difference_high, row
    # of 400 customers: 1.96 standard errors of the total either side
    (total,) = (row for row in shown if row.metric == "orders_total")
    errors = forecast.candidates["bgnbd"]["orders"] - forecast.actual["orders"]
    width = total.difference_high - total.difference_low
    assert width == pytest.approx(2 * 1.96 * errors.std() * np.sqrt(400), rel=0.15)


@pytest.mark.parametrize("name", ["bgnbd", "mbgnbd", "paretonbd"])
def test_the_chance_of_any_order_is_one_less_that_of_none(make_facts, name):
    past = select_customers(simulate_past(make_facts, 300, 1, QUARTERS[:1], complainer_share=0.0))
    purchases = summarise_purchases(past)
    params = fit_purchases(purchases, name)[0]
    chance = chance_of_order(purchases, params, 90)
    said = predict_spend(purchases, params, 90, 1)
    # nobody is surer to buy than to be a customer, nor than to be expected to
    assert ((chance >= 0) & (chance <= said["p_alive"] + 1e-9) & (chance <= said["orders"] + 1e-9)).all()
    # the most likely number of orders is none where the chance of any is below a tenth, by the quantiles of the night
    assert ((said["orders_high"] == 0) == (chance <= 0.1 + 1e-9)).all()


def test_the_race_stores_the_interval_that_decides():
    rng = np.random.default_rng(1)
    errors = {"bgnbd": rng.exponential(1.0, 500)}, {"zero": rng.exponential(2.0, 500)}
    result = race(np.arange(500), *errors, "bgnbd", 1)
    (row,) = pool_rows("orders", result)
    assert row.difference_low < row.value - row.baseline_value < row.difference_high < 0
