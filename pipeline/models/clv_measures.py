"""How right a forecast of orders and spend was: rows for ops.backtests, with bootstrap intervals over customers."""

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.models import measures
from pipeline.models.clv_backtest import QUANTITIES
from pipeline.models.event_origins import measure_chances
from pipeline.models.expected_spend import INTERVAL
from pipeline.models.records import Measured

DRAWS = 200
# of the chance of any order
CHANCE_MEASURES = ("auc", "pr_auc", "lift_10", "brier", "log_loss", "calibration_slope", "calibration_intercept")
MEASURES = {name: getattr(measures, name) for name in ("bias_share", "mae", "rmse", "correlation", "normalised_gini")}


@threadpool_limits.wrap(limits=1)
def measure_forecast(forecast, used, seed):
    """Rows (Measured) of one Forecast: every candidate against every baseline, and against who is in use.

    used: as of backtest_clv, who gives what: 'purchases', whose means by x are shown, and each figure such as orders_90d.
    """
    sample, in_use = Resample(len(forecast.x), seed), used["purchases"]
    rows = []
    for quantity in QUANTITIES:
        rows += _measure_quantity(forecast, quantity, sample, used.get(f"{quantity}_{forecast.days}d", in_use))
    rows += _measure_buyers(forecast, in_use, seed)
    for repeats in range(8):
        group = forecast.x == repeats if repeats < 7 else forecast.x >= 7
        if group.any() and in_use in forecast.candidates:
            foretold = float(forecast.candidates[in_use]["orders"][group].mean())
            happened = float(forecast.actual["orders"][group].mean())
            label = f"orders_mean_x{repeats}" + ("_or_more" if repeats == 7 else "")
            ends = _compare_means(sample, forecast.candidates[in_use]["orders"], forecast.actual["orders"], group)
            rows.append(Measured(label, foretold, "actual", happened, int(group.sum()), in_use, *ends))
    return rows


class Resample:
    """Bootstrap draws of customers, the same for everything that is measured on them.

    Sums are drawn, not rows: the measures follow from them. Customers come sorted by id; see measures.draw_groups.
    """

    def __init__(self, count, seed):
        self.group_of, self.drawn = measures.draw_groups(count, seed, DRAWS)
        self.counts = self.total(np.ones(count))

    def total(self, values):
        """Sum of values over each draw: array (DRAWS,). values: shape (n_customers,)."""
        return self.drawn @ np.bincount(self.group_of, np.asarray(values, float))

    def mean(self, values):
        """Mean of values over each draw."""
        return self.total(values) / self.counts

    def measure(self, actual, forecasts, with_ranks=True):
        """{(forecast, measure): its value over each draw} of MEASURES. forecasts: name -> array of actual's shape."""
        found = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            happened, squared = self.mean(actual), self.mean(actual**2)
            for name, values in forecasts.items():
                foretold = self.mean(values)
                found[name, "bias_share"] = foretold / happened - 1
                found[name, "mae"] = self.mean(np.abs(values - actual))
                found[name, "rmse"] = np.sqrt(self.mean((values - actual) ** 2))
                spread = (squared - happened**2) * (self.mean(values**2) - foretold**2)
                found[name, "correlation"] = (self.mean(actual * values) - happened * foretold) / np.sqrt(spread)
            if with_ranks:
                for name, ginis in self._ginis(actual, forecasts).items():
                    found[name, "normalised_gini"] = ginis
        return found

    def _ginis(self, actual, forecasts):
        rank_of = {name: np.unique(-values, return_inverse=True)[1] for name, values in forecasts.items()}
        perfect = np.unique(-actual, return_inverse=True)[1]
        found = {name: np.empty(DRAWS) for name in forecasts}
        for draw, weights in enumerate(self.drawn):
            weight = weights[self.group_of]
            weighted = weight * actual
            best = _lorenz_area(weight, weighted, perfect)
            for name, rank in rank_of.items():
                found[name][draw] = _lorenz_area(weight, weighted, rank) / best
        return found


