"""Every model on the edges of what a shop can be: a statement of what is lacking, never a crash or a made-up score."""

import datetime as dt
import json
import re

import numpy as np
import polars as pl
import pytest

from pipeline.models import churn, clv, contract_churn, next_purchase, rfm, segments
from pipeline.models.records import BACKTEST_SCHEMA

TONIGHT = dt.date(2024, 10, 1)
CUT_OFFS = [TONIGHT - dt.timedelta(days=90 * back) for back in (3, 2, 1)]
MODELS = {
    "rfm": rfm,
    "segments": segments,
    "clv": clv,
    "churn": churn,
    "next_purchase": next_purchase,
    "contract_churn": contract_churn,
}
EVENTS = ("churn", "next_purchase", "contract_churn")
LACKING = re.compile(r"^not enough data: [\w ,'-]+ \(needs [\d,]+, has [\d,]+\)")
N = 400


@pytest.fixture
def make_shop(make_facts):
    """Function: facts of n customers at a cut-off, with everything that a model looks at."""

    def make(n, as_of, seed):
        rng = np.random.default_rng(seed)
        orders = 1 + rng.poisson(3, n)
        age = rng.integers(130, 700, n)
        recency = np.where(orders > 1, rng.integers(1, 120, n), age)
        spend = (orders * rng.gamma(4, 25, n)).round(2)
        tickets = rng.poisson(0.5, n)
        odds = -0.5 + recency / 40 - 0.4 * orders + 2 * (tickets > 0)
        return make_facts(
            as_of=as_of,
            order_count=orders,
            order_day_count=orders,
            recency_days=recency,
            first_order_on=pl.Series([as_of - dt.timedelta(days=int(days)) for days in age], dtype=pl.Date),
            last_order_on=pl.Series([as_of - dt.timedelta(days=int(days)) for days in recency], dtype=pl.Date),
            net_spend_amount=spend,
            repeat_day_spend_amount=(spend * (1 - 1 / orders)).round(2),
            avg_order_amount=spend / orders,
            avg_gap_days=pl.Series(np.where(orders > 1, (age - recency) / np.maximum(orders - 1, 1), np.nan)).fill_nan(None),
            order_count_90d=np.minimum(orders, 2),
            discount_share=rng.beta(2, 6, n),
            return_share=rng.beta(1, 9, n),
            category_count=rng.integers(1, 6, n),
            online_order_share=rng.random(n),
            top_category=rng.choice(["tea", "shoes", "toys"], n),
            top_sales_channel=rng.choice(["online", "store"], n),
            ticket_count=tickets,
            ticket_count_90d=np.minimum(tickets, 1),
            has_contract=True,
            contract_plan=rng.choice(["monthly", "yearly"], n),
            contract_amount=rng.integers(30, 120, n),
            contract_age_days=rng.integers(1, 700, n),
            is_churned=rng.random(n) < 1 / (1 + np.exp(-odds)),
            is_buyer=rng.random(n) < 1 / (1 + np.exp(odds)),
        )  # fmt: skip

    return make


