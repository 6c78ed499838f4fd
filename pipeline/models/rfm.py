"""RFM: recency, frequency, monetary scores 1 to 5, the eleven segments, the eight value classes, grades and ABC.

score = 1 + floor(5 x share of customers strictly below), so equal values always share a score. Recency is
turned round: "below" means bought longer ago, so a recent customer scores high.

Frequency and spend may be of a window of days before as_of; recency is since the last order, whenever that was. A customer
without an order in the window has frequency 0 and spend 0 and is scored like everybody: who left should be found, not vanish.
"""

import itertools
from datetime import date
from functools import cache
from importlib import resources

import numpy as np
import polars as pl
import yaml

from pipeline.models.records import NotEnoughData, make_model_run, no_backtests
from pipeline.models.rfm_grades import ABC_CLASSES, class_abc, fit_abc, name_grade, name_value_class

SCORES = range(1, 6)
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
    "customer_grade": pl.String,
    "customer_grade_zh": pl.String,
    "abc_class": pl.String,
    "abc_class_zh": pl.String,
}
# as many as scores
MIN_LAST_DAYS = 5
MEASURES = {"recency_days": "r_score", "frequency": "f_score", "monetary": "m_score"}


def run_rfm(facts, as_of, kept=None, hold_days=0, window_days=0, currency=None):
    """Score every customer with an order who did not refuse profiling.

    kept: params of an earlier night's run. Its cut-points are used while they are younger than hold_days and were fitted over
    the same window and currency; else they are fitted tonight. window_days: see fit_rfm. Returns (scores of SCHEMA sorted by
    customer_id, model_run dict, backtests frame without rows).
    """
    purchases = _select_purchases(facts, window_days)
    if purchases.is_empty():
        message = "not enough data: customers with an order (needs 1, has 0)"
        run = make_model_run(as_of, "rfm", "not enough data", message, 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    basis = {"window_days": window_days, "currency": currency}
    is_held = is_still_held(kept, as_of, hold_days, basis)
    last_days = purchases["recency_days"].n_unique()
    if not is_held and last_days < MIN_LAST_DAYS:
        # of two customers one would be called lost, and where all last bought on one day everybody
        error = NotEnoughData("different days of a last order", MIN_LAST_DAYS, last_days)
        run = make_model_run(as_of, "rfm", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    cut_points = kept if is_held else _fit(purchases) | basis | {"fitted_on": str(as_of)}
    scores = _score(purchases, cut_points)
    counts = dict(scores.group_by("rfm_segment").len().sort("rfm_segment").iter_rows())
    unreachable = find_unreachable_segments(scores)
    metrics = {
        "segment_counts": counts,
        "empty_segments": [s["name"] for s in read_rfm_segments() if s["name"] not in counts],
        "unreachable_segments": unreachable,
        "skipped_scores": find_skipped_scores(scores),
        "abc_counts": dict(scores.group_by("abc_class").len().sort("abc_class").iter_rows()),
        "grade_counts": dict(scores.group_by("customer_grade").len().sort("customer_grade").iter_rows()),
        "in_window_count": scores.filter(pl.col("frequency") > 0).height,
    }
    message = f"cut-points of {cut_points['fitted_on']} ({cut_points['customer_count']:,} customers)"
    message += f", held for {hold_days} days" if hold_days else ""
    message += f", frequency and spend of {window_days} days" if window_days else ""
    message += f"; nobody can be in {', '.join(unreachable)}" if unreachable else ""
    run = make_model_run(as_of, "rfm", "used", message, len(scores), cut_points, metrics)
    return scores, run, no_backtests()


def is_still_held(kept, as_of, hold_days, basis):
    """Whether cut-points of an earlier night are used: younger than hold_days, and of the same window and currency.

    Those of a release that did not write down its date, or ABC, are not.
    """
    if not (kept and hold_days and {"fitted_on", "abc"} <= set(kept)):
        return False
    age = (as_of - date.fromisoformat(kept["fitted_on"])).days
    return 0 <= age < hold_days and all(kept.get(name) == value for name, value in basis.items())


def fit_rfm(facts, window_days=0):
    """Cut-points of the customers with an order who did not refuse profiling: a plain dict, enough to score any value.

    Four numbers a measure. The score is 1 + the number of cut-points strictly passed: the k-th is the value
    at rank ceil(k x n / 5), which a value passes exactly when 5 x (customers strictly below) >= k x n. No
    share is ever computed as a float. recency_days is passed downwards (fewer days), frequency and monetary
    upwards. abc: the least spend of A and of B. window_days: frequency and monetary are of so many days before as_of
    (the columns rfm_order_day_count and rfm_net_spend_amount, which the night's setting filled); 0: of all time.
    """
    purchases = _select_purchases(facts, window_days)
    if purchases.is_empty():
        raise ValueError("RFM cut-points need at least one customer with an order, and the facts have none")
    return _fit(purchases) | {"window_days": window_days}


def score_rfm(facts, cut_points):
    """Scores, segment and classes of each customer with an order who did not refuse profiling: frame of SCHEMA, by customer_id.

    monetary is net spend as a double, frequency the number of purchase days, both of the cut-points' window.
    """
    return _score(_select_purchases(facts, cut_points["window_days"]), cut_points)


def _fit(purchases):
    n = len(purchases)
    ranks = [-(-k * n // 5) - 1 for k in range(1, 5)]
    monetary = purchases["monetary"].to_numpy()
    return {
        "customer_count": n,
        "recency_days": [-value for value in _at_ranks(-purchases["recency_days"].to_numpy(), ranks)],
        "frequency": _at_ranks(purchases["frequency"].to_numpy(), ranks),
        "monetary": _at_ranks(monetary, ranks),
        "abc": fit_abc(monetary),
    }


def _score(purchases, cut_points):
    purchases = purchases.sort("customer_id")
    monetary = purchases["monetary"].to_numpy()
    r = np.searchsorted(-np.array(cut_points["recency_days"]), -purchases["recency_days"].to_numpy())
    f = np.searchsorted(np.array(cut_points["frequency"]), purchases["frequency"].to_numpy())
    m = np.searchsorted(np.array(cut_points["monetary"]), monetary)
    row_of_cell = ((r * 5 + f) * 5 + m) * 3 + class_abc(monetary, cut_points["abc"])
    return purchases.hstack(_make_cells()[row_of_cell]).select(pl.col(name).cast(t) for name, t in SCHEMA.items())


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
    """Names of the segments that lie wholly in scores nobody can have together.

    Ties can skip a score for everyone. And who has no order in the window is of long ago and has frequency and spend 0, who has
    one is neither: the two kinds are looked at apart, else a short window would empty segments without a word.
    """
    segment_of = find_segment_of_cells(read_rfm_segments(), "rfm_segments.yaml")
    reachable = set()
    seen = scores.select(pl.col("frequency") > 0, *MEASURES.values()).unique()
    for kind in seen.partition_by("frequency"):
        reached = [set(kind[column].unique()) for column in MEASURES.values()]
        reachable |= {segment_of[cell] for cell in itertools.product(*reached)}
    return [segment["name"] for position, segment in enumerate(read_rfm_segments()) if position not in reachable]


def find_skipped_scores(scores):
    """Per measure the scores that nobody has, as many customers with one and the same value leave them out: {name: [score]}."""
    return {measure: sorted(set(SCORES) - set(scores[column].unique())) for measure, column in MEASURES.items()}


@cache
def _make_cells():
    segments = read_rfm_segments()
    segment_of = find_segment_of_cells(segments, "rfm_segments.yaml")
    rows = []
    for r, f, m in itertools.product(SCORES, repeat=3):
        segment = segments[segment_of[(r, f, m)]]
        named = (segment["name"], segment["zh"], *name_value_class(r, f, m), *name_grade(r, m))
        rows += [(r, f, m, f"{r}{f}{m}", *named, *abc) for abc in ABC_CLASSES]
    return pl.DataFrame(rows, schema=list(SCHEMA)[5:], orient="row")


def _range_of(segment, box, key, where):
    low, high = box.get(key, [SCORES[0], SCORES[-1]])
    if not SCORES[0] <= low <= high <= SCORES[-1]:
        raise ValueError(
            f"{where}: segment {segment['name']!r} has {key} from {low} to {high}; scores go from 1 to 5, low first"
        )
    return range(low, high + 1)


def _select_purchases(facts, window_days):
    """recency_days, frequency and monetary of who is scored."""
    days, spend = (
        ("rfm_order_day_count", "rfm_net_spend_amount") if window_days else ("order_day_count", "net_spend_amount")
    )
    bought = (pl.col("order_count") > 0) & pl.col("recency_days").is_not_null()
    return facts.filter(bought & pl.col("is_profiling_allowed").fill_null(True)).select(
        "customer_id",
        "as_of",
        pl.col("recency_days").cast(pl.Int64),
        pl.col(days).cast(pl.Int64).alias("frequency"),
        pl.col(spend).cast(pl.Float64).fill_null(0.0).alias("monetary"),
    )


def _at_ranks(values, ranks):
    return np.partition(values, ranks)[ranks].tolist()
