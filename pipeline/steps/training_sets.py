"""Facts at past cut-offs with what came true since, for training and for judging."""

from datetime import timedelta

from pipeline.models import next_purchase
from pipeline.models.horizon import run_horizon
from pipeline.transform.build import build_purchase_days, model_facts
from pipeline.warehouse import frame, value

MAX_CUT_OFFS = 8


def choose_cut_offs(night, kept):
    """Set night.horizon_days (H), night.horizon_run and night.cut_offs: H apart, newest first, with H of history before each.

    kept: params of the horizon's last estimate, or None. Estimated, H is from orders before the oldest cut-off that may be.
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
    cut_offs = [night.as_of - timedelta(days=days * back) for back in range(1, MAX_CUT_OFFS + 1)]
    enough = [day for day in cut_offs if oldest and day - timedelta(days=days) >= oldest]
    night.cut_offs = [day for day in enough if first is None or day >= first]


def outcome_horizons(night):
    """(cut-off, days) pairs whose outcomes the models are trained and judged on."""
    pairs = {(day, days) for day in night.cut_offs for days in (night.horizon_days, next_purchase.DAYS)}
    pairs |= {(day, 2 * night.horizon_days) for day in night.cut_offs[1:2]}
    # a window must have ended
    return sorted(pair for pair in pairs if pair[0] + timedelta(days=pair[1]) <= night.as_of)


def clv_backtest(night):
    """Facts at a cut-off two horizons ago, what came true since, and the days between."""
    if len(night.cut_offs) < 2:
        return None, None, None
    cut_off, days = night.cut_offs[1], 2 * night.horizon_days
    facts_then = frame(night.con, model_facts("training_facts", f"as_of = date '{cut_off}'") + " order by customer_id")
    outcomes = frame(
        night.con,
        "select customer_id, order_day_count, net_spend_amount from outcomes semi join training_facts"
        " using (customer_id, as_of)"
        f" where as_of = date '{cut_off}' and horizon_days = {days} order by customer_id",
    )
    return facts_then, outcomes, days


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
    usable = [day for day in night.cut_offs if day + timedelta(days=days) <= night.as_of]
    # each a window or more before the next: cut-offs may lie closer together than the label windows are long
    apart = []
    for day in usable:
        if not apart or day + timedelta(days=days) <= apart[-1]:
            apart.append(day)

    def labelled(cut_offs):
        listed = ", ".join(f"date '{day}'" for day in cut_offs) or "null"
        facts_then = model_facts("training_facts", f"as_of in ({listed}) and {who}")
        if not night.cut_offs:
            facts_then = model_facts("marts.customer_facts", "false")
        return frame(
            night.con,
            f"select facts.*, {label} from ({facts_then}) as facts"
            f" left join {outcomes} on facts.customer_id = {outcomes}.customer_id and facts.as_of = {outcomes}.as_of"
            f" and {outcomes}.horizon_days = {days} order by facts.customer_id, facts.as_of",
        )

    return labelled(apart[2:]), labelled(apart[1:2]), labelled(apart[0:1])
