"""Boosted trees as plain numbers: read once from a fitted model of scikit-learn, evaluated, stored and loaded without it.

A tree is a dict of lists. Per split: column; threshold (a number goes left when it is at most that; None: every number goes
left); levels (None, or of a category the level numbers that go left); gap_left (whether a missing value goes left, and a
level that the training did not see); left, right (the next split, or -1 - leaf). Per leaf: value. A split stands before
those below it.
"""

from dataclasses import dataclass

import numpy as np

# rows at a time: what a tree needs of them stays in the processor's cache
BLOCK_ROWS = 1 << 16
PER_SPLIT = ("column", "threshold", "levels", "gap_left", "left", "right")
# more is no tree of ours, and leaves are counted in a byte
MAX_LEAVES = 255


@dataclass(frozen=True)
class Trees:
    """known_levels: categorical column -> the level numbers that the training saw."""

    baseline: float
    column_count: int
    known_levels: dict
    trees: list

    def raw_prediction(self, values):
        """The baseline and what each tree says, added up in their order: array (n_rows,). Log-odds, of a classifier.

        values: encoded array (n_rows, column_count), NaN where missing.
        """
        total = np.full(len(values), self.baseline)
        for rows, seen in self.blocks(values):
            for tree in self.trees:
                total[rows] += np.asarray(tree["value"])[_leaf_of(tree, seen, len(total[rows]))]
        return total

    def blocks(self, values):
        """(slice of rows, the same as Seen), BLOCK_ROWS at a time."""
        cuts = self._cuts()
        for start in range(0, len(values), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            yield rows, Seen(values[rows], cuts, self.known_levels)

    def _cuts(self):
        found = {}
        for tree in self.trees:
            for column, threshold, levels in zip(tree["column"], tree["threshold"], tree["levels"], strict=True):
                if levels is None:
                    found.setdefault(column, set()).add(_number(threshold))
        return {column: np.array(sorted(cuts)) for column, cuts in found.items()}


class Seen:
    """Rows as splits look at them: small integers that say which thresholds a number passes, or which level it is."""

    def __init__(self, values, cuts, known_levels):
        self.cuts, self.codes, self.gaps = cuts, {}, {}
        for column, thresholds in cuts.items():
            numbers = values[:, column]
            self.gaps[column] = np.isnan(numbers)
            # how many thresholds lie below it; of a gap: all, so that it goes left nowhere
            codes = np.where(self.gaps[column], len(thresholds), np.searchsorted(thresholds, numbers))
            self.codes[column] = codes.astype(np.min_scalar_type(len(thresholds)))
        for column, known in known_levels.items():
            other = _other(known)
            levels = values[:, column]
            codes = np.where(np.isin(levels, known), levels, other)
            self.codes[column] = codes.astype(np.min_scalar_type(other))
        self.others = {column: _other(known) for column, known in known_levels.items()}

    def goes_left(self, tree, split):
        """Which rows go left at a split of a tree: boolean array (n_rows,)."""
        column, levels, gap_left = (tree[name][split] for name in ("column", "levels", "gap_left"))
        if levels is not None:
            lefts = np.zeros(self.others[column] + 1, bool)
            lefts[levels] = True
            lefts[-1] = gap_left
            return lefts[self.codes[column]]
        left = self.codes[column] <= int(np.searchsorted(self.cuts[column], _number(tree["threshold"][split])))
        return left | self.gaps[column] if gap_left else left


def read_trees(model):
    """Trees of a fitted HistGradientBoostingClassifier of two classes, or Regressor.

    Reads what scikit-learn does not promise to keep: a test compares what the trees say with what it says.
    """
    columns, categories = np.arange(model.n_features_in_), {}
    if model.is_categorical_ is not None:
        # scikit-learn puts the categories before the numbers and numbers their levels anew
        columns = np.concatenate([np.flatnonzero(model.is_categorical_), np.flatnonzero(~model.is_categorical_)])
        seen = model._preprocessor.named_transformers_["encoder"].categories_
        categories = {
            int(column): levels[~np.isnan(levels)].astype(int).tolist()
            for column, levels in zip(columns, seen, strict=False)
        }
    trees = [_read_tree(tree, columns, categories) for stage in model._predictors for tree in stage]
    return Trees(float(model._baseline_prediction.item()), len(columns), categories, trees)


def trees_to_dict(trees):
    """The same as a plain dict that JSON holds exactly."""
    return {
        "baseline": trees.baseline,
        "column_count": trees.column_count,
        "known_levels": {str(column): levels for column, levels in trees.known_levels.items()},
        "trees": trees.trees,
    }


def trees_from_dict(kept):
    """Trees from what trees_to_dict gave. Raises ValueError where a tree is none, or reads columns that are not there."""
    known_levels = {int(column): levels for column, levels in kept["known_levels"].items()}
    count = kept["column_count"]
    if not all(0 <= column < count and _are_levels(levels) for column, levels in known_levels.items()):
        raise ValueError("known_levels names a column or a level that cannot be")
    for place, tree in enumerate(kept["trees"]):
        if not _is_tree(tree, count, known_levels):
            raise ValueError(f"tree {place} is no tree of {count} columns")
    return Trees(float(kept["baseline"]), count, known_levels, kept["trees"])


def _read_tree(tree, columns, categories):
    nodes = tree.nodes
    splits, leaves = (np.flatnonzero(nodes["is_leaf"] == is_leaf) for is_leaf in (0, 1))
    number = {int(node): place for place, node in enumerate(splits)}
    number |= {int(node): -1 - place for place, node in enumerate(leaves)}
    read = {name: [] for name in PER_SPLIT}
    for node in nodes[splits]:
        column, levels, threshold = int(columns[node["feature_idx"]]), None, float(node["num_threshold"])
        if node["is_categorical"]:
            words = tree.raw_left_cat_bitsets[node["bitset_idx"]]
            is_left = ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool).ravel()
            levels = [level for place, level in enumerate(categories[column]) if is_left[place]]
        read["column"].append(column)
        read["threshold"].append(threshold if levels is None and np.isfinite(threshold) else None)
        read["levels"].append(levels)
        read["gap_left"].append(bool(node["missing_go_to_left"]))
        read["left"].append(number[int(node["left"])])
        read["right"].append(number[int(node["right"])])
    return read | {"value": nodes["value"][leaves].tolist()}


