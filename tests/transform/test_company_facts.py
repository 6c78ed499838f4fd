"""Facts of companies, and of opportunities, as of a date: one small world worked by hand."""

from datetime import date, datetime

import pytest

from tests.transform.small_night import AS_OF, company_facts, connect, rows_of, run_night

# as_of is 2026-03-01 00:00 in Shanghai
START = datetime(2026, 2, 28, 16)
BEGAN = datetime(2025, 1, 10)
COMPANY = {"source_company_id": "Q1", "created_at": BEGAN, "industry": "software", "updated_at": BEGAN}
ANN = {"source_customer_id": "P1", "source_company_id": "Q1", "registered_at": BEGAN, "updated_at": BEGAN}
BEN = {"source_customer_id": "P2", "source_company_id": "Q1", "registered_at": datetime(2026, 2, 1)}


def make_order(order, ordered_at, net, **overrides):
    return {"order_id": order, "source_customer_id": "P1", "ordered_at": ordered_at, "net": net} | overrides


def make_opportunity(number, **overrides):
    return {
        "opportunity_id": f"B{number}",
        "source_company_id": "Q1",
        "status": "open",
        "amount": 1000,
        "probability": 0.5,
        "created_at": datetime(2026, 1, 10),
    } | overrides


@pytest.fixture
def con():
    return connect()


def test_orders_contacts_and_tickets_of_a_company(con, tmp_path):
    run_night(
        con,
        tmp_path,
        companies=[COMPANY],
        customers=[ANN, BEN],
        orders=[
            make_order("O1", datetime(2025, 2, 1), 100),
            make_order("O2", datetime(2026, 2, 10), 50, source_customer_id="P2"),
            # the company's own, without a person
            make_order("O3", datetime(2026, 2, 19), 30, source_customer_id=None, source_company_id="Q1"),
            # none of these counts: cancelled, wholly refunded, before P1 was its contact, after as_of
            make_order("O4", datetime(2026, 2, 20), 70, status="cancelled", cancelled_at=datetime(2026, 2, 21)),
            make_order("O5", datetime(2026, 2, 20), 80),
            make_order("O6", datetime(2025, 1, 1), 90),
            make_order("O7", START, 1000),
        ],
        returns=[
            {
                "return_id": "R1",
                "order_id": "O5",
                "kind": "refund",
                "amount": 80,
                "requested_at": datetime(2026, 2, 21),
            },
            {"return_id": "R2", "order_id": "O1", "kind": "return", "amount": 10, "requested_at": datetime(2025, 3, 1)},
        ],
        tickets=[
            {
                "ticket_id": "T1",
                "source_customer_id": "P1",
                "kind": "complaint",
                "opened_at": datetime(2026, 2, 20),
                "solved_at": datetime(2026, 3, 5),
            },
            {"ticket_id": "T2", "source_company_id": "Q1", "kind": "question", "opened_at": datetime(2025, 6, 1)},
            {"ticket_id": "T3", "source_company_id": "Q1", "kind": "complaint", "opened_at": START},
        ],
    )
    facts = company_facts(con)
    expected = {
        "first_seen_on": date(2025, 1, 10),
        "tenure_days": (AS_OF - date(2025, 1, 10)).days,
        "industry": "software",
        "contact_count": 2,
        "order_count": 3,
        "buyer_count": 2,
        "first_order_at": datetime(2025, 2, 1),
        "last_order_at": datetime(2026, 2, 19),
        "recency_days": 10,
        "net_spend_amount": 170,
        "order_count_365d": 2,
        "net_spend_365d_amount": 80,
        "ticket_count": 2,
        "ticket_count_90d": 1,
        "complaint_count_90d": 1,
        "open_ticket_count": 2,
        # nobody delivers these
        "open_opportunity_count": None,
        "won_opportunity_amount": None,
        "win_share": None,
        "active_subscription_count": None,
    }
    assert {name: facts[name] for name in expected} == expected
    # two routes: the company's spend is that of its contacts' orders of the time, and its own order
    spent = con.execute("select sum(net_spend_amount) from marts.customer_facts").fetchall()
    assert spent == [(facts["net_spend_amount"] - 30 + 90,)]
    assert rows_of(con, "select distinct company_id from marts.customer_facts") == [{"company_id": "K000000001"}]


