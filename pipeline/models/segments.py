"""Customer segments by k-means: skew tamed, k by silhouette and stability, ids and names that outlive a refit.

segment_features: what customers are grouped by. segment_count: how many. segment_fit: their centres. segment_matching:
which old segment each is, and what the new model moves. segment_names, segment_descriptions: what they are called.
The model is a plain dict of numbers and strings.
"""

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from pipeline.models.records import NotEnoughData, make_model_run, no_backtests
from pipeline.models.segment_count import choose_count, measure_counts
from pipeline.models.segment_descriptions import describe_segments
from pipeline.models.segment_features import assign, fit_features, make_points, select_customers
from pipeline.models.segment_fit import START_ROWS, fit_centres, refine_centres
from pipeline.models.segment_matching import match_segments, measure_jump, place_centroids
from pipeline.models.segment_names import find_outgrown, name_segments
from pipeline.models.segment_watch import watch_fit, watch_shares

MIN_CUSTOMERS = 60
MIN_FEATURES = 2
# Full k-means up to here. Beyond, of a sample this large, then one mini-batch pass over everyone from its centres: at 1M
# customers (k 4, 6, 8, five seeds) the sample's loss was 1.00004 to 1.00016 of the full k-means', the refined 1.00000,
# mini-batches from random starts 1.001 to 1.119 in five times the time (bench_segments.py).
FULL_ROWS = 100_000
COUNTS = range(3, 9)
JUMP_LIMIT = 0.2

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "segment_id": pl.Int64,
    "segment_name": pl.String,
    "segment_name_zh": pl.String,
    "segment_description": pl.String,
    "segment_description_zh": pl.String,
    "distance": pl.Float64,
}


