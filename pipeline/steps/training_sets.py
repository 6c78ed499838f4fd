"""Facts at past cut-offs with what came true since, for training and for judging."""

from datetime import timedelta

from pipeline.models.clv_backtest import HORIZONS, PAST_COLUMNS
from pipeline.models.spend_boosting import outcome_columns
from pipeline.transform.build import model_facts
from pipeline.warehouse import frame


def clv_windows(night):
    """(cut-off, days) of the windows that lifetime value learns from and is judged on: those that have passed by tonight."""
    return [(day, days) for day in night.cut_offs for days in HORIZONS if day + timedelta(days=days) <= night.as_of]


def clv_past(night):
    """Facts at past cut-offs, the columns that lifetime value reads, with orders and spend in the windows that have passed.

    One row per customer with an order and cut-off; None without past cut-offs. orders_next_90d, spend_next_90d, orders_next_365d,
    spend_next_365d: zero for who bought nothing, null where the window has not passed by tonight.
    """
    if not clv_windows(night):
        return None
    known = [name for name, *_ in night.con.execute("describe training_facts").fetchall()]
    columns, joins = [f"facts.{name}" for name in known if name in PAST_COLUMNS], ""
    for days in HORIZONS:
        passed = ", ".join(f"date '{day}'" for day, length in clv_windows(night) if length == days) or "null"
        for name, column in zip(outcome_columns(days), ("order_day_count", "net_spend_amount"), strict=True):
            columns.append(
                f"case when facts.as_of in ({passed}) then coalesce(next_{days}.{column}, 0)::double end as {name}"
            )
        joins += (
            f" left join outcomes as next_{days} on facts.customer_id = next_{days}.customer_id"
            f" and facts.as_of = next_{days}.as_of and next_{days}.horizon_days = {days}"
        )
    facts_then = model_facts("training_facts", "order_day_count > 0")
    return frame(
        night.con,
        f"select {', '.join(columns)} from ({facts_then}) as facts{joins} order by facts.as_of, facts.customer_id",
    )


def churn_windows(night):
    """Training, calibration and test facts with is_churned, at cut-offs whose label windows do not overlap."""
    days = night.settings.churn_horizon_days

    def labelled(cut_offs):
        listed = ", ".join(f"date '{day}'" for day in cut_offs) or "null"
        facts_then = model_facts("training_facts", f"as_of in ({listed}) and recency_days <= {days}")
        if not night.cut_offs:
            facts_then = model_facts("marts.customer_facts", "false")
        return frame(
            night.con,
            f"select facts.*, outcomes.customer_id is null as is_churned from ({facts_then}) as facts"
            f" left join outcomes on facts.customer_id = outcomes.customer_id and facts.as_of = outcomes.as_of"
            f" and outcomes.horizon_days = {days} order by facts.customer_id, facts.as_of",
        )

    return labelled(night.cut_offs[2:]), labelled(night.cut_offs[1:2]), labelled(night.cut_offs[0:1])
