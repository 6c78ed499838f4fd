"""Maximum likelihood of positive parameters."""

import numpy as np
from scipy.optimize import minimize


def maximise(value_and_gradient, starts, log_bounds, customers):
    """L-BFGS on the logs of the parameters, from several starts; the best one wins.

    value_and_gradient(values): log-likelihood and its gradient by the values, float arrays of shape (n_parameters,).
    log_bounds: (low, high) of each log. customers: how many the likelihood is a sum over, to scale it.
    Returns (values, log_likelihood, is_converged): converged is flat, and away from the bounds.
    """

    def objective(logs):
        value, gradient = value_and_gradient(np.exp(logs))
        return -value / customers, -gradient * np.exp(logs) / customers

    runs = [
        minimize(
            objective,
            np.log(start),
            jac=True,
            method="L-BFGS-B",
            bounds=[log_bounds] * len(start),
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
        )
        for start in starts
    ]
    best = min(runs, key=lambda run: run.fun)
    is_inside = bool(np.all(np.abs(best.x - np.mean(log_bounds)) < np.ptp(log_bounds) / 2 - 1e-6))
    return np.exp(best.x), float(-best.fun * customers), is_inside and bool(np.max(np.abs(best.jac)) < 1e-4)
