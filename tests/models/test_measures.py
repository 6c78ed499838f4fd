import json
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.models import measures
from pipeline.models.records import NotEnoughData, make_model_run


def test_hand_counted():
    actual, predicted = np.array([0.0, 0.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.0, 1.0])
    assert measures.mae(actual, predicted) == 0.75
    assert measures.rmse(actual, predicted) == pytest.approx(math.sqrt(5 / 4))
    assert measures.bias_share(actual, predicted) == -0.25
    assert measures.brier(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == 0.25
    assert measures.log_loss(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(math.log(2))


def test_gini_does_not_hang_on_the_order_of_ties():
    actual = np.array([0.0, 5.0, 1.0, 0.0, 2.0])
    assert measures.normalised_gini(actual, actual) == pytest.approx(1)
    assert measures.normalised_gini(actual, -actual) == pytest.approx(-1)
    assert measures.normalised_gini(actual, np.ones(5)) == pytest.approx(0)
    tied = np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    order = [4, 2, 3, 1, 0]
    assert measures.normalised_gini(actual, tied) == pytest.approx(measures.normalised_gini(actual[order], tied[order]))


@pytest.mark.parametrize("seed", range(20))
def test_ranking_measures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    actual = (rng.random(300) < 0.3).astype(float)
    for probability in (rng.random(300), np.round(rng.random(300), 1), np.full(300, 0.4)):
        assert measures.auc(actual, probability) == pytest.approx(roc_auc_score(actual, probability), abs=1e-12)
        assert measures.pr_auc(actual, probability) == pytest.approx(
            average_precision_score(actual, probability), abs=1e-12
        )
    assert math.isnan(measures.auc(np.zeros(3), np.arange(3.0))) and math.isnan(
        measures.pr_auc(np.zeros(3), np.arange(3.0))
    )
    assert math.isnan(measures.auc(np.ones(3), np.arange(3.0)))


def test_lift_counts_ties_at_the_edge_in_part():
    actual = np.array([1.0] * 2 + [0.0] * 18)
    assert measures.lift(actual, actual) == pytest.approx(10)
    assert measures.lift(actual, np.full(20, 0.1)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_calibration_line_finds_the_distortion(seed):
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.5, 20_000)
    actual = (rng.random(20_000) < 1 / (1 + np.exp(-odds))).astype(float)
    slope, intercept = measures.calibration_line(actual, 1 / (1 + np.exp(-(2 * odds + 1))))
    assert (slope, intercept) == (pytest.approx(0.5, abs=0.05), pytest.approx(-0.5, abs=0.1))


def test_undefined_is_nan_not_a_crash():
    constant = np.zeros(5)
    for measure in (measures.auc, measures.pr_auc, measures.correlation, measures.bias_share, measures.lift):
        assert math.isnan(measure(constant, np.full(5, 0.3)))
    assert math.isnan(measures.normalised_gini(constant, np.full(5, 0.3)))


def test_model_run_is_json_and_versioned_by_its_parameters():
    run = make_model_run(None, "clv", "used", "", 1, {"a": np.float64(1.5)}, {"b": float("nan"), "c": [np.int64(2)]})
    assert json.loads(run["params"]) == {"a": 1.5}
    assert json.loads(run["metrics"]) == {"b": None, "c": [2]}
    assert run["version"] == make_model_run(None, "clv", "used", "x", 9, {"a": 1.5})["version"]
    assert run["version"] != make_model_run(None, "clv", "used", "", 1, {"a": 1.6})["version"]
    assert str(NotEnoughData("rows", 2000, 3)) == "not enough data: rows (needs 2,000, has 3)"
