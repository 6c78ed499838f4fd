"""How right a model was: the rows of ops.backtests as the page tells them, by horizon, origin and candidate."""

import json
import math
import re

from pipeline.chance_levels import judge_level
from pipeline.reports.figures import round_step

# measure -> whether more is better; None where it should come near to a value
DIRECTIONS = {
    "auc": 1,
    "log_loss": -1,
    "brier": -1,
    "pr_auc": 1,
    "lift_10": 1,
    "calibration_slope": None,
    "calibration_intercept": None,
    "rmse": -1,
    "mae": -1,
    "bias_share": None,
    "came_share": None,
    "normalised_gini": 1,
    "correlation": 1,
    "pooled_squared_error": -1,
}
# those of which the course from cut-off to cut-off is told, and by which candidates are compared
LEADING = ("auc", "log_loss", "orders_rmse", "spend_rmse", "orders_bias_share", "spend_bias_share")
DECIDING = ("log_loss", "orders_rmse", "spend_rmse", "orders_pooled_squared_error", "spend_pooled_squared_error")
DECILE = re.compile(r"(?:calibration_|(?P<what>orders|spend|buyer)_(?:\d+d_)?)?decile_\d\d")
# of a chance, RMSE and Gini say what Brier score and AUC say, and the absolute error rewards a chance of zero: in ops.backtests only
NOT_SHOWN = ("rmse", "mae", "normalised_gini")
MOST_ORIGINS = 8
TURNED = {"better": "worse", "worse": "better", "unclear": "unclear"}


def find_champions(run):
    """Which candidate is in use, as {'orders_90d': name, ...} and under '' for all else."""
    params, metrics = (json.loads(run[name] or "{}") for name in ("params", "metrics"))
    used = params.get("used") if isinstance(params.get("used"), dict) else {}
    return used | {"": used.get("purchases") or metrics.get("champion") or params.get("classifier")}


def _champion_of(row, champions):
    what = row["metric"].partition("_")[0]
    return champions.get(f"{what}_{row['horizon_days']}d") or champions[""]


def describe_test(rows, champions):
    """What a backtest over one horizon says, at its newest origin and from origin to origin."""
    newest = max(row["cut_off"] for row in rows)
    latest = [row for row in rows if row["cut_off"] == newest]
    main = _of_model_in_use(latest, champions)
    actual = [row for row in main if row["baseline"] == "actual"]
    return {
        "cut_off": newest,
        "horizon_days": latest[0]["horizon_days"],
        "row_count": max((row["row_count"] for row in actual if "decile" not in row["metric"]), default=None)
        or max((row["row_count"] for row in main if row["row_count"]), default=None),
        "leading": _against_the_best(_measures(main)),
        "measures": _measures(main),
        "totals": _totals(main),
        "level": _level(actual),
        "pictures": draw_deciles([(row["metric"], row["value"], row["baseline_value"]) for row in actual]),
        "candidates": _candidates(latest, champions),
        "course": _course(rows, champions),
    }


def _of_model_in_use(rows, champions):
    """The rows of what is in use: those of no candidate, and those of the champion, else of the first candidate."""
    names = sorted({row["candidate"] for row in rows if row["candidate"] is not None})
    found = []
    for row in rows:
        champion = _champion_of(row, champions)
        in_use = champion if champion in names else names[0] if names else None
        if row["candidate"] is None or row["candidate"] == in_use:
            found.append(row)
    return found


def _measures(rows):
    """Rows that are judged against a baseline, those of LEADING first: each with its base measure and a verdict."""
    found = []
    for row in rows:
        base = split_measure(row["metric"])
        if base is None or row["baseline"] in (None, "actual") or row["value"] is None:
            continue
        if row["metric"] in NOT_SHOWN:
            continue
        row = row | {"base": base[1], "what": base[0], "verdict": _verdict(row, DIRECTIONS[base[1]])}
        found.append(_turn_bias(row) if base[1] == "bias_share" else row)
    coverage = [row for row in rows if row["metric"].endswith("_interval_coverage")]
    found += [
        row | {"base": "interval_coverage", "what": row["metric"].removesuffix("_interval_coverage"), "verdict": None}
        for row in coverage
    ]
    places = {metric: place for place, metric in enumerate(LEADING)}
    return sorted(found, key=lambda row: (places.get(row["metric"], len(places)), row["metric"], row["baseline"] or ""))


def _turn_bias(row):
    """A bias as what came against the forecast, as all totals on the page: foretold / came - 1 becomes came / foretold - 1."""
    value, low, high, baseline = (
        None if bias is None or bias <= -1 else -bias / (1 + bias)
        for bias in (row["value"], row["value_low"], row["value_high"], row["baseline_value"])
    )
    return row | {
        "base": "came_share",
        "value": value,
        "value_low": high,
        "value_high": low,
        "baseline_value": baseline,
    }


