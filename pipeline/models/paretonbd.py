"""Pareto/NBD: customers buy at a rate of their own and leave at a moment of their own. In the symbols of its paper.

Schmittlein, Morrison & Colombo (1987), "Counting your customers: who are they and what will they do next?", Management
Science 33(1); the likelihood as an integral over the moment of leaving is Fader & Hardie (2005), "A note on deriving the
Pareto/NBD model and related expressions" -- "the note" below. params is a dict r, alpha, s, beta. x: repeat purchases;
t_x: time of the last one; age: the paper's T; all times in weeks since the first purchase.

The integral is taken by Gauss-Legendre quadrature in the logarithm of (time + the lesser of alpha and beta), in which neither of
its two powers has a peak too narrow for the nodes: its terms are all positive, where the printed difference of two 2F1 cancels,
and its gradient is the same sum (tests compare both).
"""

import numpy as np
from scipy.special import betaln, digamma, expit, gammaln, xlogy

from pipeline.models.likelihood import maximise

NAMES = ("r", "alpha", "s", "beta")
LOG_BOUNDS = (-6.0, 9.0)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
# beyond so many halvings of its first term the integral has nothing to add
REACH = 40.0
CHUNK_ROWS = 50_000


def fit(x, t_x, age, counts):
    """Maximum likelihood by L-BFGS on the logs of the parameters, with the analytic gradient.

    x, t_x, age, counts: arrays of shape (n_rows,), one row per distinct (x, t_x, age), counts its customers.
    Returns (params, log_likelihood, likelihood.Search: true when converged). Four starts; the best one wins.
    """
    x, t_x, age, counts = (np.asarray(column, float) for column in (x, t_x, age, counts))
    typical_age = float(np.average(age, weights=counts)) or 1.0
    starts = (
        (0.5, typical_age / 4, 0.5, typical_age / 4),
        (1.0, typical_age, 1.0, typical_age),
        (0.2, typical_age / 20, 2.0, typical_age),
        (3.0, typical_age, 0.3, typical_age / 10),
    )
    values, likelihood, search = maximise(
        lambda rows, counts: lambda values: _value_and_gradient(values, *rows, counts),
        starts,
        LOG_BOUNDS,
        (x, t_x, age),
        counts,
    )
    return dict(zip(NAMES, values.tolist(), strict=True)), likelihood, search


def log_likelihood(params, x, t_x, age, counts=1):
    """Sum over customers of the log-likelihood (the note's eq. 18)."""
    columns = np.broadcast_arrays(*(np.asarray(column, float) for column in (x, t_x, age, counts)))
    values = np.array([params[name] for name in NAMES])
    return _value_and_gradient(values, *(column.ravel() for column in columns))[0]


def log_likelihood_gradient(params, x, t_x, age, counts):
    """Gradient of log_likelihood by r, alpha, s, beta: array of shape (4,)."""
    values = np.array([params[name] for name in NAMES])
    return _value_and_gradient(values, *(np.asarray(column, float) for column in (x, t_x, age, counts)))[1]


def prob_alive(params, x, t_x, age):
    """P(still a customer | x, t_x, age): the share of the likelihood in which the customer leaves after age."""
    x, t_x, age = np.broadcast_arrays(*(np.asarray(column, float) for column in (x, t_x, age)))
    values = np.array([params[name] for name in NAMES])
    alive = [
        expit(_log_alive(values, *part) - _log_left(values, *part)[0])
        for part in _chunks(x.ravel(), t_x.ravel(), age.ravel())
    ]
    return np.concatenate(alive).reshape(x.shape) if alive else np.zeros(x.shape)


def expected_purchases(params, t):
    """E[X(t)], purchases of a new customer in (0, t] after the first one (the note's eq. 17)."""
    return expected_while_alive(params, 0.0, 0.0, t)


def conditional_expected_purchases(params, x, t_x, age, t):
    """E[Y(t)]: expected purchases in (age, age + t] of a customer with (x, t_x, age) (the note's eq. 41)."""
    return prob_alive(params, x, t_x, age) * expected_while_alive(params, x, age, t)


def expected_while_alive(params, x, age, t):
    """Expected purchases in (age, age + t] of a customer who is alive at age."""
    r, alpha, s, beta = (params[name] for name in NAMES)
    x, age, t = (np.asarray(column, float) for column in (x, age, t))
    gone = np.log1p(t / (beta + age))
    # (1 - exp(-(s - 1) u)) / (s - 1) has the limit u at s = 1
    span = gone if abs(s - 1) < 1e-9 else -np.expm1(-(s - 1) * gone) / (s - 1)
    return (r + x) / (alpha + age) * (beta + age) * span


def prob_none_while_alive(params, x, age, t):
    """P(no purchase in (age, age + t] | alive at age)."""
    return prob_purchases_while_alive(params, 0, x, age, t)


