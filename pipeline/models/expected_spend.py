"""Lifetime value by probability models: expected purchases times Gamma-Gamma spend, with an 80 % predictive interval.

Purchases are those of the BG/NBD, or of the model that did better after a past cut-off (purchase_models).

A purchase is a customer-day. x counts purchase days after the first, t_x and age run in weeks from the first
purchase day to the last one and to the day before as_of.
"""

import numpy as np
import polars as pl

from pipeline.models import gamma_gamma, measures
from pipeline.models.clv_checks import doubt_spend
from pipeline.models.margins import margin_shares
from pipeline.models.predictive import order_quantiles, spend_quantiles
from pipeline.models.purchase_models import MODELS
from pipeline.models.records import NotEnoughData

MIN_CUSTOMERS = 50
MIN_REPEATERS = 20
INTERVAL = (0.1, 0.9)
HORIZONS = (90, 365)
CHUNK_ROWS = 200_000
COSTS = ("costed_item_amount", "margin_amount", "known_cost_share")
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)

# of each horizon, from what predict_spend says
COLUMNS = {
    "p_alive": "p_alive",
    "expected_orders_{}d": "orders",
    "expected_orders_{}d_low": "orders_low",
    "expected_orders_{}d_high": "orders_high",
    "clv_{}d_amount": "amount",
    "clv_{}d_low": "low",
    "clv_{}d_high": "high",
    "clv_{}d_discounted_amount": "discounted_amount",
}
SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "p_alive": pl.Float64,
    "expected_orders_90d": pl.Float64,
    "expected_orders_90d_low": pl.Float64,
    "expected_orders_90d_high": pl.Float64,
    "expected_orders_365d": pl.Float64,
    "expected_orders_365d_low": pl.Float64,
    "expected_orders_365d_high": pl.Float64,
    "clv_90d_amount": pl.Float64,
    "clv_90d_low": pl.Float64,
    "clv_90d_high": pl.Float64,
    "clv_365d_amount": pl.Float64,
    "clv_365d_low": pl.Float64,
    "clv_365d_high": pl.Float64,
    "clv_365d_discounted_amount": pl.Float64,
    "margin_share": pl.Float64,
    "margin_365d_amount": pl.Float64,
}


def fit_clv(facts, name="bgnbd"):
    """Parameters by maximum likelihood, a dict: those of the model of purchases under its name (such as bgnbd: r, alpha, a,
    b), gamma_gamma {p, q, gamma} or None, mean_spend_amount, spend_fallback.

    Where Gamma-Gamma is None, spend_fallback says what stands in its place. 'mean': everyone's spend a day is that of all, with
    fewer than 20 customers with repeat spend, or where the fit is not to be believed. 'own': it is the customer's own
    average so far, where frequency and spend hang together or no finite mean can be fitted (clv_checks.doubt_spend).
    Raises NotEnoughData below 50 customers or 20 repeaters.
    """
    return fit_purchases(summarise_purchases(facts), name)[0]


def predict_clv(facts, params, seed=20260101, discount_rate_yearly=0.0):
    """Scores of SCHEMA for each customer with an order who did not refuse profiling, sorted by customer_id.

    clv_365d_amount is the expected spend in the next 365 days, clv_365d_discounted_amount what it is worth today; low and
    high hold at least 80 % of the posterior predictive distribution (10 % below low, 10 % above high; where more than 90 %
    of outcomes are zero, the high of an amount is the expected amount). p_alive is 1 for customers who bought on one day
    only where the BG/NBD is used: in it nobody leaves before a second purchase.
    """
    return score_purchases(summarise_purchases(facts), params, seed, discount_rate_yearly)


