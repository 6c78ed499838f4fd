"""The challenger: means without bias, categories and gaps, intervals that hold, plain numbers."""

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

from pipeline.models.records import NotEnoughData
from pipeline.models.spend_boosting import (
    fit_band,
    fit_spend,
    interval,
    predict_horizon,
    predict_mean,
    spend_model_from_dict,
    spend_model_to_dict,
)

CUT_OFF = dt.date(2025, 1, 1)
# orders in 90 days and amount an order, by channel: a truth that only a category tells
TRUTH = {"store": (1.6, 30.0), "app": (0.4, 120.0), "phone": (0.1, 60.0)}


def simulate(make_facts, count, seed):
    rng = np.random.default_rng(seed)
    channel = rng.choice([*TRUTH], count)
    rate, amount = (np.array([TRUTH[name][part] for name in channel]) for part in (0, 1))
    orders = rng.poisson(rate)
    spend = np.where(orders > 0, rng.gamma(np.maximum(2.0 * orders, 1e-9), amount / 2), 0.0)
    facts = make_facts(
        as_of=[CUT_OFF] * count,
        first_order_on=[CUT_OFF - dt.timedelta(days=200)] * count,
        last_order_on=[CUT_OFF - dt.timedelta(days=20)] * count,
        top_sales_channel=channel,
        avg_gap_days=pl.Series(np.where(rng.random(count) < 0.3, np.nan, rng.gamma(3, 10, count))).fill_nan(None),
    )
    passed = facts.with_columns(orders_next_90d=pl.Series(orders.astype(float)), spend_next_90d=pl.Series(spend))
    return passed, rate, rate * amount


def same(rows, days):
    return np.full(len(rows), 4.0)


def test_means_are_recovered_and_totals_are_without_bias(make_facts):
    past, _, _ = simulate(make_facts, 8_000, 1)
    new, rate, spend = simulate(make_facts, 4_000, 2)
    model = fit_spend(past, same, 1)
    means = predict_mean(new, model)
    assert means["orders"].sum() == pytest.approx(rate.sum(), rel=0.05)
    assert means["spend"].sum() == pytest.approx(spend.sum(), rel=0.07)
    for name, (orders, amount) in TRUTH.items():
        rows = (new["top_sales_channel"] == name).to_numpy()
        assert means["orders"][rows].mean() == pytest.approx(orders, rel=0.12)
        # smeared from logs, a mean would be a quarter too low; P(any) x E[amount | any] is not
        assert means["spend"][rows].mean() == pytest.approx(orders * amount, rel=0.15)

    # a channel that nobody had seen, and no channel at all, still have figures
    strange = new.head(2).with_columns(top_sales_channel=pl.Series(["drone", None]))
    assert all(np.isfinite(values).all() and (values > 0).all() for values in predict_mean(strange, model).values())
    # a column that tonight's facts lack is a gap
    assert len(predict_mean(new.drop("avg_gap_days"), model)["orders"]) == 4_000

    figures = predict_horizon(model, means, 1.0, 90)
    for quantity, low, high in (
        ("orders", "orders_low", "orders_high"),
        ("spend", "low", "high"),
    ):
        actual = new[f"{quantity}_next_90d"].to_numpy()
        inside = (actual >= figures[low]) & (actual <= figures[high])
        assert inside.mean() > 0.78
        # no wider than need be: of a tenth above, at least some are
        assert 0.02 < np.mean(actual > figures[high]) < 0.13 or quantity == "orders"
        assert np.all(figures[low] <= figures[high])
    assert np.all((figures["low"] <= figures["amount"]) & (figures["amount"] <= figures["high"]))
    # nothing was known of a year: its figures are stretched, its intervals are not made up
    assert {*predict_horizon(model, means, 4.0, 365)} == {"orders", "amount"}

    kept = json.loads(json.dumps(spend_model_to_dict(model)))
    again = predict_mean(new, spend_model_from_dict(kept))
    assert all(np.array_equal(again[quantity], means[quantity]) for quantity in means)
    kept["numeric"].append("age_years")
    with pytest.raises(ValueError, match="age_years"):
        spend_model_from_dict(kept)


def test_same_rows_same_model(make_facts):
    past, _, _ = simulate(make_facts, 1_000, 3)
    one, other = (spend_model_to_dict(fit_spend(past, same, 7)) for _ in range(2))
    assert json.dumps(one) == json.dumps(other)
    assert one["about"]["unseen_row_count"] == one["about"]["row_count"] == 1_000


def test_intervals_come_from_what_happened_to_the_like():
    # 50 of forecast 10 of whom every fifth spent 40, 50 of forecast 100 who spent 10, 20 ... 500
    foretold = np.repeat([10.0, 100.0], 50)
    happened = np.concatenate([np.tile([0, 0, 0, 0, 40.0], 10), np.arange(1, 51) * 10.0])
    band = fit_band(foretold, happened)
    assert band == {"at": [10.0, 100.0], "low": [0.0, 0.5], "high": [4.0, 4.6]}
    low, high = interval(band, np.array([10.0, 55.0, 100.0, 1000.0]))
    assert low == pytest.approx([0, 13.75, 50, 500]) and high == pytest.approx([40, 236.5, 460, 4600])
    assert fit_band(foretold[:49], happened[:49]) is None
    assert fit_band(np.zeros(60), np.ones(60)) is None


def test_not_enough_to_learn_from(make_facts):
    past, _, _ = simulate(make_facts, 1_200, 4)
    for rows, words in (
        (past.head(999), "customers at cut-offs with 90 days since \\(needs 1,000, has 999\\)"),
        (past.with_columns(spend_next_90d=0.0), "who spent in the 90 days after a cut-off \\(needs 100, has 0\\)"),
        (
            past.with_columns(spend_next_90d=5.0),
            "who spent nothing in the 90 days after a cut-off \\(needs 100, has 0\\)",
        ),
    ):
        with pytest.raises(NotEnoughData, match=words):
            fit_spend(rows, same)
