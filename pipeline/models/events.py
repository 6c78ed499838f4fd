"""The chance of an event (churn, a purchase) in a window after a cut-off.

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
from pipeline.models.classifiers import Boosting, Encoding, Logistic, choose_classifier, encode, fit_encoding
from pipeline.models.records import NotEnoughData

MIN_TRAINING_ROWS = 200
MIN_TRAINING_CLASS = 30
MIN_OTHER_ROWS = 50
MIN_OTHER_CLASS = 10
SUSPICIOUS_AUC = 0.98
TRAINING_ROWS = 200_000
CHOICE_ROWS = 40_000


@dataclass(frozen=True)
class Event:
    """What is foretold. label: boolean column of the sets. rows: who is in them; yes, no: who had the event and who had
    not, in words for messages."""

    name: str
    label: str
    rows: str
    yes: str
    no: str
    numeric: tuple
    categorical: tuple
    # a chance by this column alone is what anyone would do without a model
    rule_column: str = "recency_days"


@dataclass(frozen=True)
class EventModel:
    """A fitted model, in memory only.

    status: 'used' or 'held'. test_rows: tuples (metric, value, baseline, baseline_value, row_count).
    """

    event: Event
    classifier: Logistic | Boosting
    encoding: Encoding
    slope: float
    intercept: float
    status: str
    message: str
    metrics: dict = field(default_factory=dict)
    test_rows: list = field(default_factory=list)

    def log_odds(self, values):
        """Calibrated log-odds of encoded rows: array (n_rows,)."""
        return self.slope * self.classifier.log_odds(values) + self.intercept

    def contributions(self, values, group_of, groups):
        """What each group of features adds to the calibrated log-odds: array (n_rows, groups)."""
        return self.classifier.contributions(values, group_of, groups) * self.slope


def on_one_thread():
    """Decorator: sums over several threads differ in their last digits from run to run."""
    return threadpool_limits.wrap(limits=1)


@on_one_thread()
def fit_event(event, training, calibration, test, seed=20260101):
    """An EventModel with its test results. Raises NotEnoughData when a set has too few rows of either outcome.

    training, calibration, test: frames sorted by key with the features and the label, at cut-offs whose windows do not overlap.
    """
    sets = {"training": training, "calibration": calibration, "test": test}
    for name, rows in sets.items():
        _check_size(event, name, rows)
    rng = np.random.default_rng(seed)
    learning = _sample(training, TRAINING_ROWS, rng)
    encoding = fit_encoding(learning, event.numeric, event.categorical)
    if not encoding.names:
        raise NotEnoughData("features that differ between customers", 1, 0)
    kind, losses = _choose(event, _sample(learning, CHOICE_ROWS, rng), encoding, seed)
    classifier = kind(encoding, seed).fit(encode(learning, encoding), _labels(event, learning))

    slope, intercept = measures.calibration_line(
        _labels(event, calibration), expit(classifier.log_odds(encode(calibration, encoding)))
    )
    actual = _labels(event, test)
    probability = expit(slope * classifier.log_odds(encode(test, encoding)) + intercept)
    baselines = _predict_baselines(event, sets)
    status, message = _judge(actual, probability, baselines, slope, kind.name)
    metrics = {
        "champion": kind.name,
        "cross_validated_log_loss": losses,
        "row_counts": {name: len(rows) for name, rows in sets.items()},
        f"{event.name}_shares": {name: float(_labels(event, rows).mean()) for name, rows in sets.items()},
        "features": list(encoding.names),
        **{name: measure(actual, probability) for name, measure in TEST_MEASURES.items()},
    }
    rows = _compare(actual, probability, baselines)
    return EventModel(event, classifier, encoding, slope, intercept, status, message, metrics, rows)


def check_windows(name_of_model, training, calibration, test, as_of, horizon_days):
    """Refuse cut-offs whose label windows [cut-off, cut-off + horizon_days) overlap; pass over empty sets."""
    starts = [("tonight", as_of, None)]
    for name, frame in (("test", test), ("calibration", calibration), ("training", training)):
        if len(frame) == 0:
            continue
        latest, first = frame["as_of"].max(), frame["as_of"].min()
        after, begins, _ = starts[-1]
        if latest + timedelta(days=horizon_days) > begins:
            raise ValueError(
                f"{name_of_model}: the {name} cut-off {latest} looks {horizon_days} days ahead, past {after}"
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


def _labels(event, rows):
    return rows[event.label].cast(pl.Float64).to_numpy()


def _check_size(event, name, rows):
    least, least_class = (
        (MIN_TRAINING_ROWS, MIN_TRAINING_CLASS) if name == "training" else (MIN_OTHER_ROWS, MIN_OTHER_CLASS)
    )
    if len(rows) < least:
        raise NotEnoughData(f"{event.rows} at the {name} cut-off", least, len(rows))
    happened = int(rows[event.label].sum())
    if happened < least_class:
        raise NotEnoughData(f"{event.yes} after the {name} cut-off", least_class, happened)
    if len(rows) - happened < least_class:
        raise NotEnoughData(f"{event.no} after the {name} cut-off", least_class, len(rows) - happened)


def _sample(rows, size, rng):
    if len(rows) <= size:
        return rows
    return rows[np.sort(rng.choice(len(rows), size, replace=False))]


def _choose(event, rows, encoding, seed):
    customers = np.unique(rows["customer_id"].to_numpy(), return_inverse=True)[1]
    return choose_classifier(encode(rows, encoding), _labels(event, rows), customers, encoding, seed)


def _predict_baselines(event, sets):
    # what anyone would do without a model: everybody the same chance, or a chance by days since the last
    # order alone
    known = pl.concat([sets[name].select(event.rule_column, event.label) for name in ("training", "calibration")])
    base_rate = np.full(len(sets["test"]), _labels(event, known).mean())
    encoding = Encoding((event.rule_column,), {})
    rule = Logistic(encoding, 0).fit(encode(known, encoding), _labels(event, known))
    return {
        "base rate": base_rate,
        f"{event.rule_column.removesuffix('_days')} only": expit(rule.log_odds(encode(sets["test"], encoding))),
    }


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
