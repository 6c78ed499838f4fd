"""Published figures to their printed digits; figures computed again for reference-numbers.md to 1e-3."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import hyp2f1

from pipeline.models import bgnbd
from pipeline.models.bgnbd import NAMES

PUBLISHED = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}


@pytest.mark.realdata
def test_cdnow_parameters_and_published_expectations(cdnow):
    x, t_x, age = cdnow
    params, likelihood, is_converged = bgnbd.fit(x, t_x, age, np.ones(len(x)))
    assert is_converged
    assert [round(params[name], 3) for name in NAMES] == [0.243, 4.414, 0.793, 2.426]
    assert [params[name] for name in NAMES] == pytest.approx([0.24260, 4.41364, 0.79303, 2.42625], rel=1e-3)
    assert round(likelihood, 1) == -9582.4
    assert likelihood == pytest.approx(-9582.429, abs=1e-3)
    assert likelihood == pytest.approx(bgnbd.log_likelihood(params, x, t_x, age), abs=1e-6)

    assert round(float(bgnbd.conditional_expected_purchases(params, 2, 30.43, 38.86, 39)), 3) == 1.226
    times = [0.1429, 1, 3, 31.8571, 32]
    published = [0.0078, 0.0532, 0.1506, 1.0405, 1.0437]
    assert bgnbd.expected_purchases(params, times).round(4).tolist() == published
    # the printed 1.8576 for t = 78 is the sheet's series cut after 150 terms; to the end it is 1.8580
    to_the_end = float(bgnbd.expected_purchases(params, 78))
    assert to_the_end == pytest.approx(1.8576, rel=1e-3)
    assert round(expected_purchases_by_series(params, 78, terms=150), 4) == 1.8576
    assert expected_purchases_by_series(params, 78, terms=3000) == pytest.approx(to_the_end, abs=1e-9)


@pytest.mark.realdata
def test_cdnow_cumulative_repeats_by_week_78(cdnow, cdnow_days):
    x, t_x, age = cdnow
    params, _, _ = bgnbd.fit(x, t_x, age, np.ones(len(x)))
    assert len(cdnow_days) - len(x) == 4339
    assert bgnbd.expected_purchases(params, age + 39).sum() == pytest.approx(4161, rel=1e-3)


def expected_purchases_by_series(params, t, terms):
    r, alpha, a, b = (params[name] for name in NAMES)
    term = total = 1.0
    for j in range(terms):
        term *= (r + j) * (b + j) / ((a + b - 1 + j) * (j + 1)) * t / (alpha + t)
        total += term
    return (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * total)


def test_published_probabilities():
    # R package BTYD, which takes the rounded parameters
    assert float(bgnbd.prob_purchases(PUBLISHED, 0, 39)) == pytest.approx(0.5737864, abs=5e-8)
    assert float(bgnbd.prob_purchases(PUBLISHED, 10, 2)) == pytest.approx(1.07869e-07, abs=5e-13)


def test_probabilities_add_up_to_one_and_to_the_expectation():
    counts = np.arange(400)
    chances = bgnbd.prob_purchases(PUBLISHED, counts, 30.0)
    assert chances.sum() == pytest.approx(1, abs=1e-9)
    assert chances @ counts == pytest.approx(float(bgnbd.expected_purchases(PUBLISHED, 30.0)), abs=1e-7)
    alive = bgnbd.prob_purchases_while_alive(PUBLISHED, counts, 5, 20.0, 30.0)
    expected = bgnbd.conditional_expected_purchases(PUBLISHED, 5, 18.0, 20.0, 30.0)
    p_alive = bgnbd.prob_alive(PUBLISHED, 5, 18.0, 20.0)
    assert p_alive * (alive @ counts) == pytest.approx(float(expected), abs=1e-7)
    assert alive[0] == pytest.approx(float(bgnbd.prob_none_while_alive(PUBLISHED, 5, 20.0, 30.0)))


def test_conditional_expectation_is_the_printed_formula():
    r, alpha, a, b = (PUBLISHED[name] for name in NAMES)
    x, t_x, age, t = 3.0, 20.0, 30.0, 10.0
    z = t / (alpha + age + t)
    top = 1 - ((alpha + age) / (alpha + age + t)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
    top *= (a + b + x - 1) / (a - 1)
    bottom = 1 + a / (b + x - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x)
    ours = float(bgnbd.conditional_expected_purchases(PUBLISHED, x, t_x, age, t))
    assert ours == pytest.approx(top / bottom, rel=1e-10)


@pytest.mark.parametrize("a", [0.3, 1.0, 1.0 + 1e-9, 2.5])
@pytest.mark.parametrize("x", [0, 1, 20, 365, 3000])
def test_expectations_stay_finite_for_heavy_buyers_and_long_times(a, x):
    params = PUBLISHED | {"a": a}
    age = np.array([max(x / 7, 1.0), 520.0, 5200.0])
    expected = bgnbd.conditional_expected_purchases(params, x, age * 0.99 * (x > 0), age, 52.0)
    assert np.all(np.isfinite(expected)) and np.all(expected >= 0)
    if x:
        # nobody is expected to buy more often than the rate so far suggests, with room for the prior
        assert np.all(expected <= (x + 1) / (age + 4) * 52 + 1)
    assert np.all(np.isfinite(bgnbd.prob_alive(params, x, 0.0, age)))
    assert np.isfinite(bgnbd.log_likelihood(params, np.full(3, x), age * 0.99 * (x > 0), age))


def test_limits_beside_the_poles_agree_with_their_neighbours():
    for name, pole in (("a", 1.0), ("b", 1 - PUBLISHED["a"])):
        near = [float(bgnbd.expected_purchases(PUBLISHED | {name: pole + step}, 20.0)) for step in (0, 1e-4)]
        assert near[0] == pytest.approx(near[1], rel=1e-3)


@pytest.mark.parametrize("a", [0.8, 30.0, 1e5])
@pytest.mark.parametrize("b", [1e-4, 2.4, 1e5])
@pytest.mark.parametrize("r", [0.3, 1e5])
def test_expectations_at_the_far_ends_are_means_over_the_chance_of_leaving(r, a, b):
    params = {"r": r, "alpha": r * 4, "a": a, "b": b}
    x, age, t = np.array([0.0, 5.0, 200.0]), np.array([20.0, 50.0, 100.0]), 52.0
    drawn = np.random.default_rng(1).beta(a, b + x[:, None], (3, 50_000)).clip(1e-300)
    shape, stretch = (r + x)[:, None], t / (params["alpha"] + age)[:, None]
    by_hand = (-np.expm1(-shape * np.log1p(drawn * stretch)) / drawn).mean(axis=1)
    assert bgnbd.expected_while_alive(params, x, age, t) == pytest.approx(by_hand, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_invariants(seed):
    rng = np.random.default_rng(seed)
    params = dict(zip(NAMES, np.exp(rng.normal([-1, 1.5, -0.3, 0.8], 0.5)), strict=True))
    age = rng.uniform(1, 100, 200)
    x, t_x = bgnbd.simulate(params, age, seed)
    alive = bgnbd.prob_alive(params, x, t_x, age)
    assert np.all((alive >= 0) & (alive <= 1)) and np.all(alive[x == 0] == 1)
    horizons = [bgnbd.conditional_expected_purchases(params, x, t_x, age, t) for t in (5.0, 20.0, 80.0)]
    assert np.all(np.diff(horizons, axis=0) >= -1e-9)
    # the longer silent, the less alive
    assert np.all(bgnbd.prob_alive(params, x, t_x, age + 10) <= alive + 1e-12)

    start = np.array([params[name] for name in NAMES])

    def value(values):
        return bgnbd.log_likelihood(dict(zip(NAMES, values, strict=True)), x, t_x, age)

    def slope(values):
        params = dict(zip(NAMES, values, strict=True))
        return bgnbd.log_likelihood_gradient(params, x, t_x, age, np.ones(len(x)))

    assert check_grad(value, slope, start, epsilon=1e-6) < 1e-2 * max(1, np.abs(slope(start)).max() / 100)


def test_parameters_are_recovered_from_simulated_customers():
    age = np.random.default_rng(7).uniform(20, 104, 40_000)
    x, t_x = bgnbd.simulate(PUBLISHED, age, 7)
    params, likelihood, is_converged = bgnbd.fit(x, t_x, age, np.ones(len(x)))
    assert is_converged and likelihood >= bgnbd.log_likelihood(PUBLISHED, x, t_x, age)
    for name in NAMES:
        assert params[name] == pytest.approx(PUBLISHED[name], rel=0.1)


def test_counts_stand_for_repeated_rows():
    x, t_x, age = np.array([0.0, 2.0, 1.0]), np.array([0.0, 5.0, 3.0]), np.array([9.0, 9.0, 4.0])
    counts = np.array([4.0, 2.0, 3.0])
    repeated = [np.repeat(values, counts.astype(int)) for values in (x, t_x, age)]
    assert bgnbd.log_likelihood(PUBLISHED, x, t_x, age, counts) == pytest.approx(
        bgnbd.log_likelihood(PUBLISHED, *repeated), abs=1e-10
    )
