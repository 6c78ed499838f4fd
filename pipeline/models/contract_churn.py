"""Churn of customers with a contract: the chance that it ends in the next H days and is not renewed."""

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.special import expit

from pipeline.models import measures
from pipeline.models.bands import MARGIN, choose_bands
from pipeline.models.churn import BANDS, SCHEMA
from pipeline.models.churn_reasons import word_reasons
from pipeline.models.classifiers import encode
from pipeline.models.contract_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, add_derived
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

CHUNK_ROWS = 200_000
CONTRACT_CHURN = Event(
    "contract_churned",
    "is_churned",
    "customers with a contract",
    "contracts that ended",
    "contracts that ran on",
    NUMERIC,
    CATEGORICAL,
    "contract_age_days",
    ("contract_days_to_end", "contract_days_since_end", "subscriber_days"),
)


def run_contract_churn(
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
    """Fit, judge and, where the model holds up, score tonight's customers with a contract.

    training, calibration, test: customer facts at earlier cut-offs (column as_of) with is_churned: no contract is left
    when the horizon is over. champion, previous_bands: as of run_churn. Returns (scores of SCHEMA sorted by customer_id, no
    rows unless the status is 'used'; model_run dict; backtests frame). Raises ValueError when the label windows [cut-off,
    cut-off + horizon_days) of the three, or test's and tonight, overlap. kept: what the model file of an earlier night holds;
    then nothing is fitted, and it scores.
    """
    if kept:
        scores = predict_contract_churn(facts, model_from_dict(kept, CONTRACT_CHURN), previous_bands)
        return scores, make_model_run(as_of, "contract_churn", "used", "", len(scores)), no_backtests()
    check_windows("contract_churn", training, calibration, test, as_of, horizon_days)
    try:
        model = fit_contract_churn(training, calibration, test, horizon_days, seed, champion, facts)
    except NotEnoughData as error:
        run = make_model_run(as_of, "contract_churn", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    scores = pl.DataFrame(schema=SCHEMA)
    if model.status == "used":
        scores = predict_contract_churn(facts, model, previous_bands)
    params = describe_model(model) | {"horizon_days": horizon_days, "bands": dict(BANDS) | {"margin": MARGIN}}
    whole = model_to_dict(model)
    run = make_model_run(
        as_of, "contract_churn", model.status, model.message, len(scores), params, model.metrics, whole
    )
    return scores, run, make_event_backtests(as_of, "contract_churn", horizon_days, model)


def fit_contract_churn(training, calibration, test, horizon_days=90, seed=20260101, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome.

    Customers are chosen here: has_contract, profiling not refused.
    """
    sets = (_select_with_contract(rows) for rows in (training, calibration, test))
    to_score = None if tonight is None else _select_with_contract(tonight)
    return fit_event(CONTRACT_CHURN, *sets, seed, window_days=horizon_days, champion=champion, tonight=to_score)


@on_one_thread()
def predict_contract_churn(facts, model, previous_bands=None):
    """Scores of SCHEMA for tonight's customers with a contract who did not refuse profiling, sorted by customer_id.

    Bands and reasons are made as churn's: see predict_churn.
    """
    customers = _select_with_contract(facts)
    parts = [pl.DataFrame(schema=SCHEMA)]
    for start in range(0, len(customers), CHUNK_ROWS):
        chunk = customers[start : start + CHUNK_ROWS]
        values = encode(chunk, model.encoding)
        probability = pl.Series(expit(model.log_odds(values))).round(6)
        contributions = model.contributions(values, REASON_OF, len(REASONS))
        scores = chunk.select("customer_id", "as_of", churn_probability=probability, churn_band=None)
        scores = scores.hstack(word_reasons(chunk, contributions, REASONS))
        parts.append(scores.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()))
    scores = pl.concat(parts)
    return scores.with_columns(churn_band=choose_bands(scores, "churn_probability", BANDS, previous_bands))


def cross_fit_contract_churn(rows, numeric, categorical, rule_column, folds=5, seed=20260101):
    """How well this model foretells contracts of a data set of its own: probabilities of rows it has not seen.

    rows: frame with customer_id (unique), is_churned and the features named. Each fold is scored as a night scores its
    customers, by a model of the other rows alone: half of them train, a quarter calibrates, a quarter is the test by which the
    classifier is chosen and which then calibrates the final fit on the rest. Returns (probabilities, fold of each row),
    arrays (n_rows,). Raises NotEnoughData as fit_contract_churn does.
    """
    event = replace(CONTRACT_CHURN, numeric=tuple(numeric), categorical=tuple(categorical), rule_column=rule_column)
    # one moment: folds of customers stand in for cut-offs
    rows = rows.with_columns(as_of=pl.lit(None, dtype=pl.Date))
    rng = np.random.default_rng(seed)
    fold_of = rng.permutation(len(rows)) % folds
    probability = np.empty(len(rows))
    for fold in range(folds):
        others = rng.permutation(np.flatnonzero(fold_of != fold))
        half, three_quarters = len(others) // 2, len(others) * 3 // 4
        sets = (rows[np.sort(part)] for part in np.split(others, [half, three_quarters]))
        model = fit_event(event, *sets, seed)
        held_out = fold_of == fold
        probability[held_out] = expit(model.log_odds(encode(rows.filter(pl.Series(held_out)), model.encoding)))
    return probability, fold_of


def measure_folds(actual, probability, fold_of):
    """AUC of the folds (mean and sd), and Brier score, calibration slope and intercept over all rows, as a dict."""
    aucs = [measures.auc(actual[fold_of == fold], probability[fold_of == fold]) for fold in np.unique(fold_of)]
    slope, intercept = measures.calibration_line(actual, probability)
    return {
        "auc_mean": float(np.mean(aucs)),
        "auc_sd": float(np.std(aucs, ddof=1)),
        "brier": measures.brier(actual, probability),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


def _select_with_contract(facts):
    if "has_contract" not in facts.columns:
        facts = facts.with_columns(has_contract=pl.lit(False))
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return add_derived(facts.filter(pl.col("has_contract").fill_null(False) & allowed)).sort("customer_id", "as_of")
