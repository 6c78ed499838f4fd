"""The law the demo shop's customers buy by, and the signals that can be planted into it. Truth, never read
by a night."""

from dataclasses import asdict, dataclass
from datetime import date, timedelta

import numpy as np

# first day of the Chinese year
_NEW_YEARS = (
    "2015-02-19 2016-02-08 2017-01-28 2018-02-16 2019-02-05 2020-01-25 2021-02-12 2022-02-01 "
    "2023-01-22 2024-02-10 2025-01-29 2026-02-17 2027-02-06 2028-01-26 2029-02-13 2030-02-03 "
    "2031-01-23 2032-02-11 2033-01-31 2034-02-19 2035-02-08"
)
NEW_YEARS = [date.fromisoformat(day) for day in _NEW_YEARS.split()]


@dataclass(frozen=True)
class Law:
    """Parameters of the plain law; rates are per week, amounts in CNY.

    BG/NBD in whole days (Fader, Hardie & Lee 2005): after the first order a customer of rate lambda buys on
    any later day with chance 1 - exp(-lambda / 7), and drops out for ever with chance p right after each
    repeat order. lambda ~ Gamma(r, rate alpha), p ~ Beta(a, b). Gamma-Gamma (Fader & Hardie 2013): an
    order's net amount is Gamma(spend_p, rate nu), nu ~ Gamma(spend_q, rate spend_gamma), independent of
    lambda and p.

    A fit in continuous time finds a and b as they are and a mean rate about 5 % too low (r 1.25, alpha 3.95
    from 37,000 buyers): there is at most one purchase a day.
    """

    r: float = 1.2
    alpha: float = 3.6
    a: float = 0.8
    b: float = 12.0
    spend_p: float = 5.0
    spend_q: float = 4.0
    spend_gamma: float = 180.0
    taste_concentration: float = 0.35
    history_days: int = 1020

    def as_dict(self):
        return asdict(self)


@dataclass(frozen=True)
class Signals:
    """Sizes of the planted signals; PLAIN plants none. Added chances combine as 1 - (1 - p)(1 - added)."""

    is_on: bool = True
    hunter_share: float = 0.2
    drop_out_after_complaint: float = 0.08
    drop_out_after_slow_complaint: float = 0.35
    drop_out_of_hunter_at_full_price: float = 0.08
    hunter_rate_outside_promotions: float = 0.7
    hunter_rate_in_promotions: float = 3.0

    def as_dict(self):
        return asdict(self)


PLAIN = Signals(False, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)

COMPLAINT_CHANCE = 0.07
SLOW_REPLY_CHANCE = 0.35


