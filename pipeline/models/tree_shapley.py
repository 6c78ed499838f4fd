"""Exact Shapley values of boosted trees, by groups of features, against one reference row.

A game between groups: a coalition's groups take the customer's values, all others the reference row's; its
worth is the model's log-odds (the interventional values of Lundberg et al. 2020, with one background row).
Shapley values add up: their sum is the customer's log-odds less the reference row's. What a tree says depends
only on which way the row goes at each of its splits, so a table over these ways, one per tree, is built once,
and a million rows are looked up in it.
"""

from math import factorial

import numpy as np


def tabulate(trees, reference, group_of_column):
    """Tables of boosted_trees.Trees: a list of (tree, groups, values), of the trees that split.

    reference: array (1, n_features). group_of_column: group number of each column. values: array (n_groups_in_tree,
    2 ** n_splits), what each group of the tree adds to the log-odds.
    """
    ((_, seen),) = trees.blocks(reference)
    return [_tabulate_tree(tree, seen, group_of_column) for tree in trees.trees if tree["column"]]


def look_up(trees, tables, values, groups):
    """What each group adds to the log-odds: array (n_rows, groups). values: encoded array (n_rows, n_features)."""
    parts = np.zeros((groups, len(values)))
    for rows, seen in trees.blocks(values):
        for tree, tree_groups, tree_values in tables:
            ways = np.zeros(len(parts[0, rows]), np.min_scalar_type(tree_values.shape[1] - 1))
            for split in range(len(tree["column"])):
                ways |= seen.goes_left(tree, split).astype(ways.dtype) << split
            for group, added in zip(tree_groups, tree_values, strict=True):
                parts[group, rows] += added[ways]
    return parts.T


def _tabulate_tree(tree, seen, group_of_column):
    splits = range(len(tree["column"]))
    reference_left = [bool(seen.goes_left(tree, split)[0]) for split in splits]
    group_of = [group_of_column[column] for column in tree["column"]]
    groups = sorted(set(group_of))
    ways = np.arange(1 << len(splits))
    values = np.zeros((len(groups), len(ways)))
    for leaf_value, path in _find_leaves(tree):
        _add_leaf(values, leaf_value, path, ways, reference_left, groups, group_of)
    return tree, groups, values


def _add_leaf(values, leaf_value, path, ways, reference_left, groups, group_of):
    # per group on the path: does the customer, does the reference row fulfil all of its splits?
    customer, reference = {}, {}
    for split, is_left in path:
        group = group_of[split]
        follows = ((ways >> split) & 1) == is_left
        customer[group] = customer.get(group, True) & follows
        reference[group] = reference.get(group, True) and reference_left[split] == is_left
    needs = sum((customer[g] & (not reference[g])).astype(np.int64) for g in customer)
    forbids = sum((~customer[g] & reference[g]).astype(np.int64) for g in customer)
    reachable = np.logical_and.reduce([customer[g] | reference[g] for g in customer])
    for group in customer:
        sign_weights = _WEIGHT_NEEDED if not reference[group] else _WEIGHT_FORBIDDEN
        plays = reachable & (customer[group] != reference[group])
        values[groups.index(group)] += np.where(plays, leaf_value * sign_weights[needs, forbids], 0.0)


def _find_leaves(tree, split=0, path=()):
    for below, is_left in ((tree["left"][split], True), (tree["right"][split], False)):
        so_far = (*path, (split, is_left))
        if below < 0:
            yield tree["value"][-1 - below], so_far
        else:
            yield from _find_leaves(tree, below, so_far)


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
