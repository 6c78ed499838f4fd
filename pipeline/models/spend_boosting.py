"""The machine-learned challenger of the probability models: gradient boosting over customer facts.

It learns from 90-day windows after past cut-offs. Orders: one Poisson model. Spend in two parts: the chance of any, times the
amount of those who spend (Gamma deviance, so it aims at the mean). Customers that were held out of learning set the level of
both totals and the 80 % intervals. A longer horizon takes the customer's 90-day figure times the ratio of the two horizons under the
probability model (`stretch`): windows of a year would need two years of history, and half of it would be stale.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from pipeline.models.boosted_trees import Trees, read_trees, trees_from_dict, trees_to_dict
from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC, add_derived
from pipeline.models.classifiers import Encoding, encode, fit_encoding
from pipeline.models.records import NotEnoughData, reading_model

BASE_DAYS = 90
TRAINING_ROWS = 50_000
# held out of learning for levels and intervals; with few rows everyone is in turn, lest a fifth of few sets them by chance
HELD_OUT_SHARE = 0.2
CROSS_ROWS = 6_000
CROSS_FOLDS = 3
# on a demo shop of 400 it learnt from 600 rows, and was a third worse than BG/NBD; the fits cost seconds
MIN_ROWS = 1_000
MIN_BUYERS = 100
MIN_BAND_ROWS = 50
MAX_BANDS = 20
CHUNK_ROWS = 200_000
LEVELS = (0.1, 0.9)
MONEY = ("net_spend_amount", "repeat_day_spend_amount")
DERIVED = ("age_days", "t_days", "orders_per_year", "spend_per_day")
NAMES = tuple(dict.fromkeys([*NUMERIC, *MONEY, *DERIVED]))
# what the model reads of a frame of facts, where it is there
FACTS = (
    *(name for name in NAMES if name not in {*DERIVED, "gap_ratio", "days_since_ticket", "days_since_interaction"}),
    *CATEGORICAL,
    *("last_ticket_at", "last_interaction_at", "first_order_on", "last_order_on"),
)
SETTINGS = {"learning_rate": 0.06, "max_iter": 120, "max_leaf_nodes": 8, "l2_regularization": 1.0}


@dataclass(frozen=True)
class SpendModel:
    """A fitted challenger. factors: what brings each total to that of the held-out customers. bands: by (quantity, days), what
    held-out customers of like forecast did (see fit_band); a horizon without any has no interval."""

    encoding: Encoding
    orders: Trees
    buys: Trees
    amount: Trees
    factors: dict
    bands: dict
    about: dict


def outcome_columns(days):
    """Names of the columns that say what a customer did in [as_of, as_of + days): purchase days, net spend."""
    return f"orders_next_{days}d", f"spend_next_{days}d"


@threadpool_limits.wrap(limits=1)
def fit_spend(past, stretch, seed=20260101, horizons=(BASE_DAYS, 365)):
    """A SpendModel from facts at past cut-offs with the outcome_columns of each horizon.

    past: one row per customer and cut-off (column as_of), sorted by key, customers with an order; an outcome is null where its
    window had not passed. stretch(rows, days): expected orders in days over those in 90 days, shape (n_rows,). Raises NotEnoughData
    below 1,000 rows, 100
    who spent or 100 who did not.
    """
    orders_name, spend_name = outcome_columns(BASE_DAYS)
    known = past.filter(pl.col(orders_name).is_not_null())
    buyers = int((known[spend_name] > 0).sum())
    others = len(known) - buyers
    if len(known) < MIN_ROWS:
        raise NotEnoughData(f"customers at cut-offs with {BASE_DAYS} days since", MIN_ROWS, len(known))
    if buyers < MIN_BUYERS:
        raise NotEnoughData(f"customers who spent in the {BASE_DAYS} days after a cut-off", MIN_BUYERS, buyers)
    if others < MIN_BUYERS:
        raise NotEnoughData(f"customers who spent nothing in the {BASE_DAYS} days after a cut-off", MIN_BUYERS, others)
    rng = np.random.default_rng(seed)
    if len(known) > TRAINING_ROWS:
        known = known[np.sort(rng.choice(len(known), TRAINING_ROWS, replace=False))]
    derived = derive(known)
    encoding = fit_encoding(derived, NAMES, CATEGORICAL)
    if not encoding.names:
        raise NotEnoughData("features that differ between customers", 1, 0)
    values, ordered, spent = encode(derived, encoding), _numbers(known, orders_name), _numbers(known, spend_name)

    # one customer stands at several cut-offs: all of him is held out, or nothing
    ids, customer_of = np.unique(known["customer_id"].to_numpy(), return_inverse=True)
    is_small = len(known) <= CROSS_ROWS
    folds = CROSS_FOLDS if is_small else round(1 / HELD_OUT_SHARE)
    fold_of = (rng.permutation(len(ids)) % folds)[customer_of]
    unseen = {"orders": np.full(len(known), np.nan), "spend": np.full(len(known), np.nan)}
    for fold in range(folds if is_small else 1):
        learning, held_out = fold_of != fold, fold_of == fold
        trees = _grow(values[learning], ordered[learning], spent[learning], encoding, seed)
        for quantity, means in _predict(values[held_out], trees).items():
            unseen[quantity][held_out] = means
    if is_small:
        trees = _grow(values, ordered, spent, encoding, seed)

    is_unseen = ~np.isnan(unseen["orders"])
    factors = {
        quantity: float(happened[is_unseen].sum() / unseen[quantity][is_unseen].sum())
        for quantity, happened in (("orders", ordered), ("spend", spent))
    }
    about = {"row_count": len(known), "unseen_row_count": int(is_unseen.sum()), "cut_offs": _cut_offs(known)}
    bands = _fit_bands(
        known.filter(is_unseen),
        {quantity: unseen[quantity][is_unseen] * factor for quantity, factor in factors.items()},
        stretch,
        horizons,
    )
    return SpendModel(encoding, *trees, factors, bands, about)


def predict_mean(facts, model):
    """Expected purchase days (orders) and net spend (spend) in the 90 days after as_of: dict of arrays, shape (n_rows,)."""
    parts = [{"orders": np.zeros(0), "spend": np.zeros(0)}]
    for start in range(0, len(facts), CHUNK_ROWS):
        values = encode(derive(facts[start : start + CHUNK_ROWS]), model.encoding)
        means = _predict(values, (model.orders, model.buys, model.amount))
        parts.append({quantity: means[quantity] * model.factors[quantity] for quantity in means})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def predict_any(facts, model):
    """The chance of any spend in the 90 days after as_of: array (n_rows,)."""
    parts = [np.zeros(0)]
    for start in range(0, len(facts), CHUNK_ROWS):
        values = encode(derive(facts[start : start + CHUNK_ROWS]), model.encoding)
        parts.append(expit(model.buys.raw_prediction(values)))
    return np.concatenate(parts)


def predict_horizon(model, means, ratio, days):
    """Figures over a horizon, named as in expected_spend.predict_spend: orders, orders_low, orders_high, amount, low, high.

    means: as of predict_mean. ratio: array of the stretch to this horizon (1 at 90 days). Without bands of the horizon the
    intervals are left out.
    """
    found = {}
    for quantity, (mean, low, high) in FIGURES.items():
        found[mean] = means[quantity] * ratio
        if (quantity, days) in model.bands:
            found[low], found[high] = interval(model.bands[quantity, days], found[mean])
            if quantity == "orders":
                # as the probability models have them: whole numbers, between which the expectation need not lie
                found[low], found[high] = np.floor(found[low]), np.ceil(found[high])
    return found


FIGURES = {"orders": ("orders", "orders_low", "orders_high"), "spend": ("amount", "low", "high")}


def fit_band(foretold, happened):
    """What came of forecasts of about this size: dict of lists at (mean forecast), low and high (10 % and 90 % quantile of
    what happened over what was foretold), by rising forecast; None with fewer than 50 rows. A group holds 50 rows or more."""
    count = min(len(foretold) // MIN_BAND_ROWS, MAX_BANDS)
    if count == 0 or not foretold.max() > 0:
        return None
    groups = np.array_split(np.argsort(foretold, kind="stable"), count)
    shares = [happened[rows] / np.maximum(foretold[rows], 1e-9) for rows in groups]
    return {
        "at": [float(foretold[rows].mean()) for rows in groups],
        "low": [float(np.quantile(share, LEVELS[0], method="lower")) for share in shares],
        "high": [float(np.quantile(share, LEVELS[1], method="higher")) for share in shares],
    }


def interval(band, mean):
    """(low, high) around forecasts, arrays of mean's shape; low <= mean <= high."""
    low, high = (mean * np.interp(mean, band["at"], band[side]) for side in ("low", "high"))
    return np.clip(low, 0.0, mean), np.maximum(high, mean)