def _leaf_of(tree, seen, row_count):
    """The leaf of each row: array of uint8."""
    if not tree["column"]:
        return np.zeros(row_count, np.uint8)
    # from the bottom up: a split comes before those below it
    leaves = [None] * len(tree["column"])
    for split in reversed(range(len(leaves))):
        below = (np.uint8(-1 - child) if child < 0 else leaves[child] for child in _children(tree, split))
        leaves[split] = np.where(seen.goes_left(tree, split), *below)
    return leaves[0]


def _children(tree, split):
    return tree["left"][split], tree["right"][split]


def _number(threshold):
    return np.inf if threshold is None else threshold


def _other(known):
    """The code of every level that is not known, and of gaps."""
    return max(known, default=-1) + 1


def _is_tree(tree, column_count, known_levels):
    splits = len(tree["column"])
    if {*tree} != {*PER_SPLIT, "value"} or any(len(tree[name]) != splits for name in PER_SPLIT):
        return False
    if len(tree["value"]) != splits + 1 or len(tree["value"]) > MAX_LEAVES:
        return False
    below = [(split, child) for split in range(splits) for child in _children(tree, split)]
    # every split but the first, and every leaf, hangs under one split that comes before it
    if sorted(child for _, child in below) != [*range(-splits - 1, 0), *range(1, splits)] and splits:
        return False
    return (
        all(split < child or child < 0 for split, child in below)
        and all(_is_number(value) for value in tree["value"])
        and all(
            _is_split(*each, column_count, known_levels) for each in zip(*(tree[n] for n in PER_SPLIT[:4]), strict=True)
        )
    )


def _is_split(column, threshold, levels, gap_left, column_count, known_levels):
    if type(column) is not int or not 0 <= column < column_count or type(gap_left) is not bool:
        return False
    if levels is None:
        return column not in known_levels and (threshold is None or _is_number(threshold))
    return column in known_levels and threshold is None and set(levels) <= set(known_levels[column])


def _is_number(value):
    return type(value) in (int, float) and np.isfinite(value)


def _are_levels(levels):
    return all(type(level) is int and 0 <= level < 10_000 for level in levels)
