"""What is believed of lifetime value, and what is held back."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from pipeline.models.clv import run_clv
from pipeline.models.clv_checks import check_belief, doubt_spend
from pipeline.models.expected_spend import SCHEMA
from pipeline.models.likelihood import Search, maximise

PURCHASES = pl.DataFrame({"x": [3] * 10, "age_days": [729] * 10})


def make_metrics(**overrides):
    return {
        "bgnbd_converged": True,
        "bgnbd_is_flat": True,
        "bgnbd_start_count": 4,
        "bgnbd_agreeing_start_count": 4,
        "repeater_count": 500,
        "repeat_count": 1000,
        "fitted_repeat_count": 1010.0,
    } | overrides


def make_scores(**overrides):
    numbers = dict.fromkeys(SCHEMA, 1.0) | {"margin_share": None, "margin_365d_amount": None}
    columns = numbers | {"customer_id": "c", "as_of": None} | overrides
    return pl.DataFrame({name: [columns[name]] * 10 for name in SCHEMA}, schema=SCHEMA)


def belief(metrics=None, scores=None):
    status, notes = check_belief("bgnbd", make_metrics(**metrics or {}), PURCHASES, make_scores(**scores or {}))
    return status, "; ".join(notes)


@pytest.mark.parametrize(
    ("metrics", "scores", "status", "said"),
    [
        ({}, {}, "used", ""),
        ({"bgnbd_is_flat": False, "bgnbd_converged": False}, {}, "held", "no maximum"),
        ({"bgnbd_agreeing_start_count": 1}, {}, "held", "only 1 of 4 starts agree"),
        ({"bgnbd_agreeing_start_count": 2}, {}, "used", "2 of 4 starts agree"),
        ({"bgnbd_converged": False}, {}, "used", "ended at a bound"),
        ({"repeater_count": 99}, {}, "used", "only 99 customers with a second purchase day"),
        (
            {"fitted_repeat_count": 1101.0},
            {},
            "used",
            "makes 1,101 of the 1,000 repeat purchases it was fitted on (+10%",
        ),
        ({"fitted_repeat_count": 499.0}, {}, "held", "(-50%, limit 50%)"),
        ({}, {"clv_90d_high": float("inf")}, "held", "a score is no number"),
        ({}, {"expected_orders_365d": 366.0}, "held", "10 customers are to buy on more than 365 days"),
        # ten customers bought on 40 days in two years: 20 a year
        ({}, {"expected_orders_365d": 9.9}, "used", ""),
        ({}, {"expected_orders_365d": 10.4}, "held", "5.2 times as often as so far (limit 5)"),
    ],
)
def test_what_is_noted_and_what_is_held(metrics, scores, status, said):
    found, notes = belief(metrics, scores)
    assert found == status
    assert said in notes and bool(said) == bool(notes)


CONVERGED = Search(True, True, 4, 4)


@pytest.mark.parametrize(
    ("spend", "search", "correlation", "fallback", "said"),
    [
        ({}, CONVERGED, 0.3, None, None),
        ({}, CONVERGED, -0.31, None, "correlate at -0.31"),
        ({}, CONVERGED, 0.61, "own", "correlate at 0.61"),
        ({}, CONVERGED, -0.61, None, "correlate at -0.61"),
        ({}, CONVERGED, float("nan"), None, None),
        ({}, Search(True, False, 4, 4), 0.0, "own", "no Gamma-Gamma with a finite mean"),
        ({"q": 1.0}, CONVERGED, 0.0, "own", "no Gamma-Gamma with a finite mean"),
        ({}, Search(True, True, 4, 1), 0.0, "mean", "only 1 of 4 starts"),
        # 2 x 30 / 0.5 a day, where customers spent 30
        ({"q": 1.5}, CONVERGED, 0.0, "mean", "expects 120.00 a day where customers spent 30.00"),
    ],
)
def test_a_doubted_model_of_spend_is_replaced(spend, search, correlation, fallback, said):
    found, note = doubt_spend({"p": 2.0, "q": 3.0, "gamma": 30.0} | spend, search, np.array([20.0, 40.0]), correlation)
    assert found == fallback
    assert note is None if said is None else said in note


def bumps(heights):
    """A factory of a likelihood of one parameter with a bump at log 0, 2, 4 ... of these heights."""

    def likelihood_of(rows, counts):
        def value_and_gradient(values):
            log = np.log(values[0])
            parts = [height * np.exp(-((log - 2 * place) ** 2) * 4) for place, height in enumerate(heights)]
            slope = sum(-8 * (log - 2 * place) * part for place, part in enumerate(parts)) / values[0]
            return counts.sum() * sum(parts), np.array([counts.sum() * slope])

        return value_and_gradient

    return likelihood_of


def test_starts_that_end_elsewhere_do_not_agree():
    starts = [(np.exp(log),) for log in (0.1, 1.9, 2.1, 2.2)]
    rows, counts = (np.zeros(50_000),), np.full(50_000, 2.0)
    values, likelihood, search = maximise(bumps([1.0, 3.0]), starts, (-5, 5), rows, counts)
    assert search == (True, True, 4, 3) and search
    assert np.log(values) == pytest.approx([2], abs=1e-4) and likelihood == pytest.approx(300_000, rel=1e-4)
    values, _, search = maximise(bumps([1.0]), [(2.0,)], (0.5, 5), rows, counts)
    assert values == pytest.approx(np.exp(0.5)) and not search and not search.is_inside


@pytest.mark.parametrize(
    ("repeats", "age_days", "status"),
    [
        # all alike and long gone is a limit of the model; all alike and about to come again, no one set of parameters
        (3, 700, "used"),
        (40, 285, "held"),
    ],
)
def test_customers_who_are_all_alike_are_scored_with_numbers_or_not_at_all(make_facts, repeats, age_days, status):
    as_of = dt.date(2025, 1, 1)
    first = as_of - dt.timedelta(days=age_days + 1)
    facts = make_facts(
        200,
        order_day_count=repeats + 1,
        first_order_on=first,
        last_order_on=first + dt.timedelta(days=7 * repeats),
        repeat_day_spend_amount=repeats * 20.0,
    )
    scores, run, _ = run_clv(facts, as_of)
    assert run["status"] == status
    assert len(scores) == (200 if status == "used" else 0)
    assert status == "used" or "starts agree" in run["message"]
    numbers = scores.drop("customer_id", "as_of", "margin_share", "margin_365d_amount")
    assert np.all(np.isfinite(numbers.to_numpy()))
