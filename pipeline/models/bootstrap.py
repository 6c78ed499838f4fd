"""Measures of probabilities over many bootstrap draws at once: a draw is a weight per row, and nothing is sorted twice.

actual: 0/1 array (n_rows,). Forecasts of one test are measured on the same draws, so that their differences have intervals too.
"""

import numpy as np
from scipy.special import expit, logit

from pipeline.models import measures

DRAWS = 200
DRAWS_AT_ONCE = 50
LEVEL = 0.95


def draw_measures(actual, forecasts, seed, draws=DRAWS):
    """{forecast name: {metric: array (draws,)}} for the metrics of MEASURES. forecasts: name -> probabilities (n_rows,).

    Also, under DECILES: what was foretold and what came in each tenth of rows by rising forecast, array (draws, 2, n_groups).
    """
    rng = np.random.default_rng(seed)
    n = len(actual)
    prepared = {name: _Prepared(actual, probability) for name, probability in forecasts.items()}
    parts = {name: [] for name in forecasts}
    for start in range(0, draws, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, draws - start)
        weights = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(size)]).astype(float)
        for name, one in prepared.items():
            parts[name].append(one.measure(weights))
    return {
        name: {metric: np.concatenate([part[metric] for part in of_name]) for metric in (*MEASURES, DECILES)}
        for name, of_name in parts.items()
    }


def interval(values, level=LEVEL):
    """(low, high) that hold the middle share of the draws that are defined; NaN where none is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval_of_mean(values, customers, seed, draws=1000, level=LEVEL):
    """(low, high) of the mean of values, drawing customers with all their rows. customers: ids or numbers (n_rows,)."""
    group = np.unique(customers, return_inverse=True)[1]
    totals, sizes = np.bincount(group, values), np.bincount(group)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        drawn = rng.integers(0, len(sizes), len(sizes))
        means[draw] = totals[drawn].sum() / sizes[drawn].sum()
    return interval(means, level)


def _line(actual, probability):
    """Calibration slope and intercept; NaN where any steeper line would fit better still."""
    if measures.is_separated(actual, probability):
        return float("nan"), float("nan")
    return measures.calibration_line(actual, probability)


def _slope(actual, probability):
    return _line(actual, probability)[0]


def _intercept(actual, probability):
    return _line(actual, probability)[1]


MEASURES = {
    "auc": measures.auc,
    "pr_auc": measures.pr_auc,
    "lift_10": measures.lift,
    "brier": measures.brier,
    "log_loss": measures.log_loss,
    "calibration_slope": _slope,
    "calibration_intercept": _intercept,
    "mae": measures.mae,
    "rmse": measures.rmse,
    "normalised_gini": measures.normalised_gini,
}
DECILES = "deciles"


class _Prepared:
    """One forecast, sorted once: groups of equal probabilities from the highest down, and what each row adds to the sums."""

    def __init__(self, actual, probability):
        self.order, self.starts = measures.rank_groups(probability)
        self.sorted_actual = actual[self.order]
        p = np.clip(probability, measures.SMALLEST_PROBABILITY, 1 - measures.SMALLEST_PROBABILITY)
        loss = -(actual * np.log(p) + (1 - actual) * np.log1p(-p))
        self.line = np.array(_line(actual, probability))
        x = logit(p)
        fitted = expit(self.line[0] * x + self.line[1])
        error, curve = actual - fitted, fitted * (1 - fitted)
        self.sums = np.stack(
            [
                np.ones(len(actual)),
                (probability - actual) ** 2,
                np.abs(probability - actual),
                loss,
                *(error * x, error, curve * x * x, curve * x, curve),
            ]
        )
        # rows, forecasts and outcomes of each tenth: a column each
        tenths = measures.decile_rows(probability)
        self.tenths = np.zeros((len(actual), 3 * len(tenths)))
        for place, rows in enumerate(tenths):
            for part, values in enumerate((np.ones(len(actual)), probability, actual)):
                self.tenths[rows, part * len(tenths) + place] = values[rows]

    def measure(self, weights):
        """weights: array (draws, n_rows). {metric: array (draws,)}."""
        by_row = weights[:, self.order]
        rows = np.add.reduceat(by_row, self.starts, axis=1)
        hits = np.add.reduceat(by_row * self.sorted_actual, self.starts, axis=1)
        ranked = [measures.measure_ranking(*pair) for pair in zip(hits, rows, strict=True)]
        found = dict(zip(("auc", "pr_auc", "lift_10"), np.array(ranked).T, strict=True))
        total, squares, errors, losses, *rest = self.sums @ weights.T
        # of outcomes that are 0 or 1 the Gini is the AUC on another scale
        found["normalised_gini"] = 2 * found["auc"] - 1
        found |= {"brier": squares / total, "rmse": np.sqrt(squares / total), "mae": errors / total}
        found |= {"log_loss": losses / total, DECILES: self._measure_tenths(weights)}
        return found | self._move_line(*rest)

    def _measure_tenths(self, weights):
        rows, foretold, came = np.split(weights @ self.tenths, 3, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack([foretold / rows, came / rows], axis=1)

    def _move_line(self, of_slope, of_intercept, slope_twice, both, intercept_twice):
        # one Newton step from the line of all rows (the one-step bootstrap): near enough, and a sum instead of a search
        determinant = slope_twice * intercept_twice - both * both
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = self.line[0] + (intercept_twice * of_slope - both * of_intercept) / determinant
            intercept = self.line[1] + (slope_twice * of_intercept - both * of_slope) / determinant
        return {"calibration_slope": slope, "calibration_intercept": intercept}
