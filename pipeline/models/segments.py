"""Customer segments by k-means: skew tamed, k by silhouette, ids and names that outlive a refit.

Features (FEATURES): log1p for counts, days and amounts, shares as they are; each clipped to its 1st and 99th
percentile and standardised. A missing value takes the median. A feature that is constant, or null for more
than half, is left out. The model is a plain dict of numbers and strings.
"""

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from pipeline.models.records import NotEnoughData, make_model_run, no_backtests
from pipeline.models.segment_names import name_segments

FEATURES = {
    "recency_days": "log1p",
    "order_day_count": "log1p",
    "avg_order_amount": "log1p",
    "discount_share": "as is",
    "category_count": "log1p",
    "return_share": "as is",
    "online_order_share": "as is",
    "ticket_count": "log1p",
}
MIN_CUSTOMERS = 60
MIN_FEATURES = 2
SAMPLE_ROWS = 100_000
CHOICE_ROWS = 20_000
SILHOUETTE_ROWS = 3_000
CHUNK_ROWS = 200_000
# k of the model before is kept unless another k is better by this much silhouette
KEEP_MARGIN = 0.02
# a new centroid is an old segment come again when it lies nearer than this share of the distance between old
# centroids
MATCH_SHARE = 0.5

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "segment_id": pl.Int64,
    "segment_name": pl.String,
    "segment_name_zh": pl.String,
    "distance": pl.Float64,
}


def run_segments(facts, as_of, previous_model=None, seed=20260101, kept=None):
    """Fit tonight's segments, matched to the previous model's where given, and score.

    Returns (scores of SCHEMA sorted by customer_id, model_run dict whose params are the model, backtests
    frame, no rows). kept: a model that is only to score; then nothing is fitted.
    """
    try:
        model = kept or fit_segments(facts, previous_model, seed)
    except NotEnoughData as error:
        run = make_model_run(as_of, "segments", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    scores = score_segments(facts, model)
    counts = scores.group_by("segment_id").len().sort("segment_id")
    metrics = {
        "silhouettes": model["silhouettes"],
        "segment_counts": dict(counts.iter_rows()),
        "matched_segment_count": model["matched_segment_count"],
        "features": [feature["name"] for feature in model["features"]],
    }
    message = f"{model['k']} segments, silhouette {model['silhouettes'][str(model['k'])]:.3f}"
    if previous_model is not None and not kept:
        message += f"; {model['matched_segment_count']} matched to the model before"
    run = make_model_run(as_of, "segments", "used", message, len(scores), model, metrics)
    return scores, run, no_backtests()


def fit_segments(facts, previous_model=None, seed=20260101, ks=range(3, 9), sample=SAMPLE_ROWS):
    """A model dict: features (name, transform, low, high, fill, mean, scale), segments (id, names, centroid)
    and silhouettes.

    Fitted on at most `sample` customers; k is chosen on at most 20,000 of them by the silhouette of 3,000.
    Ids go by the mean spend, highest first, unless a segment matches one of the previous model: then it keeps
    that id and name. An id that was given once is never given to another segment. Raises NotEnoughData.
    """
    customers = _select_customers(facts)
    if len(customers) < MIN_CUSTOMERS:
        raise NotEnoughData("customers with an order", MIN_CUSTOMERS, len(customers))
    rng = np.random.default_rng(seed)
    if len(customers) > sample:
        customers = customers[np.sort(rng.choice(len(customers), sample, replace=False))]
    features = _fit_features(customers)
    if len(features) < MIN_FEATURES:
        raise NotEnoughData("features that differ between customers", MIN_FEATURES, len(features))
    points = _transform(customers, features)
    distinct = len(np.unique(points, axis=0))
    smallest = min(ks)
    ks = [k for k in ks if k < distinct]
    if not ks:
        raise NotEnoughData("customers that differ from each other", smallest + 1, distinct)

    # one thread: sums over several threads differ in their last digits from run to run
    with threadpool_limits(limits=1):
        start = _place_previous(previous_model, features)
        k, silhouettes = _choose_k(points, ks, start, seed, rng)
        centroids, labels = _cluster(points, k, start, seed)
    spend = customers["net_spend_amount"].to_numpy()
    segments, next_id, matched = _identify(centroids, labels, spend, features, previous_model)
    return {
        "k": k,
        "features": features,
        "segments": segments,
        "next_segment_id": next_id,
        "matched_segment_count": matched,
        "silhouettes": {str(k): round(value, 6) for k, value in silhouettes.items()},
        "sample_count": len(customers),
        "seed": seed,
    }


def score_segments(facts, model):
    """Nearest segment of each customer with an order who did not refuse profiling: frame of SCHEMA, sorted.

    distance: Euclidean, in standard deviations of the features. A customer as near to two belongs to the
    lower id.
    """
    customers = _select_customers(facts)
    segments = sorted(model["segments"], key=lambda segment: segment["id"])
    centroids = np.array([segment["centroid"] for segment in segments])
    nearest, distance = np.empty(len(customers), int), np.empty(len(customers))
    for start in range(0, len(customers), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        squared = cdist(_transform(customers[part], model["features"]), centroids)
        nearest[part] = squared.argmin(axis=1)
        distance[part] = squared.min(axis=1)
    names = pl.DataFrame(
        {
            "segment_id": [segment["id"] for segment in segments],
            "segment_name": [segment["name"] for segment in segments],
            "segment_name_zh": [segment["name_zh"] for segment in segments],
        }
    )
    scores = customers.select("customer_id", "as_of").hstack(names[nearest])
    return scores.with_columns(distance=pl.Series(distance, dtype=pl.Float64).round(6)).cast(SCHEMA)


def _select_customers(facts):
    present = [name for name in FEATURES if name in facts.columns]
    return (
        facts.filter((pl.col("order_count") > 0) & pl.col("is_profiling_allowed").fill_null(True))
        .select("customer_id", "as_of", pl.col("net_spend_amount", *present).cast(pl.Float64))
        .with_columns(pl.col("net_spend_amount").fill_null(0.0))
        .sort("customer_id")
    )


def _fit_features(customers):
    features = []
    for name, transform in FEATURES.items():
        if name not in customers.columns:
            continue
        values = _raw(customers, name, transform)
        known = values[~np.isnan(values)]
        if len(known) < len(values) / 2 or len(known) == 0:
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
            }
        )
    return features