def spend_model_to_dict(model):
    """All that scoring reads, as a plain dict that JSON holds exactly."""
    return {
        "numeric": list(model.encoding.numeric),
        # a list: the order of the columns counts
        "categorical": [[name, list(levels)] for name, levels in model.encoding.categorical.items()],
        "orders": trees_to_dict(model.orders),
        "buys": trees_to_dict(model.buys),
        "amount": trees_to_dict(model.amount),
        "factors": model.factors,
        "bands": [[quantity, days, band] for (quantity, days), band in model.bands.items()],
        "about": model.about,
    }


@reading_model()
def spend_model_from_dict(kept):
    """The SpendModel that spend_model_to_dict came from. Raises NotAModel where kept is none."""
    encoding = Encoding(tuple(kept["numeric"]), dict(kept["categorical"]))
    unknown = sorted({*encoding.numeric} - {*NAMES}) + sorted({*encoding.categorical} - {*CATEGORICAL})
    if unknown:
        raise ValueError(f"it reads {', '.join(unknown)}, which lifetime value has no feature for")
    trees = [trees_from_dict(kept[name]) for name in ("orders", "buys", "amount")]
    if any(part.column_count != len(encoding.names) for part in trees):
        raise ValueError(f"its trees do not read {len(encoding.names)} columns")
    bands = {(quantity, days): band for quantity, days, band in kept["bands"]}
    return SpendModel(encoding, *trees, dict(kept["factors"]), bands, kept["about"])


