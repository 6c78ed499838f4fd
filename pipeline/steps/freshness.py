"""Until which day orders are known: where exports stop coming, the silence of files must not pass for that of customers."""

from datetime import timedelta

import polars as pl

from pipeline import ops

# a weekend and a day
LEAST_DAYS = 3


def find_orders_until(night):
    """Set night.orders_until, the first day of which no order can be known, and night.silence, in words where orders stopped coming.

    That day is as_of, unless more days without an order lie before it than three and than twice the longest pause of the
    year before the last order: then it is the day after that. Needs core.
    """
    ((last, pause),) = night.con.execute(
        """
        with days as (

            select distinct ordered_on from core.orders where ordered_on < ?

        ),

        pauses as (

            select ordered_on, ordered_on - lag(ordered_on) over (order by ordered_on) - 1 as days_without
            from days

        )

        select
            max(ordered_on),
            max(days_without) filter (where ordered_on > (select max(ordered_on) from days) - 365)
        from pauses
        """,
        (night.as_of,),
    ).fetchall()
    night.orders_until, message = night.as_of, ""
    # of a single day nothing is known of pauses
    if pause is not None:
        missing = (night.as_of - last).days - 1
        if missing > max(LEAST_DAYS, 2 * pause):
            night.orders_until = last + timedelta(days=1)
            message = f"no order of the {missing} days since {last}; the longest pause of the year before was {pause}"
            night.warn(
                f"orders: {message}. If exports are missing, drop them into the inbox: until then customers look lost who"
                " are not, and nothing is learnt from or judged by those days",
                f"订单：自 {last} 之后 {missing} 天没有任何订单，此前一年最长间断为 {pause} 天。若缺少导出文件，请放入 inbox："
                "在此之前，部分客户会被误认为流失；模型不从这些天学习，也不据此评判",
            )
    night.silence = message


def freshness_check(night) -> pl.DataFrame:
    """The one row of ops.checks that says whether orders still come."""
    row = {
        "run_id": night.run_id,
        "as_of": night.as_of,
        "entity": "orders",
        "column_name": "ordered_at",
        "rule": "stale",
    }
    return pl.DataFrame([row | {"success": not night.silence, "message": night.silence}], ops.CHECKS)
