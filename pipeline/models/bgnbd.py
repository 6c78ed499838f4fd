"""BG/NBD: when do customers buy again, and when have they left? In the symbols of its paper.

Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way", Marketing Science 24(2) -- "the paper"
below. params is a dict r, alpha, a, b. x: repeat purchases; t_x: time of the last one; age: the paper's T;
all times in weeks since the first purchase. Arrays of one shape, or scalars that broadcast.
"""

import numpy as np
from scipy.special import betainc, betaincinv, betaln, digamma, expit, gammaln, hyp2f1, xlogy

from pipeline.models.likelihood import maximise

NAMES = ("r", "alpha", "a", "b")
LOG_BOUNDS = (-9.0, 12.0)
# formulas with (a - 1) or (a + b - 1) in a denominator have finite limits; this close to one they are taken
# beside it
SINGULAR = 1e-6
QUANTILES = 64


def fit(x, t_x, age, counts):
    """Maximum likelihood by L-BFGS on the logs of the parameters, with the analytic gradient.

    x, t_x, age, counts: arrays of shape (n_rows,), one row per distinct (x, t_x, age), counts its customers.
    Returns (params, log_likelihood, likelihood.Search: true when converged). Four starts; the best one wins.
    """
    return fit_with_flips(x, t_x, age, counts, 0)


def fit_with_flips(x, t_x, age, counts, flips):
    """As fit; flips: how many purchases before the first repeat may be the last (0 here, 1 in the MBG/NBD)."""
    x, t_x, age, counts = (np.asarray(column, float) for column in (x, t_x, age, counts))
    typical_age = float(np.average(age, weights=counts)) or 1.0

    def likelihood_of(rows, counts):
        data = _prepare(*rows, counts)
        return lambda values: _log_likelihood_and_gradient(values, data, flips)

    starts = (
        (0.5, typical_age / 4, 0.8, 2.5),
        (1.0, typical_age, 0.1, 1.0),
        (0.2, typical_age / 20, 2.0, 8.0),
        (3.0, typical_age, 0.5, 0.5),
    )
    values, likelihood, search = maximise(likelihood_of, starts, LOG_BOUNDS, (x, t_x, age), counts)
    return dict(zip(NAMES, values.tolist(), strict=True)), likelihood, search


def log_likelihood(params, x, t_x, age, counts=1, flips=0):
    """Sum over customers of the log-likelihood (the paper's eq. 6). flips: as in fit_with_flips."""
    x, t_x, age, counts = np.broadcast_arrays(*(np.asarray(v, float) for v in (x, t_x, age, counts)))
    values = np.array([params[name] for name in NAMES])
    data = _prepare(x.ravel(), t_x.ravel(), age.ravel(), counts.ravel())
    return _log_likelihood_and_gradient(values, data, flips)[0]


def log_likelihood_gradient(params, x, t_x, age, counts, flips=0):
    """Gradient of log_likelihood by r, alpha, a, b: array of shape (4,)."""
    values = np.array([params[name] for name in NAMES])
    return _log_likelihood_and_gradient(values, _prepare(x, t_x, age, counts), flips)[1]


def prob_alive(params, x, t_x, age):
    """P(still a customer | x, t_x, age); 1 for x = 0, since nobody leaves before a second purchase here.

    Follows from the paper's eq. 6 and 10: the share of the likelihood that is not "left right after t_x".
    """
    x = np.asarray(x, float)
    return np.where(x > 0, expit(-_log_odds_left(params, np.maximum(x, 1.0), t_x, age)), 1.0)


def expected_purchases(params, t):
    """E[X(t)], purchases of a new customer in (0, t] after the first one (the paper's eq. 9)."""
    t = np.asarray(t, float)
    return expected_while_alive({**params}, 0.0, 0.0, t)


def conditional_expected_purchases(params, x, t_x, age, t):
    """E[Y(t)]: expected purchases in (age, age + t] of a customer with (x, t_x, age) (the paper's eq. 10)."""
    return prob_alive(params, x, t_x, age) * expected_while_alive(params, x, age, t)


