"""What each model would have said of orders and spend at past cut-offs (rolling origins), and how right that was.

Every candidate is fitted at the origin on what was known there; the challenger learns from windows that had passed by then.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl
from scipy.special import expit

from pipeline.models.classifiers import Encoding, Logistic
from pipeline.models.expected_spend import (
    chance_of_order,
    check_enough,
    expect_spend,
    fit_purchases,
    predict_spend,
    summarise_purchases,
)
from pipeline.models.purchase_models import MODELS, TITLES, stretch
from pipeline.models.records import NotEnoughData
from pipeline.models.spend_boosting import (
    BASE_DAYS,
    FACTS,
    fit_spend,
    outcome_columns,
    predict_any,
    predict_horizon,
    predict_mean,
)

HORIZONS = (BASE_DAYS, 365)
# windows of a year would reach far back: one says what there is to say
MOST_ORIGINS = {BASE_DAYS: 4}
COMPARED_CUSTOMERS = 50_000
# a column of spend_boosting.outcome_columns
OUTCOME = re.compile(r"(?:orders|spend)_next_(\d+)d")
# of the facts at past cut-offs, what is read here
PAST_COLUMNS = ("customer_id", "as_of", "is_profiling_allowed", *FACTS)
# quantity -> its expectation and interval as predict_spend names them
QUANTITIES = {"orders": ("orders", "orders_low", "orders_high"), "spend": ("amount", "low", "high")}


@dataclass(frozen=True)
class Forecast:
    """What was foretold at one origin over one horizon, and what came. Arrays have shape (n_customers,).

    actual: by quantity (orders, spend). candidates: model -> figures as of predict_spend. baselines: name -> by quantity.
    """

    cut_off: object
    days: int
    customers: np.ndarray
    x: np.ndarray
    actual: dict
    candidates: dict
    baselines: dict
    # name of a candidate or baseline -> chances of any order; of BASE_DAYS alone
    chances: dict = field(default_factory=dict)


def select_customers(past):
    """Rows of facts that the models may learn from: customers with an order who did not refuse profiling, sorted by key."""
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return past.filter((pl.col("order_day_count") > 0) & allowed).sort("as_of", "customer_id")


def choose_origins(past, days):
    """Cut-offs whose window of so many days has passed, newest first, windows not overlapping; at most 4 of 90 days, else 1.

    At least as many days of orders lie before each: what a few months say of a year is no measure of tonight's forecast.
    """
    name = outcome_columns(days)[0]
    if name not in past.columns:
        return []
    chosen, first = [], past["first_order_on"].min()
    for day in sorted(past.filter(pl.col(name).is_not_null())["as_of"].unique(), reverse=True):
        is_apart = not chosen or day + timedelta(days=days) <= chosen[-1]
        if is_apart and day - timedelta(days=days) >= first:
            chosen.append(day)
    return chosen[: MOST_ORIGINS.get(days, 1)]


def foretell(past, seed, in_use="bgnbd", horizons=HORIZONS):
    """(Forecasts at every origin, notes: what could not be done) from facts at past cut-offs with the outcome_columns.

    past: frame of select_customers; an outcome is null where its window has not passed. in_use: the model of purchases by which the
    challenger's figures are stretched to longer horizons.
    """
    asked = {}
    for days in horizons:
        for origin in choose_origins(past, days):
            asked.setdefault(origin, []).append(days)
    found, notes, lacking, dropped = [], [], [], {}
    for origin in sorted(asked, reverse=True):
        rows = past.filter(pl.col("as_of") == origin)
        rows = rows[:: -(-len(rows) // COMPARED_CUSTOMERS)]
        purchases = summarise_purchases(rows)
        try:
            check_enough(purchases)
        except NotEnoughData as error:
            notes.append(f"not judged at {origin}: {error}")
            continue
        fits, params = {name: fit_purchases(purchases, name) for name in MODELS}, {}
        for name, (fitted, metrics, _) in fits.items():
            # a model that did not converge is not in the race, but for the one in use: somebody has to run
            if not (metrics[f"{name}_converged"] or name == in_use):
                dropped.setdefault((name, "no maximum found"), []).append(origin)
            # nor is one whose formulas break down at the bounds of its search
            elif not all(np.isfinite(expect_spend(purchases, fitted, days)["orders"]).all() for days in horizons):
                dropped.setdefault((name, "its figures are no numbers"), []).append(origin)
            else:
                params[name] = fitted
        if not params:
            notes.append(f"not judged at {origin}: no model of purchases has figures for everybody")
            continue
        stretch_by = params.get(in_use) or next(iter(params.values()))
        challenger, why = fit_challenger(known_at(past, origin), stretch_by, seed, horizons)
        lacking += [why] if why else []
        means = predict_mean(rows, challenger) if challenger else None
        for days in asked[origin]:
            candidates = {name: predict_spend(purchases, params[name], days, seed) for name in params}
            if challenger:
                ratio = 1.0 if days == BASE_DAYS else stretch(stretch_by, purchases, days, BASE_DAYS)
                candidates["boosting"] = predict_horizon(challenger, means, ratio, days)
            actual = {
                quantity: rows[name].cast(pl.Float64).to_numpy()
                for quantity, name in zip(QUANTITIES, outcome_columns(days), strict=True)
            }
            naive = _predict_naively(purchases, past, origin, days)
            ids, x = purchases["customer_id"].to_numpy(), purchases["x"].to_numpy()
            chances = {}
            if days == BASE_DAYS:
                chances = {name: chance_of_order(purchases, params[name], days) for name in params}
                chances |= {"boosting": predict_any(rows, challenger)} if challenger else {}
                chances |= _chances_naively(purchases, past, origin, days)
            found.append(Forecast(origin, days, ids, x, actual, candidates, naive, chances))
    for (name, why), origins in dropped.items():
        days = sorted({days for origin in origins for days in asked[origin]})
        # one is judged at all cut-offs of 90 days or at none
        where = "" if BASE_DAYS in days else f" over {days[0]} days"
        notes.append(f"{TITLES[name]} not judged{where}: {why} at {', '.join(map(str, origins))}")
    if lacking:
        notes.append(f"no gradient boosting at {len(lacking)} of {len(asked)} past cut-offs: {lacking[0]}")
    return found, notes


def known_at(past, origin):
    """The rows of earlier cut-offs as they stood at the origin: an outcome whose window had not passed by then is null."""
    rows = past.filter(pl.col("as_of") < origin)
    days_of = {name: int(found[1]) for name in past.columns if (found := OUTCOME.fullmatch(name))}
    return rows.with_columns(
        pl.when(pl.col("as_of") + timedelta(days=days) <= origin).then(pl.col(name)).alias(name)
        for name, days in days_of.items()
    )


def fit_challenger(past, params, seed, horizons=HORIZONS):
    """(SpendModel, None) from windows that have passed, or (None, why not). params: as of fit_purchases, to stretch by."""

    def ratio(rows, days):
        return stretch(params, summarise_in_order(rows), days, BASE_DAYS)

    try:
        return fit_spend(past, ratio, seed, horizons), None
    except NotEnoughData as error:
        return None, str(error)


def summarise_in_order(rows):
    """x and age_days of each row of facts, in the rows' order (stretch needs no more)."""
    return rows.select(
        x=pl.col("order_day_count").cast(pl.Int64) - 1,
        age_days=(pl.col("as_of") - pl.col("first_order_on")).dt.total_days() - 1,
    )


