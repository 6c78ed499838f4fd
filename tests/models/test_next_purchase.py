import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

from pipeline.models import measures
from pipeline.models.next_purchase import (
    ACTIVE_DAYS,
    SCHEMA,
    fit_next_purchase,
    predict_next_purchase,
    run_next_purchase,
)

CUT_OFFS = [dt.date(2024, 1, 1), dt.date(2024, 2, 1), dt.date(2024, 4, 1), dt.date(2024, 7, 1)]
TONIGHT = dt.date(2024, 10, 1)


@pytest.fixture
def make_shop(make_facts):
    def make(as_of, n=1000, seed=1):
        """Customers who buy at a rate of their own until they leave; the outcome by that law."""
        rng = np.random.default_rng(seed + as_of.toordinal())
        gap = rng.gamma(3, 15, n) + 3
        recency = np.minimum((rng.exponential(gap) * 1.5).astype(int) + 1, 400)
        orders = 1 + rng.poisson(300 / gap)
        alive = 1 / (1 + 0.1 * np.exp(recency / gap))
        buys = rng.random(n) < alive * -np.expm1(-30 / gap)
        return make_facts(
            as_of=as_of,
            first_order_on=as_of - dt.timedelta(days=401),
            order_count=orders,
            order_day_count=orders,
            recency_days=recency,
            avg_gap_days=pl.Series(np.where(orders > 1, gap, np.nan)).fill_nan(None),
            is_buyer=buys,
        )

    return make


def test_a_night(make_shop):
    *training, calibration, test = (make_shop(day) for day in CUT_OFFS)
    facts = make_shop(TONIGHT, n=2000, seed=5)
    scores, run, backtests = run_next_purchase(facts.drop("is_buyer"), TONIGHT, pl.concat(training), calibration, test)
    assert run["status"] == "used", run["message"]
    assert dict(scores.schema) == SCHEMA and scores["customer_id"].is_sorted()
    within = facts.filter(pl.col("recency_days") <= ACTIVE_DAYS).sort("customer_id")
    assert scores["customer_id"].equals(within["customer_id"])
    predicted, actual = scores["purchase_probability_30d"].to_numpy(), within["is_buyer"].cast(float).to_numpy()
    assert abs(predicted.mean() - actual.mean()) < 0.06 and measures.auc(actual, predicted) > 0.7
    assert measures.calibration_line(actual, predicted)[0] == pytest.approx(1, abs=0.25)
    assert scores.filter(pl.col("purchase_band") == "high")["purchase_probability_30d"].min() >= 0.5
    assert backtests["horizon_days"].unique().to_list() == [30]
    assert json.loads(run["params"])["days"] == 30
    # who buys every few days is told so
    eager = facts[:1].with_columns(recency_days=pl.lit(2), avg_gap_days=pl.lit(4.0), order_count=90, order_day_count=90)
    model = fit_next_purchase(pl.concat(training), calibration, test)
    one = predict_next_purchase(eager, model).row(0, named=True)
    assert one["purchase_band"] == "high" and one["reason_1"] and one["reason_1_zh"]
    said = " ".join(predict_next_purchase(facts, model)["reason_1"].drop_nulls())
    assert "orders every" in said and "only every" not in said
    # last night's band holds within the margin
    close = scores.filter(pl.col("purchase_probability_30d").is_between(0.5, 0.529)).select(
        "customer_id", purchase_band=pl.lit("medium")
    )
    again = predict_next_purchase(facts, model, close).join(close, on="customer_id")
    assert len(close) and again["purchase_band"].unique().to_list() == ["medium"]


def test_edges(make_shop):
    *training, calibration, test = (make_shop(day, n=300) for day in CUT_OFFS)
    training, facts = pl.concat(training), make_shop(TONIGHT, n=5)
    for never in (True, False):
        _, run, _ = run_next_purchase(facts, TONIGHT, training.with_columns(is_buyer=pl.lit(never)), calibration, test)
        assert run["status"] == "not enough data" and "(needs 30, has 0)" in run["message"]
    for rows in (training.clear(), training[:1]):
        _, run, _ = run_next_purchase(facts, TONIGHT, rows, rows.clear(), rows.clear())
        assert run["status"] == "not enough data" and "(needs 200, has" in run["message"]
    with pytest.raises(ValueError, match="looks 30 days ahead, past tonight"):
        run_next_purchase(facts, dt.date(2024, 7, 20), training, calibration, test)
