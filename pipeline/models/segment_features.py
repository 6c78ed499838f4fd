"""What customers are grouped by, and how skewed numbers become points.

Six features, one for each thing a customer does: how lately (recency_days), how often (order_day_count), how much at a
time (avg_order_amount), how much on discount (discount_share), how many come back (return_share), where
(online_order_share). Categories bought and service cases are left out: they follow the purchase days (correlations .76
and .65 in the demo shop), would count frequency three times over, and made the groups less stable.

Skew: log1p for days, counts and amounts; the arcsine of the square root for shares, which spreads both ends; then
clipped to the 1st and 99th percentile and standardised. A missing value takes the median. A feature that is constant,
or null for more than half, is left out.
"""

import numpy as np
import polars as pl
from scipy.spatial.distance import cdist
from scipy.stats import skew

from pipeline.models.records import NotEnoughData

FEATURES = {
    "recency_days": "log1p",
    "order_day_count": "log1p",
    "avg_order_amount": "log1p",
    "discount_share": "arcsine",
    "return_share": "arcsine",
    "online_order_share": "arcsine",
}
# said of a segment, but nobody is grouped by them
DESCRIBED_ONLY = ("avg_gap_days", "category_count", "ticket_count")
NEEDED = ("customer_id", "as_of", "order_count", "is_profiling_allowed")
CHUNK_ROWS = 200_000


def select_customers(facts, model=None):
    """Customers with an order who did not refuse profiling, sorted by customer_id: customer_id, as_of, net spend (zero
    where null), and of the features (and those of model) what the facts have, as floats; null where not a finite number.

    Raises NotEnoughData where a column is missing without which nobody can be chosen.
    """
    missing = [name for name in NEEDED if name not in facts.columns]
    if missing:
        raise NotEnoughData(f"columns {', '.join(NEEDED)}", len(NEEDED), len(NEEDED) - len(missing))
    of_model = [feature["name"] for feature in model["features"]] if model else []
    names = dict.fromkeys(["net_spend_amount", *FEATURES, *DESCRIBED_ONLY, *of_model])
    numbers = [pl.col(name).cast(pl.Float64, strict=False) for name in names if name in facts.columns]
    customers = facts.filter((pl.col("order_count") > 0) & pl.col("is_profiling_allowed").fill_null(True)).select(
        "customer_id", "as_of", *[pl.when(number.is_finite()).then(number) for number in numbers]
    )
    if "net_spend_amount" not in customers.columns:
        customers = customers.with_columns(net_spend_amount=pl.lit(0.0))
    return customers.with_columns(pl.col("net_spend_amount").fill_null(0.0)).sort("customer_id")


def fit_features(customers):
    """The features that tell customers apart: dicts of name, transform, low, high, fill, mean, scale, skew and skew_before.

    skew: moment coefficient of what is clustered, skew_before: of the fact itself.
    """
    features = []
    for name, transform in FEATURES.items():
        values = transformed(customers, name, transform)
        known = values[~np.isnan(values)]
        if len(known) == 0 or len(known) < len(values) / 2:
            continue
        low, high = np.quantile(known, [0.01, 0.99])
        fill = float(np.median(known))
        clipped = np.clip(np.where(np.isnan(values), fill, values), low, high)
        if clipped.std() < 1e-9:
            continue
        features.append(
            {
                "name": name,
                "transform": transform,
                "low": float(low),
                "high": float(high),
                "fill": fill,
                "mean": float(clipped.mean()),
                "scale": float(clipped.std()),
                "skew": round(float(skew(clipped)), 6),
                "skew_before": round(float(skew(customers[name].drop_nulls().to_numpy())), 6),
            }
        )
    return features


def transformed(customers, name, transform):
    """A fact with its skew tamed: float array, NaN where it is not known or not there."""
    if name not in customers.columns:
        return np.full(len(customers), np.nan)
    values = customers[name].to_numpy()
    if transform == "log1p":
        return np.log1p(np.maximum(values, 0.0))
    if transform == "arcsine":
        return np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0)))
    # "as is": what a model of an earlier version may say
    return values


def make_points(customers, features):
    """Float array, shape (n_customers, n_features), in standard deviations from the average customer of the fit."""
    points = np.empty((len(customers), len(features)))
    for place, feature in enumerate(features):
        values = transformed(customers, feature["name"], feature["transform"])
        values = np.clip(np.where(np.isnan(values), feature["fill"], values), feature["low"], feature["high"])
        points[:, place] = (values - feature["mean"]) / feature["scale"]
    return points


def assign(customers, model):
    """Nearest segment of each customer: (ids, distances), int and float arrays of shape (n_customers,).

    A customer as near to two belongs to the lower id. Works in chunks: its memory does not grow with the features.
    """
    segments = sorted(model["segments"], key=lambda segment: segment["id"])
    centroids = np.array([segment["centroid"] for segment in segments])
    numbers = np.array([segment["id"] for segment in segments])
    ids, distances = np.empty(len(customers), np.int32), np.empty(len(customers))
    for start in range(0, len(customers), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        away = cdist(make_points(customers[part], model["features"]), centroids)
        nearest = away.argmin(axis=1)
        ids[part], distances[part] = numbers[nearest], away[np.arange(len(away)), nearest]
    return ids, distances
