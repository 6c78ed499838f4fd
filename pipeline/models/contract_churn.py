"""Churn of customers with a contract: the chance that it ends in the next H days and is not renewed."""

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.special import expit

from pipeline.models import measures
from pipeline.models.churn import BANDS, SCHEMA
from pipeline.models.churn_reasons import HONEST_GROUPS, LINKED_GROUPS, join_groups
from pipeline.models.classifiers import encode
from pipeline.models.contract_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, add_derived
from pipeline.models.event_scores import run_event, score_event
from pipeline.models.events import Event, fit_event

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
    *join_groups(
        REASONS,
        (*HONEST_GROUPS, "contract_end", "contract_age", "contract_history", "contract_status"),
        (*LINKED_GROUPS, ("contract_plan", "contract_amount")),
    ),
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
    return run_event(
        "contract_churn",
        CONTRACT_CHURN,
        SCHEMA,
        BANDS,
        as_of,
        (training, calibration, test),
        horizon_days,
        {"horizon_days": horizon_days},
        lambda *sets: fit_contract_churn(*sets, horizon_days, seed, champion, facts),
        lambda model: predict_contract_churn(facts, model, previous_bands),
        kept,
    )


def fit_contract_churn(training, calibration, test, horizon_days=90, seed=20260101, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome.

    Customers are chosen here: has_contract, profiling not refused.
    """
    sets = (_select_with_contract(rows) for rows in (training, calibration, test))
    to_score = None if tonight is None else _select_with_contract(tonight)
    return fit_event(CONTRACT_CHURN, *sets, seed, window_days=horizon_days, champion=champion, tonight=to_score)


def predict_contract_churn(facts, model, previous_bands=None):
    """Scores of SCHEMA for tonight's customers with a contract who did not refuse profiling, sorted by customer_id.

    Bands and reasons are made as churn's: see predict_churn.
    """
    customers = _with_contract(facts)
    return score_event(customers, model, SCHEMA, BANDS, previous_bands, REASONS, REASON_OF, add_derived)


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


def _with_contract(facts):
    if "has_contract" not in facts.columns:
        facts = facts.with_columns(has_contract=pl.lit(False))
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    return facts.filter(pl.col("has_contract").fill_null(False) & allowed)


def _select_with_contract(facts):
    return add_derived(_with_contract(facts)).sort("customer_id", "as_of")
