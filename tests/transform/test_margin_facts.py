"""What a customer's order lines left over, as far as their costs were known."""

from datetime import date, datetime

from tests.transform.small_night import connect, rows_of, run_night

FACTS = "select costed_item_amount, margin_amount, round(known_cost_share, 4) as known from marts.customer_facts"


def make_order(order, day, **overrides):
    return {"order_id": order, "source_customer_id": "P1", "ordered_at": day, "net": 200, "status": "paid"} | overrides


def make_line(order, line, amount, **overrides):
    return {"order_id": order, "line": line, "amount": amount, "quantity": 1} | overrides


FEBRUARY, CHANGED, LATER = datetime(2026, 2, 1), datetime(2026, 2, 10), datetime(2026, 2, 20)
SHOP = {
    "customers": [{"source_customer_id": "P1", "registered_at": FEBRUARY}],
    "products": [
        {"sku": "tea", "unit_cost": 20, "observed_at": datetime(2026, 2, 5)},
        # the same cost again, then another one: lines of before keep theirs
        {"sku": "tea", "unit_cost": 20, "list_price": 60, "observed_at": datetime(2026, 2, 7)},
        {"sku": "tea", "unit_cost": 45, "observed_at": CHANGED},
    ],
    "orders": [
        make_order("first", FEBRUARY),
        make_order("later", LATER),
        make_order("cancelled", FEBRUARY, cancelled_at=datetime(2026, 2, 2)),
        make_order("given back", FEBRUARY, net=70),
    ],
    "returns": [
        {"order_id": "given back", "kind": "refund", "amount": 70, "requested_at": LATER, "resolved_at": LATER}
    ],
    "order_items": [
        make_line("first", "1", 100, quantity=2, unit_cost=30, sku="tea"),
        make_line("first", "2", 50, sku="tea"),
        make_line("first", "3", 50, sku="nobody knows"),
        make_line("later", "1", 60, sku="tea"),
        make_line("cancelled", "1", 999, unit_cost=1),
        make_line("given back", "1", 70, unit_cost=0),
    ],
}


def test_margin_is_that_of_lines_with_a_known_cost_in_orders_that_count(tmp_path):
    con = connect()
    run_night(con, tmp_path, **SHOP)
    # 100 - 2 x 30, 50 - 20 as the list then said, 60 - 45; 50 of 260 have no cost
    assert rows_of(con, FACTS) == [{"costed_item_amount": 210, "margin_amount": 85, "known": 0.8077}]


def test_margin_of_an_earlier_day_knows_nothing_of_what_came_later(tmp_path):
    # before the refund was given and the second order placed; the new cost came on that very day
    con = connect()
    run_night(con, tmp_path, as_of=date(2026, 2, 11), **SHOP)
    # 40 + 30 + 70 - 0 of the order that is given back later
    then = [{"costed_item_amount": 220, "margin_amount": 140, "known": 0.8148}]
    assert rows_of(con, FACTS) == then
    (tmp_path / "before").mkdir()
    con = connect()
    known = SHOP | {"products": SHOP["products"][:2], "returns": [], "orders": [SHOP["orders"][i] for i in (0, 2, 3)]}
    run_night(con, tmp_path / "before", as_of=date(2026, 2, 11), **known)
    assert rows_of(con, FACTS) == then


def test_margin_is_unknown_without_lines(tmp_path):
    con = connect()
    run_night(con, tmp_path, customers=SHOP["customers"], orders=SHOP["orders"][:1])
    assert rows_of(con, FACTS) == [{"costed_item_amount": None, "margin_amount": None, "known": None}]