def expected_while_alive(params, x, age, t):
    """Expected purchases in (age, age + t] of a customer who is alive at age (the paper's eq. 10 without its last factor)."""
    # Euler's transformation of the paper's 2F1 makes its parameters shrink towards 2F1(., a - 1; large; z) ->
    # 1 as x grows, where the printed form overflows; the power in front becomes (1 - z)^(a - 1).
    r, alpha, a, b = (params[name] for name in NAMES)
    a = _beside(a, 1.0)
    x, age, t = np.asarray(x, float), np.asarray(age, float), np.asarray(t, float)
    c = a + b + x - 1
    c = np.where(np.abs(c) < SINGULAR, SINGULAR, c)
    z = t / (alpha + age + t)
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.exp((a - 1) * np.log1p(-z))
        expected = c / (a - 1) * (1 - power * hyp2f1(a + b - 1 - r, a - 1, c, z))
    # at the far ends of the parameters, where nobody differs from anybody, 2F1 overflows
    lost = ~np.isfinite(expected)
    if lost.any():
        expected = np.array(expected)
        expected[lost] = _mean_over_drop_out(params, *(column[lost] for column in np.broadcast_arrays(x, age, t)))
    return np.maximum(expected, 0.0)


def _mean_over_drop_out(params, x, age, t):
    # given the chance p of leaving, (1 - (1 + p t / (alpha + age))^-(r + x)) / p purchases; p is Beta(a, b + x)
    r, alpha, a, b = (params[name] for name in NAMES)
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    p = np.maximum(betaincinv(a, b + x[..., None], shares), np.finfo(float).tiny)
    stretch = p * (t / (alpha + age))[..., None]
    return np.mean(-np.expm1(-(r + x)[..., None] * np.log1p(stretch)) / p, axis=-1)


def prob_purchases(params, count, t):
    """P(X(t) = count) for a new customer (the paper's eq. 8). count and t broadcast."""
    r, alpha, a, b = (params[name] for name in NAMES)
    return _pmf(r, alpha, a, b, np.asarray(count, float), np.asarray(t, float))


def prob_purchases_while_alive(params, count, x, age, t):
    """P(count purchases in (age, age + t] | alive at age, x repeat purchases so far). Arguments broadcast.

    Given alive, the purchase rate is Gamma(r + x, alpha + age) and the drop-out chance Beta(a, b + x),
    independent: a new customer with these parameters, so the paper's eq. 8 holds with them.
    """
    r, alpha, a, b = (params[name] for name in NAMES)
    x, age = np.asarray(x, float), np.asarray(age, float)
    return _pmf(r + x, alpha + age, a, b + x, np.asarray(count, float), np.asarray(t, float))


def prob_none_while_alive(params, x, age, t):
    """P(no purchase in (age, age + t] | alive at age)."""
    return np.exp(-(params["r"] + np.asarray(x, float)) * np.log1p(t / (params["alpha"] + np.asarray(age, float))))


def simulate(params, age, seed, flips=0):
    """Customers simulated by the model's own story: arrays x, t_x. age: weeks, shape (n_customers,). flips: as in fit."""
    rng = np.random.default_rng(seed)
    age = np.asarray(age, float)
    rate = rng.gamma(params["r"], 1 / params["alpha"], len(age))
    drop_out = rng.beta(params["a"], params["b"], len(age))
    x, t_x, now = np.zeros(len(age)), np.zeros(len(age)), np.zeros(len(age))
    active = np.arange(len(age))
    if flips:
        active = active[rng.random(len(active)) > drop_out]
    while len(active):
        now[active] += rng.exponential(1 / np.maximum(rate[active], 1e-12))
        active = active[now[active] < age[active]]
        x[active] += 1
        t_x[active] = now[active]
        active = active[rng.random(len(active)) > drop_out[active]]
    return x, t_x


def _beside(value, pole):
    return pole + SINGULAR if abs(value - pole) < SINGULAR else value


