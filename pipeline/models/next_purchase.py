"""The chance of a purchase in the next 30 days, of customers who bought in the last year."""

import polars as pl

from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, RHYTHM, add_derived, join_groups
from pipeline.models.event_scores import run_event, score_event
from pipeline.models.events import Event, fit_event

DAYS = 30
# who has not bought for longer is nobody's next buyer: their chance is too small and too alike to learn from
ACTIVE_DAYS = 365
BANDS = (("high", 0.5), ("medium", 0.2), ("low", 0.0))
KIN, HONEST = join_groups()
PURCHASE = Event(
    "purchased",
    "is_buyer",
    "customers with an order in the year",
    "customers who bought",
    "customers who did not buy",
    NUMERIC,
    CATEGORICAL,
    certain=RHYTHM,
    kin=KIN,
    honest=HONEST,
)

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "purchase_probability_30d": pl.Float64,
    "purchase_band": pl.String,
    **{f"reason_{rank}{language}": pl.String for language in ("", "_zh", "_kind") for rank in (1, 2, 3)},
}


def run_next_purchase(
    facts,
    as_of,
    training,
    calibration,
    test,
    seed=20260101,
    champion=None,
    previous_bands=None,
    kept=None,
):
    """Fit, judge and, where the model holds up, score tonight's customers.

    training, calibration, test: customer facts at earlier cut-offs (column as_of), 30 days apart or more, with is_buyer.
    champion: name of the classifier in use before, or None. previous_bands: customer_id and purchase_band of the last night, or
    None. Returns (scores of SCHEMA sorted by customer_id, no rows unless the status is 'used'; model_run dict; backtests frame).
    kept: what the model file of an earlier night holds; then nothing is fitted, and it scores.
    """
    return run_event(
        "next_purchase",
        PURCHASE,
        SCHEMA,
        BANDS,
        as_of,
        (training, calibration, test),
        DAYS,
        {"days": DAYS, "active_days": ACTIVE_DAYS},
        lambda *sets: fit_next_purchase(*sets, seed, champion, facts),
        lambda model: predict_next_purchase(facts, model, previous_bands),
        kept,
    )


def fit_next_purchase(training, calibration, test, seed=20260101, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome."""
    sets = (_select(frame) for frame in (training, calibration, test))
    to_score = None if tonight is None else _select(tonight)
    return fit_event(PURCHASE, *sets, seed, window_days=DAYS, champion=champion, tonight=to_score)


def predict_next_purchase(facts, model, previous_bands=None):
    """Scores of SCHEMA for customers who ordered in the last 365 days and did not refuse profiling, sorted by customer_id.

    purchase_band: high from 0.5, medium from 0.2, else low; last night's while within 0.03 of it (bands.py). Reasons: the
    feature groups that raise this customer's chance most above that of a typical one, in words.
    """
    customers = facts.filter(_is_candidate())
    scores = score_event(customers, model, SCHEMA, BANDS, previous_bands, REASONS, REASON_OF, add_derived)
    # said of who may leave, a rhythm is slow; of who may buy, it is one
    words = pl.col(name for name in SCHEMA if name.startswith("reason_"))
    return scores.with_columns(words.str.replace("orders only every", "orders every").str.replace("天才下单", "天下单"))


def _is_candidate():
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return (pl.col("order_count") > 0) & (pl.col("recency_days") <= ACTIVE_DAYS) & allowed


def _select(facts):
    return add_derived(facts.filter(_is_candidate())).sort("customer_id", "as_of")