def prob_purchases_while_alive(params, count, x, age, t):
    """P(count purchases in (age, age + t] | alive at age, x repeat purchases so far). Arguments broadcast.

    Given alive, the rate of purchases is Gamma(r + x, alpha + age) and that of leaving Gamma(s, beta + age), independent.
    """
    r, alpha, s, beta = (params[name] for name in NAMES)
    count, x, age, t = np.broadcast_arrays(*(np.asarray(column, float) for column in (count, x, age, t)))
    shape, scale = r + x, alpha + age
    stays = np.exp(-s * np.log1p(t / (beta + age))) * _negative_binomial(count, shape, scale, t)
    # the moment of leaving is Pareto: in its own distribution function the integrand is bounded
    top = -np.expm1(-s * np.log1p(t / (beta + age)))
    share = top[..., None] * (NODES + 1) / 2
    moment = (beta + age)[..., None] * np.expm1(-np.log1p(-share) / s)
    bought = _negative_binomial(count[..., None], shape[..., None], scale[..., None], np.minimum(moment, t[..., None]))
    return stays + top / 2 * (bought @ WEIGHTS)


def simulate(params, age, seed):
    """Customers simulated by the model's own story: arrays x, t_x. age: weeks, shape (n_customers,)."""
    rng = np.random.default_rng(seed)
    age = np.asarray(age, float)
    rate = rng.gamma(params["r"], 1 / params["alpha"], len(age))
    leaves = rng.exponential(1 / np.maximum(rng.gamma(params["s"], 1 / params["beta"], len(age)), 1e-12))
    until = np.minimum(age, leaves)
    x, t_x, now = np.zeros(len(age)), np.zeros(len(age)), np.zeros(len(age))
    active = np.arange(len(age))
    while len(active):
        now[active] += rng.exponential(1 / np.maximum(rate[active], 1e-12))
        active = active[now[active] < until[active]]
        x[active] += 1
        t_x[active] = now[active]
    return x, t_x


def _negative_binomial(count, shape, scale, t):
    ways = -betaln(shape, count + 1) - np.log(shape + count)
    return np.exp(ways - shape * np.log1p(t / scale) + xlogy(count, t / (scale + t)))


def _chunks(*columns):
    for start in range(0, len(columns[0]), CHUNK_ROWS):
        yield tuple(column[start : start + CHUNK_ROWS] for column in columns)


def _log_alive(values, x, t_x, age):
    """Log of the part of the likelihood in which the customer is alive at age, without its common factor."""
    r, alpha, s, beta = values
    return -(r + x) * np.log(alpha + age) + s * (np.log(beta) - np.log(beta + age))


def _log_left(values, x, t_x, age):
    """(log of the part in which the customer left before age, its moments, their shares of it): of shape (n_rows, nodes)."""
    r, alpha, s, beta = values
    # past either limit one of the powers has fallen so far that the rest adds nothing
    reach = np.minimum(
        (alpha + t_x) * np.expm1(REACH / np.maximum(r + x, 0.1)), (beta + t_x) * np.expm1(REACH / max(s, 0.1))
    )
    near = min(alpha, beta) + t_x
    length = np.log1p(np.minimum(age - t_x, reach) / near)
    moments = t_x[:, None] + near[:, None] * np.expm1(length[:, None] * (NODES + 1) / 2)
    terms = np.log(s) + s * np.log(beta) - (r + x)[:, None] * np.log(alpha + moments) - (s + 1) * np.log(beta + moments)
    # the step of the integral, as the nodes lie evenly in a logarithm
    terms += np.log(min(alpha, beta) + moments)
    peak = terms.max(axis=1)
    parts = np.exp(terms - peak[:, None]) * WEIGHTS
    total = parts.sum(axis=1)
    with np.errstate(divide="ignore"):
        return peak + np.log(total) + np.log(length / 2), moments, parts / total[:, None]


def _value_and_gradient(values, x, t_x, age, counts):
    r, alpha, s, beta = values
    likelihood, gradient = 0.0, np.zeros(4)
    for x_part, t_part, age_part, count in _chunks(x, t_x, age, counts):
        log_alive = _log_alive(values, x_part, t_part, age_part)
        log_left, moments, shares = _log_left(values, x_part, t_part, age_part)
        alive = expit(log_alive - log_left)
        likelihood += count @ (gammaln(r + x_part) - gammaln(r) + r * np.log(alpha) + np.logaddexp(log_alive, log_left))
        left, shape = 1 - alive, r + x_part
        later, weight = beta + moments, (count * left)[:, None] * shares
        # the limits of the integral are times, on which no parameter works: the terms alone are differentiated
        gradient += [
            count @ (digamma(shape) - digamma(r) + np.log(alpha) - alive * np.log(alpha + age_part))
            - (weight * np.log(alpha + moments)).sum(),
            count @ (r / alpha - alive * shape / (alpha + age_part))
            - ((shape[:, None] * weight) / (alpha + moments)).sum(),
            count @ (alive * (np.log(beta) - np.log(beta + age_part)))
            + (weight * (1 / s + np.log(beta) - np.log(later))).sum(),
            count @ (alive * (s / beta - s / (beta + age_part))) + (weight * (s / beta - (s + 1) / later)).sum(),
        ]
    return likelihood, gradient
