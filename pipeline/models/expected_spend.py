"""Lifetime value by probability models: expected purchases times Gamma-Gamma spend, with an 80 % predictive interval.

Purchases are those of the BG/NBD, or of the model that did better after a past cut-off (purchase_models).

A purchase is a customer-day. x counts purchase days after the first, t_x and age run in weeks from the first
purchase day to the last one and to the day before as_of.
"""

import numpy as np
import polars as pl
from scipy.interpolate import RegularGridInterpolator
from scipy.special import ndtr, ndtri

from pipeline.models import gamma_gamma, measures
from pipeline.models.purchase_models import MODELS, TITLES
from pipeline.models.records import NotEnoughData

MIN_CUSTOMERS = 50
MIN_REPEATERS = 20
MAX_SPEND_CORRELATION = 0.3
INTERVAL = (0.1, 0.9)
CHUNK_ROWS = 200_000
DRAWS = 4096

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "p_alive": pl.Float64,
    "expected_orders_90d": pl.Float64,
    "expected_orders_365d": pl.Float64,
    "clv_365d_amount": pl.Float64,
    "clv_365d_low": pl.Float64,
    "clv_365d_high": pl.Float64,
}


def fit_clv(facts, name="bgnbd"):
    """Parameters by maximum likelihood, a dict: those of the model of purchases under its name (such as bgnbd: r, alpha, a,
    b), gamma_gamma {p, q, gamma} or None, mean_spend_amount.

    gamma_gamma is None, and everyone's spend a day the population mean, with fewer than 20 customers with
    repeat spend, or where no finite mean can be fitted. Raises NotEnoughData below 50 customers or 20
    repeaters.
    """
    return fit_purchases(summarise_purchases(facts), name)[0]


def predict_clv(facts, params, seed=20260101):
    """Scores of SCHEMA for each customer with an order who did not refuse profiling, sorted by customer_id.

    clv_365d_amount is the expected spend in the next 365 days; low and high hold at least 80 % of its
    posterior predictive distribution (10 % below low, 10 % above high; where more than 90 % of outcomes are
    zero, high is the expected amount). p_alive is 1 for customers who bought on one day only where the BG/NBD is
    used: in it nobody leaves before a second purchase.
    """
    return score_purchases(summarise_purchases(facts), params, seed)


