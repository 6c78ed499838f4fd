"""MBG/NBD and Pareto/NBD: published figures, the printed formulas, and what holds for every such model."""

import numpy as np
import polars as pl
import pytest
from scipy.optimize import check_grad
from scipy.special import gammaln, hyp2f1, logsumexp

from pipeline.models import bgnbd, mbgnbd, paretonbd
from pipeline.models.measures import bootstrap_interval
from pipeline.models.purchase_models import interval_by_customer, race, say_race, stretch

MODELS = {"bgnbd": bgnbd, "mbgnbd": mbgnbd, "paretonbd": paretonbd}
PUBLISHED = {
    "bgnbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "mbgnbd": {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614},
    "paretonbd": {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669},
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["mbgnbd", "paretonbd"])
def test_published_parameters_on_cdnow(cdnow, name):
    x, t_x, age = cdnow
    params, likelihood, is_converged = MODELS[name].fit(x, t_x, age, np.ones(len(x)))
    assert is_converged
    assert {part: round(value, 3) for part, value in params.items()} == PUBLISHED[name]
    if name == "paretonbd":
        assert round(likelihood, 1) == -9595.0
    assert likelihood == pytest.approx(MODELS[name].log_likelihood(params, x, t_x, age), abs=1e-6)


def pareto_by_hypergeometric(params, x, t_x, age):
    """Log-likelihood by the note's printed difference of two 2F1 (alpha and beta in either order)."""
    r, alpha, s, beta = (params[name] for name in ("r", "alpha", "s", "beta"))
    both, low, second = r + s + x, max(alpha, beta), (s + 1 if alpha >= beta else r + x)

    def part(t):
        return hyp2f1(both, second, both + 1, abs(alpha - beta) / (low + t)) / (low + t) ** both

    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    alive = -(r + x) * np.log(alpha + age) - s * np.log(beta + age)
    return common + logsumexp([alive, np.log(s / both * (part(t_x) - part(age)))])


@pytest.mark.parametrize("seed", range(20))
def test_the_pareto_likelihood_is_the_printed_one(seed):
    rng = np.random.default_rng(seed)
    params = dict(zip(paretonbd.NAMES, np.exp(rng.uniform([-1.5, 0, -1.5, 0], [1, 3, 1, 3])), strict=True))
    x = rng.integers(0, 12)
    age = rng.uniform(5, 100)
    t_x = rng.uniform(0.1, 0.95) * age if x else 0.0
    ours = paretonbd.log_likelihood(params, x, t_x, age)
    assert ours == pytest.approx(pareto_by_hypergeometric(params, x, t_x, age), abs=1e-7)


def pareto_by_panels(params, x, t_x, age):
    """Log-likelihood with its integral over the moment of leaving summed over thousands of narrow panels."""
    r, alpha, s, beta = (params[name] for name in ("r", "alpha", "s", "beta"))
    nodes, weights = np.polynomial.legendre.leggauss(10)
    near = min(alpha, beta) + t_x
    end = np.log1p((age - t_x) / near)
    edges = np.unique(np.concatenate([[0.0], np.geomspace(1e-9, 1, 2_000) * end]))
    half = np.diff(edges)[:, None] / 2
    since = near * np.expm1(edges[:-1, None] + half * (nodes + 1))
    left = np.log(half * weights * (near + since)) - (r + x) * np.log(alpha + t_x + since)
    left = left + np.log(s) + s * np.log(beta) - (s + 1) * np.log(beta + t_x + since)
    alive = -(r + x) * np.log(alpha + age) + s * np.log(beta / (beta + age))
    return gammaln(r + x) - gammaln(r) + r * np.log(alpha) + logsumexp([alive, *left.ravel()])


