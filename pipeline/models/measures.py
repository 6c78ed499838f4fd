"""Error measures of forecasts and probabilities against what happened. Arrays in, numbers out.

actual and predicted: float arrays, shape (n_rows,). NaN where a measure is not defined (a constant, no
positives).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

SMALLEST_PROBABILITY = 1e-6
BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_GROUPS = 2000
NEWTON_STEPS = 50


def mae(actual, predicted):
    """Mean absolute error. Beware: predicting zero often wins on skewed spend."""
    return float(np.mean(np.abs(predicted - actual)))


def rmse(actual, predicted):
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))


def correlation(actual, predicted):
    """Pearson's r."""
    if np.ptp(actual) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(np.corrcoef(actual, predicted)[0, 1])


def bias_share(actual, predicted):
    """Total predicted over total actual, less one."""
    total = actual.sum()
    return float(predicted.sum() / total - 1) if total else float("nan")


def normalised_gini(actual, predicted):
    """Gini of the actual values ranked by prediction, over that of a perfect ranking.

    Customers with equal predictions share their mean, so the result does not hang on the order of ties.
    """
    if actual.sum() == 0 or np.ptp(actual) == 0:
        return float("nan")
    return float(_lorenz_area(actual, predicted) / _lorenz_area(actual, actual))


def auc(actual, probability):
    """Area under the ROC curve: the chance that a positive ranks above a negative, ties counting half. By one sort."""
    return float(measure_ranking(*_count_by_rank(actual, probability))[0])


def pr_auc(actual, probability):
    """Average precision."""
    return float(measure_ranking(*_count_by_rank(actual, probability))[1])


def brier(actual, probability):
    """Mean squared error of a probability."""
    return float(np.mean((probability - actual) ** 2))


def log_loss(actual, probability):
    """Mean negative log-likelihood of a probability, in nats."""
    p = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return float(-np.mean(actual * np.log(p) + (1 - actual) * np.log1p(-p)))


def lift(actual, probability, share=0.1):
    """Rate among the rows of highest probability over the rate of all. Ties at the edge count in part."""
    n = max(1, int(round(len(actual) * share)))
    edge = np.partition(probability, len(probability) - n)[len(probability) - n]
    above, at_edge = probability > edge, probability == edge
    hits = actual[above].sum() + (n - above.sum()) * actual[at_edge].mean()
    return float(hits / n / actual.mean()) if actual.any() else float("nan")


def measure_ranking(hits, rows):
    """(auc, pr_auc, lift of the top tenth) from positives and rows per group of equal probability, from the highest down.

    Arrays (n_groups,), or weights in their place; a group may be empty. NaN where a measure is not defined.
    """
    total_hits, total = hits.sum(), rows.sum()
    if total_hits == 0:
        return np.nan, np.nan, np.nan
    misses = rows - hits
    hits_so_far, rows_so_far = np.cumsum(hits), np.cumsum(rows)
    precision = np.divide(hits_so_far, rows_so_far, out=np.zeros(len(rows)), where=rows_so_far > 0)
    below = total - total_hits - np.cumsum(misses)
    auc = (hits * (below + misses / 2)).sum() / total_hits / (total - total_hits) if total > total_hits else np.nan
    top = max(1, round(total * 0.1))
    edge = np.searchsorted(rows_so_far, top)
    before = rows_so_far[edge] - rows[edge]
    found = hits_so_far[edge] - hits[edge] + (top - before) * hits[edge] / rows[edge]
    return auc, (precision * hits).sum() / total_hits, found / top * total / total_hits


def rank_groups(probability):
    """(order, starts): rows from the highest probability down, and where each group of equal ones begins."""
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    return order, np.flatnonzero(np.append(True, falling[1:] != falling[:-1]))


def _count_by_rank(actual, probability):
    order, starts = rank_groups(probability)
    return np.add.reduceat(actual[order].astype(float), starts), np.diff(np.append(starts, len(order))).astype(float)