def summarise_purchases(facts):
    """Frame customer_id, as_of, x, t_days, age_days, net_spend, z, and COSTS, of customers with an order, sorted by id.

    x: purchase days after the first. t_days, age_days: days from the first purchase day to the last, and to
    the day before as_of. z: net spend per repeat purchase day in money (0 when x = 0, or when refunds ate
    it). COSTS: as in the facts, null where these do not have them.
    """
    costs = [pl.col(name) if name in facts.columns else pl.lit(None).alias(name) for name in COSTS]
    return (
        facts.filter((pl.col("order_day_count") > 0) & pl.col("is_profiling_allowed").fill_null(True))
        .select(
            "customer_id",
            "as_of",
            *(cost.cast(pl.Float64) for cost in costs),
            x=pl.col("order_day_count").cast(pl.Int64) - 1,
            t_days=(pl.col("last_order_on") - pl.col("first_order_on")).dt.total_days(),
            age_days=(pl.col("as_of") - pl.col("first_order_on")).dt.total_days() - 1,
            repeat_spend=pl.col("repeat_day_spend_amount").cast(pl.Float64).fill_null(0.0).clip(0.0),
            net_spend=pl.col("net_spend_amount").cast(pl.Float64).fill_null(0.0).clip(0.0),
        )
        .with_columns(z=pl.when(pl.col("x") > 0).then(pl.col("repeat_spend") / pl.col("x")).otherwise(0.0))
        .drop("repeat_spend")
        .sort("customer_id")
    )


def predict_spend(purchases, params, horizon_days, seed, discount_rate_yearly=0.0):
    """What each customer will do in [as_of, as_of + horizon_days): dict of float arrays, shape (n_customers,).

    purchases: frame of summarise_purchases. p_alive; orders (expected purchase days), orders_low, orders_high; amount
    (expected spend), low, high; discounted_amount, in which what is spent after t days counts (1 + rate) ** (-t / 365).
    Both intervals hold at least 80 % of the posterior predictive distribution, at most 10 % below and 10 % above. Those of
    orders are whole numbers, between which the expectation need not lie; low <= amount <= high always.
    """
    rows, row_of = _distinct(purchases)
    ahead = _look_ahead(rows, params, horizon_days, discount_rate_yearly) | _bound(rows, params, horizon_days, seed)
    return _of_customers(ahead, row_of, *_spend_per_purchase(params, purchases))


def expect_spend(purchases, params, horizon_days, discount_rate_yearly=0.0):
    """As predict_spend, without the intervals."""
    rows, row_of = _distinct(purchases)
    ahead = _look_ahead(rows, params, horizon_days, discount_rate_yearly)
    return _of_customers(ahead, row_of, *_spend_per_purchase(params, purchases))


def chance_of_order(purchases, params, horizon_days):
    """P(any order in [as_of, as_of + horizon_days)) of each customer: array (n_customers,). purchases: as of predict_spend."""
    rows, row_of = _distinct(purchases)
    model, timing = _timing(params)
    alive = model.prob_alive(timing, rows["x"], rows["t_x"], rows["age"])
    pairs = rows["pairs"]
    none = model.prob_none_while_alive(timing, pairs["x"], pairs["age"], horizon_days / 7)
    return np.clip(alive * (1 - none[rows["pair_of"]]), 0.0, 1.0)[row_of]


def _look_ahead(rows, params, horizon_days, discount_rate_yearly):
    """Of each distinct row: p_alive, orders, discounted (orders). Float arrays, shape (n_rows,)."""
    model, timing = _timing(params)
    alive = model.prob_alive(timing, rows["x"], rows["t_x"], rows["age"])
    orders, discounted = _orders_ahead(rows, params, horizon_days / 7, discount_rate_yearly)
    pair_of = rows["pair_of"]
    return {"p_alive": alive, "orders": alive * orders[pair_of], "discounted": alive * discounted[pair_of]}


def _bound(rows, params, horizon_days, seed):
    """Of each distinct row, the ends of both intervals: orders_low, orders_high, and low, high in units of spend."""
    if len(rows["x"]) == 0:
        return {name: np.zeros(0) for name in ("orders_low", "orders_high", "low", "high")}
    model, timing = _timing(params)
    weeks = horizon_days / 7
    alive = model.prob_alive(timing, rows["x"], rows["t_x"], rows["age"])
    orders = order_quantiles(model, timing, rows, alive, weeks, INTERVAL)
    spend = spend_quantiles(model, timing, params["gamma_gamma"], rows, alive, weeks, INTERVAL, seed)
    return dict(zip(("orders_low", "orders_high", "low", "high"), (*orders, *spend), strict=True))