def season_weights(first_day: date, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Purchase rate of each day relative to an ordinary day, and which days are promotions (11.11 and
    6.18).

    Returns float and bool arrays, shape (days,).
    """
    weights, is_promotion = np.ones(days), np.zeros(days, bool)
    last_day = first_day + timedelta(days=days - 1)

    def window(start, end):
        return slice(max((start - first_day).days, 0), max((end - first_day).days + 1, 0))

    for year in range(first_day.year, last_day.year + 1):
        for start, end, peak in (
            (date(year, 11, 1), date(year, 11, 11), date(year, 11, 11)),
            (date(year, 6, 10), date(year, 6, 18), date(year, 6, 18)),
        ):
            weights[window(start, end)] = 1.6
            weights[window(peak, peak)] = 3.5
            is_promotion[window(start, end)] = True
    for new_year in NEW_YEARS:
        weights[window(new_year - timedelta(days=24), new_year - timedelta(days=4))] = 1.5
        weights[window(new_year, new_year + timedelta(days=6))] = 0.5
    return weights, is_promotion


def purchase_clocks(first_day: date, days: int, signals: Signals):
    """The time that counts for buying: at the end of each day, ordinary days passed since the start.

    Returns (everyone, hunters, is_promotion), each of shape (days,). A customer of rate lambda (per week)
    buys nothing after day s up to day e with chance exp(-lambda / 7 * (clock[e] - clock[s])).
    """
    weights, is_promotion = season_weights(first_day, days)
    if not signals.is_on:
        weights[:], is_promotion[:] = 1.0, False
    hunter_weights = weights * np.where(
        is_promotion, signals.hunter_rate_in_promotions, signals.hunter_rate_outside_promotions
    )
    return np.cumsum(weights), np.cumsum(hunter_weights), is_promotion


def draw_customers(rng, count, law: Law, signals: Signals, category_count: int) -> dict[str, np.ndarray]:
    """Traits of count buyers: rate (per week), p, nu, first_day, is_hunter, tastes (count, categories)."""
    tastes = rng.standard_gamma(law.taste_concentration, (count, category_count)) + 1e-12
    return {
        "rate": rng.gamma(law.r, 1 / law.alpha, count),
        "p": rng.beta(law.a, law.b, count),
        "nu": rng.gamma(law.spend_q, 1 / law.spend_gamma, count),
        "first_day": rng.integers(0, law.history_days, count),
        "is_hunter": rng.random(count) < signals.hunter_share,
        "tastes": tastes / tastes.sum(axis=1, keepdims=True),
    }


def simulate_purchases(
    rng, traits, law: Law, signals: Signals, first_day: date
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every purchase of the given buyers in [0, history_days), one a customer and day.

    Returns (purchases, drop_out_day). purchases: arrays of equal length, unsorted: customer (position),
    day, amount, has_coupon, has_complaint, is_slow, drop_out_chance (that held right after it).
    drop_out_day: shape (n_customers,), the day of the last purchase of those who dropped out, -1 for those
    who still buy at the end.
    """
    days = law.history_days
    everyone_clock, hunter_clock, is_promotion = purchase_clocks(first_day, days, signals)
    count = traits["rate"].size
    drop_out_day = np.full(count, -1)
    day = traits["first_day"].copy()
    buyers = np.arange(count)
    rounds = []
    is_repeat = False
    while buyers.size:
        today, is_hunter = day[buyers], traits["is_hunter"][buyers]
        coupon_chance = np.where(is_hunter, np.where(is_promotion[today], 0.95, 0.6), 0.12)
        has_coupon = rng.random(buyers.size) < coupon_chance
        has_complaint = rng.random(buyers.size) < COMPLAINT_CHANCE
        is_slow = has_complaint & (rng.random(buyers.size) < SLOW_REPLY_CHANCE)
        stays = np.ones(buyers.size)
        if is_repeat:
            stays -= traits["p"][buyers]
        stays[has_complaint & ~is_slow] *= 1 - signals.drop_out_after_complaint
        stays[is_slow] *= 1 - signals.drop_out_after_slow_complaint
        stays[is_hunter & ~has_coupon] *= 1 - signals.drop_out_of_hunter_at_full_price
        rounds.append((buyers, today, has_coupon, has_complaint, is_slow, 1 - stays))
        is_alive = rng.random(buyers.size) < stays
        drop_out_day[buyers[~is_alive]] = today[~is_alive]
        buyers, today, is_hunter = buyers[is_alive], today[is_alive], is_hunter[is_alive]

        # an exponential gap in the customer's own time, where a busy season passes faster; ends another day
        gap = rng.standard_exponential(buyers.size) * 7 / np.maximum(traits["rate"][buyers], 1e-9)
        next_day = np.where(
            is_hunter,
            np.searchsorted(hunter_clock, hunter_clock[today] + gap),
            np.searchsorted(everyone_clock, everyone_clock[today] + gap),
        )
        next_day = np.maximum(next_day, today + 1)
        is_inside = next_day < days
        buyers = buyers[is_inside]
        day[buyers] = next_day[is_inside]
        is_repeat = True

    customer, purchase_day, has_coupon, has_complaint, is_slow, drop_out_chance = (
        np.concatenate(part) for part in zip(*rounds, strict=True)
    )
    amount = rng.standard_gamma(law.spend_p, customer.size) / traits["nu"][customer]
    if signals.is_on:
        amount = np.where(has_coupon, 0.85 * amount, amount)
    purchases = {
        "customer": customer,
        "day": purchase_day,
        "amount": np.maximum(np.round(amount, 2), 1.0),
        "has_coupon": has_coupon,
        "has_complaint": has_complaint,
        "is_slow": is_slow,
        "drop_out_chance": drop_out_chance,
    }
    return purchases, drop_out_day
