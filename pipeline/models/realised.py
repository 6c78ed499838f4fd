"""What was foretold on an earlier night against what has come true since. Arrays in, rows of ops.drift out.

A gap is told only where it is large (a setting) and more than chance: outside the 99 % interval that goes with so many customers.
"""

import numpy as np
from scipy.stats import norm

from pipeline.models import measures
from pipeline.models.drift import OK, SHOWN, TOO_FEW, WARNING

MIN_OUTCOMES = 100
LEVEL = 0.99


def judge_event(probability, happened, gap_warning, seed):
    """Rows (dicts of ops.drift) of a chance of an event, such as churn, against whether it came.

    probability, happened: float arrays, shape (n_customers,). event_share is judged by the normal approximation to the sum of n
    independent events of these chances; log_loss_over_base_rate by the bootstrap: a model that loses to the share that came true,
    for everyone the same, has nothing to say.
    """
    n = len(probability)
    if n < MIN_OUTCOMES:
        return [_row("event_share", n, TOO_FEW)]
    foretold, rate = float(probability.mean()), float(happened.mean())
    spread = float(norm.ppf((1 + LEVEL) / 2) * np.sqrt(np.sum(probability * (1 - probability))) / n)
    interval = (rate - spread, rate + spread)
    rows = [_gap("event_share", foretold, rate, interval, gap_warning, n)]
    base_rate = np.full(n, rate)
    losses = [_losses(happened, chance) for chance in (probability, base_rate)]
    low, high = measures.bootstrap_interval(losses[0] - losses[1], seed, LEVEL)
    rows += [
        _row("log_loss", n, SHOWN, value=float(losses[0].mean())),
        _row("log_loss_of_base_rate", n, SHOWN, value=float(losses[1].mean())),
        _row(
            "log_loss_over_base_rate",
            n,
            WARNING if low > 0 else OK,
            value=float((losses[0] - losses[1]).mean()),
            value_low=low,
            value_high=high,
            warning_limit=0.0,
        ),
        _row("auc", n, SHOWN, value=measures.auc(happened, probability)),
    ]
    return rows + _deciles("", happened, probability)


def judge_amount(what, expected, actual, gap_warning, seed):
    """Rows (dicts of ops.drift) of an expected number (orders, spend) against the actual one; what names them.

    expected, actual: float arrays, shape (n_customers,). The gap of the totals has a bootstrap interval over the customers.
    """
    n = len(expected)
    if n < MIN_OUTCOMES:
        return [_row(f"{what}_total", n, TOO_FEW)]
    totals = float(expected.sum()), float(actual.sum())
    interval = tuple(totals[0] * (1 + end) for end in _ratio_interval(expected, actual, seed))
    rows = [_gap(f"{what}_total", *totals, interval, gap_warning, n)]
    rows += [
        _row(f"{what}_rmse", n, SHOWN, value=measures.rmse(actual, expected)),
        _row(f"{what}_rmse_of_zero", n, SHOWN, value=measures.rmse(actual, 0 * expected)),
    ]
    return rows + _deciles(f"{what}_", actual, expected)


def _gap(name, foretold, actual, interval, gap_warning, n):
    if not foretold > 0:
        return _row(name, n, SHOWN, expected_value=foretold, actual_value=actual)
    gap, low, high = (figure / foretold - 1 for figure in (actual, *interval))
    is_wide = abs(gap) >= gap_warning and not low <= 0 <= high
    return _row(
        name,
        n,
        WARNING if is_wide else OK,
        value=gap,
        value_low=low,
        value_high=high,
        expected_value=foretold,
        actual_value=actual,
        warning_limit=gap_warning,
    )


def _deciles(prefix, actual, predicted):
    return [
        _row(f"{prefix}decile_{position:02d}", count, SHOWN, expected_value=foretold, actual_value=came)
        for position, (foretold, came, count) in enumerate(measures.deciles(actual, predicted), start=1)
    ]


def _row(name, n, status, **figures):
    return {"name": name, "status": status, "row_count": n} | figures


def _losses(happened, probability):
    p = np.clip(probability, measures.SMALLEST_PROBABILITY, 1 - measures.SMALLEST_PROBABILITY)
    return -(happened * np.log(p) + (1 - happened) * np.log1p(-p))


def _ratio_interval(expected, actual, seed):
    """(low, high) of total actual over total expected, less one, by the bootstrap over customers."""
    group_of, drawn = measures.draw_groups(len(expected), seed)
    sums = np.column_stack([np.bincount(group_of, values) for values in (actual, expected)])
    totals = drawn @ sums
    ratios = totals[totals[:, 1] > 0]
    if len(ratios) == 0:
        return float("nan"), float("nan")
    ends = np.quantile(ratios[:, 0] / ratios[:, 1] - 1, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(ends[0]), float(ends[1])
