"""Facts at past cut-offs with what came true since, for training and for judging."""

from datetime import timedelta

from pipeline.models import next_purchase
from pipeline.models.clv_backtest import HORIZONS, PAST_COLUMNS
from pipeline.models.horizon import run_horizon
from pipeline.models.spend_boosting import outcome_columns
from pipeline.transform.build import build_purchase_days, model_facts
from pipeline.warehouse import frame, value

MAX_CUT_OFFS = 8
# of facts at a past cut-off, who may be learnt from: not who has refused profiling by tonight, under whatever id then
MAY_LEARN_FROM = """
    customer_id not in (
        select customer_id from marts.customer_facts where not is_profiling_allowed
        union all
        select former_customers.customer_id from former_customers
        inner join marts.customer_facts on former_customers.current_customer_id = customer_facts.customer_id
        where not customer_facts.is_profiling_allowed
    )
"""


def choose_cut_offs(night, kept):
    """Set night.horizon_days (H), night.horizon_run and night.cut_offs: H apart, newest first, with H of history before each.

    A night that only scores has no cut-offs. kept: params of the horizon's last estimate, or None. Estimated, H is from orders
    before the oldest cut-off that may be.
    """
    settings = night.settings
    oldest = value(night.con, "select min(ordered_on) from core.orders where customer_id is not null")

    def read_gaps(before):
        build_purchase_days(night.con, before, settings.business_timezone, settings.training_customers)
        gaps = frame(
            night.con,
            "select customer_id, coalesce(lead(ordered_on) over customer, ?::date) - ordered_on as days,"
            " lead(ordered_on) over customer is null as is_open from purchase_days"
            " window customer as (partition by customer_id order by ordered_on) order by customer_id, ordered_on",
            (before,),
        )
        return gaps["customer_id"].to_numpy(), gaps["days"].to_numpy(), gaps["is_open"].to_numpy()

    days, first, night.horizon_run = run_horizon(
        night.as_of, oldest, read_gaps, settings.churn_horizon_days, kept, settings.seed
    )
    night.horizon_days = days
    cut_offs = [night.orders_until - timedelta(days=days * back) for back in range(1, MAX_CUT_OFFS + 1)]
    enough = [day for day in cut_offs if oldest and day - timedelta(days=days) >= oldest]
    night.cut_offs = [day for day in enough if night.is_training and (first is None or day >= first)]


def outcome_horizons(night):
    """(cut-off, days) pairs whose outcomes the models are trained and judged on."""
    pairs = {(day, days) for day in night.cut_offs for days in (night.horizon_days, next_purchase.DAYS)}
    pairs |= set(clv_windows(night))
    # a window must have ended, and orders be known until its end
    return sorted(pair for pair in pairs if pair[0] + timedelta(days=pair[1]) <= night.orders_until)


def clv_windows(night):
    """(cut-off, days) of the windows that lifetime value learns from and is judged on: those that have passed by tonight."""
    return [
        (day, days) for day in night.cut_offs for days in HORIZONS if day + timedelta(days=days) <= night.orders_until
    ]


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
    facts_then = model_facts("training_facts", f"order_day_count > 0 and {MAY_LEARN_FROM}")
    return frame(
        night.con,
        f"select {', '.join(columns)} from ({facts_then}) as facts{joins} order by facts.as_of, facts.customer_id",
    )


def churn_windows(night):
    """Training, calibration and test facts with is_churned, at cut-offs whose label windows do not overlap."""
    active = f"recency_days <= {night.horizon_days}"
    return _label(night, night.horizon_days, active, "outcomes", "outcomes.customer_id is null as is_churned")


def purchase_windows(night):
    """Training, calibration and test facts with is_buyer (an order within 30 days), windows not overlapping."""
    bought = "outcomes.customer_id is not null as is_buyer"
    return _label(night, next_purchase.DAYS, f"recency_days <= {next_purchase.ACTIVE_DAYS}", "outcomes", bought)


def contract_windows(night):
    """Training, calibration and test facts of customers with a contract, with is_churned: none is left after H days."""
    ended = "contract_outcomes.customer_id is null as is_churned"
    return _label(night, night.horizon_days, "has_contract", "contract_outcomes", ended)


def _label(night, days, who, outcomes, label):
    usable = [day for day in night.cut_offs if day + timedelta(days=days) <= night.orders_until]
    # each a window or more before the next: cut-offs may lie closer together than the label windows are long
    apart = []
    for day in usable:
        if not apart or day + timedelta(days=days) <= apart[-1]:
            apart.append(day)

    def labelled(cut_offs):
        listed = ", ".join(f"date '{day}'" for day in cut_offs) or "null"
        facts_then = model_facts("training_facts", f"as_of in ({listed}) and {who} and {MAY_LEARN_FROM}")
        if not night.cut_offs:
            facts_then = model_facts("marts.customer_facts", "false")
        return frame(
            night.con,
            f"select facts.*, {label} from ({facts_then}) as facts"
            f" left join {outcomes} on facts.customer_id = {outcomes}.customer_id and facts.as_of = {outcomes}.as_of"
            f" and {outcomes}.horizon_days = {days} order by facts.customer_id, facts.as_of",
        )

    return labelled(apart[2:]), labelled(apart[1:2]), labelled(apart[0:1])
