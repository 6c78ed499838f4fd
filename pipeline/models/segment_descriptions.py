"""One line on each segment, in both languages: what sets its customers apart, with tonight's numbers beside everyone's.

Medians for days, counts and amounts, means for shares and service cases, which are zero for most; over the customers
who were grouped tonight, not those of the fit.
"""

import numpy as np
import polars as pl

from pipeline.models.segment_features import FEATURES, transformed
from pipeline.models.segment_names import UNUSUAL

# fact -> how the middle is taken, decimals, English, Chinese; shares as percentages
ALWAYS = {
    "order_day_count": ("median", 0, "{} purchase days (all: {})", "下单日{}天（全体{}天）"),
    "recency_days": ("median", 0, "last order {} days ago (all: {})", "距上次下单{}天（全体{}天）"),
    "avg_order_amount": ("median", 0, "basket {} (all: {})", "客单价{}（全体{}）"),
}
OTHERS = {
    "avg_gap_days": ("median", 0, "usually orders every {} days (all: {})", "通常每{}天下单（全体{}天）"),
    "discount_share": ("percent", 1, "discounts {} % (all: {} %)", "优惠占{}%（全体{}%）"),
    "return_share": ("percent", 1, "{} % of orders with a return (all: {} %)", "退货订单占{}%（全体{}%）"),
    "online_order_share": ("percent", 0, "{} % of orders online (all: {} %)", "线上订单占{}%（全体{}%）"),
    "category_count": ("median", 0, "{} categories (all: {})", "购买{}个品类（全体{}个）"),
    "ticket_count": ("mean", 1, "{} service cases (all: {})", "人均服务工单{}件（全体{}件）"),
}
OTHERS_TOLD = 2
# medians of fewer are nearly the numbers of a person
MIN_TOLD = 5
TRANSFORMS = FEATURES | {"avg_gap_days": "log1p", "category_count": "log1p", "ticket_count": "log1p"}


def describe_segments(customers, ids):
    """{segment id: (English, Chinese)}. customers: frame of select_customers; ids: their segments, int array.

    Purchase days, days since the last order and basket, then the two other facts whose mean is farthest from
    everyone's (at least .35 standard deviations, skew tamed), then the share of customers. What is not known of most
    customers, and what reads the same for the segment and for everyone, is not said; nor any number of a segment of
    fewer than five.
    """
    known = [name for name in [*ALWAYS, *OTHERS] if name in customers.columns]
    numbers = pl.Series("segment_id", ids, dtype=pl.Int64)
    counts = dict(numbers.value_counts().sort("segment_id").iter_rows())
    everyone, groups = {}, {number: {} for number in counts}
    # column by column: ten million customers with all their columns twice would be gigabytes
    for name in known:
        values = pl.DataFrame([numbers, customers[name].alias("value"), _tame(customers, name)])
        middle = pl.col("value").median() if _style(name)[0] == "median" else pl.col("value").mean()
        told = [middle.alias(name), pl.col("tamed").mean().alias(f"tamed_{name}")]
        is_known = pl.col("value").is_not_null().mean().alias(f"known_{name}")
        everyone |= values.select(*told, pl.col("tamed").std().alias(f"std_{name}")).row(0, named=True)
        for row in values.group_by("segment_id").agg(*told, is_known).iter_rows(named=True):
            groups[row["segment_id"]] |= row
    few = "Fewer than five customers", "不足5位客户"
    return {
        number: few if counts[number] < MIN_TOLD else _describe(row, everyone, known, counts[number] / len(ids))
        for number, row in groups.items()
    }


def _tame(customers, name):
    return pl.Series("tamed", transformed(customers, name, TRANSFORMS[name])).fill_nan(None)


def _describe(row, everyone, known, share):
    said = [_say(name, row, everyone) for name in ALWAYS if name in known]
    others = sorted(
        (name for name in OTHERS if name in known), key=lambda name: (-_distance(name, row, everyone), name)
    )
    others = [_say(name, row, everyone) for name in others if _distance(name, row, everyone) >= UNUSUAL]
    said = [told for told in said if told] + [told for told in others if told][:OTHERS_TOLD]
    percent = f"{100 * share:.0f}" if share >= 0.095 else f"{100 * share:.1f}"
    english, chinese = [], []
    for is_median, heading, heading_zh in ((True, "medians: ", "中位数："), (False, "averages: ", "平均值：")):
        of_kind = [pair for of, *pair in said if of == is_median]
        if of_kind:
            english.append(heading + ", ".join(one for one, _ in of_kind))
            chinese.append(heading_zh + "，".join(other for _, other in of_kind))
    whole = "; ".join([*english, f"{percent} % of customers"])
    return whole[:1].upper() + whole[1:], "；".join([*chinese, f"占客户{percent}%"])


def _style(name):
    return ALWAYS.get(name) or OTHERS[name]


def _distance(name, row, everyone):
    """Standard deviations of all customers between the segment's mean and everyone's; 0 where not known of most."""
    scale = everyone[f"std_{name}"]
    if not scale or row[f"known_{name}"] < 0.5:
        return 0.0
    return round(abs(row[f"tamed_{name}"] - everyone[f"tamed_{name}"]) / scale, 6)


def _say(name, row, everyone):
    """(whether it is a median, the two texts) of a fact.

    None where it is not known of most, or reads the same as everyone's and is no matter of course.
    """
    kind, places, english, chinese = _style(name)
    if row[f"known_{name}"] < 0.5 or row[name] is None:
        return None
    factor = 100 if kind == "percent" else 1
    own, all_own = (f"{_half_up(factor * value, places):,.{places}f}" for value in (row[name], everyone[name]))
    if name in OTHERS and own == all_own:
        return None
    return kind == "median", english.format(own, all_own), chinese.format(own, all_own)


def _half_up(value, places):
    # a median of 2.5 days reads 3, not the even neighbour; sums over several threads differ in their last digits
    return float(np.floor(round(value * 10**places, 6) + 0.5) / 10**places)