def _predict_naively(purchases, past, origin, days):
    """What anyone would say: each goes on at the own rate, nobody buys, everyone buys what all did on the average.

    That average is over earlier windows that had passed at the origin, else everyone's rate per day so far.
    """
    x, age, z = (purchases[name].to_numpy().astype(float) for name in ("x", "age_days", "z"))
    own = x / np.maximum(age, 1) * days
    names = outcome_columns(days)
    earlier = known_at(past, origin).filter(pl.col(names[0]).is_not_null())
    if len(earlier):
        means = [float(earlier[name].cast(pl.Float64).mean()) for name in names]
    else:
        rates = (x.sum() / max(age.sum(), 1), (x * z).sum() / max(age.sum(), 1))
        means = [rate * days for rate in rates]
    return {
        "own rate": {"orders": own, "spend": own * z},
        "zero": {quantity: np.zeros(len(x)) for quantity in QUANTITIES},
        "mean": {quantity: np.full(len(x), mean) for quantity, mean in zip(QUANTITIES, means, strict=True)},
    }


def _chances_naively(purchases, past, origin, days):
    """The chance of any order as anyone would say it: the share that ordered after earlier cut-offs, and that by days since the
    last order. Where no earlier window had passed at the origin, what everyone's rate so far gives, and no second baseline."""
    x, age = (purchases[name].to_numpy().astype(float) for name in ("x", "age_days"))
    name = outcome_columns(days)[0]
    earlier = known_at(past, origin).filter(pl.col(name).is_not_null())
    if not len(earlier):
        return {"base rate": np.full(len(x), 1 - np.exp(-x.sum() / max(age.sum(), 1) * days))}
    ordered = (earlier[name] > 0).cast(pl.Float64).to_numpy()
    found = {"base rate": np.full(len(x), ordered.mean())}
    if 0 < ordered.mean() < 1:
        since = earlier.select((pl.col("as_of") - pl.col("last_order_on")).dt.total_days() - 1).to_series()
        rule = Logistic(Encoding(("recency_days",), {}), 0)
        rule.fit(since.cast(pl.Float64).to_numpy()[:, None], ordered)
        found["recency only"] = expit(rule.log_odds((age - purchases["t_days"].to_numpy())[:, None]))
    return found
