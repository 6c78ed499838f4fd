"""How well each classifier foretells an event: tests on rolling origins, against baselines and against each other.

An origin is a cut-off that plays the test, an earlier one that calibrates, and all earlier still that train. What is chosen
and believed hangs on what was measured there, never on rows that a classifier or its calibration has seen.
"""

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.special import expit, logit

from pipeline.models import bootstrap, measures
from pipeline.models.classifiers import Boosting, Encoding, Logistic, encode, fit_encoding
from pipeline.models.records import Measured, NotEnoughData

CANDIDATES = (Logistic, Boosting)
MAX_ORIGINS = 3
MIN_TRAINING_ROWS = 200
MIN_TRAINING_CLASS = 30
MIN_OTHER_ROWS = 50
MIN_OTHER_CLASS = 10
TRAINING_ROWS = 200_000


class Fitted(NamedTuple):
    """A classifier with the line that calibrates its log-odds, and the columns that it reads."""

    classifier: Logistic | Boosting
    encoding: Encoding
    slope: float
    intercept: float


class Origin(NamedTuple):
    """One test. forecasts: probabilities by the name of a classifier or baseline, in the order of the test rows."""

    test: pl.DataFrame
    actual: np.ndarray
    forecasts: dict
    baselines: tuple
    slopes: dict


def split_origins(training, calibration, test, window_days):
    """Up to MAX_ORIGINS triples (training, calibration, test), newest first; the given one is the first.

    window_days: length of the label windows, by which further cut-offs (as_of) of training may play test and calibration, at
    least so far apart; None: the given triple alone.
    """
    origins = [(training, calibration, test)]
    while window_days and len(origins) < MAX_ORIGINS:
        training, calibration, _ = origins[-1]
        if len(calibration) == 0 or len(training) == 0:
            break
        latest = training["as_of"].max()
        edge = latest - timedelta(days=window_days)
        earlier = training.filter(pl.col("as_of") <= edge)
        # the calibration cut-off moves up to be the test
        origins.append((earlier, training.filter(pl.col("as_of") == latest), calibration))
    return origins


def check_size(event, name, rows):
    """Raise NotEnoughData when a set has too few rows, or too few of either outcome."""
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


def fit_one(event, kind, training, calibration, seed):
    """A Fitted of this kind. Raises NotEnoughData where no feature differs between customers."""
    learning = _sample(training, TRAINING_ROWS, np.random.default_rng(seed))
    encoding = fit_encoding(learning, event.numeric, event.categorical)
    if not encoding.names:
        raise NotEnoughData("features that differ between customers", 1, 0)
    classifier = kind(encoding, seed).fit(encode(learning, encoding), labels(event, learning))
    came = labels(event, calibration)
    slope, intercept = measures.calibration_line(came, expit(classifier.log_odds(encode(calibration, encoding))))
    if np.isnan(slope):
        # all alike there: what is left is the share, and nothing to rank by
        slope, intercept = 0.0, float(logit(came.mean()))
    return Fitted(classifier, encoding, slope, intercept)


def try_origin(event, training, calibration, test, seed):
    """An Origin: every candidate and baseline fitted without the test rows, and what they say of them."""
    forecasts, slopes = {}, {}
    for kind in CANDIDATES:
        fitted = fit_one(event, kind, training, calibration, seed)
        odds = fitted.classifier.log_odds(encode(test, fitted.encoding))
        forecasts[kind.name] = expit(fitted.slope * odds + fitted.intercept)
        slopes[kind.name] = fitted.slope
    baselines = _predict_baselines(event, training, calibration, test)
    return Origin(test, labels(event, test), forecasts | baselines, tuple(baselines), slopes)


def measure_origin(origin, champion, seed):
    """List of Measured: each candidate against each baseline and against the champion, and its calibration by decile."""
    candidates = [kind.name for kind in CANDIDATES]
    return measure_chances(origin.actual, origin.forecasts, candidates, origin.baselines, champion, seed)


def measure_chances(
    actual,
    forecasts,
    candidates,
    baselines,
    champion,
    seed,
    names=tuple(bootstrap.MEASURES),
    prefix="",
    tenths="calibration_",
):
    """List of Measured of chances of an event: each candidate against each baseline and against the champion, and by decile.

    actual: 0/1 array. forecasts: probabilities by name, of candidates and baselines. names: of bootstrap.MEASURES. prefix, tenths:
    what the names of measures and of deciles begin with.
    """
    draws = bootstrap.draw_measures(actual, forecasts, seed)
    values = {
        name: {metric: bootstrap.MEASURES[metric](actual, forecast) for metric in names}
        for name, forecast in forecasts.items()
    }
    rows, n = [], len(actual)
    for candidate in candidates:
        against = (*baselines, *({champion} - {candidate, None}))
        for metric in names:
            low_high = bootstrap.interval(draws[candidate][metric])
            for baseline in against:
                difference = bootstrap.interval(draws[candidate][metric] - draws[baseline][metric])
                pair = values[candidate][metric], baseline, values[baseline][metric]
                rows.append(Measured(f"{prefix}{metric}", *pair, n, candidate, *low_high, *difference))
        drawn = draws[candidate][bootstrap.DECILES]
        for place, (said, came, count) in enumerate(measures.deciles(actual, forecasts[candidate])):
            ends = bootstrap.interval(drawn[:, 0, place])
            gap = bootstrap.interval(drawn[:, 0, place] - drawn[:, 1, place])
            name = f"{tenths}decile_{place + 1:02d}"
            rows.append(Measured(name, said, "actual", came, count, candidate, *ends, *gap))
    return rows


def compare_losses(origins, one, other, seed):
    """(mean log loss of one less other, low, high) over all origins' rows, with a 95 % bootstrap interval over customers."""
    differences = np.concatenate(
        [row_losses(o.actual, o.forecasts[one]) - row_losses(o.actual, o.forecasts[other]) for o in origins]
    )
    customers = np.concatenate([o.test["customer_id"].to_numpy() for o in origins])
    return float(differences.mean()), *bootstrap.interval_of_mean(differences, customers, seed)


def row_losses(actual, probability):
    """Log loss of each row, in nats."""
    p = np.clip(probability, measures.SMALLEST_PROBABILITY, 1 - measures.SMALLEST_PROBABILITY)
    return -(actual * np.log(p) + (1 - actual) * np.log1p(-p))


def labels(event, rows):
    """The event's label as 0.0 and 1.0."""
    return rows[event.label].cast(pl.Float64).to_numpy()


def _sample(rows, size, rng):
    if len(rows) <= size:
        return rows
    return rows[np.sort(rng.choice(len(rows), size, replace=False))]


def _predict_baselines(event, training, calibration, test):
    # what anyone would do without a model: everybody the same chance, or a chance by one rule's column alone
    known = pl.concat([rows.select(event.rule_column, event.label) for rows in (training, calibration)])
    base_rate = np.full(len(test), labels(event, known).mean())
    encoding = Encoding((event.rule_column,), {})
    rule = Logistic(encoding, 0).fit(encode(known, encoding), labels(event, known))
    return {
        "base rate": base_rate,
        f"{event.rule_column.removesuffix('_days')} only": expit(rule.log_odds(encode(test, encoding))),
    }
