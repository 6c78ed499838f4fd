"""Predictive intervals: between which numbers of orders, and amounts of spend, most of a customer's futures lie.

rows: dict of float arrays x, t_x, age, counts, shape (n_rows,), distinct customers as expected_spend has them; pairs: x, age,
shape (n_pairs,), the distinct ones among them, and pair_of, shape (n_rows,), the pair of each row. Times in weeks.
"""

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.special import ndtr, ndtri

CHUNK_PAIRS = 20_000
DRAWS = 4096


def order_quantiles(model, timing, rows, alive, weeks, levels):
    """The least number of orders n with P(at most n orders in the weeks ahead) >= level: a float array of n_rows per level.

    Exact, from the model's own probabilities; nobody buys on more days than there are. alive: chance of being a customer
    still, shape (n_rows,). levels: rising. An interval of two such quantiles holds at least the share between their levels,
    as a rule more: counts are whole.
    """
    x, age = rows["pairs"]["x"], rows["pairs"]["age"]
    pair_of = rows["pair_of"]
    # P(at most n) = 1 - alive + alive x P(at most n | alive), so each row asks its pair for a level of its own
    needs = [(level - 1 + alive) / np.maximum(alive, 1e-12) for level in levels]
    reached = model.prob_none_while_alive(timing, x, age, weeks)
    found = np.zeros((len(levels), len(pair_of)))
    active = np.flatnonzero(needs[-1] > reached[pair_of])
    for count in range(1, round(weeks * 7) + 1):
        short = reached[pair_of[active]]
        for quantile, need in zip(found, needs, strict=True):
            quantile[active] += need[active] > short
        active = active[needs[-1][active] > short]
        if not len(active):
            break
        is_asked = np.zeros(len(x), bool)
        is_asked[pair_of[active]] = True
        asked = np.flatnonzero(is_asked)
        for start in range(0, len(asked), CHUNK_PAIRS):
            part = asked[start : start + CHUNK_PAIRS]
            reached[part] += model.prob_purchases_while_alive(timing, count, x[part], age[part], weeks)
    return found


def spend_quantiles(model, timing, spend, rows, alive, weeks, levels, seed):
    """Quantiles of spend in the weeks ahead, over gamma + x z (over the spend of one purchase where spend is None).

    spend: parameters of Gamma-Gamma, or None for a constant. A float array of n_rows per level.
    """
    table = _tabulate_spend(model, timing, spend, rows, weeks, seed)
    share_zero = 1 - alive * (1 - model.prob_none_while_alive(timing, rows["x"], rows["age"], weeks))
    return [_look_up(table, rows["x"], rows["age"], share_zero, level) for level in levels]


def _tabulate_spend(model, timing, spend, rows, weeks, seed):
    # Given N purchases, spend over (gamma + x z) is Gamma(p N) / Gamma(p x + q): its quantiles given N >= 1
    # depend on (x, age) alone, and smoothly. They are worked out on a grid of both and interpolated, so the
    # cost does not grow with the customers. Returns the grid's axes and log quantiles.
    alpha = timing["alpha"]
    top = max(rows["x"].max(), 2.0)
    x_nodes = np.unique(np.concatenate([np.arange(0.0, min(top, 10.0) + 1), np.geomspace(2, top, 16).round()]))
    age_nodes = np.linspace(np.log(alpha), np.log(alpha + max(rows["age"].max(), 1.0)), 20)
    normal_nodes = np.linspace(-3.2, 3.2, 41)
    log_quantiles = np.empty((len(x_nodes), len(age_nodes), len(normal_nodes)))
    strata = (np.arange(DRAWS) + 0.5) / DRAWS
    # where each quantile lies among sorted draws, and how far on to the next
    part, below = np.modf(ndtr(normal_nodes) * (DRAWS - 1))
    below = below.astype(int)
    for i, x in enumerate(x_nodes):
        # the same draws whatever the horizon, so that horizons differ by what may be bought in them alone
        rng = np.random.default_rng((seed, i))
        # x purchase days cannot fit into less than x days
        ages = np.maximum(np.exp(age_nodes) - alpha, x / 7)
        rate = (timing["r"] + x) / (alpha + ages.min()) * weeks
        spread = rate * np.sqrt(1 / rate + 1 / (timing["r"] + x))
        # nobody buys on more days than there are
        counts = np.arange(1, min(int(rate + 12 * spread) + 10, int(weeks * 7)) + 1)
        pmf = model.prob_purchases_while_alive(timing, counts, x, ages[:, None], weeks)
        cdf = np.cumsum(pmf, axis=1)
        places = np.stack([np.searchsorted(row / row[-1], strata) for row in cdf])
        drawn = counts[np.minimum(places, len(counts) - 1)].astype(float)
        spent = np.sort(drawn if spend is None else _draw_spend(spend, drawn, x, rng), axis=1)
        log_quantiles[i] = np.log((1 - part) * spent[:, below] + part * spent[:, below + 1])
    axes = (np.log1p(x_nodes), age_nodes, normal_nodes)
    return {
        "alpha": alpha,
        "table": RegularGridInterpolator(axes, log_quantiles, bounds_error=False, fill_value=None),
    }


def _draw_spend(spend, purchases, x, rng):
    p, q = spend["p"], spend["q"]
    # first what does not depend on the purchases: how many numbers the other draws take does
    scale = rng.standard_gamma(p * x + q, purchases.shape)
    return np.maximum(rng.standard_gamma(p * purchases) / scale, np.finfo(float).tiny)


def _look_up(table, x, age, share_zero, level):
    share = (level - share_zero) / np.maximum(1 - share_zero, 1e-12)
    normal = ndtri(np.clip(share, 0.0007, 0.9993))
    points = np.column_stack([np.log1p(x), np.log(table["alpha"] + age), normal])
    return np.where(share > 0, np.exp(table["table"](points)), 0.0)
