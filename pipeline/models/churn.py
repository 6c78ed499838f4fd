"""Churn of active customers: the chance that who bought in the last H days buys nothing in the next H."""

import polars as pl
from scipy.special import expit

from pipeline.models.bands import MARGIN, choose_bands
from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, RHYTHM, add_derived, word_reasons
from pipeline.models.classifiers import encode
from pipeline.models.event_files import model_from_dict, model_to_dict
from pipeline.models.events import (
    Event,
    check_windows,
    describe_model,
    fit_event,
    make_event_backtests,
    on_one_thread,
)
from pipeline.models.records import NotEnoughData, make_model_run, no_backtests

BANDS = (("high", 0.7), ("medium", 0.4), ("low", 0.0))
CHUNK_ROWS = 100_000
CHURN = Event(
    "churned",
    "is_churned",
    "active customers",
    "customers who left",
    "customers who stayed",
    NUMERIC,
    CATEGORICAL,
    certain=RHYTHM,
)

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "churn_probability": pl.Float64,
    "churn_band": pl.String,
    **{f"reason_{rank}{language}": pl.String for language in ("", "_zh") for rank in (1, 2, 3)},
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
    if kept:
        scores = predict_churn(facts, model_from_dict(kept, CHURN), kept["horizon_days"], previous_bands)
        return scores, make_model_run(as_of, "churn", "used", "", len(scores)), no_backtests()
    check_windows("churn", training, calibration, test, as_of, horizon_days)
    try:
        model = fit_churn(training, calibration, test, horizon_days, seed, champion, facts)
    except NotEnoughData as error:
        run = make_model_run(as_of, "churn", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    scores = pl.DataFrame(schema=SCHEMA)
    if model.status == "used":
        scores = predict_churn(facts, model, horizon_days, previous_bands)
    params = describe_model(model) | {
        "horizon_days": horizon_days,
        "bands": dict(BANDS) | {"margin": MARGIN},
    }
    whole = model_to_dict(model) | {"horizon_days": horizon_days}
    run = make_model_run(as_of, "churn", model.status, model.message, len(scores), params, model.metrics, whole)
    return scores, run, make_event_backtests(as_of, "churn", horizon_days, model)


def fit_churn(training, calibration, test, horizon_days=90, seed=20260101, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome.

    Customers are chosen here: recency_days <= horizon_days, profiling not refused.
    """
    sets = (_select_active(frame, horizon_days) for frame in (training, calibration, test))
    to_score = None if tonight is None else _select_active(tonight, horizon_days)
    return fit_event(CHURN, *sets, seed, window_days=horizon_days, champion=champion, tonight=to_score)


@on_one_thread()
def predict_churn(facts, model, horizon_days=90, previous_bands=None):
    """Scores of SCHEMA for tonight's active customers who did not refuse profiling, sorted by customer_id.

    churn_band: high from 0.7, medium from 0.4, else low; last night's while within 0.03 of it (bands.py). Reasons: the
    feature groups that raise this customer's risk most above that of a typical one, in words; null when there are
    fewer than three.
    """
    customers = facts.filter(_is_active(horizon_days)).sort("customer_id", "as_of")
    parts = [pl.DataFrame(schema=SCHEMA)]
    for start in range(0, len(customers), CHUNK_ROWS):
        chunk = add_derived(customers[start : start + CHUNK_ROWS])
        values = encode(chunk, model.encoding)
        probability = expit(model.log_odds(values))
        contributions = model.contributions(values, REASON_OF, len(REASONS))
        scores = chunk.select(
            "customer_id", "as_of", churn_probability=pl.Series(probability).round(6), churn_band=None
        )
        scores = scores.hstack(word_reasons(chunk, contributions))
        parts.append(scores.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()))
    scores = pl.concat(parts)
    # once for all: a chunk at a time, each would be held against everybody of the night before
    return scores.with_columns(churn_band=choose_bands(scores, "churn_probability", BANDS, previous_bands))


def _is_active(horizon_days):
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return (pl.col("order_count") > 0) & (pl.col("recency_days") <= horizon_days) & allowed


def _select_active(facts, horizon_days):
    return add_derived(facts.filter(_is_active(horizon_days))).sort("customer_id", "as_of")