def test_pipeline_of_a_company(con, tmp_path):
    run_night(
        con,
        tmp_path,
        companies=[COMPANY],
        customers=[ANN],
        opportunities=[
            make_opportunity(1, expected_close_at=datetime(2026, 4, 1)),
            make_opportunity(2, amount=300, probability=None, expected_close_at=datetime(2026, 2, 20)),
            make_opportunity(3, status="won", amount=500, closed_at=datetime(2026, 2, 1)),
            make_opportunity(4, status="lost", amount=700, closed_at=datetime(2026, 2, 2)),
            make_opportunity(5, status="won", amount=50, closed_at=datetime(2026, 2, 3), source_company_id=None)
            | {"source_customer_id": "P1"},
            make_opportunity(6, status="invalid", closed_at=datetime(2026, 2, 3)),
            make_opportunity(7, created_at=START),
            make_opportunity(8, status=None, closed_at=datetime(2026, 2, 3)),
        ],
    )
    facts = company_facts(con)
    expected = {
        "open_opportunity_count": 2,
        "open_opportunity_amount": 1300,
        "weighted_opportunity_amount": 500,
        "overdue_opportunity_count": 1,
        "next_expected_close_on": date(2026, 4, 1),
        "won_opportunity_count": 2,
        "won_opportunity_amount": 550,
        "lost_opportunity_count": 1,
        "win_share": 2 / 3,
        "last_won_at": datetime(2026, 2, 3),
    }
    assert {name: facts[name] for name in expected} == expected
    person = rows_of(con, "select * from marts.customer_facts")[0]
    assert (person["won_opportunity_count"], person["won_opportunity_amount"]) == (1, 50)
    assert (person["open_opportunity_count"], person["lost_opportunity_count"]) == (0, 0)


def test_a_later_stage_closing_or_amount_does_not_count_yet(con, tmp_path):
    early, late = datetime(2026, 2, 1), datetime(2026, 3, 2)
    opened = make_opportunity(1, stage="offer", probability=0.4, updated_at=early)
    world = {"companies": [COMPANY], "customers": [ANN], "orders": [make_order("O1", datetime(2026, 2, 1), 100)]}
    run_night(con, tmp_path, **world, opportunities=[opened])
    before, person = company_facts(con), rows_of(con, "from marts.customer_facts")
    run_night(
        con,
        tmp_path,
        companies=[COMPANY, COMPANY | {"industry": "retail", "updated_at": late}],
        customers=[
            ANN,
            ANN | {"source_company_id": "Q2", "updated_at": late},
            BEN | {"registered_at": late, "updated_at": late},
        ],
        orders=[*world["orders"], make_order("O2", late, 5, source_company_id="Q1")],
        opportunities=[
            opened,
            opened | {"stage": "contract", "probability": 0.9, "amount": 9999, "updated_at": late},
            opened | {"status": "won", "probability": 1, "amount": 8888, "updated_at": datetime(2026, 3, 3)},
            make_opportunity(2, created_at=late),
        ],
    )
    assert company_facts(con) == before
    assert before["weighted_opportunity_amount"] == 400
    assert rows_of(con, "from marts.customer_facts where customer_id = 'C000000001'") == person
    assert con.execute("select count(*) from core.opportunities_history").fetchall() == [(2,)]
    assert con.execute("select status, amount from core.opportunities where opportunity_id = 'B1'").fetchall() == [
        ("won", 8888)
    ]


def test_one_that_closed_later_was_open_and_its_chance_unknown(con, tmp_path):
    # only the closed record was ever delivered: its first version extends backwards, its outcome does not
    closed = make_opportunity(1, status="lost", probability=0, closed_at=datetime(2026, 3, 4))
    undated = make_opportunity(2, status="won", probability=1, updated_at=datetime(2026, 3, 4))
    run_night(con, tmp_path, companies=[COMPANY], opportunities=[closed, undated])
    facts = company_facts(con)
    assert (facts["open_opportunity_count"], facts["open_opportunity_amount"]) == (2, 2000)
    assert (facts["weighted_opportunity_amount"], facts["lost_opportunity_count"], facts["win_share"]) == (
        None,
        0,
        None,
    )


def test_a_company_first_seen_later_is_not_known_yet(con, tmp_path):
    run_night(con, tmp_path, companies=[COMPANY | {"created_at": START, "updated_at": START}])
    assert con.execute("select count(*) from core.companies").fetchall() == [(1,)]
    assert con.execute("select count(*) from marts.company_facts").fetchall() == [(0,)]


def test_without_companies_the_tables_are_empty(con, tmp_path):
    run_night(con, tmp_path, orders=[make_order("O1", datetime(2026, 2, 1), 100)])
    for table in ("core.companies", "core.company_sources", "core.company_contacts", "marts.company_facts"):
        assert con.execute(f"select count(*) from {table}").fetchall() == [(0,)], table
    assert con.execute("select company_id, order_count from marts.customer_facts").fetchall() == [(None, 1)]
