"""The models of purchases, and which candidate is used: the one in use, until another foretold past cut-offs better than chance."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.models import bgnbd, mbgnbd, measures, paretonbd
from pipeline.models.records import Measured

# the first is in use until another is better by more than chance
MODELS = {"bgnbd": bgnbd, "mbgnbd": mbgnbd, "paretonbd": paretonbd}
TITLES = {"bgnbd": "BG/NBD", "mbgnbd": "MBG/NBD", "paretonbd": "Pareto/NBD", "boosting": "gradient boosting"}
# what anyone would say without a model: see clv_backtest
BASELINES = ("own rate", "zero", "mean")


class Race(NamedTuple):
    """Who foretold best. champion: None where nobody beats the baselines. errors: name -> mean squared error, candidates and
    baselines. gains: name -> (gain over the model in use: mean, low, high), 95 % bootstrap by customer. row_count: forecasts. gaps:
    baseline -> (low, high) of the error of who was judged by it (the champion, else who was in use) less the baseline's."""

    champion: str | None
    in_use: str
    errors: dict
    gains: dict
    beaten_by: str | None
    row_count: int
    gaps: dict = {}


def stretch(params, rows, days, base_days):
    """Expected orders in days over those in base_days, given a customer still: array of the rows of summarise_purchases' frame."""
    name = next(name for name in MODELS if name in params)
    x, age = rows["x"].to_numpy().astype(float), rows["age_days"].to_numpy() / 7
    long, short = (MODELS[name].expected_while_alive(params[name], x, age, length / 7) for length in (days, base_days))
    return long / np.maximum(short, 1e-12)


def race(customers, candidates, baselines, in_use, seed, is_proven=False, is_open=True):
    """A Race by squared error, pooled over forecasts at several cut-offs.

    customers: id of each forecast's customer, shape (n_forecasts,); one stands at several cut-offs, and is drawn as one.
    candidates, baselines: name -> squared errors, shape (n_forecasts,). in_use: a candidate, who stays unless the 95 % interval of
    another's gain leaves out zero (and the race is_open); then the greatest gain wins. The champion has to have a smaller mean than
    every baseline; if in_use is_proven (since an earlier night), a baseline has to beat it, or who replaces it, beyond its interval,
    lest scores come and go with chance. Where it fails, the best candidate that does beat the baselines is used; where there is
    none, nobody. Without baselines there is always a champion.
    """
    errors = {name: float(values.mean()) for name, values in (candidates | baselines).items()}
    groups = np.unique(customers, return_inverse=True)[1]

    def gain(name, over):
        difference = (candidates | baselines)[over] - (candidates | baselines)[name]
        return float(difference.mean()), *interval_by_customer(difference, groups, seed)

    gains = {name: gain(name, in_use) for name in candidates if name != in_use}
    better = {name: found[0] for name, found in gains.items() if is_open and found[1] > 0}
    champion = max(better, key=better.get) if better else in_use
    best = min(baselines, key=lambda name: errors[name], default=None)
    beaten_by = None
    if baselines and not errors[champion] < errors[best]:
        is_kept = is_proven and not gain(best, champion)[1] > 0
        if not is_kept:
            beaten_by = best
            rest = [name for name in candidates if errors[name] < errors[best]]
            champion = min(rest, key=lambda name: errors[name]) if rest else None
    gaps = {name: gain(name, champion or in_use)[1:] for name in baselines}
    return Race(champion, in_use, errors, gains, beaten_by, len(groups), gaps)


def interval_by_customer(values, groups, seed, level=0.95):
    """(low, high) of the mean of values by the bootstrap over customers. groups: whose each value is, integers from 0
    in the order of ids."""
    group_of, drawn = measures.draw_groups(int(groups.max()) + 1, seed)
    row_group = group_of[groups]
    totals, sizes = np.bincount(row_group, values), np.bincount(row_group)
    low, high = np.quantile((drawn @ totals) / (drawn @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def race_forecasts(forecasts, quantity, names, in_use, seed, baselines=(), is_open=True):
    """A Race between the named candidates over the Forecasts (clv_backtest) that hold all of them; quantity: orders or spend.

    in_use: who was in use last night, or None; where it is not in the race, the first name is in its place.
    """
    mean = {"orders": "orders", "spend": "amount"}[quantity]
    shared = [forecast for forecast in forecasts if all(name in forecast.candidates for name in names)]

    def errors(values):
        parts = [(values(forecast) - forecast.actual[quantity]) ** 2 for forecast in shared]
        return np.concatenate(parts)

    return race(
        np.concatenate([forecast.customers for forecast in shared]),
        {name: errors(lambda forecast, name=name: forecast.candidates[name][mean]) for name in names},
        {name: errors(lambda forecast, name=name: forecast.baselines[name][quantity]) for name in baselines},
        in_use if in_use in names else names[0],
        seed,
        in_use in names,
        is_open,
    )


def pool_rows(quantity, result):
    """Rows (Measured) of a Race: each candidate's mean squared error over all origins beside the model in use and the baselines."""
    n, rows = result.row_count, []
    for name, (mean, low, high) in result.gains.items():
        error = result.errors[name]
        # the difference of errors is the gain with its sign turned
        rows.append(
            Measured(
                f"{quantity}_pooled_squared_error", error, result.in_use, error + mean, n, name, None, None, -high, -low
            )
        )
    candidates = [result.in_use, *result.gains]
    for baseline in result.errors.keys() - set(candidates):
        for name in candidates:
            found = result.errors[name], baseline, result.errors[baseline]
            judged = name == (result.champion or result.in_use)
            gap = (None, None, *result.gaps[baseline]) if judged else ()
            rows.append(Measured(f"{quantity}_pooled_squared_error", *found, n, name, *gap))
    return sorted(rows)


def say_gain(result, name):
    """How much less squared error than the model in use, with its 95 % interval, in words."""
    mean, low, high = result.gains[name]
    before = result.errors[result.in_use]
    change, least, most = (-100 * gain / before for gain in (mean, high, low))
    return f"squared error {change:+.1f} %, {least:+.1f} % to {most:+.1f} %"


def say_race(result, origins):
    """What came of a race, in words for the run's message; without "; ", which ends a part of it."""
    where = f"{origins} cut-off{'s' if origins > 1 else ''}"
    best = [name for name in BASELINES if name in result.errors]
    best = min(best, key=lambda name: result.errors[name])
    if result.champion is None:
        beaten = f"{TITLES[result.in_use]} {_rmse(result, result.in_use)}"
        return f"nothing beats the baseline '{best}' (RMSE {_rmse(result, best)}, {beaten}, {where})"
    errors = f"RMSE {_rmse(result, result.champion)}, baseline '{best}' {_rmse(result, best)}"
    words = f"{TITLES[result.champion]} ({errors}, {where})"
    if result.beaten_by:
        return f"{words}, since {TITLES[result.in_use]} does not beat the baseline"
    if result.champion != result.in_use:
        return f"{words}, replacing {TITLES[result.in_use]} ({say_gain(result, result.champion)})"
    if not result.errors[result.champion] < result.errors[best]:
        is_even = result.errors[result.champion] == result.errors[best]
        words += f", kept although the baseline '{best}' was {'as good' if is_even else 'better, not beyond chance'}"
    return words + "".join(f", {TITLES[name]} not better ({say_gain(result, name)})" for name in result.gains)


def _rmse(result, name):
    """Root of a mean squared error: three digits, whole from 100 on, never an exponent."""
    value = float(np.sqrt(result.errors[name]))
    places = max(0, min(4, 2 - math.floor(math.log10(value)))) if value else 0
    return f"{value:,.{places}f}"