def _log_odds_left(params, x, t_x, age):
    r, alpha, a, b = (params[name] for name in NAMES)
    ages = np.log(alpha + np.asarray(age, float)) - np.log(alpha + np.asarray(t_x, float))
    return np.log(a) - np.log(b + x - 1) + (r + x) * ages


def _pmf(r, alpha, a, b, n, t):
    log_share_left = -np.log1p(t / alpha)
    log_share_run = np.log(t) - np.log(alpha + t)
    log_stays = (
        betaln(a, b + n)
        - betaln(a, b)
        + gammaln(r + n)
        - gammaln(r)
        - gammaln(n + 1)
        + r * log_share_left
        + xlogy(n, np.exp(log_share_run))
    )
    # the paper's finite sum is a negative binomial cdf, so one minus it an incomplete beta function
    at_least_n = betainc(np.maximum(n, 1), r, t / (alpha + t))
    leaves = np.exp(betaln(a + 1, b + np.maximum(n, 1) - 1) - betaln(a, b)) * at_least_n
    return np.exp(log_stays) + np.where(n > 0, leaves, 0.0)


def _prepare(x, t_x, age, counts):
    # gamma functions depend on x alone, logs on t_x or age alone: each is worked out once per distinct value
    x, counts = np.asarray(x, float), np.asarray(counts, float)
    x_values, x_index = np.unique(x, return_inverse=True)
    t_values, t_index = np.unique(np.asarray(t_x, float), return_inverse=True)
    age_values, age_index = np.unique(np.asarray(age, float), return_inverse=True)
    return {
        "counts": counts,
        "x": x_values,
        "x_index": x_index,
        "x_counts": np.bincount(x_index, counts),
        "t": t_values,
        "t_index": t_index,
        "age": age_values,
        "age_index": age_index,
    }


def _log_likelihood_and_gradient(values, data, flips):
    r, alpha, a, b = values
    x, x_index, x_counts, counts = data["x"], data["x_index"], data["x_counts"], data["counts"]
    # each purchase that may have been the last was one flip of a coin with chance p
    flipped = x + flips
    may_leave = flipped > 0
    later = np.maximum(b + flipped - 1, np.finfo(float).tiny)
    by_x = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + flipped) - betaln(a, b)
    log_leave = np.where(may_leave, np.log(a) - np.log(np.where(may_leave, later, 1.0)), -np.inf)

    log_age = np.log(alpha + data["age"])[data["age_index"]]
    log_t = np.log(alpha + data["t"])[data["t_index"]]
    shape = (r + x)[x_index]
    odds = log_leave[x_index] + shape * (log_age - log_t)
    # softplus(odds) and the chance of having left, from one exponential
    small = np.exp(-np.abs(odds))
    left = np.where(odds > 0, 1.0, small) / (1.0 + small)
    likelihood = x_counts @ by_x + counts @ (np.maximum(odds, 0.0) + np.log1p(small) - shape * log_age)

    weighted_left = counts * left
    left_by_x = np.bincount(x_index, weighted_left, minlength=len(x))
    rate = counts * shape
    # the two inverse times again depend on one variable each
    by_age = np.bincount(data["age_index"], rate * (1 - left), minlength=len(data["age"]))
    by_t = np.bincount(data["t_index"], rate * left, minlength=len(data["t"]))
    total = digamma(a + b) - digamma(a + b + flipped)
    gradient = np.array(
        [
            x_counts @ (digamma(r + x) - digamma(r) + np.log(alpha))
            - (counts @ log_age)
            + weighted_left @ (log_age - log_t),
            r / alpha * counts.sum() - by_age @ (1 / (alpha + data["age"])) - by_t @ (1 / (alpha + data["t"])),
            x_counts @ total + (left_by_x @ may_leave.astype(float)) / a,
            x_counts @ (total + digamma(b + flipped) - digamma(b)) - left_by_x @ (may_leave / later),
        ]
    )
    return likelihood, gradient
