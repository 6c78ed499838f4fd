"""What the model of contracts looks at beside churn's features, in groups, and the words for each group as a reason."""

import polars as pl

from pipeline.models import churn_reasons
from pipeline.models.churn_reasons import Reason


def _whole(name):
    return pl.col(name).cast(pl.Float64).round(0).cast(pl.Int64)


def _days(name, before, after=""):
    day = pl.when(_whole(name) == 1).then(pl.lit("day")).otherwise(pl.lit("days"))
    return pl.format(f"{before}{{}} {{}}{after}", _whole(name), day)


_RUNS_OUT = pl.col("contract_days_to_end").is_not_null()
_HAS_RENEWED = pl.col("renewal_count") > 0

CONTRACT_REASONS = (
    Reason(
        "contract_end",
        ("contract_days_to_end", "contract_days_since_end"),
        _RUNS_OUT | pl.col("contract_days_since_end").is_not_null(),
        pl.when(_RUNS_OUT)
        .then(_days("contract_days_to_end", "contract ends in "))
        .otherwise(_days("contract_days_since_end", "contract ended ", " ago, not renewed")),
        pl.when(_RUNS_OUT)
        .then(pl.format("合约还有{}天到期", _whole("contract_days_to_end")))
        .otherwise(pl.format("合约已结束{}天，尚未续约", _whole("contract_days_since_end"))),
    ),
    Reason(
        "contract_age",
        ("contract_age_days", "subscriber_days"),
        pl.col("contract_age_days").is_not_null(),
        _days("contract_age_days", "contract for "),
        pl.format("合约已执行{}天", _whole("contract_age_days")),
    ),
    Reason(
        "contract_history",
        ("subscription_count", "renewal_count"),
        pl.col("renewal_count").is_not_null(),
        pl.when(_HAS_RENEWED)
        .then(
            pl.when(pl.col("renewal_count") == 1)
            .then(pl.lit("renewed once so far"))
            .otherwise(pl.format("renewed {} times so far", _whole("renewal_count")))
        )
        .otherwise(pl.lit("has not renewed yet")),
        pl.when(_HAS_RENEWED).then(pl.format("累计续约{}次", _whole("renewal_count"))).otherwise(pl.lit("尚未续约过")),
    ),
    Reason(
        "contract_plan",
        (),
        pl.col("contract_plan").is_not_null(),
        pl.format("plan {}", pl.col("contract_plan")),
        pl.format("套餐：{}", pl.col("contract_plan")),
        ("contract_plan",),
    ),
    Reason(
        "contract_status",
        (),
        pl.col("contract_status").is_not_null(),
        pl.format("contract is {}", pl.col("contract_status")),
        pl.format("合约状态：{}", pl.col("contract_status")),
        ("contract_status",),
    ),
    Reason(
        "contract_amount",
        ("contract_amount",),
        pl.col("contract_amount").is_not_null(),
        pl.format("pays {} a period", _whole("contract_amount")),
        pl.format("每期费用{}", _whole("contract_amount")),
    ),
)

REASONS = (*CONTRACT_REASONS, *churn_reasons.REASONS)
NUMERIC = tuple(name for reason in REASONS for name in reason.numeric)
CATEGORICAL = tuple(name for reason in REASONS for name in reason.categorical)
REASON_OF = {name: position for position, reason in enumerate(REASONS) for name in reason.numeric + reason.categorical}


def add_derived(facts):
    """Facts with every feature: those that the facts lack are null."""
    columns = {name for reason in CONTRACT_REASONS for name in reason.numeric + reason.categorical}
    absent = sorted(columns - set(facts.columns))
    facts = facts.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    return churn_reasons.add_derived(facts.with_columns(pl.col("contract_plan", "contract_status").cast(pl.String)))
