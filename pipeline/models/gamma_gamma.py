"""Gamma-Gamma: how much does a customer spend on a purchase day? In the symbols of its note.

Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value" -- "the note" below. params is a dict p, q,
gamma. x: repeat purchases; z: their average spend, in money; gamma is in money too.
"""

import numpy as np
from scipy.special import betaln, digamma

from pipeline.models.likelihood import maximise

NAMES = ("p", "q", "gamma")
LOG_BOUNDS = (-7.0, 9.0)


def fit(x, z):
    """Maximum likelihood by L-BFGS on the logs of the parameters, with the analytic gradient.

    x >= 1 and z > 0: arrays of shape (n_repeaters,). Returns (params, log_likelihood, likelihood.Search: true when converged).
    Four starts; the best one wins.
    """
    x, z = np.asarray(x, float), np.asarray(z, float)
    scale = float(z.mean())

    def likelihood_of(rows, _):
        data = _prepare(*rows)
        return lambda values: _log_likelihood_and_gradient(values, data)

    starts = ((5.0, 4.0, 0.6), (1.0, 2.0, 1.0), (20.0, 1.5, 0.1), (2.0, 20.0, 10.0))
    values, likelihood, search = maximise(likelihood_of, starts, LOG_BOUNDS, (x, z / scale), np.ones(len(x)))
    params = dict(zip(NAMES, (values * [1, 1, scale]).tolist(), strict=True))
    return params, likelihood - len(x) * float(np.log(scale)), search


def log_likelihood(params, x, z):
    """Sum over customers of the log-likelihood of average spend z over x purchases (the note's eq. 1a)."""
    values = np.array([params[name] for name in NAMES])
    return _log_likelihood_and_gradient(values, _prepare(np.asarray(x, float), np.asarray(z, float)))[0]


def log_likelihood_gradient(params, x, z):
    """Gradient of log_likelihood by p, q, gamma: array of shape (3,)."""
    values = np.array([params[name] for name in NAMES])
    return _log_likelihood_and_gradient(values, _prepare(np.asarray(x, float), np.asarray(z, float)))[1]


def population_mean(params):
    """E[Z], expected spend per purchase of a customer of whom nothing is known; infinite for q <= 1."""
    return params["p"] * params["gamma"] / (params["q"] - 1) if params["q"] > 1 else np.inf


def conditional_mean(params, x, z):
    """E[Z | x, z], expected spend per purchase given the average so far (the note's eq. 5).

    The population mean for x = 0.
    """
    p, q, gamma = (params[name] for name in NAMES)
    total = np.asarray(x, float) * np.where(np.asarray(x) > 0, z, 0.0)
    return p * (gamma + total) / (p * np.asarray(x, float) + q - 1)


def _prepare(x, z):
    x_values, x_index = np.unique(x, return_inverse=True)
    log_z = np.log(z)
    return {
        "x": x_values,
        "x_index": x_index,
        "x_counts": np.bincount(x_index).astype(float),
        "total": x * z,
        "total_log_z": float(log_z.sum()),
        "x_log_total": float(x @ (np.log(x) + log_z)),
        "x_sum": float(x.sum()),
    }


def _log_likelihood_and_gradient(values, data):
    p, q, gamma = values
    x, x_counts = data["x"], data["x_counts"]
    above = gamma + data["total"]
    log_above = np.log(above)
    by_x = np.bincount(data["x_index"], log_above, minlength=len(x))
    inverse_by_x = np.bincount(data["x_index"], 1 / above, minlength=len(x))
    n = x_counts.sum()
    likelihood = (
        -data["total_log_z"]
        - x_counts @ betaln(p * x, q)
        + n * q * np.log(gamma)
        - (q + p * x) @ by_x
        + p * data["x_log_total"]
    )
    both = digamma(p * x + q)
    gradient = np.array(
        [
            -(x_counts * x) @ (digamma(p * x) - both) + data["x_log_total"] - x @ by_x,
            -x_counts @ (digamma(q) - both) + n * np.log(gamma) - by_x.sum(),
            n * q / gamma - (q + p * x) @ inverse_by_x,
        ]
    )
    return likelihood, gradient
