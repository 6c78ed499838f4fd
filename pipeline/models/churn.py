"""Churn of active customers: the chance that who bought in the last H days buys nothing in the next H."""

import polars as pl

from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, RHYTHM, add_derived, join_groups
from pipeline.models.event_scores import run_event, score_event
from pipeline.models.events import Event, fit_event

KIN, HONEST = join_groups()
BANDS = (("high", 0.7), ("medium", 0.4), ("low", 0.0))
CHURN = Event(
    "churned",
    "is_churned",
    "active customers",
    "customers who left",
    "customers who stayed",
    NUMERIC,
    CATEGORICAL,
    certain=RHYTHM,
    kin=KIN,
    honest=HONEST,
)

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "churn_probability": pl.Float64,
    "churn_band": pl.String,
    **{f"reason_{rank}{language}": pl.String for language in ("", "_zh", "_kind") for rank in (1, 2, 3)},
}


def run_churn(
    facts,
    as_of,
    training,
    calibration,
    test,
    horizon_days=90,
    seed=20260101,
    champion=None,
    previous_bands=None,
    kept=None,
):
    """Fit, judge and, where the model holds up, score tonight's active customers.

    training, calibration, test: customer facts at earlier cut-offs (column as_of) with is_churned. champion: name of the
    classifier in use before, or None. previous_bands: customer_id and churn_band of the last night, or None. Returns
    (scores of SCHEMA sorted by customer_id, no rows unless the status is 'used'; model_run dict; backtests
    frame). Raises ValueError when the label windows [cut-off, cut-off + horizon_days) of the three, or test's
    and tonight, overlap. kept: what the model file of an earlier night holds; then nothing is fitted, and it scores.
    """
    horizon_then = kept["horizon_days"] if kept else horizon_days
    return run_event(
        "churn",
        CHURN,
        SCHEMA,
        BANDS,
        as_of,
        (training, calibration, test),
        horizon_days,
        {"horizon_days": horizon_days},
        lambda *sets: fit_churn(*sets, horizon_days, seed, champion, facts),
        lambda model: predict_churn(facts, model, horizon_then, previous_bands),
        kept,
    )


def fit_churn(training, calibration, test, horizon_days=90, seed=20260101, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome.

    Customers are chosen here: recency_days <= horizon_days, profiling not refused.
    """
    sets = (_select_active(frame, horizon_days) for frame in (training, calibration, test))
    to_score = None if tonight is None else _select_active(tonight, horizon_days)
    return fit_event(CHURN, *sets, seed, window_days=horizon_days, champion=champion, tonight=to_score)


def predict_churn(facts, model, horizon_days=90, previous_bands=None):
    """Scores of SCHEMA for tonight's active customers who did not refuse profiling, sorted by customer_id.

    churn_band: high from 0.7, medium from 0.4, else low; last night's while within 0.03 of it (bands.py). Reasons: the
    feature groups that raise this customer's risk most above that of a typical one, in words; null when there are
    fewer than three.
    """
    customers = facts.filter(_is_active(horizon_days))
    return score_event(customers, model, SCHEMA, BANDS, previous_bands, REASONS, REASON_OF, add_derived)


def _is_active(horizon_days):
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return (pl.col("order_count") > 0) & (pl.col("recency_days") <= horizon_days) & allowed


def _select_active(facts, horizon_days):
    return add_derived(facts.filter(_is_active(horizon_days))).sort("customer_id", "as_of")