def _lorenz_area(weight, weighted, rank):
    # that of measures.normalised_gini, of a sample in which each row stands `weight` times
    sizes, totals = np.bincount(rank, weight), np.bincount(rank, weighted)
    before, count, total = np.cumsum(totals) - totals, sizes.sum(), totals.sum()
    return (before * sizes + totals * (sizes + 1) / 2).sum() / total / count - (count + 1) / 2 / count


def _measure_buyers(forecast, in_use, seed):
    """Rows of the chance of any order, measured as chances of an event are."""
    chances = forecast.chances
    candidates = [name for name in forecast.candidates if name in chances]
    if not candidates:
        return []
    bought = (forecast.actual["orders"] > 0).astype(float)
    naive = [name for name in chances if name not in candidates]
    champion = in_use if in_use in candidates else None
    return measure_chances(
        bought, chances, candidates, naive, champion, seed, CHANCE_MEASURES, prefix="buyer_", tenths="buyer_"
    )


def _compare_means(sample, foretold, happened, group):
    """Ends of the 95 % intervals of what was foretold of a group (booleans) on the average, and of that less what came."""
    sizes = sample.total(group)
    with np.errstate(divide="ignore", invalid="ignore"):
        said, came = (sample.total(np.where(group, values, 0.0)) / sizes for values in (foretold, happened))
    return _ends(said) + _ends(_difference(said, came))


def _measure_quantity(forecast, quantity, sample, champion):
    mean, low, high = QUANTITIES[quantity]
    actual, n = forecast.actual[quantity], len(forecast.x)
    naive = {name: values[quantity] for name, values in forecast.baselines.items()}
    said = {name: figures[mean] for name, figures in forecast.candidates.items()}
    drawn = sample.measure(actual, said | {"own rate": naive["own rate"]})
    # constants rank nobody
    drawn |= sample.measure(actual, {name: naive[name] for name in ("zero", "mean")}, with_ranks=False)
    asked = [(measure, "own rate") for measure in MEASURES] + [("rmse", "zero"), ("rmse", "mean")]
    rows, happened_in_all, everyone = [], sample.total(actual), naive | said
    for name, values in said.items():
        total = sample.total(values)
        ends = _ends(total) + _ends(total - happened_in_all)
        rows.append(Measured(f"{quantity}_total", float(values.sum()), "actual", float(actual.sum()), n, name, *ends))
        against = [(measure, champion) for measure in MEASURES] if champion in said and champion != name else []
        for measure, baseline in asked + against:
            found, other = (MEASURES[measure](actual, given) for given in (values, everyone[baseline]))
            ends = _ends(drawn[name, measure]) + _ends(_difference(drawn[name, measure], drawn[baseline, measure]))
            rows.append(Measured(f"{quantity}_{measure}", found, baseline, other, n, name, *ends))
        for position, members in enumerate(measures.decile_rows(values), start=1):
            tenth = np.zeros(n, bool)
            tenth[members] = True
            pair = float(values[members].mean()), "actual", float(actual[members].mean())
            ends = _compare_means(sample, values, actual, tenth)
            rows.append(Measured(f"{quantity}_decile_{position:02d}", *pair, len(members), name, *ends))
        figures = forecast.candidates[name]
        if low in figures:
            is_below, is_above = actual < figures[low], actual > figures[high]
            for label, share, nominal in (
                ("coverage", ~is_below & ~is_above, INTERVAL[1] - INTERVAL[0]),
                ("below", is_below, INTERVAL[0]),
                ("above", is_above, 1 - INTERVAL[1]),
            ):
                found = float(share.mean()), "nominal", nominal, n, name, *_ends(sample.mean(share))
                rows.append(Measured(f"{quantity}_interval_{label}", *found))
    return rows


def _difference(draws, others):
    # where nobody bought, a share of nothing is infinite
    with np.errstate(invalid="ignore"):
        return draws - others


def _ends(draws):
    known = draws[np.isfinite(draws)]
    return np.quantile(known, [0.025, 0.975]).tolist() if len(known) else [None, None]
