"""When an order was cancelled, where its source tells the state but no time."""

from datetime import datetime

from tests.transform.small_night import LANDED_AT, connect, rows_of, run_night

ORDERED = datetime(2026, 2, 1)
SEEN = datetime(2026, 2, 10)


def make_order(order, status, **overrides):
    return {
        "order_id": order,
        "source_customer_id": "P1",
        "ordered_at": ORDERED,
        "net": 100,
        "status": status,
    } | overrides


def test_a_cancellation_dates_from_what_is_known_of_it(tmp_path):
    con = connect()
    run_night(
        con,
        tmp_path,
        customers=[{"source_customer_id": "P1", "registered_at": ORDERED}],
        orders=[
            make_order("told", "cancelled", cancelled_at=datetime(2026, 2, 3)),
            make_order("changed", "cancelled", updated_at=datetime(2026, 2, 5)),
            # its file came after as_of; it was never known as anything else
            make_order("never an order", "cancelled"),
            make_order("given up later", "paid", observed_at=SEEN),
            make_order("given up later", "cancelled"),
            make_order("good", "paid"),
        ],
    )
    found = rows_of(con, "select order_id, cancelled_at from core.orders where status = 'cancelled'")
    assert {row["order_id"]: row["cancelled_at"] for row in found} == {
        "told": datetime(2026, 2, 3),
        "changed": datetime(2026, 2, 5),
        "never an order": ORDERED,
        "given up later": LANDED_AT,
    }
    # what was given up after as_of still counts
    assert rows_of(con, "select order_count, net_spend_amount from marts.customer_facts") == [
        {"order_count": 2, "net_spend_amount": 200}
    ]


def test_an_order_that_is_only_said_to_be_refunded_was_given_back_in_full_from_when_that_was_known(tmp_path):
    con = connect()
    refunded, earlier = "refunded", datetime(2026, 2, 5)
    run_night(
        con,
        tmp_path,
        customers=[{"source_customer_id": "P1", "registered_at": ORDERED}],
        orders=[
            make_order("before", refunded, net=1, updated_at=earlier),
            # known after as_of: it still counts
            make_order("seen later", refunded, net=10),
            # what is stated of the amount goes before the word
            make_order("in part", refunded, net=100, updated_at=earlier, refunded_amount=30),
            make_order("returned in part", refunded, net=1000, updated_at=earlier),
        ],
        returns=[
            {"return_id": "R1", "order_id": "returned in part", "kind": "refund", "amount": 400, "resolved_at": earlier}
        ],
    )
    assert rows_of(con, "select order_count, net_spend_amount from marts.customer_facts") == [
        {"order_count": 3, "net_spend_amount": 10 + 70 + 600}
    ]
