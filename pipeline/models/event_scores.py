"""A night of a model of chances: fitted and judged or taken as kept, then scored in chunks, with bands and reasons."""

import polars as pl
from scipy.special import expit

from pipeline.models.bands import MARGIN, choose_bands
from pipeline.models.churn_reasons import add_comparisons, word_reasons
from pipeline.models.classifiers import encode
from pipeline.models.event_files import model_from_dict, model_to_dict
from pipeline.models.events import check_windows, describe_model, make_event_backtests, on_one_thread
from pipeline.models.records import NotEnoughData, make_model_run, no_backtests

CHUNK_ROWS = 100_000


def run_event(name, event, schema, bands, as_of, sets, days, described, fit, predict, kept):
    """(scores of schema sorted by customer_id, no rows unless the status is 'used'; model_run dict; backtests frame).

    sets: training, calibration and test, whose label windows of so many days must not overlap each other or reach past as_of (ValueError).
    fit(*sets) gives an EventModel or raises NotEnoughData, predict(model) tonight's scores. described: what the model file and
    params say beside the model. kept: what the model file of an earlier night holds; then nothing is fitted, and it scores.
    """
    if kept:
        scores = predict(model_from_dict(kept, event))
        return scores, make_model_run(as_of, name, "used", "", len(scores)), no_backtests()
    check_windows(name, *sets, as_of, days)
    try:
        model = fit(*sets)
    except NotEnoughData as error:
        run = make_model_run(as_of, name, "not enough data", str(error), 0)
        return pl.DataFrame(schema=schema), run, no_backtests()
    scores = predict(model) if model.status == "used" else pl.DataFrame(schema=schema)
    params = describe_model(model) | described | {"bands": dict(bands) | {"margin": MARGIN}}
    whole = model_to_dict(model) | described
    run = make_model_run(as_of, name, model.status, model.message, len(scores), params, model.metrics, whole)
    return scores, run, make_event_backtests(as_of, name, days, model)


@on_one_thread()
def score_event(customers, model, schema, bands, previous_bands, reasons, reason_of, add_derived):
    """Scores of schema (customer_id, as_of, a probability, a band, reasons) of the customers, sorted by key.

    The band is last night's while the probability lies within MARGIN of it. reasons: groups of features with their words, of
    which those that raise this customer's chance most above that of a typical one are told; reason_of: feature -> its group.
    """
    # compared with everybody who is scored, not with those of a chunk
    customers = add_comparisons(customers.sort("customer_id", "as_of"))
    probability, band = list(schema)[2:4]
    parts = [pl.DataFrame(schema=schema)]
    for start in range(0, len(customers), CHUNK_ROWS):
        chunk = add_derived(customers[start : start + CHUNK_ROWS])
        values = encode(chunk, model.encoding)
        chances = pl.Series(probability, expit(model.log_odds(values))).round(6)
        contributions = model.contributions(values, reason_of, len(reasons))
        scores = chunk.select("customer_id", "as_of", chances, pl.lit(None).alias(band))
        scores = scores.hstack(word_reasons(chunk, contributions, reasons))
        parts.append(scores.select(pl.col(name).cast(kind) for name, kind in schema.items()))
    scores = pl.concat(parts)
    # once for all: a chunk at a time, each would be held against everybody of the night before
    return scores.with_columns(choose_bands(scores, probability, bands, previous_bands).alias(band))
