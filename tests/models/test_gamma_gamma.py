import datetime as dt

import numpy as np
import polars as pl
import pytest
from scipy.optimize import check_grad

from pipeline.models import gamma_gamma
from pipeline.models.gamma_gamma import NAMES

PUBLISHED = {"p": 6.25, "q": 3.74, "gamma": 15.44}


@pytest.mark.realdata
def test_cdnow_published_figures(data_folder):
    customers = pl.read_csv(data_folder("cdnow") / "cdnow_customers_summary_with_transactions.csv")
    x, z = customers["x"].to_numpy(), customers["zbar"].to_numpy()
    repeats = x > 0
    assert repeats.sum() == 946
    params, likelihood, is_converged = gamma_gamma.fit(x[repeats], z[repeats])
    assert is_converged
    assert [params[name] for name in NAMES] == pytest.approx([6.25, 3.74, 15.44], rel=2e-3)
    assert likelihood == pytest.approx(-4055.92, abs=0.005)
    assert round(gamma_gamma.population_mean(params), 2) == 35.17
    first_ten = gamma_gamma.conditional_mean(params, x, z)[:10]
    published = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    assert first_ten == pytest.approx(published, rel=1e-3)


@pytest.mark.realdata
def test_cdnow_from_transactions_gives_the_printed_digits(cdnow_days, make_facts_of_days):
    facts = make_facts_of_days(cdnow_days, dt.date(1997, 10, 1)).sort("customer_id")
    x = facts["order_day_count"].to_numpy() - 1
    z = facts["repeat_day_spend_amount"].to_numpy() / np.maximum(x, 1)
    params, likelihood, _ = gamma_gamma.fit(x[x > 0], z[x > 0])
    assert [round(params[name], 2) for name in NAMES] == [6.25, 3.74, 15.44]
    assert round(likelihood, 2) == -4055.92
    published = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    assert gamma_gamma.conditional_mean(params, x, z)[:10].round(2).tolist() == published


@pytest.mark.parametrize("seed", range(20))
def test_gradient_and_means(seed):
    rng = np.random.default_rng(seed)
    params = dict(zip(NAMES, np.exp(rng.normal([1.5, 1.3, 2.5], 0.3)), strict=True))
    x, z = rng.integers(1, 40, 50), rng.gamma(3, 10, 50)

    def value(values):
        return gamma_gamma.log_likelihood(dict(zip(NAMES, values, strict=True)), x, z)

    def slope(values):
        return gamma_gamma.log_likelihood_gradient(dict(zip(NAMES, values, strict=True)), x, z)

    start = np.array([params[name] for name in NAMES])
    assert check_grad(value, slope, start, epsilon=1e-6) < 1e-3 * max(1, np.abs(slope(start)).max())
    # between the own and the population's mean, nearer the own the more is known
    means = gamma_gamma.conditional_mean(params, x, z)
    population = gamma_gamma.population_mean(params)
    assert np.all((means - z) * (means - population) <= 1e-9)
    assert gamma_gamma.conditional_mean(params, np.zeros(1), np.zeros(1))[0] == pytest.approx(population)


def test_parameters_are_recovered_in_any_currency():
    rng = np.random.default_rng(3)
    x = rng.geometric(0.3, 30_000)
    z = rng.gamma(PUBLISHED["p"] * x, 1 / rng.gamma(PUBLISHED["q"], 1 / PUBLISHED["gamma"], len(x))) / x
    params, _, is_converged = gamma_gamma.fit(x, z)
    assert is_converged
    assert [params[name] for name in NAMES] == pytest.approx(list(PUBLISHED.values()), rel=0.1)
    in_cents, _, _ = gamma_gamma.fit(x, 100 * z)
    assert in_cents["p"] == pytest.approx(params["p"], rel=1e-6)
    assert in_cents["gamma"] == pytest.approx(100 * params["gamma"], rel=1e-6)


def test_parameters_are_recovered_over_20_seeds():
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.geometric(0.3, 4_000)
        z = rng.gamma(PUBLISHED["p"] * x, 1 / rng.gamma(PUBLISHED["q"], 1 / PUBLISHED["gamma"], len(x))) / x
        params, likelihood, search = gamma_gamma.fit(x, z)
        assert search and search.agreeing_count == search.start_count
        assert likelihood >= gamma_gamma.log_likelihood(PUBLISHED, x, z)
        found.append([params[name] for name in NAMES])
    logs = np.log(found) - np.log(list(PUBLISHED.values()))
    # without bias: the mean error lies within four of its own standard errors
    assert np.all(np.abs(logs.mean(axis=0)) < 4 * logs.std(axis=0, ddof=1) / np.sqrt(20))
    assert np.all(logs.std(axis=0) < 0.2)
