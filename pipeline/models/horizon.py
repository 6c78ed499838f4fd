"""H, the days without an order after which a customer counts as gone: estimated once from the gaps between purchases, then kept."""

from datetime import date, timedelta

import numpy as np

from pipeline.models.records import NotEnoughData, make_model_run

CANDIDATES = (30, 60, 90, 120, 180)
DEFAULT_DAYS = 90
SHARE = 0.9
MIN_GAPS = 200
MIN_AT_RISK = 30
LONGEST_GAP = 365
FOLLOW_UPS = 2
# the rest of the history is for the cut-offs: three of them at least, even of the longest candidate, once it is three times this
EARLY_SHARE = 1 / 3
DRAWS = 100
_NO_GAPS = ((), (), ())


def last_day_of_estimate(oldest, as_of):
    """The day before which orders may be used: a third of the history, so that every cut-off of the models lies after it."""
    return oldest + timedelta(days=int((as_of - oldest).days * EARLY_SHARE))


def run_horizon(as_of, oldest, read_gaps, setting=0, kept=None, seed=20260101):
    """(H in days, first day that may be a cut-off or None, model_run dict).

    oldest: day of the first order, or None. read_gaps: function of a day -> (customers, days, is_open), the arrays that
    estimate_horizon takes, of purchases before it; called only when H is not known. setting: days, or 0. kept: params of the
    model_run whose estimate is in use, or None.
    """
    if setting:
        params = {"horizon_days": setting, "origin": "setting"}
        return setting, None, make_model_run(as_of, "horizon", "used", f"{setting} days, as set", 0, params)
    if not kept:
        before = last_day_of_estimate(oldest, as_of) if oldest else None
        try:
            found = estimate_horizon(*(read_gaps(before) if before else _NO_GAPS), seed)
        except NotEnoughData as error:
            params = {"horizon_days": DEFAULT_DAYS, "origin": "default"}
            message = f"{error}; {DEFAULT_DAYS} days until there are"
            return DEFAULT_DAYS, None, make_model_run(as_of, "horizon", "not enough data", message, 0, params)
        kept = found | {"origin": "estimated", "estimated_on": str(as_of), "orders_before": str(before)}
    chosen, before = kept["horizon_days"], date.fromisoformat(kept["orders_before"])
    share = next(share for days, share, _ in kept["shares"] if days == chosen)
    message = f"{chosen} days: {share:.1%} of repeat purchases before {before} came sooner"
    return chosen, before, make_model_run(as_of, "horizon", "used", message, kept["gap_count"], kept)


def estimate_horizon(customers, days, is_open, seed=20260101):
    """{horizon_days, shares, gap_count, open_count, follow_up_days} from gaps between purchase days.

    customers, days, is_open: arrays (n_gaps,); is_open: the gap had not ended (its customer may come back or not). Of the
    purchases that are followed by another within the follow-up, a share comes within d days: by Kaplan and Meier, so that
    long gaps are not missed only because there was no time yet to see them end. The shortest of CANDIDATES is taken whose
    share is 0.9 or more even at the lower end of its 95 % bootstrap interval over customers, or the longest. shares:
    [days, share, lower end]. d is judged when the follow-up is 2 d or longer: what comes later must have had time to come. Raises
    NotEnoughData with fewer than 200 gaps that ended, and when those judged are too short and the others cannot be judged.
    """
    days, is_open = np.asarray(days), np.asarray(is_open, bool)
    ended = int((~is_open).sum())
    if ended < MIN_GAPS:
        raise NotEnoughData("ended gaps between purchases in the first third of the history", MIN_GAPS, ended)
    customer = np.unique(customers, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    follow_up, found = _share_of_returns(days, is_open, np.ones(len(days)))
    drawn = []
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(0, customer.max() + 1, customer.max() + 1), minlength=customer.max() + 1)
        drawn.append(_share_of_returns(days, is_open, weight[customer], follow_up)[1])
    low = np.quantile(drawn, 0.025, axis=0)
    judged = [(d, least) for d, least in zip(CANDIDATES, low, strict=True) if FOLLOW_UPS * d <= follow_up]
    chosen = next((d for d, least in judged if least >= SHARE), None)
    if chosen is None:
        if len(judged) < len(CANDIDATES):
            needs = FOLLOW_UPS * CANDIDATES[len(judged)]
            raise NotEnoughData("days that 30 gaps between purchases were followed", needs, follow_up)
        chosen = CANDIDATES[-1]
    return {
        "horizon_days": chosen,
        "shares": [
            [d, round(float(s), 4), round(float(least), 4)] for d, s, least in zip(CANDIDATES, found, low, strict=True)
        ],
        "gap_count": ended,
        "open_count": int(is_open.sum()),
        "follow_up_days": follow_up,
    }


def share_returned(days, is_open, weights):
    """(follow_up, shares): shares[d] of purchases followed by another within d days, d = 0 .. 365 (Kaplan and Meier 1958).

    follow_up: the longest span, at most 365 days, that gaps of a weight of 30 reached.
    """
    days = np.clip(days, 0, LONGEST_GAP + 1).astype(int)
    size = LONGEST_GAP + 2
    at_risk = np.bincount(days, weights, minlength=size)[::-1].cumsum()[::-1]
    ends = np.bincount(days[~is_open], weights[~is_open], minlength=size)
    staying = np.cumprod(1 - np.divide(ends, at_risk, out=np.zeros(size), where=at_risk > 0))
    follow_up = int(np.flatnonzero(at_risk[: LONGEST_GAP + 1] >= MIN_AT_RISK).max(initial=0))
    return follow_up, 1 - staying[: LONGEST_GAP + 1]


def _share_of_returns(days, is_open, weights, follow_up=None):
    found, returned = share_returned(days, is_open, weights)
    follow_up = found if follow_up is None else follow_up
    whole = returned[follow_up]
    return follow_up, np.array([returned[min(d, follow_up)] / whole if whole > 0 else 1.0 for d in CANDIDATES])
