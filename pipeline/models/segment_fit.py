"""The centres of k segments: full k-means, and a mini-batch pass over everyone where that was of a sample."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans, MiniBatchKMeans

from pipeline.models.segment_features import CHUNK_ROWS, make_points

START_ROWS = 20_000
STARTS = 10
# the fit that starts from the last model's centres is kept unless a fresh one fits better by more than this share
KEEP_SHARE = 0.01
BATCH_ROWS = 50_000


def fit_centres(points, k, seed, placed=None):
    """(centres, labels, loss): full k-means; loss is the mean squared distance of a point to its centre.

    points: shape (n, n_features), in random order. A fresh fit starts from the best of ten on the first 20,000 points:
    where it starts matters more than how many rows it sees. placed: the last model's centres, as many as k: the fit
    from there is kept unless the fresh one's loss is lower by more than 1 %.
    """
    start = KMeans(k, n_init=STARTS, max_iter=100, random_state=seed).fit(points[:START_ROWS]).cluster_centers_
    best = KMeans(k, init=start, n_init=1, max_iter=100, random_state=seed).fit(points)
    if placed is not None and len(placed) == k:
        again = KMeans(k, init=placed, n_init=1, max_iter=100, random_state=seed).fit(points)
        if again.inertia_ * (1 - KEEP_SHARE) <= best.inertia_:
            best = again
    return best.cluster_centers_, best.labels_, best.inertia_ / len(points)


def refine_centres(customers, features, centres, seed):
    """One mini-batch pass over all customers from the centres of a sample: (the better centres, losses).

    losses: of the sample's centres and of the mini-batch's, each over all customers, with their ratio and which was kept.
    Works in chunks of every so-many-th customer, so that ids in order of age do not come in order.
    """
    kmeans = MiniBatchKMeans(
        len(centres), init=centres, n_init=1, batch_size=BATCH_ROWS, reassignment_ratio=0, random_state=seed
    )
    count = max(1, len(customers) // BATCH_ROWS)
    for first in range(count):
        kmeans.partial_fit(make_points(customers.gather_every(count, first), features))
    candidates = [centres, kmeans.cluster_centers_]
    losses = measure_losses(customers, features, candidates)
    ratio = losses[1] / losses[0] if losses[0] else 1.0
    kept = int(ratio < 1)
    return candidates[kept], {
        "sample_loss": round(losses[0], 6),
        "mini_batch_loss": round(losses[1], 6),
        "mini_batch_ratio": round(ratio, 6),
        "kept": ("sample", "mini-batch")[kept],
    }


def measure_losses(customers, features, candidates):
    """Mean squared distance of all customers to the nearest of each candidate's centres, a float each."""
    sums = np.zeros(len(candidates))
    for start in range(0, len(customers), CHUNK_ROWS):
        points = make_points(customers[start : start + CHUNK_ROWS], features)
        for place, centres in enumerate(candidates):
            sums[place] += (cdist(points, centres, "sqeuclidean").min(axis=1)).sum()
    return [float(value) for value in sums / max(len(customers), 1)]
