"""Facts at past cut-offs with what came true since, for training and for judging."""

from pipeline.transform.build import model_facts
from pipeline.warehouse import frame


def clv_backtest(night):
    """Facts at a cut-off two horizons ago, what came true since, and the days between."""
    if len(night.cut_offs) < 2:
        return None, None, None
    cut_off, days = night.cut_offs[1], 2 * night.settings.churn_horizon_days
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


def contract_windows(night):
    """Training, calibration and test facts of customers with a contract, with is_churned, at the cut-offs of churn."""
    days = night.settings.churn_horizon_days

    def labelled(cut_offs):
        listed = ", ".join(f"date '{day}'" for day in cut_offs) or "null"
        facts_then = model_facts("training_facts", f"as_of in ({listed}) and has_contract")
        if not night.cut_offs:
            facts_then = model_facts("marts.customer_facts", "false")
        return frame(
            night.con,
            f"select facts.*, kept.customer_id is null as is_churned from ({facts_then}) as facts"
            " left join contract_outcomes as kept on facts.customer_id = kept.customer_id and facts.as_of = kept.as_of"
            f" and kept.horizon_days = {days} order by facts.customer_id, facts.as_of",
        )

    return labelled(night.cut_offs[2:]), labelled(night.cut_offs[1:2]), labelled(night.cut_offs[0:1])