def _raw(customers, name, transform):
    if name not in customers.columns:
        return np.full(len(customers), np.nan)
    values = customers[name].to_numpy()
    return np.log1p(np.maximum(values, 0.0)) if transform == "log1p" else values


def _transform(customers, features):
    columns = []
    for feature in features:
        values = _raw(customers, feature["name"], feature["transform"])
        values = np.clip(np.where(np.isnan(values), feature["fill"], values), feature["low"], feature["high"])
        columns.append((values - feature["mean"]) / feature["scale"])
    return np.column_stack(columns)


def _place_previous(previous_model, features):
    # the old centroids in tonight's standard deviations; None where the features are no longer the same
    if previous_model is None or [f["name"] for f in features] != [f["name"] for f in previous_model["features"]]:
        return None
    old, new = (
        [np.array([f[key] for f in fs]) for key in ("mean", "scale")] for fs in (previous_model["features"], features)
    )
    centroids = np.array([segment["centroid"] for segment in previous_model["segments"]])
    return (centroids * old[1] + old[0] - new[0]) / new[1]


def _choose_k(points, ks, start, seed, rng):
    sample = points[rng.permutation(len(points))[:CHOICE_ROWS]]
    silhouettes = {}
    for k in ks:
        _, labels = _cluster(sample, k, start, seed)
        # the labels of a few rows can all be one segment, of which there is no silhouette
        head = labels[:SILHOUETTE_ROWS]
        enough = 1 < len(np.unique(head)) < len(head)
        silhouettes[k] = float(silhouette_score(sample[:SILHOUETTE_ROWS], head)) if enough else -1.0
    best = max(ks, key=lambda k: (round(silhouettes[k], 6), -k))
    if start is not None and len(start) in silhouettes and silhouettes[len(start)] > silhouettes[best] - KEEP_MARGIN:
        best = len(start)
    return best, silhouettes


def _cluster(points, k, start, seed):
    if start is not None and len(start) == k:
        kmeans = KMeans(k, init=start, n_init=1, max_iter=100, random_state=seed)
    else:
        kmeans = KMeans(k, n_init=4, max_iter=100, random_state=seed)
    labels = kmeans.fit_predict(points)
    return kmeans.cluster_centers_, labels


def _identify(centroids, labels, spend, features, previous_model):
    spends = np.array(
        [spend[labels == label].mean() if (labels == label).any() else 0.0 for label in range(len(centroids))]
    )
    order = sorted(range(len(centroids)), key=lambda label: (-spends[label], tuple(centroids[label])))
    matches = _match(centroids, features, previous_model)
    next_id = previous_model["next_segment_id"] if previous_model else 1
    segments = []
    for label in order:
        if label in matches:
            old = matches[label]
            segment = {"id": old["id"], "name": old["name"], "name_zh": old["name_zh"]}
        else:
            segment = {"id": next_id}
            next_id += 1
        segment["centroid"] = centroids[label].tolist()
        segment["mean_net_spend_amount"] = round(float(spends[label]), 6)
        segment["share"] = round(float(np.mean(labels == label)), 6)
        segments.append(segment)
    name_segments(segments, [feature["name"] for feature in features])
    return sorted(segments, key=lambda segment: segment["id"]), next_id, len(matches)


def _match(centroids, features, previous_model):
    old = _place_previous(previous_model, features)
    if old is None:
        return {}
    distances = cdist(centroids, old)
    between = cdist(old, old)[np.triu_indices(len(old), 1)]
    limit = MATCH_SHARE * np.median(between)
    pairs = zip(*linear_sum_assignment(distances), strict=True)
    return {new: previous_model["segments"][before] for new, before in pairs if distances[new, before] < limit}
