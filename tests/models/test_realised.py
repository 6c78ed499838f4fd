"""Forecasts against what came true: counted by hand, right forecasts pass, wrong ones are told."""

import numpy as np
import pytest

from pipeline.models.drift import OK, SHOWN, TOO_FEW, WARNING
from pipeline.models.realised import judge_amount, judge_event


def event(probability, happened, gap=0.2):
    rows = judge_event(np.asarray(probability, float), np.asarray(happened, float), gap, 1)
    return {row["name"]: row for row in rows}


def amount(expected, actual, gap=0.2):
    rows = judge_amount("orders_90d", np.asarray(expected, float), np.asarray(actual, float), gap, 1)
    return {row["name"]: row for row in rows}


def test_shares_counted_by_hand():
    share = event([0.25] * 400, [1] * 150 + [0] * 250)["event_share"]
    assert (share["expected_value"], share["actual_value"], share["value"]) == (0.25, 0.375, 0.5)
    # 2.5758 sqrt(400 x 0.25 x 0.75) / 400 = 0.05577 either side of the actual share, over 0.25
    assert share["value_low"] == pytest.approx((0.375 - 0.055767) / 0.25 - 1, abs=1e-4)
    assert share["value_high"] == pytest.approx((0.375 + 0.055767) / 0.25 - 1, abs=1e-4)
    assert (share["status"], share["warning_limit"], share["row_count"]) == (WARNING, 0.2, 400)


def test_a_gap_within_chance_or_within_the_limit_is_no_warning():
    # 30 % more than foretold, but of 100 customers
    assert event([0.2] * 100, [1] * 26 + [0] * 74)["event_share"]["status"] == OK
    # far beyond chance, but small
    assert event([0.2] * 100_000, [1] * 22_000 + [0] * 78_000)["event_share"]["status"] == OK
    assert event([0.2] * 100_000, [1] * 26_000 + [0] * 74_000)["event_share"]["status"] == WARNING


def test_few_outcomes_are_not_judged():
    assert list(event([0.5] * 99, [1] * 99)) == ["event_share"]
    assert event([0.5] * 99, [1] * 99)["event_share"]["status"] == TOO_FEW
    assert amount([1.0] * 99, [9.0] * 99)["orders_90d_total"]["status"] == TOO_FEW


def test_chances_that_mislead_are_told():
    rng = np.random.default_rng(3)
    chance = rng.uniform(0.05, 0.95, 2000)
    came = rng.uniform(size=2000) < chance
    right, wrong = event(chance, came), event(1 - chance, came)
    assert right["log_loss_over_base_rate"]["status"] == OK and right["log_loss_over_base_rate"]["value"] < 0
    assert wrong["log_loss_over_base_rate"]["status"] == WARNING
    assert right["log_loss"]["status"] == SHOWN
    assert right["auc"]["value"] > 0.7 > 0.3 > wrong["auc"]["value"]
    deciles = [right[f"decile_{place:02d}"] for place in range(1, 11)]
    assert sum(row["row_count"] for row in deciles) == 2000
    assert all(abs(row["expected_value"] - row["actual_value"]) < 0.15 for row in deciles)


def test_totals_counted_by_hand():
    found = amount([2.0] * 200, [1.0, 3.0] * 100)
    total = found["orders_90d_total"]
    assert (total["expected_value"], total["actual_value"], total["value"], total["status"]) == (400, 400, 0, OK)
    assert total["value_low"] < 0 < total["value_high"]
    assert found["orders_90d_rmse"]["value"] == 1
    assert found["orders_90d_rmse_of_zero"]["value"] == pytest.approx(5**0.5)
    assert amount([2.0] * 200, [1.0, 2.0] * 100)["orders_90d_total"]["status"] == WARNING


def test_all_or_nobody_and_nothing_expected():
    assert event([1.0] * 200, [1] * 200)["event_share"]["status"] == OK
    assert event([0.0] * 200, [0] * 200)["event_share"]["status"] == SHOWN
    assert event([0.9] * 200, [0] * 200)["event_share"]["status"] == WARNING
    assert amount([0.0] * 200, [0.0] * 200)["orders_90d_total"]["status"] == SHOWN


def test_right_forecasts_rarely_warn():
    """40 nights of 300 customers whose chances and rates are right, at a limit of nothing."""
    rng = np.random.default_rng(8)
    events = amounts = 0
    for _ in range(40):
        chance = rng.beta(1, 3, 300)
        came = (rng.uniform(size=300) < chance).astype(float)
        events += event(chance, came, gap=1e-9)["event_share"]["status"] == WARNING
        rate = rng.gamma(1, 2, 300)
        amounts += amount(rate, rng.poisson(rate), gap=1e-9)["orders_90d_total"]["status"] == WARNING
    assert events <= 3 and amounts <= 3