def describe(model):
    """What is known of the model as plain numbers and strings; the trees are in spend_model_to_dict."""
    return {
        **model.about,
        "settings": SETTINGS,
        "features": list(model.encoding.names),
        "factors": model.factors,
        "intervals": sorted({days for _, days in model.bands}),
    }


def _grow(values, ordered, spent, encoding, seed):
    """Trees of orders, of the chance of any spend, and of the amount of those who spend."""
    is_category = np.arange(values.shape[1]) >= len(encoding.numeric)
    settings = SETTINGS | {
        "min_samples_leaf": max(20, len(values) // 1000),
        "categorical_features": is_category if is_category.any() else None,
        "early_stopping": False,
        "random_state": seed,
    }
    buyers = spent > 0
    return (
        read_trees(HistGradientBoostingRegressor(loss="poisson", **settings).fit(values, ordered)),
        read_trees(HistGradientBoostingClassifier(**settings).fit(values, buyers)),
        read_trees(HistGradientBoostingRegressor(loss="gamma", **settings).fit(values[buyers], spent[buyers])),
    )


def _predict(values, trees):
    orders, buys, amount = (part.raw_prediction(values) for part in trees)
    return {"orders": np.exp(orders), "spend": expit(buys) * np.exp(amount)}


def _fit_bands(rows, means, stretch, horizons):
    bands = {}
    for days in horizons:
        names = outcome_columns(days)
        if names[0] not in rows.columns:
            continue
        passed = rows[names[0]].is_not_null().to_numpy()
        if not passed.any():
            continue
        known = rows.filter(passed)
        ratio = 1.0 if days == BASE_DAYS else stretch(known, days)
        for quantity, name in zip(means, names, strict=True):
            band = fit_band(means[quantity][passed] * ratio, _numbers(known, name))
            if band:
                bands[quantity, days] = band
    return bands


def derive(facts):
    """Facts with every feature: those that they lack are null."""
    absent = [name for name in MONEY if name not in facts.columns]
    facts = add_derived(facts).with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    days = facts.with_columns(
        age_days=(pl.col("as_of") - pl.col("first_order_on")).dt.total_days(),
        t_days=(pl.col("last_order_on") - pl.col("first_order_on")).dt.total_days(),
    )
    return days.with_columns(
        orders_per_year=(pl.col("order_day_count") - 1) / pl.col("age_days").clip(1) * 365,
        spend_per_day=pl.col("net_spend_amount").cast(pl.Float64) / pl.col("order_day_count"),
    )


def _cut_offs(rows):
    return [day.isoformat() for day in sorted(rows["as_of"].unique())]


def _numbers(rows, name):
    return rows[name].cast(pl.Float64).to_numpy()