def calibration_line(actual, probability):
    """(slope, intercept) of the outcome's log-odds on the predicted ones: (1, 0) is perfect calibration.

    Where a threshold parts who had the event from who had not, the likelihood has no maximum: what is found is some steep line,
    enough to score by (fit_one) and nothing to report. See is_separated.
    """
    x = logit(np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    if np.ptp(x) == 0 or np.ptp(actual) == 0:
        return float("nan"), float("nan")

    def objective(line):
        odds = line[0] * x + line[1]
        error = expit(odds) - actual
        return np.mean(np.logaddexp(0, odds) - actual * odds), np.array([np.mean(error * x), np.mean(error)])

    slope, intercept = minimize(objective, [1.0, 0.0], jac=True, method="L-BFGS-B").x
    if is_separated(actual, probability):
        return float(slope), float(intercept)
    return _sharpen(np.array([slope, intercept]), x, actual)


def is_separated(actual, probability):
    """Whether some threshold of the probability parts who had the event from who had not; at most ties lie on it."""
    yes, no = probability[actual > 0], probability[actual <= 0]
    return bool(len(yes) and len(no) and (yes.min() >= no.max() or no.min() >= yes.max()))


def _sharpen(line, x, actual):
    # where nearly all is foretold the objective is so flat that the search stops far from its minimum: Newton's steps go on
    for _ in range(NEWTON_STEPS):
        fitted = expit(line[0] * x + line[1])
        error, curve = actual - fitted, fitted * (1 - fitted)
        twice, both, once = (curve * x * x).sum(), (curve * x).sum(), curve.sum()
        of_slope, of_intercept = (error * x).sum(), error.sum()
        determinant = twice * once - both * both
        if not determinant > 0:
            break
        step = np.array([once * of_slope - both * of_intercept, twice * of_intercept - both * of_slope]) / determinant
        line = line + step
        if np.abs(step).max() < 1e-9:
            break
    return float(line[0]), float(line[1])


def bootstrap_interval(values, seed, level=0.95):
    """(low, high) of the mean by the bootstrap. values: float array, shape (n_rows,), one a customer, sorted by id."""
    group_of, drawn = draw_groups(len(values), seed)
    totals, sizes = np.bincount(group_of, values), np.bincount(group_of)
    low, high = np.quantile((drawn @ totals) / (drawn @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def draw_groups(count, seed, draws=BOOTSTRAP_DRAWS):
    """(group_of, drawn): the group each of so many customers is drawn with, shape (count,), and how often each draw has each
    group, shape (draws, n_groups).

    Up to BOOTSTRAP_GROUPS customers, each is a group. Above, customers are dealt out at random to so many groups: ids are given in
    the order of first evidence, so neighbours are alike, and drawn together they would make the interval far too wide. Customers
    have to come sorted by id, that the same customers are dealt out alike whatever order they were read in.
    """
    rng, groups = np.random.default_rng(seed), min(count, BOOTSTRAP_GROUPS)
    group_of = np.arange(count) if count == groups else rng.permutation(count) % groups
    # floats: sums of products of whole numbers are far slower
    return group_of, rng.multinomial(groups, np.full(groups, 1 / groups), draws).astype(float)


def deciles(actual, predicted):
    """Ten groups by rising prediction: list of (predicted mean, actual mean, rows)."""
    groups = decile_rows(predicted)
    return [(float(predicted[rows].mean()), float(actual[rows].mean()), len(rows)) for rows in groups]


def decile_rows(predicted):
    """The rows of each of ten groups by rising prediction; fewer groups where there are fewer rows."""
    return [rows for rows in np.array_split(np.argsort(predicted, kind="stable"), 10) if len(rows)]


def _lorenz_area(actual, ranking):
    _, group = np.unique(-ranking, return_inverse=True)
    sizes = np.bincount(group)
    totals = np.bincount(group, actual)
    before = np.concatenate([[0.0], np.cumsum(totals)[:-1]])
    # the sum of the running total over a group of ties that share their mean
    area = (before * sizes + totals * (sizes + 1) / 2).sum()
    return area / totals.sum() / len(actual) - (len(actual) + 1) / 2 / len(actual)
