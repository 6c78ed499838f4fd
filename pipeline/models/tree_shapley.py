"""Exact Shapley values of boosted trees, by groups of features, against one reference row.

A game between groups: a coalition's groups take the customer's values, all others the reference row's; its
worth is the model's log-odds (the interventional values of Lundberg et al. 2020, with one background row).
Shapley values add up: their sum is the customer's log-odds less the reference row's. What a tree says depends
only on which way the row goes at each of its splits, so a table over these ways, one per tree, is built once,
and a million rows are looked up in it.
"""

from math import factorial

import numpy as np


def tabulate(model, reference, group_of_column):
    """Tables of a fitted HistGradientBoostingClassifier: a list, one dict per tree (splits, groups, values).

    reference: array (1, n_features), as the model was fitted. group_of_column: group number of each column
    that the trees see. values: array (n_groups_in_tree, 2 ** n_splits), what each group adds to the log-odds.

    Reads the fitted trees of scikit-learn, which it does not promise to keep: a test compares the sums with
    its own log-odds.
    """
    seen = see_as_trees_do(model, reference)
    return [
        _tabulate_tree(tree, seen, group_of_column)
        for stage in model._predictors
        for tree in stage
        if len(tree.nodes) > 1
    ]


def see_as_trees_do(model, values):
    """values as the trees see them: categories renumbered and placed before the numbers."""
    return np.asfortranarray(model._preprocess_X(values, reset=False))


def look_up(tables, seen, groups):
    """What each group adds to the log-odds: array (n_rows, groups). seen: from see_as_trees_do."""
    parts = np.zeros((groups, len(seen)))
    gaps = np.isnan(seen)
    for table in tables:
        ways = np.zeros(len(seen), np.int64)
        for bit, split in enumerate(table["splits"]):
            ways |= _goes_left(split, seen, gaps).astype(np.int64) << bit
        for group, values in zip(table["groups"], table["values"], strict=True):
            parts[group] += values[ways]
    return parts.T


def _goes_left(split, seen, gaps):
    column = seen[:, split["column"]]
    gap = gaps[:, split["column"]]
    if split["levels"] is None:
        left = column <= split["threshold"]
    else:
        left = split["levels"][np.where(gap, 0, column).astype(np.int64)]
    return np.where(gap, split["gap_goes_left"], left)


def _tabulate_tree(tree, seen, group_of_column):
    nodes = tree.nodes
    split_nodes = np.flatnonzero(nodes["is_leaf"] == 0)
    bit_of = {int(node): bit for bit, node in enumerate(split_nodes)}
    splits = [_describe_split(tree, nodes[node]) for node in split_nodes]
    reference_left = [bool(_goes_left(split, seen, np.isnan(seen))[0]) for split in splits]
    groups = sorted({group_of_column[split["column"]] for split in splits})
    ways = np.arange(1 << len(splits))
    values = np.zeros((len(groups), len(ways)))
    for leaf_value, path in _find_leaves(nodes):
        _add_leaf(values, leaf_value, path, ways, bit_of, splits, reference_left, groups, group_of_column)
    return {"splits": splits, "groups": groups, "values": values}


def _add_leaf(values, leaf_value, path, ways, bit_of, splits, reference_left, groups, group_of_column):
    # per group on the path: does the customer, does the reference row fulfil all of its splits?
    customer, reference = {}, {}
    for node, is_left in path:
        bit = bit_of[node]
        group = group_of_column[splits[bit]["column"]]
        follows = ((ways >> bit) & 1) == is_left
        customer[group] = customer.get(group, True) & follows
        reference[group] = reference.get(group, True) and reference_left[bit] == is_left
    needs = sum((customer[g] & (not reference[g])).astype(np.int64) for g in customer)
    forbids = sum((~customer[g] & reference[g]).astype(np.int64) for g in customer)
    reachable = np.logical_and.reduce([customer[g] | reference[g] for g in customer])
    for group in customer:
        sign_weights = _WEIGHT_NEEDED if not reference[group] else _WEIGHT_FORBIDDEN
        plays = reachable & (customer[group] != reference[group])
        values[groups.index(group)] += np.where(plays, leaf_value * sign_weights[needs, forbids], 0.0)


def _describe_split(tree, node):
    levels = None
    if node["is_categorical"]:
        words = tree.raw_left_cat_bitsets[node["bitset_idx"]]
        levels = ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool).ravel()
    return {
        "column": int(node["feature_idx"]),
        "threshold": float(node["num_threshold"]),
        "levels": levels,
        "gap_goes_left": bool(node["missing_go_to_left"]),
    }


def _find_leaves(nodes, node=0, path=()):
    if nodes[node]["is_leaf"]:
        yield float(nodes[node]["value"]), path
        return
    yield from _find_leaves(nodes, int(nodes[node]["left"]), (*path, (node, True)))
    yield from _find_leaves(nodes, int(nodes[node]["right"]), (*path, (node, False)))


def _weights(size):
    # a leaf is reached when all needed groups have joined and no forbidden one has: the share of orders in
    # which this group is the one that makes, or breaks, it
    needed, forbidden = np.zeros((size, size)), np.zeros((size, size))
    for a in range(size):
        for b in range(size):
            if a:
                needed[a, b] = factorial(a - 1) * factorial(b) / factorial(a + b)
            if b:
                forbidden[a, b] = -factorial(a) * factorial(b - 1) / factorial(a + b)
    return needed, forbidden


_WEIGHT_NEEDED, _WEIGHT_FORBIDDEN = _weights(16)
