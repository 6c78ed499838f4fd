"""Checks before belief: whether the model of purchases, the one of spend, and what they foretell are to be believed.

What only makes figures rough is a note; what makes them unbelievable holds the night's scores back. A model of spend that
is not believed is replaced (expected_spend): its orders may be right all the same.
"""

import numpy as np

from pipeline.models import gamma_gamma
from pipeline.models.purchase_models import TITLES

# of the starts of a search, so many must end in the same place
MIN_AGREEING_SHARE = 0.5
MIN_REPEATERS_TRUSTED = 100
# how far the fitted model may be from the repeat purchases that it was fitted on
MISFIT_NOTED = 0.1
MISFIT_HELD = 0.5
# customers who are here already do not buy five times as much a day as all did so far
MAX_GROWTH = 5.0
MAX_SPEND_RATIO = 3.0
# correlation of frequency and spend, which Gamma-Gamma takes as independent
CORRELATION_NOTED = 0.3
CORRELATION_HELD = 0.6


def check_belief(name, metrics, purchases, scores):
    """('used' or 'held', notes: why, or what to beware of) of a fitted and scored night.

    name: the model of purchases; metrics: of expected_spend.fit_purchases; purchases: frame of summarise_purchases that it was
    fitted on; scores: frame of expected_spend.SCHEMA. On 'held' no score is to be published.
    """
    title, held, notes = TITLES[name], [], []
    starts, agreeing = metrics[f"{name}_start_count"], metrics[f"{name}_agreeing_start_count"]
    if not metrics[f"{name}_is_flat"]:
        held.append(f"{title} found no maximum of its likelihood")
    elif agreeing < MIN_AGREEING_SHARE * starts:
        held.append(f"{title}: only {agreeing} of {starts} starts agree on its parameters")
    elif not metrics[f"{name}_converged"]:
        notes.append(f"{title} ended at a bound of its search: treat the orders as rough")
    elif agreeing < starts:
        notes.append(f"{title}: {agreeing} of {starts} starts agree on its parameters")
    if metrics["repeater_count"] < MIN_REPEATERS_TRUSTED:
        notes.append(
            f"only {metrics['repeater_count']} customers with a second purchase day: treat the orders as rough"
            f" below {MIN_REPEATERS_TRUSTED}"
        )
    misfit = metrics["fitted_repeat_count"] / metrics["repeat_count"] - 1
    if abs(misfit) > MISFIT_NOTED:
        (held if abs(misfit) > MISFIT_HELD else notes).append(
            f"{title} makes {metrics['fitted_repeat_count']:,.0f} of the {metrics['repeat_count']:,} repeat purchases it"
            f" was fitted on ({misfit:+.0%}, limit {MISFIT_HELD:.0%})"
        )
    held += _check_scores(purchases, scores)
    return ("held", held) if held else ("used", notes)


def _check_scores(purchases, scores):
    numbers = scores.drop("customer_id", "as_of", "margin_share", "margin_365d_amount", strict=False).to_numpy()
    if not np.all(np.isfinite(numbers)):
        return ["a score is no number"]
    orders = scores["expected_orders_365d"].to_numpy()
    days = purchases["age_days"].max() + 1
    growth = float(orders.sum() / ((purchases["x"] + 1).sum() / days * 365))
    held = []
    if orders.max() > 365:
        held.append(f"{int((orders > 365).sum())} customers are to buy on more than 365 days of the next 365")
    if growth > MAX_GROWTH:
        held.append(f"customers are to buy {growth:.1f} times as often as so far (limit {MAX_GROWTH:.0f})")
    return held


def doubt_spend(spend, search, z, correlation):
    """(what to use in place of Gamma-Gamma: None, 'mean' or 'own'; why, or what to beware of; else None).

    spend, search: of gamma_gamma.fit on z, average spend a repeat purchase; correlation: of frequency and z.
    """
    population = gamma_gamma.population_mean(spend)
    dependence = f"frequency and spend correlate at {correlation:.2f}, Gamma-Gamma takes them as independent"
    # where frequent buyers spend less, the few purchases of the others make own averages worse than Gamma-Gamma is
    if correlation > CORRELATION_HELD:
        return "own", f"{dependence} (limit {CORRELATION_HELD})"
    # each spends about the same every time, or customers differ beyond measure: everyone's mean would be nobody's
    if not search or spend["q"] <= 1:
        return "own", "no Gamma-Gamma with a finite mean fits the spend"
    if search.agreeing_count < MIN_AGREEING_SHARE * search.start_count:
        return "mean", f"only {search.agreeing_count} of {search.start_count} starts of Gamma-Gamma agree"
    if population > MAX_SPEND_RATIO * z.mean():
        return "mean", f"Gamma-Gamma expects {population:.2f} a day where customers spent {z.mean():.2f}"
    if abs(correlation) > CORRELATION_NOTED:
        return None, f"{dependence} (limit {CORRELATION_NOTED}): treat the amounts as rough"
    return None, None
