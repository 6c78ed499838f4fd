"""Churn of active customers: the chance that who bought in the last H days buys nothing in the next H.

Two classifiers compete by cross-validation on the training cut-offs; the winner's probabilities are
calibrated on a later cut-off and judged once on a later one still. It is used only when it beats both
baselines there.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl
from scipy.special import expit
from threadpoolctl import threadpool_limits

from pipeline.models import measures
from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC, REASON_OF, REASONS, add_derived, word_reasons
from pipeline.models.classifiers import Boosting, Encoding, Logistic, choose_classifier, encode, fit_encoding
from pipeline.models.records import NotEnoughData, make_backtests, make_model_run, no_backtests

HIGH_FROM = 0.7
MEDIUM_FROM = 0.4
MIN_TRAINING_ROWS = 200
MIN_TRAINING_CLASS = 30
MIN_OTHER_ROWS = 50
MIN_OTHER_CLASS = 10
SUSPICIOUS_AUC = 0.98
TRAINING_ROWS = 200_000
CHOICE_ROWS = 40_000
CHUNK_ROWS = 200_000

SCHEMA = {
    "customer_id": pl.String,
    "as_of": pl.Date,
    "churn_probability": pl.Float64,
    "churn_band": pl.String,
    **{f"reason_{rank}{language}": pl.String for language in ("", "_zh") for rank in (1, 2, 3)},
}


@dataclass(frozen=True)
class ChurnModel:
    """A fitted model, in memory only.

    status: 'used' or 'held'. test_rows: tuples (metric, value, baseline, baseline_value, row_count).
    """

    classifier: Logistic | Boosting
    encoding: Encoding
    slope: float
    intercept: float
    horizon_days: int
    status: str
    message: str
    metrics: dict = field(default_factory=dict)
    test_rows: list = field(default_factory=list)


def _on_one_thread():
    # sums over several threads differ in their last digits from run to run
    return threadpool_limits.wrap(limits=1)


def run_churn(facts, as_of, training, calibration, test, horizon_days=90, seed=20260101):
    """Fit, judge and, where the model holds up, score tonight's active customers.

    training, calibration, test: customer facts at earlier cut-offs (column as_of) with is_churned. Returns
    (scores of SCHEMA sorted by customer_id, no rows unless the status is 'used'; model_run dict; backtests
    frame). Raises ValueError when the label windows [cut-off, cut-off + horizon_days) of the three, or test's
    and tonight, overlap.
    """
    check_windows(training, calibration, test, as_of, horizon_days)
    try:
        model = fit_churn(training, calibration, test, horizon_days, seed)
    except NotEnoughData as error:
        run = make_model_run(as_of, "churn", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    scores = predict_churn(facts, model) if model.status == "used" else pl.DataFrame(schema=SCHEMA)
    run = make_model_run(as_of, "churn", model.status, model.message, len(scores), describe_model(model), model.metrics)
    return scores, run, make_backtests(as_of, "churn", test["as_of"].max(), horizon_days, model.test_rows)


@_on_one_thread()
def fit_churn(training, calibration, test, horizon_days=90, seed=20260101):
    """A ChurnModel with its test results. Raises NotEnoughData when a set has too few rows of either outcome.

    Customers are chosen here: recency_days <= horizon_days, profiling not refused.
    """
    sets = {
        name: _select_active(frame, horizon_days)
        for name, frame in (("training", training), ("calibration", calibration), ("test", test))
    }
    for name, rows in sets.items():
        _check_size(name, rows)
    rng = np.random.default_rng(seed)
    learning = _sample(sets["training"], TRAINING_ROWS, rng)
    encoding = fit_encoding(learning, NUMERIC, CATEGORICAL)
    if not encoding.names:
        raise NotEnoughData("features that differ between customers", 1, 0)
    kind, losses = _choose(_sample(learning, CHOICE_ROWS, rng), encoding, seed)
    classifier = kind(encoding, seed).fit(encode(learning, encoding), _labels(learning))

    later = sets["calibration"]
    slope, intercept = measures.calibration_line(_labels(later), expit(classifier.log_odds(encode(later, encoding))))
    actual = _labels(sets["test"])
    probability = _calibrate(classifier.log_odds(encode(sets["test"], encoding)), slope, intercept)
    baselines = _predict_baselines(sets)
    status, message = _judge(actual, probability, baselines, slope, kind.name)
    metrics = {
        "champion": kind.name,
        "cross_validated_log_loss": losses,
        "row_counts": {name: len(rows) for name, rows in sets.items()},
        "churned_shares": {name: float(_labels(rows).mean()) for name, rows in sets.items()},
        "features": list(encoding.names),
        **{name: measure(actual, probability) for name, measure in TEST_MEASURES.items()},
    }
    rows = _compare(actual, probability, baselines)
    return ChurnModel(classifier, encoding, slope, intercept, horizon_days, status, message, metrics, rows)


@_on_one_thread()
def predict_churn(facts, model):
    """Scores of SCHEMA for tonight's active customers who did not refuse profiling, sorted by customer_id.

    churn_band: high from 0.7, medium from 0.4, else low. Reasons: the feature groups that raise this
    customer's risk most above that of a typical one, in words; null when there are fewer than three.
    """
    customers = _select_active(facts, model.horizon_days)
    parts = [pl.DataFrame(schema=SCHEMA)]
    for start in range(0, len(customers), CHUNK_ROWS):
        chunk = customers[start : start + CHUNK_ROWS]
        values = encode(chunk, model.encoding)
        probability = _calibrate(model.classifier.log_odds(values), model.slope, model.intercept)
        contributions = model.classifier.contributions(values, REASON_OF, len(REASONS)) * model.slope
        scores = chunk.select("customer_id", "as_of").with_columns(churn_probability=pl.Series(probability).round(6))
        band = (
            pl.when(pl.col("churn_probability") >= HIGH_FROM)
            .then(pl.lit("high"))
            .when(pl.col("churn_probability") >= MEDIUM_FROM)
            .then(pl.lit("medium"))
            .otherwise(pl.lit("low"))
        )
        scores = scores.with_columns(churn_band=band).hstack(word_reasons(chunk, contributions))
        parts.append(scores.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()))
    return pl.concat(parts)


def check_windows(training, calibration, test, as_of, horizon_days):
    """Refuse cut-offs whose label windows [cut-off, cut-off + horizon_days) overlap; pass over empty sets."""
    starts = [("tonight", as_of, None)]
    for name, frame in (("test", test), ("calibration", calibration), ("training", training)):
        if len(frame) == 0:
            continue
        latest, first = frame["as_of"].max(), frame["as_of"].min()
        after, begins, _ = starts[-1]
        if latest + timedelta(days=horizon_days) > begins:
            raise ValueError(
                f"churn: the {name} cut-off {latest} looks {horizon_days} days ahead, past {after}"
                f" ({begins}); move the {name} cut-off to {begins - timedelta(days=horizon_days)} or earlier"
            )
        starts.append((name, first, None))


def describe_model(model):
    """What is known of the model as plain numbers and strings."""
    return {
        "classifier": model.classifier.name,
        "features": list(model.encoding.names),
        "levels": model.encoding.categorical,
        "calibration": {"slope": model.slope, "intercept": model.intercept},
        "horizon_days": model.horizon_days,
        "bands": {"high": HIGH_FROM, "medium": MEDIUM_FROM},
        **model.classifier.describe(),
    }


def _slope(actual, probability):
    return measures.calibration_line(actual, probability)[0]


def _intercept(actual, probability):
    return measures.calibration_line(actual, probability)[1]


TEST_MEASURES = {
    "auc": measures.auc,
    "pr_auc": measures.pr_auc,
    "brier": measures.brier,
    "log_loss": measures.log_loss,
    "lift_10": measures.lift,
    "calibration_slope": _slope,
    "calibration_intercept": _intercept,
}


def _select_active(facts, horizon_days):
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    active = facts.filter((pl.col("order_count") > 0) & (pl.col("recency_days") <= horizon_days) & allowed)
    return add_derived(active).sort("customer_id", "as_of")


def _labels(rows):
    return rows["is_churned"].cast(pl.Float64).to_numpy()


def _check_size(name, rows):
    least, least_class = (
        (MIN_TRAINING_ROWS, MIN_TRAINING_CLASS) if name == "training" else (MIN_OTHER_ROWS, MIN_OTHER_CLASS)
    )
    if len(rows) < least:
        raise NotEnoughData(f"active customers at the {name} cut-off", least, len(rows))
    churned = int(rows["is_churned"].sum())
    if churned < least_class:
        raise NotEnoughData(f"customers who left after the {name} cut-off", least_class, churned)
    if len(rows) - churned < least_class:
        raise NotEnoughData(f"customers who stayed after the {name} cut-off", least_class, len(rows) - churned)


def _sample(rows, size, rng):
    if len(rows) <= size:
        return rows
    return rows[np.sort(rng.choice(len(rows), size, replace=False))]


def _choose(rows, encoding, seed):
    customers = np.unique(rows["customer_id"].to_numpy(), return_inverse=True)[1]
    return choose_classifier(encode(rows, encoding), _labels(rows), customers, encoding, seed)


def _calibrate(log_odds, slope, intercept):
    return expit(slope * log_odds + intercept)


def _predict_baselines(sets):
    # what anyone would do without a model: everybody the same chance, or a chance by days since the last
    # order alone
    known = pl.concat([sets[name].select("recency_days", "is_churned") for name in ("training", "calibration")])
    base_rate = np.full(len(sets["test"]), _labels(known).mean())
    encoding = Encoding(("recency_days",), {})
    rule = Logistic(encoding, 0).fit(encode(known, encoding), _labels(known))
    return {"base rate": base_rate, "recency only": expit(rule.log_odds(encode(sets["test"], encoding)))}


def _judge(actual, probability, baselines, slope, name):
    auc = measures.auc(actual, probability)
    loss = measures.log_loss(actual, probability)
    best = min(baselines, key=lambda baseline: measures.log_loss(actual, baselines[baseline]))
    best_loss = measures.log_loss(actual, baselines[best])
    if auc > SUSPICIOUS_AUC:
        return "held", (
            f"test AUC {auc:.3f} is too good to be true (limit {SUSPICIOUS_AUC}):"
            " look for a feature that knows the outcome"
        )
    if not slope > 0:
        return (
            "held",
            f"on the calibration cut-off the ranking is reversed (slope {slope:.2f}): the past misleads",
        )
    if not loss < best_loss:
        return "held", f"test log loss {loss:.4f} is no better than the baseline '{best}' ({best_loss:.4f})"
    return "used", f"{name}: test AUC {auc:.3f}, log loss {loss:.4f} against {best_loss:.4f} ('{best}')"


def _compare(actual, probability, baselines):
    n = len(actual)
    rows = [
        (name, measure(actual, probability), baseline, measure(actual, baselines[baseline]), n)
        for name, measure in TEST_MEASURES.items()
        for baseline in baselines
    ]
    for position, (predicted, happened, count) in enumerate(measures.deciles(actual, probability), start=1):
        rows.append((f"calibration_decile_{position:02d}", predicted, "actual", happened, count))
    return rows