def run_models(tonight, past, as_of=TONIGHT):
    """{model: (scores, run, backtests)}, each checked for what holds of any night. past: training, calibration, test."""
    facts = tonight.drop("is_churned", "is_buyer")
    results = {
        "rfm": rfm.run_rfm(facts, as_of),
        "segments": segments.run_segments(facts, as_of),
        "clv": clv.run_clv(facts, as_of),
        "churn": churn.run_churn(facts, as_of, *past),
        "next_purchase": next_purchase.run_next_purchase(facts, as_of, *past),
        "contract_churn": contract_churn.run_contract_churn(facts, as_of, *past),
    }
    allowed = set(facts.filter(pl.col("is_profiling_allowed").fill_null(True))["customer_id"])
    for name, (scores, run, backtests) in results.items():
        assert {"as_of", "version", "params", "metrics"} < set(run) and run["model"] == name
        assert run["row_count"] == len(scores)
        assert dict(scores.schema) == MODELS[name].SCHEMA and dict(backtests.schema) == BACKTEST_SCHEMA
        assert scores["customer_id"].is_unique().all() and scores["customer_id"].is_sorted(), name
        assert set(scores["customer_id"]) <= allowed, name
        numbers = [column for column, kind in scores.schema.items() if kind == pl.Float64]
        assert scores.select(pl.col(numbers).is_finite().all()).row(0) == (True,) * len(numbers), name
        for column in (column for column in numbers if column == "p_alive" or "probability" in column):
            assert scores[column].is_between(0, 1).all(), name
        if run["status"] != "used":
            assert run["status"] in ("held", "not enough data") and scores.is_empty() and run["message"], name
        if run["status"] == "not enough data":
            assert LACKING.match(run["message"]), f"{name}: {run['message']}"
        json.loads(run["params"]), json.loads(run["metrics"])
    return results


def statuses(results):
    return {name: run["status"] for name, (_, run, _) in results.items()}


@pytest.fixture
def make_past(make_shop):
    def make(change=lambda rows: rows, n=N):
        return [change(make_shop(n, as_of, seed)) for seed, as_of in enumerate(CUT_OFFS)]

    return make


def test_an_ordinary_shop_has_every_score(make_shop, make_past):
    assert statuses(run_models(make_shop(N, TONIGHT, 9), make_past(n=800))) == dict.fromkeys(MODELS, "used")


def test_no_customers(make_shop, make_past):
    empty = make_shop(1, TONIGHT, 9).clear()
    assert set(statuses(run_models(empty, [empty] * 3)).values()) == {"not enough data"}
    # a shop whose customers are all gone has nothing to score, whatever the past taught
    scored = {name: len(scores) for name, (scores, _, _) in run_models(empty, make_past()).items()}
    assert scored == dict.fromkeys(MODELS, 0)


def test_one_customer(make_shop):
    one = make_shop(1, TONIGHT, 9)
    past = [make_shop(1, as_of, 1) for as_of in CUT_OFFS]
    assert statuses(run_models(one, past)) == dict.fromkeys(MODELS, "not enough data")


def test_nobody_came_back(make_shop, make_past):
    def once(rows):
        return rows.with_columns(
            order_count=1,
            order_day_count=1,
            first_order_on="last_order_on",
            repeat_day_spend_amount=pl.lit(0, dtype=pl.Decimal(18, 2)),
            avg_gap_days=pl.lit(None, dtype=pl.Float64),
            order_count_90d=1,
        )

    found = run_models(once(make_shop(N, TONIGHT, 9)), make_past(once))
    assert statuses(found)["rfm"] == "used" and statuses(found)["clv"] == "not enough data"


@pytest.mark.parametrize("is_churned", [True, False])
def test_all_or_none_churned(make_shop, make_past, is_churned):
    past = make_past(lambda rows: rows.with_columns(is_churned=pl.lit(is_churned), is_buyer=pl.lit(is_churned)))
    found = run_models(make_shop(N, TONIGHT, 9), past)
    for name in EVENTS:
        assert found[name][1]["status"] == "not enough data"
        assert found[name][1]["message"].endswith("after the training cut-off (needs 30, has 0)")


@pytest.mark.parametrize("is_churned", [True, False])
def test_all_or_none_churned_after_the_last_cut_off(make_shop, make_past, is_churned):
    training, calibration, test = make_past()
    found = run_models(
        make_shop(N, TONIGHT, 9),
        [training, calibration, test.with_columns(is_churned=pl.lit(is_churned), is_buyer=pl.lit(is_churned))],
    )
    for name in EVENTS:
        assert found[name][1]["status"] == "not enough data"


