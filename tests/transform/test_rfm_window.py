"""The facts of the window that RFM scores: the days that it holds, who has none, and the same at a past cut-off."""

from datetime import date, datetime

import pytest

from pipeline.transform import build
from tests.transform.small_night import AS_OF, TIMEZONE, connect, rows_of, run_night

FACTS = "customer_id, order_count, recency_days, rfm_order_day_count, rfm_net_spend_amount"


def make_order(order_id, customer, ordered_at, net=100, **overrides):
    ordered = {
        "order_id": order_id,
        "source_customer_id": customer,
        "ordered_at": ordered_at,
        "net": net,
        "status": "paid",
    }
    return ordered | overrides


ORDERS = [
    # 2026-01-30 in Shanghai: 30 days before 2026-03-01, the first day of a window of 30
    make_order("first in", "P1", datetime(2026, 1, 29, 16)),
    make_order("last out", "P1", datetime(2026, 1, 29, 15, 59), 1000),
    make_order("twice", "P1", datetime(2026, 2, 26, 1), 40),
    make_order("on a day", "P1", datetime(2026, 2, 26, 2), 50, refunded_amount=20, updated_at=datetime(2026, 2, 27)),
    make_order("to come", "P1", datetime(2026, 3, 2), 7000),
    make_order("before only", "P2", datetime(2025, 3, 1, 2), 300),
]


@pytest.fixture
def con(tmp_path):
    """A function: the night with so many days of window."""

    def night(days, as_of=AS_OF):
        con = connect()
        people = [
            {"source_customer_id": name, "registered_at": datetime(2025, 1, number)}
            for number, name in enumerate(("P1", "P2", "P3"), 1)
        ]
        run_night(con, tmp_path, as_of, rfm_window_days=days, customers=people, orders=ORDERS)
        return con

    return night


def facts_of(con, table="marts.customer_facts"):
    return [tuple(row.values())[1:] for row in rows_of(con, f"select {FACTS} from {table} order by customer_id")]


def test_a_window_holds_its_days_and_no_day_more(con):
    # P1: 100 on the first day of the window, 40 + 50 - 20 on another; recency is since the last order, also of P2
    assert facts_of(con(30)) == [(4, 3, 2, 170), (1, 365, 0, 0), (0, None, 0, 0)]
    assert facts_of(con(31))[0] == (4, 3, 3, 1170)


def test_no_window_is_all_of_time(con):
    night = con(0)
    assert facts_of(night)[0] == (4, 3, 3, 1170)
    differing = "rfm_order_day_count <> order_day_count or rfm_net_spend_amount <> net_spend_amount"
    assert rows_of(night, f"select * from marts.customer_facts where {differing}") == []


def test_a_past_cut_off_has_the_window_that_its_own_night_had(con):
    then, night = date(2026, 2, 20), con(30)
    build.build_facts(night, AS_OF, TIMEZONE, [then], 1000, lambda name, rows: None)
    assert (
        facts_of(night, "training_facts")
        == facts_of(con(30, then))
        == [(2, 21, 2, 1100), (1, 356, 0, 0), (0, None, 0, 0)]
    )
