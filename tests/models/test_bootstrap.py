import numpy as np
import pytest

from pipeline.models import bootstrap, measures


def draw(seed, n=400):
    rng = np.random.default_rng(seed)
    odds = rng.normal(-0.5, 1, n)
    actual = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    # two decimals: many ties
    return actual, np.round(1 / (1 + np.exp(-odds - rng.normal(0, 0.5, n))), 2)


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_by_weights_is_a_draw_of_rows(seed):
    actual, probability = draw(seed)
    found = bootstrap.draw_measures(actual, {"one": probability}, seed, draws=7)["one"]
    rng = np.random.default_rng(seed)
    for number in range(7):
        rows = rng.integers(0, len(actual), len(actual))
        for metric, measure in bootstrap.MEASURES.items():
            near = 0.05 if metric.startswith("calibration") else 1e-9
            assert found[metric][number] == pytest.approx(measure(actual[rows], probability[rows]), abs=near), metric


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = measures.auc(*draw(999, 200_000))
    hits = 0
    for seed in range(40):
        actual, probability = draw(seed)
        low, high = bootstrap.interval(bootstrap.draw_measures(actual, {"one": probability}, seed)["one"]["auc"])
        hits += low <= truth <= high
    assert hits / 40 == pytest.approx(0.95, abs=0.08)


def test_a_constant_forecast_and_a_single_outcome():
    actual = np.array([1.0, 0, 0, 1])
    found = bootstrap.draw_measures(actual, {"flat": np.full(4, 0.5)}, 1, draws=5)["flat"]
    assert np.isnan(found["calibration_slope"]).all() and np.nanmax(abs(found["auc"] - 0.5)) == 0
    never = bootstrap.draw_measures(np.zeros(4), {"flat": np.full(4, 0.5)}, 1, draws=5)["flat"]
    assert np.isnan(never["auc"]).all() and np.isnan(bootstrap.interval(never["auc"])).all()


def test_customers_are_drawn_with_all_their_rows():
    # each row thrice: the interval is that of the customers, not of three times as many
    values = np.random.default_rng(1).normal(0, 1, 200)
    low, high = bootstrap.interval_of_mean(np.repeat(values, 3), np.repeat(np.arange(200), 3), 1)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(200), rel=0.1)
