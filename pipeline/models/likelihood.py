"""Maximum likelihood of positive parameters, from several starts."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

# rows on which every start is tried; with more of them, the best start alone goes on over all
SEARCHED_ROWS = 5_000
# starts agree whose likelihoods differ by less than any test would see, and whose parameters do by less than 5 %
AGREEING_LIKELIHOOD = 0.01
AGREEING_LOG = 0.05


class Search(NamedTuple):
    """How a search for the maximum ended; true in a condition when it converged: flat, and away from the bounds."""

    is_flat: bool
    is_inside: bool
    start_count: int
    agreeing_count: int

    def __bool__(self):
        return self.is_flat and self.is_inside


def maximise(likelihood_of, starts, log_bounds, rows, counts):
    """L-BFGS on the logs of the parameters, from several starts; the best one wins.

    rows: tuple of float arrays, shape (n_rows,); counts: customers of each row. likelihood_of(rows, counts) gives a function
    of the parameters, shape (n_parameters,), that returns the log-likelihood and its gradient by them. log_bounds: (low,
    high) of each log. Returns (values, log_likelihood, Search).
    """
    # rows come sorted or in no order: every nth of them is as they all are
    step = -(-len(counts) // SEARCHED_ROWS)
    thin, thin_counts = tuple(column[::step] for column in rows), counts[::step]
    climb = _climber(likelihood_of(thin, thin_counts), log_bounds, thin_counts.sum())
    runs = [climb(np.log(start)) for start in starts]
    best = min(runs, key=lambda run: run.fun)
    agreeing = sum(
        (run.fun - best.fun) * thin_counts.sum() < AGREEING_LIKELIHOOD
        and np.ptp([run.x, best.x], axis=0).max() < AGREEING_LOG
        for run in runs
    )
    if step > 1:
        best = _climber(likelihood_of(rows, counts), log_bounds, counts.sum())(best.x)
    low, high = log_bounds
    is_low, is_high = best.x < low + 1e-6, best.x > high - 1e-6
    # at a bound the slope may lead out of it
    slope = np.where((is_low & (best.jac > 0)) | (is_high & (best.jac < 0)), 0.0, best.jac)
    is_inside = not (is_low | is_high).any()
    search = Search(bool(np.max(np.abs(slope)) < 1e-4), is_inside, len(runs), int(agreeing))
    return np.exp(best.x), float(-best.fun * counts.sum()), search


def _climber(value_and_gradient, log_bounds, customers):
    def objective(logs):
        value, gradient = value_and_gradient(np.exp(logs))
        return -value / customers, -gradient * np.exp(logs) / customers

    def climb(start):
        return minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[log_bounds] * len(start),
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
        )

    return climb
