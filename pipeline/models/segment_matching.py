"""Old segments found again in a new fit, and how many customers the new fit would move."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

# a new centroid is an old segment come again when it lies nearer than this share of the distance between old centroids
MATCH_SHARE = 0.5
# where the features are not the same: when at least so much of the two segments together is in both (Jaccard index)
MATCH_OVERLAP = 2 / 3
# a smaller segment is not watched on its own: a handful of customers is half of it
WATCHED_SHARE = 0.02


def match_segments(centroids, labels, features, previous_model, previous_ids):
    """{label of a new segment: id of the old segment that it is}, one to one.

    centroids: shape (n_segments, n_features). labels and previous_ids: the new label, and the id that previous_model
    gives, of the same customers. By the distance of centroids, both in tonight's standard deviations: a new group that
    arrives beside an old one leaves the old one's centre where it was. By the customers in common where the
    features are not the same ones, so that centres cannot be compared.
    """
    old_ids = [segment["id"] for segment in previous_model["segments"]]
    placed = place_centroids(previous_model, features)
    if placed is None:
        costs = -_overlaps(labels, previous_ids, len(centroids), old_ids)
        limit = -MATCH_OVERLAP
    else:
        costs = cdist(centroids, placed)
        limit = MATCH_SHARE * np.median(cdist(placed, placed)[np.triu_indices(len(placed), 1)])
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return {int(new): old_ids[before] for new, before in pairs if costs[new, before] <= limit}


def place_centroids(model, features):
    """The model's centroids in the standard deviations of features; None where they are not the same features."""
    if [_kind(feature) for feature in features] != [_kind(feature) for feature in model["features"]]:
        return None
    old, new = (
        [np.array([one[key] for one in many]) for key in ("mean", "scale")] for many in (model["features"], features)
    )
    centroids = np.array([segment["centroid"] for segment in model["segments"]])
    return (centroids * old[1] + old[0] - new[0]) / new[1]


def measure_jump(new_ids, old_ids):
    """What a new model moves: changed_share, the share of all these customers whose segment it changes; left_shares, {old
    id: share of the segment's customers who leave it}, of segments with 2 % of the customers or more.

    new_ids, old_ids: ids that the new and the old model give the same customers, int arrays.
    """
    changed = new_ids != old_ids
    left = {}
    for number in np.unique(old_ids):
        was = old_ids == number
        if was.mean() >= WATCHED_SHARE:
            left[int(number)] = round(float(changed[was].mean()), 6)
    return {"changed_share": round(float(changed.mean()), 6) if len(changed) else 0.0, "left_shares": left}


def _kind(feature):
    return feature["name"], feature["transform"]


def _overlaps(labels, previous_ids, count, old_ids):
    overlaps = np.zeros((count, len(old_ids)))
    for place, number in enumerate(old_ids):
        was = previous_ids == number
        for label in range(count):
            now = labels == label
            overlaps[label, place] = (now & was).sum() / max((now | was).sum(), 1)
    return overlaps
