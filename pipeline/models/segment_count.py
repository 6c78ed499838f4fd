"""How many segments: groups that lie apart (silhouette) and that come again from another draw (bootstrap stability)."""

import warnings
from itertools import combinations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score

JUDGED_ROWS = 3_000
DRAWN_ROWS = 5_000
DRAWS = 10
# with 4 a stable k still passes for unstable, as the draws end in different local optima
STARTS = 8
# mean adjusted Rand index from which a number of segments counts as stable
STABLE = 0.8
# k of the model before is kept while its silhouette and its stability fall short of what is asked by no more than this
SILHOUETTE_MARGIN = 0.02
STABILITY_MARGIN = 0.1


def measure_counts(points, ks, seed):
    """(silhouettes, stabilities), a dict by k each, of points in random order, shape (n_customers, n_features).

    silhouette: mean over the first 3,000 points (Rousseeuw 1987). stability: mean adjusted Rand index (Hubert & Arabie
    1985) over the 45 pairs of 10 clusterings, each of a bootstrap sample of 5,000 points and with starts of its own, all
    asked about the same first 3,000 points.
    """
    judged = points[:JUDGED_ROWS]
    silhouettes, stabilities = {}, {}
    with warnings.catch_warnings():
        # a draw may hold fewer different points than k
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k in ks:
            labels = KMeans(k, n_init=STARTS, max_iter=100, random_state=seed).fit(points).labels_[: len(judged)]
            # the labels of a few rows can all be one segment, of which there is no silhouette
            enough = 1 < len(np.unique(labels)) < len(labels)
            silhouettes[k] = round(float(silhouette_score(judged, labels)), 6) if enough else -1.0
            stabilities[k] = round(_measure_stability(points, judged, k, seed), 6)
    return silhouettes, stabilities


def choose_count(silhouettes, stabilities, before=None, last=None):
    """k: the best silhouette among the stable (mean adjusted Rand index >= .8), the most stable where none is; of equals
    the smaller.

    before: k of the last model, kept while its stability is within .1 of what is asked and its silhouette within .02 of
    the chosen, and the first time within twice of that: a segment must not come and go with the noise of a night. last:
    silhouettes and stabilities when that model was fitted, which say whether this is the first time.
    """
    best = _best_count(silhouettes, stabilities)
    if before not in stabilities:
        return best
    is_first = last is not None and _is_near(before, _best_count(*last), *last)
    return before if _is_near(before, best, silhouettes, stabilities, 2 if is_first else 1) else best


def _best_count(silhouettes, stabilities):
    stable = [k for k in stabilities if stabilities[k] >= STABLE]
    if stable:
        return max(stable, key=lambda k: (silhouettes[k], -k))
    return max(stabilities, key=lambda k: (stabilities[k], -k))


def _is_near(k, best, silhouettes, stabilities, margins=1):
    return (
        k in stabilities
        and stabilities[k] >= min(STABLE, stabilities[best]) - margins * STABILITY_MARGIN
        and silhouettes[k] >= silhouettes[best] - margins * SILHOUETTE_MARGIN
    )


def adjusted_rand_index(one, other):
    """Agreement of two clusterings of the same points, 1 where equal, 0 as by chance: int labels from 0, shape (n,).

    Hubert & Arabie (1985), eq. 5. scikit-learn's does the same and took half of a small night's fit with its checks.
    """
    table = np.bincount(one * (other.max() + 1) + other, minlength=(one.max() + 1) * (other.max() + 1))
    table = table.reshape(one.max() + 1, other.max() + 1).astype(float)
    together, in_one, in_other = (_pairs(counts).sum() for counts in (table, table.sum(axis=1), table.sum(axis=0)))
    chance = in_one * in_other / max(_pairs(len(one)), 1)
    most = (in_one + in_other) / 2
    return float((together - chance) / (most - chance)) if most != chance else 1.0


def _pairs(counts):
    return counts * (counts - 1) / 2


def _measure_stability(points, judged, k, seed):
    rng = np.random.default_rng([seed, k])
    size = min(len(points), DRAWN_ROWS)
    labels = []
    for draw in range(DRAWS):
        drawn = points[rng.integers(0, len(points), size)]
        labels.append(KMeans(k, n_init=STARTS, max_iter=100, random_state=seed + draw).fit(drawn).predict(judged))
    return float(np.mean([adjusted_rand_index(one, other) for one, other in combinations(labels, 2)]))