def summarise_purchases(facts):
    """Frame customer_id, as_of, x, t_days, age_days, net_spend, z of customers with an order, sorted by id.

    x: purchase days after the first. t_days, age_days: days from the first purchase day to the last, and to
    the day before as_of. z: net spend per repeat purchase day in money (0 when x = 0, or when refunds ate
    it).
    """
    return (
        facts.filter((pl.col("order_day_count") > 0) & pl.col("is_profiling_allowed").fill_null(True))
        .select(
            "customer_id",
            "as_of",
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


def predict_spend(purchases, params, horizon_days, seed):
    """p_alive, orders, amount, low, high over a horizon: dict of float arrays, shape (n_customers,).

    purchases: frame of summarise_purchases. The interval as in predict_clv.
    """
    weeks = horizon_days / 7
    rows, row_of = _distinct(purchases)
    alive, expected = _purchases_of(rows, params, weeks)
    model, timing = _timing(params)
    none_while_alive = model.prob_none_while_alive(timing, rows["x"], rows["age"], weeks)
    x, z = purchases["x"].to_numpy(), purchases["z"].to_numpy()
    if len(x) == 0:
        return {name: np.zeros(0) for name in ("p_alive", "orders", "amount", "low", "high")}
    orders = expected[row_of]
    amount = orders * _spend_per_purchase(params, x, z)
    table = _tabulate_spend(params, rows, weeks, seed)
    low, high = np.empty(len(x)), np.empty(len(x))
    for start in range(0, len(x), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        index = row_of[part]
        share_zero = 1 - alive[index] * (1 - none_while_alive[index])
        unit = _spend_unit(params, x[part], z[part])
        low[part], high[part] = (
            unit * _look_up(table, rows["x"][index], rows["age"][index], share_zero, level) for level in INTERVAL
        )
    return {
        "p_alive": alive[row_of],
        "orders": orders,
        "amount": amount,
        "low": np.minimum(low, amount),
        "high": np.maximum(high, amount),
    }


def check_enough(purchases):
    """Repeaters among the customers; NotEnoughData below 50 customers or 20 repeaters."""
    repeats = int((purchases["x"] > 0).sum())
    if len(purchases) < MIN_CUSTOMERS:
        raise NotEnoughData("customers with an order", MIN_CUSTOMERS, len(purchases))
    if repeats < MIN_REPEATERS:
        raise NotEnoughData("customers with a second purchase day", MIN_REPEATERS, repeats)
    return repeats


def fit_purchases(purchases, name):
    """(params as of fit_clv, metrics dict, notes: what to beware of) for a frame of summarise_purchases."""
    repeats = check_enough(purchases)
    rows, _ = _distinct(purchases)
    timing, likelihood, is_converged = MODELS[name].fit(rows["x"], rows["t_x"], rows["age"], rows["counts"])
    metrics = {
        "customer_count": len(purchases),
        "repeater_count": repeats,
        "distinct_row_count": len(rows["x"]),
        f"{name}_log_likelihood": round(likelihood, 6),
        f"{name}_converged": is_converged,
    }
    notes = [] if is_converged else [f"{TITLES[name]} ended at a bound of its search: treat the orders as rough"]

    spenders = purchases.filter((pl.col("x") > 0) & (pl.col("z") > 0))
    days = float((purchases["x"] + 1).sum())
    mean_spend = float(purchases["net_spend"].sum()) / days
    spend, why = None, f"repeaters who spent something: needs {MIN_REPEATERS}, has {len(spenders)}"
    if len(spenders) >= MIN_REPEATERS:
        x, z = spenders["x"].to_numpy(), spenders["z"].to_numpy()
        spend, likelihood, is_converged = gamma_gamma.fit(x, z)
        correlation = measures.correlation(x.astype(float), z)
        metrics |= {
            "gamma_gamma_log_likelihood": round(likelihood, 6),
            "gamma_gamma_converged": is_converged,
            "frequency_spend_correlation": correlation,
        }
        if abs(correlation) > MAX_SPEND_CORRELATION:
            notes.append(
                f"frequency and spend correlate at {correlation:.2f}, Gamma-Gamma takes them as independent"
                f" (limit {MAX_SPEND_CORRELATION}): treat the amounts as rough"
            )
        if not is_converged or spend["q"] <= 1:
            spend, why = None, "no Gamma-Gamma with a finite mean fits the spend"
    if spend is None:
        notes.append(f"everyone's spend a day is the mean, {mean_spend:.2f} ({why})")
    return {name: timing, "gamma_gamma": spend, "mean_spend_amount": mean_spend}, metrics, notes


def score_purchases(purchases, params, seed):
    """As predict_clv, for a frame of summarise_purchases."""
    year = predict_spend(purchases, params, 365, seed)
    rows, row_of = _distinct(purchases)
    quarter = _purchases_of(rows, params, 90 / 7)[1][row_of]
    columns = {
        "p_alive": year["p_alive"],
        "expected_orders_90d": quarter,
        "expected_orders_365d": year["orders"],
        "clv_365d_amount": year["amount"],
        "clv_365d_low": year["low"],
        "clv_365d_high": year["high"],
    }
    ids = purchases.select("customer_id", "as_of")
    return ids.with_columns(pl.Series(name, values, dtype=pl.Float64).round(6) for name, values in columns.items())


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
    return rows, row_of


def _timing(params):
    """The module and the parameters of the model of purchases."""
    return next((model, params[name]) for name, model in MODELS.items() if name in params)


def _purchases_of(rows, params, weeks):
    model, timing = _timing(params)
    alive = model.prob_alive(timing, rows["x"], rows["t_x"], rows["age"])
    expected = model.conditional_expected_purchases(timing, rows["x"], rows["t_x"], rows["age"], weeks)
    return alive, expected


def _spend_per_purchase(params, x, z):
    if params["gamma_gamma"] is None:
        return np.full(len(x), params["mean_spend_amount"])
    return gamma_gamma.conditional_mean(params["gamma_gamma"], x, z)


def _spend_unit(params, x, z):
    if params["gamma_gamma"] is None:
        return np.full(len(x), params["mean_spend_amount"])
    return params["gamma_gamma"]["gamma"] + x * z


def _tabulate_spend(params, rows, weeks, seed):
    # Given N purchases, spend over (gamma + x z) is Gamma(p N) / Gamma(p x + q): its quantiles given N >= 1
    # depend on (x, age) alone, and smoothly. They are worked out on a grid of both and interpolated, so the
    # cost does not grow with the customers. Returns the grid's axes and log quantiles.
    rng = np.random.default_rng(seed)
    model, timing = _timing(params)
    alpha = timing["alpha"]
    top = max(rows["x"].max(), 2.0)
    x_nodes = np.unique(np.concatenate([np.arange(0.0, min(top, 10.0) + 1), np.geomspace(2, top, 16).round()]))
    age_nodes = np.linspace(np.log(alpha), np.log(alpha + max(rows["age"].max(), 1.0)), 20)
    normal_nodes = np.linspace(-3.2, 3.2, 41)
    log_quantiles = np.empty((len(x_nodes), len(age_nodes), len(normal_nodes)))
    strata = (np.arange(DRAWS) + 0.5) / DRAWS
    for i, x in enumerate(x_nodes):
        # x purchase days cannot fit into less than x days
        ages = np.maximum(np.exp(age_nodes) - alpha, x / 7)
        rate = (timing["r"] + x) / (alpha + ages.min()) * weeks
        spread = rate * np.sqrt(1 / rate + 1 / (timing["r"] + x))
        # nobody buys on more days than there are
        counts = np.arange(1, min(int(rate + 12 * spread) + 10, int(weeks * 7)) + 1)
        pmf = model.prob_purchases_while_alive(timing, counts, x, ages[:, None], weeks)
        cdf = np.cumsum(pmf, axis=1)
        for j in range(len(ages)):
            drawn = counts[np.minimum(np.searchsorted(cdf[j] / cdf[j, -1], strata), len(counts) - 1)]
            spend = np.sort(drawn * 1.0 if params["gamma_gamma"] is None else _draw_spend(params, drawn, x, rng))
            log_quantiles[i, j] = np.log(np.quantile(spend, ndtr(normal_nodes)))
    axes = (np.log1p(x_nodes), age_nodes, normal_nodes)
    return {
        "alpha": alpha,
        "table": RegularGridInterpolator(axes, log_quantiles, bounds_error=False, fill_value=None),
    }


def _draw_spend(params, purchases, x, rng):
    p, q = params["gamma_gamma"]["p"], params["gamma_gamma"]["q"]
    drawn = rng.standard_gamma(p * purchases) / rng.standard_gamma(p * x + q, len(purchases))
    return np.maximum(drawn, np.finfo(float).tiny)


def _look_up(table, x, age, share_zero, level):
    share = (level - share_zero) / np.maximum(1 - share_zero, 1e-12)
    normal = ndtri(np.clip(share, 0.0007, 0.9993))
    points = np.column_stack([np.log1p(x), np.log(table["alpha"] + age), normal])
    return np.where(share > 0, np.exp(table["table"](points)), 0.0)
