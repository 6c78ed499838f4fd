"""MBG/NBD: the BG/NBD in which a customer may leave after the very first purchase too. In the symbols of the BG/NBD's paper.

Batislam, Denizel & Filiztekin (2007), "Empirical validation and comparison of models for customer base analysis",
International Journal of Research in Marketing 24(3); Hoppe & Wagner (2007), "Customer base analysis: the case for a
central variant of the Betageometric/NBD model", Marketing ZFP 29(2). params is a dict r, alpha, a, b. x: repeat
purchases; t_x: time of the last one; age: the paper's T; all times in weeks since the first purchase.

A customer who outlived the first flip of the coin is one of a BG/NBD with b + 1, and so is everything that is known later.
"""

import numpy as np
from scipy.special import expit

from pipeline.models import bgnbd


def fit(x, t_x, age, counts):
    """Maximum likelihood, as bgnbd.fit: (params, log_likelihood, Search) from one row per distinct (x, t_x, age)."""
    return bgnbd.fit_with_flips(x, t_x, age, counts, 1)


def log_likelihood(params, x, t_x, age, counts=1):
    """Sum over customers of the log-likelihood (Hoppe & Wagner, eq. 6)."""
    return bgnbd.log_likelihood(params, x, t_x, age, counts, flips=1)


def log_likelihood_gradient(params, x, t_x, age, counts):
    """Gradient of log_likelihood by r, alpha, a, b: array of shape (4,)."""
    return bgnbd.log_likelihood_gradient(params, x, t_x, age, counts, flips=1)


def prob_alive(params, x, t_x, age):
    """P(still a customer | x, t_x, age): below 1 for x = 0 too."""
    x = np.asarray(x, float)
    ages = np.log(params["alpha"] + np.asarray(age, float)) - np.log(params["alpha"] + np.asarray(t_x, float))
    return expit(np.log(params["b"] + x) - np.log(params["a"]) - (params["r"] + x) * ages)


def expected_purchases(params, t):
    """E[X(t)], purchases of a new customer in (0, t] after the first one."""
    return params["b"] / (params["a"] + params["b"]) * bgnbd.expected_purchases(_stayed(params), t)


def conditional_expected_purchases(params, x, t_x, age, t):
    """E[Y(t)]: expected purchases in (age, age + t] of a customer with (x, t_x, age)."""
    return prob_alive(params, x, t_x, age) * expected_while_alive(params, x, age, t)


def expected_while_alive(params, x, age, t):
    """Expected purchases in (age, age + t] of a customer who is alive at age."""
    return bgnbd.expected_while_alive(_stayed(params), x, age, t)


def prob_purchases_while_alive(params, count, x, age, t):
    """P(count purchases in (age, age + t] | alive at age, x repeat purchases so far). Arguments broadcast."""
    return bgnbd.prob_purchases_while_alive(_stayed(params), count, x, age, t)


def prob_none_while_alive(params, x, age, t):
    """P(no purchase in (age, age + t] | alive at age)."""
    return bgnbd.prob_none_while_alive(params, x, age, t)


def simulate(params, age, seed):
    """Customers simulated by the model's own story: arrays x, t_x. age: weeks, shape (n_customers,)."""
    return bgnbd.simulate(params, age, seed, flips=1)


def _stayed(params):
    return params | {"b": params["b"] + 1}
