"""Signs that a feature knows the outcome: what nobody could have known at the cut-off.

What numbers alone can show: a model that is too good, one feature that all but repeats the label, one that beats all the others
together, features written together that tell most of what the others leave open, and one that was filled at every past cut-off
but is empty tonight (known later only). A weak leak that looks like an honest feature is not among them: the facts' own rule,
nothing after the cut-off, is what keeps it out.
"""

import numpy as np
import polars as pl
from scipy.special import expit

from pipeline.models import measures
from pipeline.models.classifiers import Logistic, encode, fit_encoding
from pipeline.models.event_origins import CANDIDATES

SUSPICIOUS_AUC = 0.98
# of one feature alone: it repeats the label
REPEATING_AUC = 0.95
# of one feature alone, when it also beats all other features together by this much
DOMINANT_AUC = 0.8
DOMINANT_BY = 0.05
# of a set of features alone; what part of the way from the others' AUC to 1 it may go, and how far it may in any case
TELLING_SET_AUC = 0.7
MOST_CLOSED = 0.35
MOST_LIFTED = 0.06
# below, no set is looked at: sets do not come to much where none of their features does
LEAST_SINGLE_AUC = 0.6
# of whether a feature is filled, when it is filled tonight for less than this share of what was usual
TELLING_AUC = 0.55
FILLED_TONIGHT = 0.25
LEAST_FILLED = 0.02
BINS = 20
MIN_BIN = 10
ROWS = 40_000


def find_leaks(event, known, test, origin, tonight, seed):
    """What gives the model away, in words that name the feature; None when nothing does.

    known, test: labelled rows before the test cut-off and at it. origin: every candidate's forecasts for test. tonight: rows to
    be scored, or None.
    """
    # the one that is not in use sees the same features
    auc = max(measures.auc(origin.actual, origin.forecasts[one.name]) for one in CANDIDATES)
    single = rank_alone(event, known, test)
    suspect = max(single, key=single.get, default=None)
    if auc > SUSPICIOUS_AUC:
        hint = f"; '{suspect}' alone reaches {single[suspect]:.3f}" if suspect else ""
        return (
            f"test AUC {auc:.3f} is too good to be true (limit {SUSPICIOUS_AUC}): look for a feature that knows the"
            f" outcome{hint}"
        )
    # what is reckoned from dated records is known for certain, and may tell nearly all
    others = {name: value for name, value in single.items() if name not in (event.rule_column, *event.certain)}
    for name in sorted(others, key=others.get, reverse=True):
        if others[name] > REPEATING_AUC:
            return f"'{name}' alone nearly repeats the outcome (AUC {others[name]:.3f}, limit {REPEATING_AUC}): {_MEND}"
        if others[name] > DOMINANT_AUC:
            rest = _auc_without(event, {name}, known, test, seed)
            if others[name] > rest + DOMINANT_BY:
                return (
                    f"'{name}' alone tells more (AUC {others[name]:.3f}) than all other features together"
                    f" ({rest:.3f}): {_MEND}"
                )
    return _find_telling_set(event, single, known, test, seed) or _find_later_known(event, known, test, tonight)


_MEND = "it may be written after the cut-off; leave it out, or date it"


def _find_telling_set(event, single, known, test, seed):
    # two copies of the outcome hide each other from the rules on one feature: what may be written together is left out together
    joined = {name for names in event.kin for name in names}
    sets = [*event.kin, *((name,) for name in single if name not in joined)]
    exempt, full = {event.rule_column, *event.certain, *event.honest}, None
    for names in sets:
        names = {name for name in names if name in single}
        if not names or names & exempt or max(single[name] for name in names) < LEAST_SINGLE_AUC:
            continue
        if _auc_without(event, set(single) - names, known, test, seed) < TELLING_SET_AUC:
            continue
        full = full or _auc_without(event, set(), known, test, seed)
        rest = _auc_without(event, names, known, test, seed)
        limit = rest + max(MOST_LIFTED, MOST_CLOSED * (1 - rest))
        if full > limit:
            suspect = min(names, key=lambda name: (-single[name], name))
            kin = ", with what is written with it," if len(names) > 1 else ""
            return f"'{suspect}'{kin} lifts the test AUC from {rest:.3f} to {full:.3f} (limit {limit:.3f}): {_MEND}"
    return None


