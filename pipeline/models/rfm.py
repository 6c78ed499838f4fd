"""RFM: recency, frequency, monetary scores 1 to 5, the eleven segments and the eight value classes.

score = 1 + floor(5 x share of customers strictly below), so equal values always share a score. Recency is
turned round: "below" means bought longer ago, so a recent customer scores high.
"""

import itertools
from functools import cache
from importlib import resources

import numpy as np
import polars as pl
import yaml

from pipeline.models.records import make_model_run, no_backtests

SCORES = range(1, 6)
HIGH_SCORE = 4

# (R high, F high, M high) -> English, Chinese: 重要 is M high; 价值 R+F+, 发展 R+F-, 保持 R-F+, 挽留 R-F-
VALUE_CLASSES = {
    (True, True, True): ("Key Value", "重要价值客户"),
    (True, False, True): ("Key Growth", "重要发展客户"),
    (False, True, True): ("Key Retention", "重要保持客户"),
    (False, False, True): ("Key Win-back", "重要挽留客户"),
    (True, True, False): ("General Value", "一般价值客户"),
    (True, False, False): ("General Growth", "一般发展客户"),
    (False, True, False): ("General Retention", "一般保持客户"),
    (False, False, False): ("General Win-back", "一般挽留客户"),
}

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "recency_days": pl.Int64,
    "frequency": pl.Int64,
    "monetary": pl.Float64,
    "r_score": pl.Int64,
    "f_score": pl.Int64,
    "m_score": pl.Int64,
    "rfm_cell": pl.String,
    "rfm_segment": pl.String,
    "rfm_segment_zh": pl.String,
    "value_class": pl.String,
    "value_class_zh": pl.String,
}