def _of_customers(ahead, row_of, each, unit):
    """What predict_spend returns, from distinct rows. row_of, each, unit: arrays, shape (n_customers,)."""
    found = {name: ahead[name][row_of] for name in ahead if name.endswith("alive") or name.startswith("orders")}
    found |= {"amount": found["orders"] * each, "discounted_amount": ahead["discounted"][row_of] * each}
    if "low" in ahead:
        found["low"] = np.minimum(ahead["low"][row_of] * unit, found["amount"])
        found["high"] = np.maximum(ahead["high"][row_of] * unit, found["amount"])
    return found


def _orders_ahead(rows, params, weeks, discount_rate_yearly):
    """Expected orders in the weeks ahead of who is still a customer, and the same discounted: shape (n_pairs,) each."""
    model, timing = _timing(params)
    x, age = rows["pairs"]["x"], rows["pairs"]["age"]
    expected = model.expected_while_alive(timing, x, age, weeks)
    # by parts, the sum of discounted orders is an integral over expectations, smooth enough for a few nodes
    rate = np.log1p(discount_rate_yearly) * 7 / 365
    discounted = expected * np.exp(-rate * weeks)
    if rate:
        for node, weight in zip((NODES + 1) / 2 * weeks, WEIGHTS / 2 * weeks, strict=True):
            discounted += rate * weight * np.exp(-rate * node) * model.expected_while_alive(timing, x, age, node)
    return expected, discounted


def check_enough(purchases):
    """Repeaters among the customers; NotEnoughData below 50 customers or 20 repeaters."""
    repeats = int((purchases["x"] > 0).sum())
    if len(purchases) < MIN_CUSTOMERS:
        raise NotEnoughData("customers with an order", MIN_CUSTOMERS, len(purchases))
    if repeats < MIN_REPEATERS:
        raise NotEnoughData("customers with a second purchase day", MIN_REPEATERS, repeats)
    return repeats


def fit_purchases(purchases, name):
    """(params as of fit_clv, metrics dict, notes: what to beware of) for a frame of summarise_purchases.

    Whether the model of purchases is to be believed, clv_checks.check_belief says from the metrics.
    """
    repeats = check_enough(purchases)
    rows, _ = _distinct(purchases)
    timing, likelihood, search = MODELS[name].fit(rows["x"], rows["t_x"], rows["age"], rows["counts"])
    ages, age_of = np.unique(rows["age"], return_inverse=True)
    fitted = MODELS[name].expected_purchases(timing, ages) @ np.bincount(age_of, rows["counts"])
    metrics = {
        "customer_count": len(purchases),
        "repeater_count": repeats,
        "distinct_row_count": len(rows["x"]),
        "repeat_count": int(purchases["x"].sum()),
        "fitted_repeat_count": round(float(fitted), 6),
        **_describe(name, likelihood, search),
    }
    spend, fallback, found, notes = _fit_spend(purchases)
    mean_spend = float(purchases["net_spend"].sum()) / float((purchases["x"] + 1).sum())
    if fallback == "mean":
        notes = [f"everyone's spend a day is the mean, {mean_spend:.2f} ({notes[0]})"]
    elif fallback == "own":
        notes = [f"everyone's spend a day is their own average so far ({notes[0]})"]
    params = {name: timing, "gamma_gamma": spend, "mean_spend_amount": mean_spend, "spend_fallback": fallback}
    return params, metrics | found, notes


def _fit_spend(purchases):
    """(Gamma-Gamma or None, what is used in its place: None, 'mean' or 'own', metrics, notes)."""
    spenders = purchases.filter((pl.col("x") > 0) & (pl.col("z") > 0))
    if len(spenders) < MIN_REPEATERS:
        return None, "mean", {}, [f"repeaters who spent something: needs {MIN_REPEATERS}, has {len(spenders)}"]
    x, z = spenders["x"].to_numpy(), spenders["z"].to_numpy()
    spend, likelihood, search = gamma_gamma.fit(x, z)
    correlation = measures.correlation(x.astype(float), z)
    metrics = _describe("gamma_gamma", likelihood, search) | {"frequency_spend_correlation": correlation}
    fallback, note = doubt_spend(spend, search, z, correlation)
    return None if fallback else spend, fallback, metrics, [note] if note else []