def rank_alone(event, known, test):
    """{feature: AUC on test of the outcome's rate by that feature alone}, rates learned from known; features in both."""
    actual, outcome = test[event.label].cast(pl.Float64).to_numpy(), known[event.label].cast(pl.Float64)
    found = {}
    for name in (*event.numeric, *event.categorical):
        if name not in known.columns or known[name].null_count() == len(known):
            continue
        if name in event.numeric:
            cuts = known[name].cast(pl.Float64).drop_nulls().to_numpy()
            cuts = np.unique(np.quantile(cuts, np.linspace(0, 1, BINS + 1)[1:-1]))
            seen, tested = (_bin(rows[name], cuts) for rows in (known, test))
        else:
            seen, tested = known[name].cast(pl.String), test[name].cast(pl.String)
        rates = (
            pl.DataFrame({"key": seen, "outcome": outcome})
            .group_by("key")
            .agg(rate=(pl.col("outcome").sum() + outcome.mean() * MIN_BIN) / (pl.len() + MIN_BIN))
        )
        rate = (
            pl.DataFrame({"key": tested})
            .join(rates, on="key", how="left", nulls_equal=True, maintain_order="left")["rate"]
            .fill_null(outcome.mean())
        )
        found[name] = measures.auc(actual, rate.to_numpy())
    return found


def _bin(values, cuts):
    numbers = values.cast(pl.Float64).to_numpy()
    places = np.searchsorted(cuts, numbers, side="left")
    return pl.Series(np.where(np.isnan(numbers), -1, places))


def _auc_without(event, names, known, test, seed):
    numeric = tuple(one for one in event.numeric if one not in names)
    categorical = tuple(one for one in event.categorical if one not in names)
    if len(known) > ROWS:
        known = known[np.sort(np.random.default_rng(seed).choice(len(known), ROWS, replace=False))]
    encoding = fit_encoding(known, numeric, categorical)
    if not encoding.names:
        return 0.5
    outcome = known[event.label].cast(pl.Float64).to_numpy()
    rest = Logistic(encoding, seed).fit(encode(known, encoding), outcome)
    return measures.auc(test[event.label].cast(pl.Float64).to_numpy(), expit(rest.log_odds(encode(test, encoding))))


def _find_later_known(event, known, test, tonight):
    # filled at every past cut-off, telling of the outcome, and empty tonight: it is written after the fact
    if tonight is None or len(tonight) == 0:
        return None
    rows = pl.concat([known.select(sorted(known.columns)), test.select(sorted(test.columns))], how="vertical_relaxed")
    actual = rows[event.label].cast(pl.Float64).to_numpy()
    for name in (*event.numeric, *event.categorical):
        if name not in rows.columns or name not in tonight.columns:
            continue
        filled = _is_filled(rows[name])
        past = pl.DataFrame({"as_of": rows["as_of"], "filled": filled}).group_by("as_of").agg(pl.col("filled").mean())
        usual, now = past["filled"].min(), _is_filled(tonight[name]).mean()
        if usual < LEAST_FILLED or now >= usual * FILLED_TONIGHT:
            continue
        telling = measures.auc(actual, filled.cast(pl.Float64).to_numpy())
        if max(telling, 1 - telling) > TELLING_AUC:
            return (
                f"'{name}' was filled for {usual:.0%} or more at every past cut-off, tonight for {now:.0%}, and tells of the"
                f" outcome (AUC {max(telling, 1 - telling):.3f}): it becomes known later; leave it out, or mend its delivery"
            )
    return None


def _is_filled(values):
    filled = values.is_not_null()
    return (filled & (values != 0)).fill_null(False) if values.dtype.is_numeric() else filled