@pytest.mark.parametrize("seed", range(20))
def test_the_pareto_likelihood_holds_however_far_alpha_and_beta_lie_apart(seed):
    # as far as the search may go: exp(-6) to exp(9)
    rng = np.random.default_rng(seed)
    for x in (0, 0, 1, 30):
        params = dict(zip(paretonbd.NAMES, np.exp(rng.uniform([-3, -6, -3, -6], [2, 9, 9, 9])), strict=True))
        age = rng.uniform(5, 500)
        t_x = rng.uniform(0.1, 0.95) * age if x else 0.0
        ours = paretonbd.log_likelihood(params, x, t_x, age)
        assert ours == pytest.approx(pareto_by_panels(params, x, t_x, age), rel=1e-12, abs=1e-9)


def test_the_pareto_likelihood_where_most_leave_at_once():
    params = {"r": 0.5, "alpha": 10.0, "s": 0.5, "beta": 0.01}
    by_hand = pareto_by_hypergeometric(params, 0, 0.0, 39.0)
    assert paretonbd.log_likelihood(params, 0, 0.0, 39.0) == pytest.approx(by_hand, abs=1e-12)


def test_a_shop_where_most_leave_at_once_has_a_maximum():
    truth = {"r": 3.0, "alpha": 30.0, "s": 0.2, "beta": 0.01}
    age = np.random.default_rng(1).uniform(20, 104, 3_000)
    x, t_x = paretonbd.simulate(truth, age, 1)
    params, likelihood, search = paretonbd.fit(x, t_x, age, np.ones(len(x)))
    assert search and search.agreeing_count == search.start_count
    assert likelihood >= paretonbd.log_likelihood(truth, x, t_x, age)
    assert np.abs(np.log([params[name] / truth[name] for name in truth])).max() < 0.3


def test_the_mbg_likelihood_is_the_sum_over_its_stories():
    # x = 1: stays after the first purchase and the second, or leaves after the second
    r, alpha, a, b = PUBLISHED["mbgnbd"].values()
    t_x, age = 5.0, 20.0
    stays = b * (b + 1) / ((a + b) * (a + b + 1)) * (alpha + age) ** -(r + 1)
    leaves = a * b / ((a + b) * (a + b + 1)) * (alpha + t_x) ** -(r + 1)
    by_hand = np.log(r * alpha**r * (stays + leaves))
    assert mbgnbd.log_likelihood(PUBLISHED["mbgnbd"], 1, t_x, age) == pytest.approx(by_hand, abs=1e-12)
    assert mbgnbd.prob_alive(PUBLISHED["mbgnbd"], 1, t_x, age) == pytest.approx(stays / (stays + leaves), abs=1e-12)


@pytest.mark.parametrize("name", ["mbgnbd", "paretonbd"])
@pytest.mark.parametrize("seed", range(20))
def test_the_gradient(name, seed):
    rng = np.random.default_rng(seed)
    model, start = MODELS[name], np.exp(rng.uniform(-1, 2, 4))
    names = list(PUBLISHED[name])
    age = rng.uniform(1, 100, 100)
    x, t_x = model.simulate(dict(zip(names, start, strict=True)), age, seed)

    def value(values):
        return model.log_likelihood(dict(zip(names, values, strict=True)), x, t_x, age)

    def slope(values):
        return model.log_likelihood_gradient(dict(zip(names, values, strict=True)), x, t_x, age, np.ones(len(x)))

    assert check_grad(value, slope, start, epsilon=1e-6) < 1e-2 * max(1, np.abs(slope(start)).max() / 100)


@pytest.mark.parametrize(("alpha", "beta"), [(30.0, 0.01), (0.01, 30.0), (5.0, 5.0)])
def test_the_gradient_where_alpha_and_beta_lie_far_apart(alpha, beta):
    start = np.array([0.8, alpha, 0.4, beta])
    age = np.random.default_rng(1).uniform(1, 100, 100)
    x, t_x = paretonbd.simulate(dict(zip(paretonbd.NAMES, start, strict=True)), age, 1)

    def value(logs):
        return paretonbd.log_likelihood(dict(zip(paretonbd.NAMES, np.exp(logs), strict=True)), x, t_x, age)

    def slope(logs):
        params = dict(zip(paretonbd.NAMES, np.exp(logs), strict=True))
        return paretonbd.log_likelihood_gradient(params, x, t_x, age, np.ones(len(x))) * np.exp(logs)

    assert check_grad(value, slope, np.log(start), epsilon=1e-6) < 1e-4 * max(1, np.abs(slope(np.log(start))).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("x", "age", "t"), [(0, 10.0, 39.0), (2, 30.0, 39.0), (40, 52.0, 13.0)])