def run_rfm(facts, as_of, cut_points=None):
    """Score every customer with an order who did not refuse profiling; fit the cut-points tonight unless earlier ones are handed in.

    Returns (scores of SCHEMA sorted by customer_id, model_run dict, backtests frame without rows).
    """
    purchases = _select_purchases(facts)
    if purchases.is_empty():
        message = "not enough data: customers with an order (needs 1, has 0)"
        run = make_model_run(as_of, "rfm", "not enough data", message, 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    is_held = cut_points is not None
    cut_points = cut_points or fit_rfm(facts)
    scores = score_rfm(facts, cut_points)
    counts = dict(scores.group_by("rfm_segment").len().sort("rfm_segment").iter_rows())
    metrics = {
        "segment_counts": counts,
        "empty_segments": [s["name"] for s in read_rfm_segments() if s["name"] not in counts],
        "unreachable_segments": find_unreachable_segments(scores),
    }
    message = "cut-points of an earlier run" if is_held else f"cut-points of {len(purchases):,} customers"
    run = make_model_run(as_of, "rfm", "used", message, len(scores), cut_points, metrics)
    return scores, run, no_backtests()


def fit_rfm(facts):
    """Cut-points of the customers with an order who did not refuse profiling: a plain dict, enough to score any value.

    Four numbers a measure. The score is 1 + the number of cut-points strictly passed: the k-th is the value
    at rank ceil(k x n / 5), which a value passes exactly when 5 x (customers strictly below) >= k x n. No
    share is ever computed as a float. recency_days is passed downwards (fewer days), frequency and monetary
    upwards.
    """
    purchases = _select_purchases(facts)
    n = len(purchases)
    if n == 0:
        raise ValueError("RFM cut-points need at least one customer with an order, and the facts have none")
    ranks = [-(-k * n // 5) - 1 for k in range(1, 5)]
    return {
        "customer_count": n,
        "recency_days": [-_nth(-purchases["recency_days"].to_numpy(), rank) for rank in ranks],
        "frequency": [_nth(purchases["frequency"].to_numpy(), rank) for rank in ranks],
        "monetary": [_nth(purchases["monetary"].to_numpy(), rank) for rank in ranks],
    }


def score_rfm(facts, cut_points):
    """Scores, segment and value class of each customer with an order who did not refuse profiling: frame of SCHEMA, by customer_id.

    monetary is net_spend_amount as a double, frequency the number of purchase days.
    """
    purchases = _select_purchases(facts).sort("customer_id")
    r = 1 + np.searchsorted(-np.array(cut_points["recency_days"]), -purchases["recency_days"].to_numpy())
    f = 1 + np.searchsorted(np.array(cut_points["frequency"]), purchases["frequency"].to_numpy())
    m = 1 + np.searchsorted(np.array(cut_points["monetary"]), purchases["monetary"].to_numpy())
    cells = _make_cells()
    row_of_cell = (r - 1) * 25 + (f - 1) * 5 + (m - 1)
    return purchases.hstack(cells[row_of_cell]).select(pl.col(name).cast(t) for name, t in SCHEMA.items())


@cache
def read_rfm_segments():
    """The segments of rfm_segments.yaml, checked: a list of dicts name, zh, boxes."""
    text = resources.files("pipeline.models").joinpath("rfm_segments.yaml").read_text(encoding="utf-8")
    segments = yaml.safe_load(text)
    find_segment_of_cells(segments, "rfm_segments.yaml")
    return segments


def find_segment_of_cells(segments, where):
    """Map every (r, f, m) to the position of its segment; refuse gaps, overlaps and ranges outside 1 to 5.

    where names the file in the error.
    """
    found = {}
    for position, segment in enumerate(segments):
        for box in segment["boxes"]:
            for cell in itertools.product(*(_range_of(segment, box, key, where) for key in "rfm")):
                if cell in found:
                    first = segments[found[cell]]["name"]
                    raise ValueError(
                        f"{where}: cell r{cell[0]} f{cell[1]} m{cell[2]} is in both {first!r} and"
                        f" {segment['name']!r}; take it out of one of them"
                    )
                found[cell] = position
    missing = [cell for cell in itertools.product(SCORES, repeat=3) if cell not in found]
    if missing:
        r, f, m = missing[0]
        raise ValueError(
            f"{where}: {len(missing)} of the 125 cells are in no segment, first r{r} f{f} m{m}; add a box for them"
        )
    return found


def find_unreachable_segments(scores):
    """Names of the segments that lie wholly in scores nobody has (ties can skip a score for everyone)."""
    reached = [set(scores[column].unique()) for column in ("r_score", "f_score", "m_score")]
    segment_of = find_segment_of_cells(read_rfm_segments(), "rfm_segments.yaml")
    reachable = {segment_of[cell] for cell in itertools.product(*reached)}
    return [segment["name"] for position, segment in enumerate(read_rfm_segments()) if position not in reachable]


def name_value_class(r, f, m):
    """(English, Chinese) value class of one cell; high is a score of 4 or more."""
    return VALUE_CLASSES[(r >= HIGH_SCORE, f >= HIGH_SCORE, m >= HIGH_SCORE)]


@cache
def _make_cells():
    segments = read_rfm_segments()
    segment_of = find_segment_of_cells(segments, "rfm_segments.yaml")
    rows = []
    for r, f, m in itertools.product(SCORES, repeat=3):
        segment = segments[segment_of[(r, f, m)]]
        rows.append((r, f, m, f"{r}{f}{m}", segment["name"], segment["zh"], *name_value_class(r, f, m)))
    return pl.DataFrame(rows, schema=list(SCHEMA)[5:], orient="row")


def _range_of(segment, box, key, where):
    low, high = box.get(key, [SCORES[0], SCORES[-1]])
    if not SCORES[0] <= low <= high <= SCORES[-1]:
        raise ValueError(
            f"{where}: segment {segment['name']!r} has {key} from {low} to {high}; scores go from 1 to 5, low first"
        )
    return range(low, high + 1)


def _select_purchases(facts):
    bought = (pl.col("order_count") > 0) & pl.col("recency_days").is_not_null()
    return facts.filter(bought & pl.col("is_profiling_allowed").fill_null(True)).select(
        "customer_id",
        "as_of",
        pl.col("recency_days").cast(pl.Int64),
        pl.col("order_day_count").cast(pl.Int64).alias("frequency"),
        pl.col("net_spend_amount").cast(pl.Float64).fill_null(0.0).alias("monetary"),
    )


def _nth(values, rank):
    return np.partition(values, rank)[rank].item()
