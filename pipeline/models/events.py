"""The chance of an event (churn, a purchase) in a window after a cut-off.

Two classifiers are tested on rolling origins (event_origins): the one in use stays unless the other is better beyond the
bootstrap interval of the difference, and it gives scores only if it beats every baseline beyond it. Then it is fitted anew
with the newest data: all cut-offs but the newest train it, and the newest calibrates.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from pipeline.chance_levels import judge_level
from pipeline.models import bootstrap, event_origins, measures
from pipeline.models.classifiers import Boosting, Encoding, Logistic
from pipeline.models.event_origins import CANDIDATES, check_size, compare_losses, fit_one
from pipeline.models.leakage import find_leaks
from pipeline.models.records import NotEnoughData, make_backtests, no_backtests


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
    # dated by the records themselves, they may rightly tell nearly all: no sign of a leak
    certain: tuple = ()
    # sets of features that may be written together, so that they are judged together; any other feature stands for itself
    kin: tuple = ()
    # features, beside those above, that rightly tell more than the others leave open
    honest: tuple = ()


@dataclass(frozen=True)
class EventModel:
    """A fitted model, in memory only.

    status: 'used' or 'held'. tests: (cut-off, list of Measured) of each origin, newest first.
    """

    event: Event
    classifier: Logistic | Boosting
    encoding: Encoding
    slope: float
    intercept: float
    status: str
    message: str
    metrics: dict = field(default_factory=dict)
    tests: list = field(default_factory=list)

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
def fit_event(event, training, calibration, test, seed=20260101, window_days=None, champion=None, tonight=None):
    """An EventModel with its tests. Raises NotEnoughData when a set has too few rows of either outcome.

    training, calibration, test: frames sorted by key (customer_id, as_of) with the features and the label, at cut-offs whose
    windows do not overlap. window_days: length of the label windows, by which the cut-offs of training serve as further
    origins; None: one origin. champion: name of the classifier in use on the last night, or None. tonight: the rows that will be
    scored, for the check that past and present look alike; or None.
    """
    for name, rows in {"training": training, "calibration": calibration, "test": test}.items():
        check_size(event, name, rows)
    origins = []
    for sets in event_origins.split_origins(training, calibration, test, window_days):
        try:
            for name, rows in zip(("training", "calibration", "test"), sets, strict=True):
                check_size(event, name, rows)
        except NotEnoughData:
            break
        origins.append(event_origins.try_origin(event, *sets, seed))
    kind, versus = _choose(origins, champion, seed)
    status, message = _judge(origins, kind.name, seed, kind.name == champion)
    leaks = find_leaks(event, pl.concat([training, calibration]), test, origins[0], tonight, seed)
    if leaks:
        status, message = "held", leaks
    final = fit_one(event, kind, pl.concat([training, calibration]), test, seed)
    if status == "used" and not final.slope > 0:
        status, message = "held", f"at the newest cut-off the ranking is reversed or gone (slope {final.slope:.2f})"
    newest = origins[0]
    metrics = {
        "champion": kind.name,
        "challenger_log_loss_difference": versus,
        "origins": [str(origin.test["as_of"].max()) for origin in origins],
        "row_counts": {"training": len(training) + len(calibration), "calibration": len(test), "test": len(test)},
        f"{event.name}_shares": {
            "training": float(np.mean(event_origins.labels(event, pl.concat([training, calibration])))),
            "calibration": float(newest.actual.mean()),
        },
        "features": list(final.encoding.names),
        **{name: measure(newest.actual, newest.forecasts[kind.name]) for name, measure in bootstrap.MEASURES.items()},
    }
    tests = [
        (origin.test["as_of"].max(), event_origins.measure_origin(origin, kind.name, seed + place))
        for place, origin in enumerate(origins)
    ]
    return EventModel(event, *final, status, message, metrics, tests)


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


def make_event_backtests(as_of, name, horizon_days, model):
    """Frame of BACKTEST_SCHEMA: every origin's figures."""
    parts = [make_backtests(as_of, name, cut_off, horizon_days, rows) for cut_off, rows in model.tests]
    return pl.concat([no_backtests(), *parts])


def describe_model(model):
    """What is known of the model as plain numbers and strings."""
    return {
        "classifier": model.classifier.name,
        "features": list(model.encoding.names),
        "levels": model.encoding.categorical,
        "calibration": {"slope": model.slope, "intercept": model.intercept},
        **model.classifier.describe(),
    }


def _choose(origins, champion, seed):
    # the one in use stays, the simpler one comes first: the other has to be better beyond doubt
    names = {kind.name: kind for kind in CANDIDATES}
    champion = champion if champion in names else CANDIDATES[0].name
    found = {}
    for challenger in sorted(set(names) - {champion}):
        difference, low, high = compare_losses(origins, challenger, champion, seed)
        found = {"challenger": challenger, "champion_before": champion, "value": difference, "low": low, "high": high}
        if high < 0:
            return names[challenger], found
    return names[champion], found


def _judge(origins, name, seed, is_in_use=False):
    """('used' or 'held', why). What is in use stays while it is better over the origins at all: a shop near the line would
    else have scores on one night and none on the next."""
    newest = origins[0]
    slope = newest.slopes[name]
    if not slope > 0:
        return (
            "held",
            f"on the calibration cut-off the ranking is reversed or gone (slope {slope:.2f}): the past misleads",
        )
    losses = {one: float(np.mean(event_origins.row_losses(newest.actual, p))) for one, p in newest.forecasts.items()}
    best = min(newest.baselines, key=lambda baseline: losses[baseline])
    against = f"test log loss {losses[name]:.4f}, baseline '{best}' {losses[best]:.4f}"
    if not (is_in_use or losses[name] < losses[best]):
        return "held", f"{name} is no better than the baseline at the newest test cut-off: {against}"
    kept = []
    if not losses[name] < losses[best]:
        kept.append(f"kept although no better than the baseline '{best}' at the newest test cut-off")
    for baseline in newest.baselines:
        difference, low, high = compare_losses(origins, name, baseline, seed)
        if not (difference if is_in_use else high) < 0:
            return "held", (
                f"{name} is no better than the baseline '{baseline}' beyond chance: log loss {difference:+.4f}"
                f" ({low:+.4f} to {high:+.4f}) over {len(origins)} test cut-off(s)"
            )
        if not high < 0:
            kept.append(
                f"kept although better than the baseline '{baseline}' not beyond chance: log loss {difference:+.4f}"
                f" ({low:+.4f} to {high:+.4f}) over {len(origins)} test cut-off(s)"
            )
    auc = bootstrap.MEASURES["auc"](newest.actual, newest.forecasts[name])
    return "used", "; ".join([f"{name}: test AUC {auc:.3f}, {against}", _say_level(newest, name), *kept])


def _say_level(origin, name):
    """Which share was foretold at a test and which came: the line that calibrates takes on its cut-off's season."""
    foretold, came, verdict = judge_level(measures.deciles(origin.actual, origin.forecasts[name]))
    words = f"at the newest test cut-off {100 * foretold:.1f} % foretold, {100 * came:.1f} % came"
    return words + (f": too {verdict} beyond chance, the ranks tell more than the chances" if verdict else "")