def test_probabilities_add_up_to_one_and_to_the_expectation(name, x, age, t):
    model, params, counts = MODELS[name], PUBLISHED[name], np.arange(600)
    chances = model.prob_purchases_while_alive(params, counts, x, age, t)
    assert chances.sum() == pytest.approx(1, abs=1e-7)
    t_x = 0.8 * age * (x > 0)
    expected = model.conditional_expected_purchases(params, x, t_x, age, t)
    assert model.prob_alive(params, x, t_x, age) * (chances @ counts) == pytest.approx(float(expected), rel=1e-5)
    assert chances[0] == pytest.approx(float(model.prob_none_while_alive(params, x, age, t)))


@pytest.mark.parametrize("name", MODELS)
def test_expectations_are_those_of_simulated_customers(name):
    model, params = MODELS[name], PUBLISHED[name]
    age = np.full(200_000, 30.0)
    x, t_x = model.simulate(params, age, 11)
    later, _ = model.simulate(params, age + 20, 11)
    error = later.std() / np.sqrt(len(age))
    assert later.mean() == pytest.approx(float(model.expected_purchases(params, 50.0)), abs=4 * error)
    ahead = model.conditional_expected_purchases(params, x, t_x, age, 20.0).mean()
    assert ahead == pytest.approx(
        float(model.expected_purchases(params, 50.0) - model.expected_purchases(params, 30.0)), rel=0.03
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_recovered_over_20_seeds(name):
    model, truth = MODELS[name], PUBLISHED[name]
    found = []
    for seed in range(20):
        age = np.random.default_rng(seed).uniform(20, 104, 4_000)
        x, t_x = model.simulate(truth, age, seed)
        params, likelihood, is_converged = model.fit(x, t_x, age, np.ones(len(x)))
        assert is_converged
        assert likelihood >= model.log_likelihood(truth, x, t_x, age)
        found.append([params[part] for part in truth])
    logs = np.log(found) - np.log(list(truth.values()))
    # without bias: the mean error lies within four of its own standard errors
    assert np.all(np.abs(logs.mean(axis=0)) < 4 * logs.std(axis=0, ddof=1) / np.sqrt(20))
    assert np.all(logs.std(axis=0) < 0.6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("x", [0, 1, 20, 365, 3000])
def test_figures_stay_finite_for_heavy_buyers_and_long_times(name, x):
    model, params = MODELS[name], PUBLISHED[name]
    age = np.array([max(x / 7, 1.0), 520.0, 5200.0])
    t_x = age * 0.99 * (x > 0)
    alive = model.prob_alive(params, x, t_x, age)
    expected = model.conditional_expected_purchases(params, x, t_x, age, 52.0)
    assert np.all((alive >= 0) & (alive <= 1))
    assert np.all(np.isfinite(expected)) and np.all(expected >= 0)
    assert np.isfinite(model.log_likelihood(params, np.full(3, x), t_x, age))
    assert np.all(model.prob_alive(params, x, 0.0 * age, age) <= alive + 1e-12)


def simulate_and_wait(law, params, age, weeks, seed):
    """x, t_x before age and the orders in the weeks after it, of customers who live on by a law."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(params["r"], 1 / params["alpha"], age.shape)
    if law == "paretonbd":
        leaves = rng.exponential(1 / rng.gamma(params["s"], 1 / params["beta"], age.shape))
        drop_out = np.zeros(age.shape)
    else:
        leaves, drop_out = np.full(age.shape, np.inf), rng.beta(params["a"], params["b"], age.shape)
        leaves[(law == "mbgnbd") & (rng.random(age.shape) < drop_out)] = 0.0
    now, x, t_x, orders = (np.zeros(age.shape) for _ in range(4))
    while True:
        now = now + rng.exponential(1 / rate)
        is_bought = (now < leaves) & (now < age + weeks)
        if not is_bought.any():
            return x, t_x, orders
        x += is_bought & (now < age)
        t_x = np.where(is_bought & (now < age), now, t_x)
        orders += is_bought & (now >= age)
        leaves = np.where(rng.random(age.shape) < drop_out, np.minimum(leaves, now), leaves)


def race_of_laws(law, params, seed):
    """The three models fitted to 20,000 customers of a law at 60 weeks, and raced over their next 40."""
    age = np.full(20_000, 60.0)
    x, t_x, orders = simulate_and_wait(law, params, age, 40.0, seed)
    errors = {}
    for name, model in MODELS.items():
        fitted, _, is_converged = model.fit(x, t_x, age, np.ones(len(x)))
        if is_converged:
            errors[name] = (model.conditional_expected_purchases(fitted, x, t_x, age, 40.0) - orders) ** 2
    return race(np.arange(len(x)), errors, {}, "bgnbd", seed)


@pytest.mark.parametrize(
    ("law", "params", "chosen"),
    [
        ("bgnbd", PUBLISHED["bgnbd"], "bgnbd"),
        # most leave after their first purchase, which the BG/NBD cannot say
        ("mbgnbd", {"r": 1.5, "alpha": 10.0, "a": 5.0, "b": 1.0}, "mbgnbd"),
        # closer than the BG/NBD here, but not by more than chance
        ("paretonbd", {"r": 1.5, "alpha": 4.0, "s": 0.5, "beta": 3.0}, "bgnbd"),
    ],
)
def test_another_model_is_chosen_only_where_it_foretold_better_than_chance(law, params, chosen):
    found = race_of_laws(law, params, 3)
    assert found.champion == chosen
    if law != "bgnbd":
        assert found.errors[law] < found.errors["bgnbd"]
        assert (found.gains[law][1] > 0) == (chosen == law)


CUSTOMERS = np.repeat(np.arange(200), 2)


def errors_of(mean, noise=0.0, seed=0):
    """Squared errors of 200 customers at two cut-offs each, about a mean."""
    return np.full(400, mean) + noise * np.random.default_rng(seed).normal(size=400)


def test_who_is_in_use_stays_unless_beaten_by_more_than_chance():
    old, chance, better = errors_of(4.0), errors_of(3.99, 1.0), errors_of(3.0, 1.0)
    baselines = {"zero": errors_of(9.0), "own rate": errors_of(8.0)}

    def champion(candidates, in_use, **options):
        return race(CUSTOMERS, candidates, baselines, in_use, 1, **options)

    stays = champion({"old": old, "new": chance}, "old")
    assert (stays.champion, stays.beaten_by) == ("old", None) and stays.gains["new"][1] < 0 < stays.gains["new"][2]
    assert champion({"old": old, "new": chance}, "new").champion == "new"
    assert champion({"old": old, "new": better}, "old").champion == "new"
    # of several that are better, the best
    assert champion({"old": old, "new": better, "newer": errors_of(2.5, 1.0)}, "old").champion == "newer"
    assert champion({"old": old, "new": better}, "old", is_open=False).champion == "old"


def test_what_does_not_beat_every_baseline_is_not_used():
    baselines = {"zero": errors_of(3.5), "own rate": errors_of(8.0)}
    nobody = race(CUSTOMERS, {"old": errors_of(4.0)}, baselines, "old", 1)
    assert (nobody.champion, nobody.beaten_by) == (None, "zero")
    assert (
        say_race(race(CUSTOMERS, {"bgnbd": errors_of(4.0)}, baselines, "bgnbd", 1), 2)
        == "nothing beats the baseline 'zero' (RMSE 1.87, BG/NBD 2.00, 2 cut-offs)"
    )
    # a candidate that is not better than the one in use beyond chance, but that beats the baselines, takes its place
    noisy = errors_of(3.4, 9.0)
    taken = race(CUSTOMERS, {"old": errors_of(3.6), "new": noisy - noisy.mean() + 3.4}, baselines, "old", 1)
    assert (taken.champion, taken.beaten_by) == ("new", "zero") and taken.gains["new"][1] < 0
    # equal is not better
    assert race(CUSTOMERS, {"old": errors_of(3.5)}, baselines, "old", 1).champion is None


def test_a_model_in_use_is_not_dropped_by_a_baseline_that_was_lucky():
    close = errors_of(4.0, 3.0)
    candidates = {"old": close - close.mean() + 4.0}
    lucky, sure = {"mean": errors_of(3.9)}, {"mean": errors_of(3.0)}
    assert race(CUSTOMERS, candidates, lucky, "old", 1).champion is None
    assert race(CUSTOMERS, candidates, lucky, "old", 1, is_proven=True).champion == "old"
    assert race(CUSTOMERS, candidates, sure, "old", 1, is_proven=True).champion is None


def test_a_model_that_is_kept_says_that_a_baseline_was_better():
    close = errors_of(4.0, 3.0)
    candidates, lucky = {"bgnbd": close - close.mean() + 4.0}, {"mean": errors_of(3.8)}
    kept = say_race(race(CUSTOMERS, candidates, lucky, "bgnbd", 1, is_proven=True), 2)
    assert kept == (
        "BG/NBD (RMSE 2.00, baseline 'mean' 1.95, 2 cut-offs), kept although the baseline 'mean' was better, not beyond chance"
    )
    even = race(CUSTOMERS, candidates, {"mean": candidates["bgnbd"]}, "bgnbd", 1, is_proven=True)
    assert say_race(even, 2).endswith(", kept although the baseline 'mean' was as good")
    ahead = {"mean": errors_of(4.41)}
    assert "kept" not in say_race(race(CUSTOMERS, candidates, ahead, "bgnbd", 1, is_proven=True), 2)


def test_customers_are_drawn_not_rows():
    values = np.random.default_rng(5).normal(3.0, 2.0, 500)
    once = interval_by_customer(values, np.arange(500), 1)
    # the same customers seen four times over say nothing new
    assert interval_by_customer(np.tile(values, 4), np.tile(np.arange(500), 4), 1) == pytest.approx(once)
    assert np.diff(once)[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(500), rel=0.1)
    assert np.diff(bootstrap_interval(np.tile(values, 4), 1))[0] < 0.6 * np.diff(once)[0]
    # by hand: of two customers, one with 3 and 5, the other with 1, a draw has both (3) or one of them alone (4, 1)
    assert interval_by_customer(np.array([3.0, 1.0, 5.0]), np.array([0, 1, 0]), 1) == (1.0, 4.0)


@pytest.mark.parametrize("name", MODELS)
def test_a_longer_horizon_is_the_ratio_of_expectations(name):
    rows = pl.DataFrame({"x": [0, 2, 9], "age_days": [70, 210, 350]})
    model, params = MODELS[name], PUBLISHED[name]
    ratio = stretch({name: params}, rows, 365, 90)
    x, age = rows["x"].to_numpy().astype(float), rows["age_days"].to_numpy() / 7
    t_x = 0.7 * age * (x > 0)
    year, quarter = (model.conditional_expected_purchases(params, x, t_x, age, days / 7) for days in (365, 90))
    assert ratio == pytest.approx(year / quarter)
    assert np.all((ratio > 1) & (ratio < 365 / 90))


def test_the_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(5).normal(3.0, 2.0, 10_000)
    low, high = bootstrap_interval(values, 1)
    assert (low, high) == pytest.approx((values.mean() - 0.0392, values.mean() + 0.0392), abs=0.004)
    assert bootstrap_interval(np.full(7, 2.0), 1) == (2.0, 2.0)
