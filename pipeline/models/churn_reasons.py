"""What the churn model looks at, in groups, and the words for each group as a reason.

A group is what a marketer thinks of as one thing: its features rise and fall together, so their effects are
added up. Behaviour only: profile attributes (age, place, points, referrals) are left out, since their first
known version is extended backwards and would not have been known at a training cut-off.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import polars.selectors as cs

# whoever hands the facts in may add what their codes are called, as <column>_name and <column>_name_zh
NAMED = ("top_category", "top_sales_channel", "top_payment_method")
# told beside what it is for everybody: of a share or duration the average, of a category how many have the same
AVERAGED = (
    "discount_share",
    "avg_first_reply_hours",
    "avg_csat",
    "avg_feedback_share",
    "instalment_order_share",
    "weekend_order_share",
)
OF_ALL = "_of_all"


@dataclass(frozen=True)
class Reason:
    """A group of features; applies: the rows of which its words (words, words_zh) are true."""

    code: str
    numeric: tuple
    applies: pl.Expr
    words: pl.Expr
    words_zh: pl.Expr
    categorical: tuple = ()


def _whole(name):
    return pl.col(name).cast(pl.Float64).round(0).cast(pl.Int64)


def _percent(name):
    return (pl.col(name).cast(pl.Float64) * 100).round(0).cast(pl.Int64)


def _count(name, noun):
    is_one = pl.col(name) == 1
    many = pl.format("{} " + noun + "s", _whole(name))
    return pl.when(pl.col(name) == 0).then(pl.lit(f"no {noun}s")).when(is_one).then(pl.lit(f"1 {noun}")).otherwise(many)


def _beside(name, words, words_zh, is_share=True):
    """(English, Chinese): the words, and in brackets what it is on average."""
    number = (pl.col(name + OF_ALL) * (100 if is_share else 1)).round(0).cast(pl.Int64)
    averages = ("{} (average {}%)", "{}（平均{}%）") if is_share else ("{} (average {})", "{}（平均{}小时）")
    return tuple(
        pl.when(number.is_null()).then(said).otherwise(pl.format(average, said, number))
        for said, average in zip((words, words_zh), averages, strict=True)
    )


def _share_words(name, none, some, none_zh, some_zh):
    """(English, Chinese): how large a share is, beside the average; one that is nothing has words of its own."""

    def said(nothing, something):
        return pl.when(_percent(name) == 0).then(pl.lit(nothing)).otherwise(pl.format(something, _percent(name)))

    return _beside(name, said(none, some), said(none_zh, some_zh))


def _usual(name, words, words_zh):
    """(English, Chinese): the value by its name, and how many of all customers have the same."""
    share = (pl.col(name + OF_ALL) * 100).round(0).cast(pl.Int64)
    percent = pl.when(share < 1).then(pl.lit("under 1")).otherwise(share.cast(pl.String))
    percent_zh = pl.when(share < 1).then(pl.lit("不足1")).otherwise(share.cast(pl.String))
    said = pl.format(words + ": {}", pl.coalesce(name + "_name", name))
    said_zh = pl.format(words_zh + "：{}", pl.coalesce(name + "_name_zh", name))
    return (
        pl.when(share.is_null()).then(said).otherwise(pl.format("{} ({}% of customers)", said, percent)),
        pl.when(share.is_null()).then(said_zh).otherwise(pl.format("{}（{}%的客户相同）", said_zh, percent_zh)),
    )


def _known(*names):
    return pl.all_horizontal(pl.col(name).is_not_null() for name in names)


_HAS_GAP = pl.col("avg_gap_days").is_not_null()
_IS_LATE = pl.col("recency_days") >= pl.col("avg_gap_days")
_GAP = pl.max_horizontal(_whole("avg_gap_days"), pl.lit(1))
_RECENT_TICKETS = pl.col("ticket_count_90d") > 0
_RECENT_COMPLAINTS = pl.col("complaint_count_90d") > 0

# reckoned from the days of orders alone, so no outcome can have slipped into them
RHYTHM = ("avg_gap_days", "gap_ratio", "expected_gap_days", "expected_gap_ratio")

REASONS = (
    Reason(
        "rhythm",
        ("recency_days", "avg_gap_days", "gap_ratio", "expected_gap_days", "expected_gap_ratio"),
        _known("recency_days"),
        pl.when(_IS_LATE)
        .then(pl.format("no order for {} days, usually every {}", _whole("recency_days"), _GAP))
        .when(_HAS_GAP)
        .then(pl.format("orders only every {} days", _GAP))
        .otherwise(pl.format("no order for {} days", _whole("recency_days"))),
        pl.when(_IS_LATE)
        .then(pl.format("已{}天未下单，通常{}天一次", _whole("recency_days"), _GAP))
        .when(_HAS_GAP)
        .then(pl.format("约{}天才下单一次", _GAP))
        .otherwise(pl.format("已{}天未下单", _whole("recency_days"))),
    ),
    Reason(
        "recent_orders",
        ("order_count_30d", "order_count_90d", "order_count_180d"),
        _known("order_count_90d"),
        pl.format("{} in the last 90 days", _count("order_count_90d", "order")),
        pl.format("近90天下单{}次", _whole("order_count_90d")),
    ),
    Reason(
        "orders",
        ("order_count", "order_day_count", "order_count_365d"),
        _known("order_count"),
        pl.format("{} so far", _count("order_count", "order")),
        pl.format("累计下单{}次", _whole("order_count")),
    ),
    Reason(
        "spend",
        (
            "net_spend_amount",
            "net_spend_90d_amount",
            "net_spend_365d_amount",
            "avg_order_amount",
            "max_order_amount",
        ),
        _known("avg_order_amount"),
        pl.format("average order of {}", _whole("avg_order_amount")),
        pl.format("平均每单{}", _whole("avg_order_amount")),
    ),
    Reason(
        "discounts",
        ("discount_share", "coupon_order_share"),
        _known("discount_share"),
        *_share_words(
            "discount_share",
            "buys without discounts",
            "discounts are {}% of purchases",
            "购买不用折扣",
            "折扣占消费的{}%",
        ),
    ),
    Reason(
        "returns",
        ("return_count", "return_share"),
        pl.col("return_count") > 0,
        pl.format("{} so far", _count("return_count", "return")),
        pl.format("累计退货{}次", _whole("return_count")),
    ),
    Reason(
        "cancellations",
        ("cancelled_order_count",),
        pl.col("cancelled_order_count") > 0,
        pl.format("{} so far", _count("cancelled_order_count", "cancelled order")),
        pl.format("累计取消订单{}次", _whole("cancelled_order_count")),
    ),
    Reason(
        "tickets",
        ("ticket_count", "ticket_count_90d", "open_ticket_count", "days_since_ticket"),
        pl.col("ticket_count") > 0,
        pl.when(_RECENT_TICKETS)
        .then(pl.format("{} in the last 90 days", _count("ticket_count_90d", "service ticket")))
        .otherwise(pl.format("{} so far", _count("ticket_count", "service ticket"))),
        pl.when(_RECENT_TICKETS)
        .then(pl.format("近90天有{}个服务工单", _whole("ticket_count_90d")))
        .otherwise(pl.format("累计{}个服务工单", _whole("ticket_count"))),
    ),
    Reason(
        "complaints",
        ("complaint_count", "complaint_count_90d"),
        pl.col("complaint_count") > 0,
        pl.when(_RECENT_COMPLAINTS)
        .then(pl.format("{} in the last 90 days", _count("complaint_count_90d", "complaint")))
        .otherwise(pl.format("{} so far", _count("complaint_count", "complaint"))),
        pl.when(_RECENT_COMPLAINTS)
        .then(pl.format("近90天投诉{}次", _whole("complaint_count_90d")))
        .otherwise(pl.format("累计投诉{}次", _whole("complaint_count"))),
    ),
    Reason(
        "first_reply",
        ("avg_first_reply_hours",),
        _known("avg_first_reply_hours"),
        *_beside(
            "avg_first_reply_hours",
            pl.format("waits {} hours for a first reply from service", _whole("avg_first_reply_hours")),
            pl.format("等客服首次回复{}小时", _whole("avg_first_reply_hours")),
            is_share=False,
        ),
    ),
    Reason(
        "service_rating",
        ("avg_csat",),
        _known("avg_csat"),
        *_beside(
            "avg_csat",
            pl.format("rates service at {}%", _percent("avg_csat")),
            pl.format("对客服的评分为{}%", _percent("avg_csat")),
        ),
    ),
    Reason(
        "ratings",
        ("avg_feedback_share", "feedback_count", "low_feedback_count_180d"),
        _known("avg_feedback_share"),
        *_beside(
            "avg_feedback_share",
            pl.format("rates us at {}%", _percent("avg_feedback_share")),
            pl.format("评价得分{}%", _percent("avg_feedback_share")),
        ),
    ),
    Reason(
        "recommendation",
        ("last_nps",),
        _known("last_nps"),
        pl.format("last recommendation score {} of 10", _whole("last_nps")),
        pl.format("最近一次推荐分{}（满分10）", _whole("last_nps")),
    ),
    Reason(
        "responses",
        ("outbound_count_90d", "response_count_90d", "response_share_90d", "campaign_count"),
        pl.col("outbound_count_90d") > 0,
        # one message may be opened and clicked, so these are two counts and no share
        pl.format(
            "{} from us in 90 days, {}",
            _count("outbound_count_90d", "contact"),
            _count("response_count_90d", "reaction"),
        ),
        pl.format("近90天触达{}次，打开、点击等反应{}次", _whole("outbound_count_90d"), _whole("response_count_90d")),
    ),
    Reason(
        "contact",
        ("interaction_count", "interaction_count_90d", "inbound_count_90d", "days_since_interaction"),
        _known("interaction_count_90d"),
        pl.format("{} in the last 90 days", _count("interaction_count_90d", "contact")),
        pl.format("近90天互动{}次", _whole("interaction_count_90d")),
        ("top_interaction_channel",),
    ),
    Reason(
        "tenure",
        ("tenure_days",),
        _known("tenure_days"),
        pl.format("customer for {} days", _whole("tenure_days")),
        pl.format("成为客户{}天", _whole("tenure_days")),
    ),
    Reason(
        "range",
        ("item_count", "category_count", "avg_item_price"),
        pl.col("category_count") > 0,
        pl.when(pl.col("category_count") == 1)
        .then(pl.lit("buys from one category only"))
        .otherwise(pl.format("buys from {} categories", _whole("category_count"))),
        pl.format("购买涉及{}个品类", _whole("category_count")),
    ),
    Reason(
        "taste",
        ("top_category_share", "top_brand_share"),
        _known("top_category"),
        *_usual("top_category", "usual category", "主要品类"),
        ("top_category",),
    ),
    Reason(
        "channel",
        ("online_order_share",),
        _known("top_sales_channel"),
        *_usual("top_sales_channel", "usual sales channel", "常用购买渠道"),
        ("top_sales_channel",),
    ),
    Reason(
        "instalments",
        ("instalment_order_share",),
        _known("instalment_order_share"),
        *_share_words(
            "instalment_order_share",
            "never pays in instalments",
            "pays {}% of orders in instalments",
            "从不分期付款",
            "{}%的订单分期付款",
        ),
    ),
    Reason(
        "payment",
        (),
        _known("top_payment_method"),
        *_usual("top_payment_method", "usual payment", "主要支付方式"),
        ("top_payment_method",),
    ),
    Reason(
        "hours",
        ("weekend_order_share", "night_order_share"),
        _known("weekend_order_share"),
        *_share_words(
            "weekend_order_share", "no orders on weekends", "{}% of orders on weekends", "周末从不下单", "周末订单占{}%"
        ),
    ),
    Reason(
        "subscriptions",
        ("active_subscription_count",),
        _known("active_subscription_count"),
        _count("active_subscription_count", "active subscription"),
        pl.format("有效订阅{}个", _whole("active_subscription_count")),
    ),
)

NUMERIC = tuple(name for reason in REASONS for name in reason.numeric)
CATEGORICAL = tuple(name for reason in REASONS for name in reason.categorical)
REASON_OF = {name: position for position, reason in enumerate(REASONS) for name in reason.numeric + reason.categorical}
# reckoned from the orders themselves, so that they rightly tell nearly all of who will order
HONEST_GROUPS = ("rhythm", "recent_orders", "orders")
# groups that one event writes together: a complaint on leaving is a ticket with a rating, and a contact
LINKED_GROUPS = (
    ("tickets", "complaints", "first_reply", "service_rating"),
    ("ratings", "recommendation"),
    ("responses", "contact"),
    ("tickets", "complaints", "first_reply", "service_rating", "ratings", "recommendation", "responses", "contact"),
    ("returns", "cancellations"),
)
# a smaller rise of the log-odds is not worth a marketer's eye
SMALLEST_RISE = 0.05
SMOOTHING_DAYS = 30
DERIVED = {"gap_ratio", "expected_gap_days", "expected_gap_ratio", "days_since_ticket", "days_since_interaction"}


def add_derived(facts):
    """Facts plus gap_ratio (recency over the usual gap), expected_gap_days, expected_gap_ratio (recency over it),
    days_since_ticket and days_since_interaction.

    expected_gap_days: (days since the first order + SMOOTHING_DAYS) / purchase days. Who bought once has one too, and who bought
    twice in a week is not taken for a weekly buyer: a purchase rate drawn towards a slow one until there is evidence.

    Columns that the facts lack are added as null, and NaN becomes null: the same expressions then hold whatever a shop delivers.
    """
    needed = {*NUMERIC, *CATEGORICAL, *(name + OF_ALL for name in (*AVERAGED, *NAMED))} - DERIVED
    absent = sorted(
        (needed | {"last_ticket_at", "last_interaction_at", "first_order_on", "order_day_count"}) - set(facts.columns)
    )
    facts = facts.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    # what is no number is not known: words would stumble over it
    facts = facts.with_columns(cs.float().fill_nan(None))
    unnamed = [f"{name}_name{language}" for name in NAMED for language in ("", "_zh")]
    facts = facts.with_columns(pl.lit(None, pl.String).alias(name) for name in unnamed if name not in facts.columns)
    return facts.with_columns(
        gap_ratio=pl.col("recency_days") / pl.when(pl.col("avg_gap_days") > 0).then(pl.col("avg_gap_days")),
        expected_gap_days=(_days_since("first_order_on").clip(0) + SMOOTHING_DAYS)
        / pl.when(pl.col("order_day_count") > 0).then(pl.col("order_day_count")),
        days_since_ticket=_days_since("last_ticket_at"),
        days_since_interaction=_days_since("last_interaction_at"),
    ).with_columns(
        pl.col(CATEGORICAL).cast(pl.String), expected_gap_ratio=pl.col("recency_days") / pl.col("expected_gap_days")
    )


def join_groups(reasons=REASONS, honest=HONEST_GROUPS, linked=LINKED_GROUPS):
    """(sets of features that may know the outcome together, features that may tell nearly all): tuples, for the check on leaks."""
    names = {reason.code: reason.numeric + reason.categorical for reason in reasons}
    kin = [names[code] for code in names if code not in honest]
    kin += [tuple(name for code in codes for name in names[code]) for codes in linked]
    return tuple(kin), tuple(name for code in honest for name in names[code])


def add_comparisons(customers):
    """Customers plus <column>_of_all: the average of AVERAGED, and of NAMED the share of customers with the same value."""
    averages = [
        pl.col(name).cast(pl.Float64).fill_nan(None).mean().alias(name + OF_ALL)
        for name in AVERAGED
        if name in customers.columns
    ]
    shares = [
        pl.when(pl.col(name).is_not_null())
        .then(pl.col(name).count().over(name) / pl.col(name).count())
        .alias(name + OF_ALL)
        for name in NAMED
        if name in customers.columns
    ]
    return customers.with_columns(averages + shares)


def word_reasons(customers, contributions, reasons=REASONS):
    """reason_1..3, reason_1_zh..3_zh and reason_1_kind..3_kind of each customer: a frame with customers' rows in their order.

    A kind is the code of the group, the same whatever its numbers are.

    customers: facts with derived columns. contributions: float array (n_customers, len(reasons)), what each
    group adds to the log-odds of leaving. Only what raises them by 0.05 or more is a reason, the strongest
    first; null when fewer.
    """
    applies = customers.select(reason.applies.fill_null(False).alias(reason.code) for reason in reasons).to_numpy()
    rises = np.where(applies & (contributions >= SMALLEST_RISE), contributions, 0.0)
    strongest = np.argsort(-rises, axis=1, kind="stable")[:, :3]
    is_reason = np.take_along_axis(rises, strongest, axis=1) > 0
    texts = {(rank, language): [] for rank in range(3) for language in ("", "_zh", "_kind")}
    # the words of a group are put together only for the customers whom it concerns
    for position, reason in enumerate(reasons):
        chosen = (strongest == position) & is_reason
        for rank in range(3):
            rows = np.flatnonzero(chosen[:, rank])
            if len(rows):
                words = customers[rows].select(text=reason.words, text_zh=reason.words_zh)
                texts[rank, ""].append(pl.DataFrame({"row": rows, "text": words["text"]}))
                texts[rank, "_zh"].append(pl.DataFrame({"row": rows, "text": words["text_zh"]}))
                texts[rank, "_kind"].append(pl.DataFrame({"row": rows, "text": reason.code}))
    return pl.DataFrame(
        {
            f"reason_{rank + 1}{language}": _scatter(texts[rank, language], len(customers))
            for language in ("", "_zh", "_kind")
            for rank in range(3)
        }
    )


def _scatter(parts, size):
    if not parts:
        return pl.repeat(None, size, dtype=pl.String, eager=True)
    words = pl.concat(parts)
    position = np.full(size, -1)
    position[words["row"].to_numpy()] = np.arange(len(words))
    has_words = pl.Series(position >= 0)
    return pl.select(pl.when(has_words).then(words["text"].gather(np.maximum(position, 0)))).to_series()


def _days_since(name):
    return (pl.col("as_of") - pl.col(name).cast(pl.Date)).dt.total_days()