def test_nobody_active_tonight(make_shop, make_past):
    gone = make_shop(N, TONIGHT, 9).with_columns(
        recency_days=pl.lit(800),
        last_order_on=pl.lit(TONIGHT - dt.timedelta(days=800)),
        first_order_on=pl.lit(TONIGHT - dt.timedelta(days=900)),
        has_contract=pl.lit(False),
    )
    found = run_models(gone, make_past())
    assert [len(found[name][0]) for name in EVENTS] == [0, 0, 0]


def test_everybody_alike(make_shop, make_past):
    def alike(rows):
        keys = ("customer_id", "as_of", "is_churned", "is_buyer")
        return rows.with_columns(pl.exclude(keys).first())

    found = run_models(alike(make_shop(N, TONIGHT, 9)), make_past(alike))
    for name in ("segments", *EVENTS):
        assert found[name][1]["status"] == "not enough data", name
    assert found["clv"][1]["status"] in ("held", "not enough data")


def test_everybody_alike_before_tonight(make_shop, make_past):
    def alike(rows):
        return rows.with_columns(pl.exclude("customer_id", "as_of", "is_churned", "is_buyer").first())

    found = run_models(make_shop(N, TONIGHT, 9), make_past(alike))
    assert [found[name][1]["status"] for name in EVENTS] == ["not enough data"] * 3


def test_categories_never_seen(make_shop, make_past):
    new = {"top_category": "moon cheese", "top_sales_channel": "hologram", "contract_plan": "eternal"}
    tonight = make_shop(N, TONIGHT, 9)
    unseen = tonight.with_columns(pl.lit(value).alias(name) for name, value in new.items())
    assert statuses(run_models(unseen, make_past(n=800))) == dict.fromkeys(MODELS, "used")
    # a level by itself for each customer: more than a model keeps
    own = pl.col("customer_id").alias("top_category")
    run_models(tonight.with_columns(own), make_past(lambda rows: rows.with_columns(own)))


def test_everybody_refused_profiling(make_shop, make_past):
    def refuse(rows):
        return rows.with_columns(is_profiling_allowed=pl.lit(False))

    found = run_models(refuse(make_shop(N, TONIGHT, 9)), make_past(refuse))
    assert set(statuses(found).values()) == {"not enough data"}
    # the past may be learnt from those who have refused since; they are not scored
    found = run_models(refuse(make_shop(N, TONIGHT, 9)), make_past())
    assert [len(scores) for scores, _, _ in found.values()] == [0] * len(MODELS)


def test_only_orders_are_delivered(make_shop, make_past):
    def bare(rows):
        absent = "ticket_count ticket_count_90d return_share category_count top_category has_contract contract_plan"
        absent += " contract_amount contract_age_days discount_share online_order_share top_sales_channel"
        return rows.with_columns(pl.lit(None, dtype=rows.schema[name]).alias(name) for name in absent.split())

    found = run_models(bare(make_shop(N, TONIGHT, 9)), make_past(bare))
    assert {statuses(found)[name] for name in ("rfm", "segments", "clv")} == {"used"}
    assert (
        "customers with a contract at the training cut-off (needs 200, has 0)" in found["contract_churn"][1]["message"]
    )


def test_orders_worth_nothing(make_shop, make_past):
    def free(rows):
        zero = pl.lit(0, dtype=pl.Decimal(18, 2))
        return rows.with_columns(net_spend_amount=zero, repeat_day_spend_amount=zero, avg_order_amount=pl.lit(0.0))

    run_models(free(make_shop(N, TONIGHT, 9)), make_past(free))


def test_all_refunded_and_more(make_shop, make_past):
    def owed(rows):
        minus = pl.lit(-5, dtype=pl.Decimal(18, 2))
        return rows.with_columns(net_spend_amount=minus, repeat_day_spend_amount=minus, avg_order_amount=pl.lit(-5.0))

    run_models(owed(make_shop(N, TONIGHT, 9)), make_past(owed))


@pytest.mark.parametrize("count", [2, 59, 60, 61])
def test_few_customers(make_shop, count):
    run_models(make_shop(count, TONIGHT, 9), [make_shop(count, as_of, 1) for as_of in CUT_OFFS])