def _against_the_best(rows):
    """Of the measures of LEADING, each against the baseline that is hardest to beat."""
    found = {}
    for row in rows:
        if row["metric"] in LEADING and (
            row["metric"] not in found or _hardness(row) > _hardness(found[row["metric"]])
        ):
            found[row["metric"]] = row
    return list(found.values())


def _hardness(row):
    value = row["baseline_value"]
    if value is None:
        return -math.inf
    direction = DIRECTIONS[row["base"]]
    return value * direction if direction else -abs(value)


def split_measure(metric):
    """(what it is of, measure): orders_rmse -> (orders, rmse), auc -> ('', auc); None for what is no measure."""
    if metric in DIRECTIONS:
        return "", metric
    what, _, base = metric.partition("_")
    return (what, base) if base in DIRECTIONS and what in ("orders", "spend", "buyer") else None


def _verdict(row, direction):
    """better, worse, or unclear within the interval of the difference; None where nothing can be said."""
    if direction is None or row["difference_low"] is None or row["difference_high"] is None:
        return None
    low, high = sorted(end * direction for end in (row["difference_low"], row["difference_high"]))
    return "better" if low > 0 else "worse" if high < 0 else "unclear"


def _totals(rows):
    """{'orders': (foretold, came), ...} of totals over all customers of the test."""
    return {
        row["metric"].removesuffix("_total"): (row["value"], row["baseline_value"])
        for row in rows
        if row["metric"] in ("orders_total", "spend_total") and row["value"] and row["baseline_value"] is not None
    }


def _level(rows):
    """{'foretold', 'came', 'verdict'} as judge_level says; None where the test has no chances."""
    tenths = [row for row in rows if DECILE.fullmatch(row["metric"]) and row["metric"].startswith("calibration_")]
    tenths = [(row["value"], row["baseline_value"], row["row_count"]) for row in tenths]
    if not sum(count for _, _, count in tenths):
        return None
    return dict(zip(("foretold", "came", "verdict"), judge_level(tenths), strict=True))


def draw_deciles(rows):
    """Calibration by decile: [{what, points: [(foretold, came), ...], step, steps}]. rows: (name, foretold, came)."""
    found = {}
    for name, foretold, came in sorted(rows, key=lambda row: row[0]):
        match = DECILE.fullmatch(name)
        if match and foretold is not None and came is not None:
            found.setdefault(match["what"] or "", []).append((max(foretold, 0.0), max(came, 0.0)))
    pictures = []
    for what, points in found.items():
        top = max(max(point) for point in points)
        step = round_step(top / 4)
        pictures.append({"what": what, "points": points, "step": step, "steps": max(1, math.ceil(top / step - 1e-9))})
    return pictures


def _candidates(rows, champions):
    """Where there are several candidates: one dict a candidate and measure of DECIDING, {candidate, is_in_use, cells}.

    A cell is the row that holds the candidate against the model in use, where there is one.
    """
    found, in_use = {}, set()
    for row in rows:
        if row["candidate"] is None or row["metric"] not in DECIDING or row["value"] is None:
            continue
        champion = _champion_of(row, champions)
        cells = found.setdefault(row["candidate"], {})
        if row["candidate"] == champion:
            in_use.add(champion)
        if row["metric"] not in cells or row["baseline"] == champion:
            cells[row["metric"]] = row | {"verdict": _verdict(row, -1) if row["baseline"] == champion else None}
    # one that another was held against has no row of its own for that measure, but its figure stands there
    for row in rows:
        cells = found.get(row["baseline"])
        if (
            cells is not None
            and row["metric"] in DECIDING
            and row["metric"] not in cells
            and row["baseline_value"] is not None
        ):
            known = {"value": row["baseline_value"], "value_low": None, "value_high": None, "verdict": None}
            if row["candidate"] == _champion_of(row, champions):
                known["verdict"] = TURNED.get(_verdict(row, -1))
            cells[row["metric"]] = row | known
    if len(found) < 2:
        return []
    return [{"candidate": name, "is_in_use": name in in_use, "cells": cells} for name, cells in sorted(found.items())]


def _course(rows, champions):
    """LEADING from origin to origin, oldest first: [{metric, base, what, baseline, origins: [row or None, ...]}]; none with one origin."""
    origins = sorted({row["cut_off"] for row in rows})[-MOST_ORIGINS:]
    if len(origins) < 2:
        return []
    found = {}
    for origin in origins:
        for row in _measures(_of_model_in_use([row for row in rows if row["cut_off"] == origin], champions)):
            if row["metric"] in LEADING:
                found.setdefault((row["metric"], row["baseline"]), {})[origin] = row
    newest = [cells[origins[-1]] for cells in found.values() if origins[-1] in cells]
    shown = {(row["metric"], row["baseline"]) for row in _against_the_best(newest)}
    return [
        {
            "metric": metric,
            "baseline": baseline,
            **{name: next(iter(cells.values()))[name] for name in ("base", "what")},
            "origins": [cells.get(origin) for origin in origins],
            "days": origins,
        }
        for (metric, baseline), cells in found.items()
        if (metric, baseline) in shown
    ]
