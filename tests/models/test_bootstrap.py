import numpy as np
import pytest

from pipeline.models import bootstrap, measures
from pipeline.models.clv_measures import Resample
from pipeline.models.purchase_models import interval_by_customer
from pipeline.models.realised import judge_amount


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
        said, came = found[bootstrap.DECILES][number]
        for place, members in enumerate(measures.decile_rows(probability)):
            drawn = rows[np.isin(rows, members)]
            assert said[place] == pytest.approx(probability[drawn].mean())
            assert came[place] == pytest.approx(actual[drawn].mean())
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


def test_who_is_parted_perfectly_has_no_calibration_line():
    actual, probability = np.repeat([0.0, 1.0], 30), np.linspace(0.1, 0.9, 60)
    # a tie at the threshold parts them still
    for forecast in (
        probability,
        1 - probability,
        np.where(actual == 1, np.maximum(probability, 0.5), np.minimum(probability, 0.5)),
    ):
        found = bootstrap.draw_measures(actual, {"one": forecast}, 1)["one"]
        for name in ("calibration_slope", "calibration_intercept"):
            assert (
                np.isnan(bootstrap.MEASURES[name](actual, forecast)) and np.isnan(bootstrap.interval(found[name])).all()
            )
        assert np.isfinite(found["log_loss"]).all() and np.isfinite(found["auc"]).all()


@pytest.mark.parametrize("swapped", [1, 2, 5])
def test_a_line_near_perfection_lies_within_its_interval(swapped):
    actual, probability = np.repeat([0.0, 1.0], 200), np.linspace(0.0005, 0.9995, 400)
    actual[:swapped], actual[-swapped:] = 1, 0
    actual[199 - swapped : 199], actual[201 : 201 + swapped] = 1, 0
    found = bootstrap.draw_measures(actual, {"one": probability}, 1)["one"]
    for name in ("calibration_slope", "calibration_intercept"):
        low, high = bootstrap.interval(found[name])
        assert low <= bootstrap.MEASURES[name](actual, probability) <= high, name


def test_the_line_of_a_flat_likelihood_is_found_to_the_end():
    rng = np.random.default_rng(3)
    odds = rng.choice([-1.0, 1.0], 4_000) * rng.uniform(2, 4, 4_000)
    actual = (rng.random(4_000) < 1 / (1 + np.exp(-3 * odds))).astype(float)
    probability = 1 / (1 + np.exp(-odds))
    slope, intercept = measures.calibration_line(actual, probability)
    error = actual - 1 / (1 + np.exp(-slope * odds - intercept))
    # at the maximum both sums of errors are zero
    assert abs(error.sum()) < 1e-6 and abs((error * odds).sum()) < 1e-6


# each gives (width of its interval, width of the normal one) for values a customer, sorted by id
WAYS = {
    "mean": lambda values: (np.ptp(measures.bootstrap_interval(values, 1)), 1.96 * values.std()),
    "race": lambda values: (np.ptp(interval_by_customer(values, np.arange(len(values)), 1)), 1.96 * values.std()),
    "backtest": lambda values: (
        np.ptp(np.quantile(Resample(len(values), 1).mean(values), [0.025, 0.975])),
        1.96 * values.std(),
    ),
    # a gap of totals over a level of 99 %
    "realised": lambda values: (_gap_width(values) * values.mean(), 2.5758 * values.std()),
}


def _gap_width(actual):
    total = judge_amount("orders_90d", np.full(len(actual), actual.mean()), actual, 0.2, 1)[0]
    return total["value_high"] - total["value_low"]


@pytest.mark.parametrize("way", WAYS)
def test_an_interval_is_no_wider_where_ids_go_with_tenure(way):
    # the older the id, the more a customer buys: 20,000 customers in 2,000 groups
    values = np.linspace(10, 0, 20_000) * np.random.default_rng(1).gamma(1, 1, 20_000)
    width, normal = WAYS[way](values)
    assert width == pytest.approx(2 * normal / np.sqrt(20_000), rel=0.15)


def test_an_interval_does_not_hang_on_the_order_of_rows():
    rng = np.random.default_rng(1)
    values, customers = rng.gamma(1, 1, 6_000), np.repeat(np.arange(3_000), 2)
    shuffled = rng.permutation(6_000)
    once = interval_by_customer(values, customers, 1)
    assert interval_by_customer(values[shuffled], customers[shuffled], 1) == pytest.approx(once, rel=1e-12)


def test_customers_are_dealt_out_evenly():
    group_of, drawn = measures.draw_groups(5_001, 1, 7)
    assert np.array_equal(np.unique(np.bincount(group_of)), [2, 3]) and drawn.shape == (7, 2_000)
    assert abs(np.corrcoef(np.arange(5_001), group_of)[0, 1]) < 0.05
    # few enough: everybody is drawn alone
    group_of, drawn = measures.draw_groups(2_000, 1, 7)
    assert np.array_equal(group_of, np.arange(2_000)) and np.array_equal(drawn.sum(axis=1), np.full(7, 2_000.0))