def run_segments(facts, as_of, previous_model=None, seed=20260101, kept=None, jump_limit=JUMP_LIMIT, hold_jumps=False):
    """Fit tonight's segments, matched to the previous model's where given, and score.

    kept: a model that is only to score, on a night without training: nothing is fitted, ids and names are its own.
    jump_limit: share of customers, of all or of one segment, whose segment a new model may change before it is flagged;
    hold_jumps: whether tonight is then scored with the previous model (the status stays 'used', the new model's figures
    stand in metrics as held_back). Returns (scores of SCHEMA sorted by customer_id, model_run dict whose params are the
    model that scored and whose metrics hold warnings for segment_watch.read_warnings, backtests frame, no rows).
    """
    try:
        customers = select_customers(facts, kept or previous_model)
        model = kept or _fit(customers, previous_model, seed)
        if customers.is_empty():
            raise NotEnoughData("customers with an order", 1, 0)
    except NotEnoughData as error:
        run = make_model_run(as_of, "segments", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    ids, distances = assign(customers, model)
    fitted, held_back, jump, warnings, words = model, None, None, [], ""
    if kept is not None:
        words = "; kept, not fitted tonight"
    elif previous_model is not None:
        old_ids, old_distances = assign(customers, previous_model)
        jump = measure_jump(ids, old_ids)
        is_over, warnings, words = watch_fit(jump, jump_limit, hold_jumps)
        words = f"; {fitted['matched_segment_count']} matched to the model before{words}"
        if is_over and hold_jumps:
            held_back = _summarise(model, ids)
            model, ids, distances = previous_model, old_ids, old_distances
            words = f"; fitted tonight but not used: {_say_fit(fitted)}{words}"
    watched = kept or previous_model
    shares = _shares(ids)
    share_warnings = watch_shares(shares, watched, jump_limit) if watched else []
    scores = _make_scores(customers, ids, distances, model)
    metrics = _summarise(model, ids) | {
        "features": [feature["name"] for feature in model["features"]],
        "outgrown_names": find_outgrown(model["segments"], [feature["name"] for feature in model["features"]]),
        "jump": jump,
        "held_back": held_back,
        "warnings": warnings + share_warnings,
    }
    message = _say_fit(model) + words + "".join(f"; {english}" for english, _ in share_warnings)
    message += "".join(f"; segment {number} has outgrown its name" for number in metrics["outgrown_names"])
    run = make_model_run(as_of, "segments", "used", message, len(scores), model, metrics)
    return scores, run, no_backtests()


def fit_segments(facts, previous_model=None, seed=20260101, ks=COUNTS, sample=FULL_ROWS):
    """A model dict: k, features, segments (id, names, centroid, share, mean spend), next_segment_id, silhouettes and
    stabilities by k, loss, and how many customers it was fitted on.

    Full k-means on at most `sample` customers; where there are more, refined by mini-batches over all if that lowers the
    loss. k is chosen on at most 20,000. Ids go by the mean spend, highest first, unless a segment is one of the previous
    model's: then it keeps that id and name. An id that was given once is never given to another segment. Raises
    NotEnoughData.
    """
    return _fit(select_customers(facts, previous_model), previous_model, seed, ks, sample)


def _fit(everyone, previous_model, seed, ks=COUNTS, sample=FULL_ROWS):
    if len(everyone) < MIN_CUSTOMERS:
        raise NotEnoughData("customers with an order", MIN_CUSTOMERS, len(everyone))
    rng = np.random.default_rng(seed)
    # in random order: the first rows of it are a sample
    customers = everyone[rng.permutation(len(everyone))[:sample]]
    features = fit_features(customers)
    if len(features) < MIN_FEATURES:
        raise NotEnoughData("features that differ between customers", MIN_FEATURES, len(features))
    points = make_points(customers, features)
    ks = _possible(ks, points)
    # one thread: sums over several threads differ in their last digits from run to run
    with threadpool_limits(limits=1):
        placed = place_centroids(previous_model, features) if previous_model else None
        silhouettes, stabilities = measure_counts(points[:START_ROWS], ks, seed)
        # with other features, the number of before says nothing
        before = (None,) if placed is None else (len(placed), _measured(previous_model))
        k = choose_count(silhouettes, stabilities, *before)
        centroids, labels, loss = fit_centres(points, k, seed, placed)
        losses = {"sample_loss": round(loss, 6)}
        if len(everyone) > len(customers):
            centroids, losses = refine_centres(everyone, features, centroids, seed)
    spend = customers["net_spend_amount"].to_numpy()
    previous_ids = assign(customers, previous_model)[0] if previous_model else None
    matches = match_segments(centroids, labels, features, previous_model, previous_ids) if previous_model else {}
    segments, next_id = _identify(centroids, labels, spend, matches, previous_model)
    name_segments(segments, [feature["name"] for feature in features])
    return {
        "k": k,
        "features": features,
        "segments": sorted(segments, key=lambda segment: segment["id"]),
        "next_segment_id": next_id,
        "matched_segment_count": len(matches),
        "silhouettes": {str(k): value for k, value in silhouettes.items()},
        "stabilities": {str(k): value for k, value in stabilities.items()},
        "loss": losses,
        "sample_count": len(customers),
        "seed": seed,
    }


def _measured(model):
    """(silhouettes, stabilities) by k, when a model was fitted."""
    return tuple({int(k): value for k, value in model[name].items()} for name in ("silhouettes", "stabilities"))


def score_segments(facts, model):
    """Nearest segment of each customer with an order who did not refuse profiling: frame of SCHEMA, sorted.

    distance: Euclidean, in standard deviations of the features. Ids and names are the model's; the descriptions hold
    tonight's numbers.
    """
    customers = select_customers(facts, model)
    return _make_scores(customers, *assign(customers, model), model)


def _make_scores(customers, ids, distances, model):
    descriptions = describe_segments(customers, ids)
    segments = {segment["id"]: segment for segment in model["segments"]}
    numbers = sorted(segments)
    names = pl.DataFrame(
        {
            "segment_id": numbers,
            "segment_name": [segments[number]["name"] for number in numbers],
            "segment_name_zh": [segments[number]["name_zh"] for number in numbers],
            "segment_description": [descriptions.get(number, (None, None))[0] for number in numbers],
            "segment_description_zh": [descriptions.get(number, (None, None))[1] for number in numbers],
        },
        schema={name: kind for name, kind in SCHEMA.items() if name.startswith("segment")},
    )
    named = names[np.searchsorted(numbers, ids)]
    return (
        customers.select("customer_id", "as_of")
        .hstack(named)
        .with_columns(distance=pl.Series(distances).round(6))
        .cast(SCHEMA)
    )


def _possible(ks, points):
    # a million rows are not sorted for this: where the first ones differ enough, all do
    head = len(np.unique(points[:START_ROWS], axis=0))
    distinct = head if head > max(ks) else len(np.unique(points, axis=0))
    possible = [k for k in ks if k < distinct]
    if not possible:
        raise NotEnoughData("customers that differ from each other", min(ks) + 1, distinct)
    return possible


def _identify(centroids, labels, spend, matches, previous_model):
    old = {segment["id"]: segment for segment in previous_model["segments"]} if previous_model else {}
    inside = [labels == label for label in range(len(centroids))]
    spends = [float(spend[mask].mean()) if mask.any() else 0.0 for mask in inside]
    next_id = previous_model["next_segment_id"] if previous_model else 1
    segments = []
    for label in sorted(range(len(centroids)), key=lambda label: (-spends[label], tuple(centroids[label]))):
        if label in matches:
            segment = {
                key: old[matches[label]][key]
                for key in ("id", "name", "name_zh", "named_for")
                if key in old[matches[label]]
            }
        else:
            segment = {"id": next_id}
            next_id += 1
        segment["centroid"] = centroids[label].tolist()
        segment["mean_net_spend_amount"] = round(spends[label], 6)
        segment["share"] = round(float(inside[label].mean()), 6)
        segments.append(segment)
    return segments, next_id


def _shares(ids):
    numbers, counts = np.unique(ids, return_counts=True)
    return {int(number): round(float(count / len(ids)), 6) for number, count in zip(numbers, counts, strict=True)}


def _summarise(model, ids):
    numbers, counts = np.unique(ids, return_counts=True)
    return {
        "k": model["k"],
        "silhouettes": model["silhouettes"],
        "stabilities": model.get("stabilities"),
        "loss": model.get("loss"),
        "segment_counts": {int(number): int(count) for number, count in zip(numbers, counts, strict=True)},
        "segment_names": {segment["id"]: segment["name"] for segment in model["segments"]},
        "matched_segment_count": model["matched_segment_count"],
    }


def _say_fit(model):
    k = str(model["k"])
    # a model of an earlier version has no stabilities
    stability = model.get("stabilities", {}).get(k)
    return f"{k} segments, silhouette {model['silhouettes'][k]:.3f}" + (
        f", stability {stability:.3f}" if stability is not None else ""
    )
