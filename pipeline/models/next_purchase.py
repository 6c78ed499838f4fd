"""The chance of a purchase in the next 30 days, of customers who bought in the last year."""

import polars as pl
from scipy.special import expit

from pipeline.models.bands import MARGIN, choose_bands
from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, RHYTHM, add_derived, word_reasons
from pipeline.models.classifiers import encode
from pipeline.models.event_files import model_from_dict, model_to_dict
from pipeline.models.events import Event, check_windows, describe_model, fit_event, make_event_backtests, on_one_thread
from pipeline.models.records import NotEnoughData, make_model_run, no_backtests

DAYS = 30
# who has not bought for longer is nobody's next buyer: their chance is too small and too alike to learn from
ACTIVE_DAYS = 365
BANDS = (("high", 0.5), ("medium", 0.2), ("low", 0.0))
CHUNK_ROWS = 100_000
PURCHASE = Event(
    "purchased",
    "is_buyer",
    "customers with an order in the year",
    "customers who bought",
    "customers who did not buy",
    NUMERIC,
    CATEGORICAL,
    certain=RHYTHM,
)

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "purchase_probability_30d": pl.Float64,
    "purchase_band": pl.String,
    **{f"reason_{rank}{language}": pl.String for language in ("", "_zh") for rank in (1, 2, 3)},
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
    if kept:
        scores = predict_next_purchase(facts, model_from_dict(kept, PURCHASE), previous_bands)
        return scores, make_model_run(as_of, "next_purchase", "used", "", len(scores)), no_backtests()
    check_windows("next_purchase", training, calibration, test, as_of, DAYS)
    try:
        model = fit_next_purchase(training, calibration, test, seed, champion, facts)
    except NotEnoughData as error:
        run = make_model_run(as_of, "next_purchase", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    scores = pl.DataFrame(schema=SCHEMA)
    if model.status == "used":
        scores = predict_next_purchase(facts, model, previous_bands)
    params = describe_model(model) | {
        "days": DAYS,
        "active_days": ACTIVE_DAYS,
        "bands": dict(BANDS) | {"margin": MARGIN},
    }
    whole = model_to_dict(model)
    run = make_model_run(as_of, "next_purchase", model.status, model.message, len(scores), params, model.metrics, whole)
    return scores, run, make_event_backtests(as_of, "next_purchase", DAYS, model)


def fit_next_purchase(training, calibration, test, seed=20260101, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome."""
    sets = (_select(frame) for frame in (training, calibration, test))
    to_score = None if tonight is None else _select(tonight)
    return fit_event(PURCHASE, *sets, seed, window_days=DAYS, champion=champion, tonight=to_score)


@on_one_thread()
def predict_next_purchase(facts, model, previous_bands=None):
    """Scores of SCHEMA for customers who ordered in the last 365 days and did not refuse profiling, sorted by customer_id.

    purchase_band: high from 0.5, medium from 0.2, else low; last night's while within 0.03 of it (bands.py). Reasons: the
    feature groups that raise this customer's chance most above that of a typical one, in words.
    """
    customers = facts.filter(_is_candidate()).sort("customer_id", "as_of")
    parts = [pl.DataFrame(schema=SCHEMA)]
    for start in range(0, len(customers), CHUNK_ROWS):
        chunk = add_derived(customers[start : start + CHUNK_ROWS])
        values = encode(chunk, model.encoding)
        probability = pl.Series(expit(model.log_odds(values))).round(6)
        scores = chunk.select("customer_id", "as_of", purchase_probability_30d=probability, purchase_band=None)
        reasons = word_reasons(chunk, model.contributions(values, REASON_OF, len(REASONS))).with_columns(
            # said of who may leave, a rhythm is slow; of who may buy, it is one
            pl.all().str.replace("orders only every", "orders every").str.replace("天才下单", "天下单")
        )
        scores = scores.hstack(reasons)
        parts.append(scores.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()))
    scores = pl.concat(parts)
    return scores.with_columns(purchase_band=choose_bands(scores, "purchase_probability_30d", BANDS, previous_bands))


def _is_candidate():
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return (pl.col("order_count") > 0) & (pl.col("recency_days") <= ACTIVE_DAYS) & allowed


def _select(facts):
    return add_derived(facts.filter(_is_candidate())).sort("customer_id", "as_of")