def _describe(name, likelihood, search):
    return {
        f"{name}_log_likelihood": round(likelihood, 6),
        f"{name}_converged": bool(search),
        f"{name}_is_flat": search.is_flat,
        f"{name}_start_count": search.start_count,
        f"{name}_agreeing_start_count": search.agreeing_count,
    }


def score_purchases(purchases, params, seed, discount_rate_yearly=0.0):
    """As predict_clv, for a frame of summarise_purchases."""
    rows, row_of = _distinct(purchases)
    ahead = {
        days: _look_ahead(rows, params, days, discount_rate_yearly) | _bound(rows, params, days, seed)
        for days in HORIZONS
    }
    each, unit = _spend_per_purchase(params, purchases)
    shares = margin_shares(purchases)
    # what stands once per customer is many times the size of what stands once per distinct row
    parts = [pl.DataFrame(schema=SCHEMA)]
    for start in range(0, len(purchases), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        columns = {"margin_share": shares[part]}
        for days in HORIZONS:
            found = _of_customers(ahead[days], row_of[part], each[part], unit[part])
            columns |= {name.format(days): found[of] for name, of in COLUMNS.items()}
        columns["margin_365d_amount"] = columns["clv_365d_amount"] * shares[part]
        numbers = pl.DataFrame({name: columns[name] for name in SCHEMA if name in columns})
        numbers = numbers.select(pl.all().fill_nan(None).round(6))
        parts.append(pl.concat([purchases[part].select("customer_id", "as_of"), numbers], how="horizontal"))
    return order_horizons(pl.concat(parts))


def order_horizons(scores):
    """Scores in which no figure of a year is less than the same of its first 90 days.

    Ends of spend are drawn, those and means may come from different models, and each is right but for some error.
    """
    years = {name.replace("90d", "365d"): name for name in SCHEMA if "90d" in name}
    # what is no number stays none
    return scores.with_columns(
        pl.when(pl.col(year).is_not_null()).then(pl.max_horizontal(quarter, year)).alias(year)
        for year, quarter in years.items()
    )


def _distinct(purchases):
    # whole days: three integers packed into one key, so that a sort of integers finds the distinct rows
    x, t, age = (purchases[name].to_numpy() for name in ("x", "t_days", "age_days"))
    if len(x) and (t.min() < 0 or (age - t).min() < 0):
        worst = purchases["customer_id"][int(np.argmin(np.minimum(t, age - t)))]
        raise ValueError(
            f"customer {worst}: needs first_order_on <= last_order_on < as_of; build the facts again for this as_of"
        )
    keys, row_of, counts = np.unique((x << 40) + (t << 20) + age, return_inverse=True, return_counts=True)
    mask = (1 << 20) - 1
    rows = {
        "x": (keys >> 40).astype(float),
        "t_x": ((keys >> 20) & mask) / 7,
        "age": (keys & mask) / 7,
        "counts": counts.astype(float),
    }
    # what a customer who is still there does next depends on these two alone
    keys, rows["pair_of"] = np.unique((keys >> 40 << 20) + (keys & mask), return_inverse=True)
    rows["pairs"] = {"x": (keys >> 20).astype(float), "age": (keys & mask) / 7}
    return rows, row_of


def _timing(params):
    """The module and the parameters of the model of purchases."""
    return next((model, params[name]) for name, model in MODELS.items() if name in params)


def _spend_per_purchase(params, purchases):
    """Expected spend a purchase, and the unit that the quantiles of spend are taken in: shape (n_customers,) each."""
    x, z = purchases["x"].to_numpy(), purchases["z"].to_numpy()
    spend = params["gamma_gamma"]
    if spend is not None:
        return gamma_gamma.conditional_mean(spend, x, z), spend["gamma"] + x * z
    each = np.full(len(x), params["mean_spend_amount"])
    if params.get("spend_fallback") == "own":
        each = purchases["net_spend"].to_numpy() / (x + 1)
    return each, each
