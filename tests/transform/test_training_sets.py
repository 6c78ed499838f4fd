"""Whom the models learn from."""

from datetime import date, datetime
from types import SimpleNamespace

from pipeline.steps import training_sets
from pipeline.transform import build
from tests.transform.small_night import AS_OF, TIMEZONE, connect, run_night

CUT_OFF = date(2025, 12, 1)


def make_order(name, ordered_at):
    return {
        "order_id": f"{name} {ordered_at}",
        "source_customer_id": name,
        "ordered_at": ordered_at,
        "status": "paid",
        "net": 10,
        "currency": "CNY",
    }


def test_who_refused_profiling_since_a_cut_off_is_not_learnt_from(tmp_path):
    con = connect()
    names = ("says nothing", "refused since")
    run_night(
        con,
        tmp_path,
        customers=[{"source_customer_id": name, "registered_at": datetime(2024, 1, 1)} for name in names],
        orders=[make_order(name, datetime(2025, 11, 20)) for name in names],
        consents=[
            {
                "source_customer_id": "refused since",
                "purpose": "profiling",
                "channel": "any",
                "status": "opted_out",
                "captured_at": datetime(2026, 1, 15),
            }
        ],
    )
    build.build_facts(con, AS_OF, TIMEZONE, [CUT_OFF], 1000, lambda name, rows: None)
    night = SimpleNamespace(con=con, as_of=AS_OF, orders_until=AS_OF, cut_offs=[CUT_OFF], horizon_days=60)
    build.build_outcomes(con, training_sets.outcome_horizons(night), TIMEZONE)
    # at the cut-off nothing had been refused
    assert con.sql("select count(*) from training_facts where is_profiling_allowed").fetchall() == [(2,)]
    source_of = dict(con.sql("select customer_id, source_customer_id from core.customer_sources").fetchall())
    learnt = [
        training_sets.churn_windows(night)[2],
        training_sets.purchase_windows(night)[2],
        training_sets.clv_past(night),
    ]
    assert [[source_of[one] for one in rows["customer_id"]] for rows in learnt] == [["says nothing"]] * 3
