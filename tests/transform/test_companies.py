"""Which records are one company, ids that last, and who is whose contact: small cases worked by hand."""

import random
from datetime import date, datetime

import pytest
import yaml

from pipeline.ingest.contracts import ContractError
from pipeline.transform.company_ids import STATE, carry_companies
from pipeline.transform.company_rules import check_company_rules, load_company_rules
from pipeline.transform.identity_rules import IdentityError
from tests.transform.small_night import RULES, connect, run_night

BEFORE = datetime(2026, 1, 5)


@pytest.fixture
def con():
    return connect()


def make_company(company="Q1", **overrides):
    return {"source_company_id": company, "created_at": BEFORE, "name": f"company {company}"} | overrides


def ids(con):
    """{source company id: company_id}, the source before it where it is not crm."""
    found = con.execute("select source, source_company_id, company_id from core.company_sources").fetchall()
    return {record if source == "crm" else f"{source} {record}": company for source, record, company in found}


def contacts(con):
    return con.execute(
        "select company_id, linked_by, valid_from, valid_to from core.company_contacts order by customer_id, valid_from"
    ).fetchall()


def test_records_are_one_by_register_or_domain_however_written(con, tmp_path):
    counts = run_night(
        con,
        tmp_path,
        companies=[
            make_company("Q1", registration_id="91 3100-00ABC", domain="https://www.Acme.example/about"),
            make_company("Q2", registration_id="913100 00abc"),
            make_company("X1", source="erp", domain="acme.example"),
            make_company("Q3", domain="other.example", name="company Q1"),
        ],
    )
    assert ids(con) == {"Q1": "K000000001", "Q2": "K000000001", "erp X1": "K000000001", "Q3": "K000000003"}
    assert counts == {"company_records": 4, "companies": 2, "blocked_company_identifiers": 0}
    linked = dict(con.execute("select source_company_id, linked_by from core.company_sources").fetchall())
    assert linked == {"Q1": "domain, registration_id", "Q2": "registration_id", "X1": "domain", "Q3": "own id"}


def test_free_mail_and_blocked_numbers_link_nothing(con, tmp_path):
    run_night(
        con,
        tmp_path,
        companies=[
            make_company("Q1", domain="qq.com", registration_id="000000"),
            make_company("Q2", domain="http://www.QQ.com/", registration_id="000000"),
        ],
    )
    assert len(set(ids(con).values())) == 2


def test_a_domain_of_two_registered_companies_links_none(con, tmp_path):
    counts = run_night(
        con,
        tmp_path,
        companies=[
            make_company("Q1", domain="group.example", registration_id="AAAAAA1"),
            make_company("Q2", domain="group.example", registration_id="BBBBBB2"),
        ],
    )
    assert len(set(ids(con).values())) == 2
    assert counts["blocked_company_identifiers"] == 1


@pytest.mark.parametrize(("records", "companies"), [(3, 1), (4, 4)])
def test_a_value_above_the_count_links_none(con, tmp_path, records, companies):
    rules = RULES | {"links": [{"columns": ["domain"], "max_records": 3}]}
    made = [make_company(f"Q{number}", domain="shared.example") for number in range(records)]
    counts = run_night(con, tmp_path, rules=rules, companies=made)
    assert counts["companies"] == companies


def test_a_name_links_only_where_a_rule_says_so(con, tmp_path):
    made = [
        make_company("Q1", name="蓝海（上海）科技", city="上海市"),
        make_company("Q2", name="蓝海(上海)科技 ", city="上海市"),
        make_company("Q3", name="蓝海(上海)科技", city="苏州市"),
    ]
    run_night(con, tmp_path, companies=made)
    assert len(set(ids(con).values())) == 3
    rules = RULES | {"links": [{"columns": ["name", "city"], "max_records": 5}]}
    run_night(con, tmp_path, rules=rules, companies=made)
    assert ids(con) == {"Q1": "K000000001", "Q2": "K000000001", "Q3": "K000000003"}


def test_a_company_that_only_orders_name_is_a_company(con, tmp_path):
    run_night(con, tmp_path, orders=[{"order_id": "O1", "source_company_id": "Q7", "ordered_at": BEFORE, "net": 10}])
    assert ids(con) == {"Q7": "K000000001"}
    described = con.execute("select is_described, first_seen_at from core.companies").fetchall()
    assert described == [(False, BEFORE)]


def test_what_is_filed_under_any_record_makes_no_customer_of_a_deal(con, tmp_path):
    note = {"filed_under": "any_record", "occurred_at": datetime(2026, 1, 5), "kind": "note"}
    run_night(
        con,
        tmp_path,
        customers=[{"source_customer_id": "P1", "registered_at": datetime(2025, 1, 1)}],
        companies=[make_company("A1", created_at=datetime(2025, 1, 1))],
        opportunities=[{"opportunity_id": "D1", "source_customer_id": "P1", "created_at": datetime(2026, 1, 1)}],
        interactions=[
            note | {"interaction_id": "1", "source_customer_id": "P1"},
            note | {"interaction_id": "2", "source_customer_id": "A1"},
            note | {"interaction_id": "3", "source_customer_id": "D1"},
            note | {"interaction_id": "4", "source_customer_id": "P2", "filed_under": None},
            note | {"interaction_id": "5", "source_company_id": "A2", "filed_under": None},
        ],
    )
    assert con.sql(
        "select interaction_id, customer_id, company_id from core.interactions order by interaction_id"
    ).fetchall() == [
        ("1", "C000000001", None),
        ("2", None, "K000000001"),
        ("3", None, None),
        ("4", "C000000002", None),
        ("5", None, "K000000002"),
    ]
    assert con.sql("select count(*) from core.customers").fetchall() == [(2,)]


def test_an_opportunity_that_tells_no_time_dates_from_when_it_was_first_known(con, tmp_path):
    deal = {"opportunity_id": "D1", "source_company_id": "Q1"}
    run_night(
        con,
        tmp_path,
        opportunities=[deal | {"observed_at": BEFORE, "status": "open"}, deal | {"status": "won"}],
    )
    assert con.sql("select distinct created_at from core.opportunities").fetchall() == [(BEFORE,)]
    assert ids(con) == {"Q1": "K000000001"}


def test_a_company_named_without_a_date_was_always_there(con, tmp_path):
    orders = [
        {"order_id": "O1", "source_company_id": "Q7", "ordered_at": BEFORE, "net": 10},
        {"order_id": "O2", "source_company_id": "Q8", "ordered_at": BEFORE, "net": 10},
        {"order_id": "O3", "source_company_id": "Q8", "ordered_at": None, "net": 10},
    ]
    run_night(con, tmp_path, companies=[make_company("Q9"), make_company("Q9", created_at=None)], orders=orders)
    seen = con.execute("select source_company_id, first_evidence_at from core.company_sources order by all").fetchall()
    assert seen == [("Q7", BEFORE), ("Q8", None), ("Q9", None)]


def test_the_same_night_again_and_other_order_of_rows_keep_the_ids(con, tmp_path):
    made = [make_company(f"Q{number}", domain=f"d{number % 4}.example") for number in range(9)]
    run_night(con, tmp_path, companies=made)
    first = ids(con)
    run_night(con, tmp_path, companies=made[::-1])
    assert ids(con) == first
    earlier = [make_company("A0", source="erp", created_at=datetime(2020, 1, 1))]
    run_night(con, tmp_path, companies=[*earlier, *made])
    assert ids(con) == first | {"erp A0": "K000000010"}


def test_a_merge_keeps_the_older_id_and_a_split_gives_back(con, tmp_path):
    one, two, three = (make_company(f"Q{number}") for number in (1, 2, 3))
    run_night(con, tmp_path, companies=[one, two, three])
    assert set(ids(con).values()) == {"K000000001", "K000000002", "K000000003"}
    linked = [record | {"registration_id": "AAAAAA1"} for record in (one, two, three)]
    run_night(con, tmp_path, companies=linked)
    assert set(ids(con).values()) == {"K000000001"}
    # the first record was wrong: the larger part keeps K000000001, although its number was the first's
    run_night(con, tmp_path, companies=[one, *linked[1:]])
    apart = ids(con)
    assert apart == {"Q1": "K000000004", "Q2": "K000000001", "Q3": "K000000001"}
    run_night(con, tmp_path, companies=[one, *linked[1:]])
    assert ids(con) == apart
    changes = "select company_id, change, other_company_id, current_company_id, record_count from core.company_changes"
    assert con.execute(f"{changes} order by all").fetchall() == [
        ("K000000001", "split", "K000000004", "K000000001", 1),
        ("K000000002", "merged", "K000000001", "K000000001", 1),
        ("K000000003", "merged", "K000000001", "K000000001", 1),
    ]
    # a number once used up is not given to a newcomer
    run_night(con, tmp_path, companies=[one, *linked[1:], make_company("Q9")])
    assert ids(con)["Q9"] == "K000000005"


def test_the_smaller_part_of_a_split_takes_its_own_number_again(con, tmp_path):
    made = [make_company(f"Q{number}", registration_id="AAAAAA1") for number in (1, 2, 3)]
    run_night(con, tmp_path, companies=made)
    run_night(con, tmp_path, companies=[*made[:2], make_company("Q3")])
    assert ids(con) == {"Q1": "K000000001", "Q2": "K000000001", "Q3": "K000000003"}


def test_an_earlier_night_moves_no_number(con, tmp_path):
    early, late = datetime(2026, 1, 20), datetime(2026, 2, 10)
    alone = [make_company(f"Q{number}", updated_at=early) for number in (1, 2, 3)]
    pair = [record | {"registration_id": "BBBBBB1"} for record in alone[1:]]
    joined = [record | {"registration_id": "AAAAAA1", "updated_at": late} for record in alone]
    made = [alone[0], *pair, *joined]
    run_night(con, tmp_path, companies=made)
    newest = {"Q1": "K000000001", "Q2": "K000000001", "Q3": "K000000001"}
    assert ids(con) == newest
    # then the pair was the larger part, but no later night is undone by looking back
    run_night(con, tmp_path, date(2026, 2, 1), is_newest=False, companies=made)
    assert ids(con) == {"Q1": "K000000001", "Q2": "K000000002", "Q3": "K000000002"}
    run_night(con, tmp_path, companies=made)
    assert ids(con) == newest
    assert con.execute("select count(*) from core.company_changes").fetchall() == [(0,)]


def test_a_source_that_is_away_for_a_night_keeps_its_ids(con, tmp_path):
    made = [make_company("Q1"), make_company("Q2")]
    run_night(con, tmp_path, companies=made)
    run_night(con, tmp_path, companies=made[:1])
    run_night(con, tmp_path, companies=made)
    assert ids(con) == {"Q1": "K000000001", "Q2": "K000000002"}


def test_what_a_vault_holds_is_carried_to_the_next(con, tmp_path):
    run_night(con, tmp_path, companies=[make_company("Q1"), make_company("Q2")])
    con.execute("attach ':memory:' as before")
    for table in STATE:
        con.execute(f"create table before.{table} as select * from vault.{table}")
    con.execute("attach ':memory:' as empty")
    fresh = connect()
    carry_companies(fresh, "memory")
    assert fresh.execute("select count(*) from duckdb_tables() where database_name = 'vault'").fetchall() == [(0,)]
    for table in STATE:
        con.execute(f"drop table vault.{table}")
    carry_companies(con, "empty")
    carry_companies(con, "before")
    run_night(con, tmp_path, companies=[make_company("Q0", created_at=datetime(2020, 1, 1)), make_company("Q2")])
    assert ids(con) == {"Q0": "K000000003", "Q2": "K000000002"}


def test_what_became_known_later_links_nothing_yet(con, tmp_path):
    later = datetime(2026, 3, 2)
    run_night(
        con,
        tmp_path,
        companies=[
            make_company("Q1", registration_id="AAAAAA1"),
            make_company("Q2", registration_id="BBBBBB2", updated_at=BEFORE),
            make_company("Q2", registration_id="AAAAAA1", updated_at=later),
            make_company("Q3", registration_id="AAAAAA1", created_at=later),
        ],
    )
    assert len(set(ids(con).values())) == 3


def test_contacts_by_stated_company_else_by_an_address_of_its_own(con, tmp_path):
    def person(number, **overrides):
        return {"source_customer_id": f"P{number}", "registered_at": BEFORE} | overrides

    run_night(
        con,
        tmp_path,
        companies=[
            make_company("Q1", domain="acme.example"),
            make_company("Q2", domain="acme.example", registration_id="AAAAAA1"),
            make_company("Q3", domain="qq.com"),
            make_company("Q4", domain="group.example", registration_id="BBBBBB1"),
            make_company("Q5", domain="group.example", registration_id="CCCCCC1"),
        ],
        customers=[
            person(1, source_company_id="Q3", email="a@acme.example"),
            person(2, email="b@acme.example"),
            person(3, email="c@qq.com"),
            person(4, email="d@group.example"),
            person(5, email="e@elsewhere.example"),
        ],
        orders=[{"order_id": "O1", "email": "f@acme.example", "ordered_at": datetime(2026, 2, 1), "net": 5}],
    )
    found = con.execute(
        "select source_customer_id, company_id, company_contacts.linked_by, valid_from from core.company_contacts"
        " join core.customer_sources using (customer_id) order by all"
    ).fetchall()
    assert found == [
        ("P1", "K000000003", "stated", BEFORE),
        ("P2", "K000000001", "e-mail domain", BEFORE),
        ("f@acme.example", "K000000001", "e-mail domain", datetime(2026, 2, 1)),
    ]


def test_a_registration_to_come_takes_no_contact_away(con, tmp_path):
    ordered, registered = datetime(2026, 2, 1), datetime(2026, 6, 1)
    given = {
        "companies": [make_company("Q1", domain="acme.example")],
        "orders": [{"order_id": "O1", "source_customer_id": "P1", "email": "a@acme.example", "ordered_at": ordered}],
    }
    facts = "select company_id from marts.customer_facts"
    run_night(con, tmp_path, **given)
    assert con.execute(facts).fetchall() == [("K000000001",)]
    given["customers"] = [{"source_customer_id": "P1", "registered_at": registered}]
    run_night(con, tmp_path, **given)
    assert con.execute(facts).fetchall() == [("K000000001",)]
    # the file says nothing of a company: from then on the record claims none
    assert contacts(con) == [("K000000001", "e-mail domain", ordered, registered)]
    run_night(con, tmp_path, date(2026, 7, 1), **given)
    assert con.execute(facts).fetchall() == [(None,)]
    # a record that was described all along never claimed by its orders
    given["customers"] = [{"source_customer_id": "P1"}]
    run_night(con, tmp_path, **given)
    assert contacts(con) == []


def test_a_shared_domain_makes_no_two_persons_one(con, tmp_path):
    run_night(
        con,
        tmp_path,
        companies=[make_company("Q1", domain="acme.example")],
        customers=[
            {"source_customer_id": "P1", "email": "a@acme.example", "source_company_id": "Q1"},
            {"source_customer_id": "P2", "email": "b@acme.example", "source_company_id": "Q1"},
        ],
    )
    assert con.execute("select count(*) from core.customers").fetchall() == [(2,)]


def test_a_change_of_company_is_dated_and_orders_go_to_that_of_their_time(con, tmp_path):
    moved = datetime(2026, 2, 10)
    person = {"source_customer_id": "P1", "registered_at": BEFORE}
    run_night(
        con,
        tmp_path,
        companies=[make_company("Q1"), make_company("Q2"), make_company("Q3")],
        customers=[
            person | {"source_company_id": "Q1", "updated_at": BEFORE},
            person | {"source_company_id": "Q2", "updated_at": moved},
        ],
        orders=[
            {"order_id": "O1", "source_customer_id": "P1", "ordered_at": datetime(2026, 2, 1), "net": 1},
            {"order_id": "O2", "source_customer_id": "P1", "ordered_at": moved, "net": 1},
            {"order_id": "O3", "source_customer_id": "P1", "ordered_at": datetime(2026, 1, 1), "net": 1},
            {
                "order_id": "O4",
                "source_customer_id": "P1",
                "source_company_id": "Q3",
                "ordered_at": moved,
                "net": 1,
            },
        ],
    )
    assert contacts(con) == [("K000000001", "stated", BEFORE, moved), ("K000000002", "stated", moved, None)]
    orders = dict(con.execute("select order_id, company_id from core.orders").fetchall())
    assert orders == {"O1": "K000000001", "O2": "K000000002", "O3": None, "O4": "K000000003"}


def test_of_two_sources_the_later_word_holds_and_a_gap_is_a_gap(con, tmp_path):
    first, second, third = datetime(2026, 1, 10), datetime(2026, 1, 20), datetime(2026, 2, 1)
    crm = {"source_customer_id": "P1", "email": "a@a.example", "registered_at": first}
    erp = {"source": "erp", "source_customer_id": "E1", "email": "a@a.example", "registered_at": second}
    run_night(
        con,
        tmp_path,
        companies=[make_company("Q1"), make_company("Q2", source="erp")],
        customers=[
            crm | {"source_company_id": "Q1", "updated_at": first},
            crm | {"source_company_id": None, "updated_at": second},
            erp | {"source_company_id": "Q2", "registered_at": third},
        ],
    )
    assert contacts(con) == [("K000000001", "stated", first, second), ("K000000002", "stated", third, None)]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"links": []}, "write links and blocked"),
        ({"links": {}, "blocked": {}}, "links is a list"),
        ({"links": [{"columns": ["domain"]}], "blocked": {}}, "rule 1: write columns and max_records"),
        ({"links": [{"columns": ["domain"], "max_records": 1}], "blocked": {}}, "max_records: 1; write"),
        ({"links": [{"columns": ["phone"], "max_records": 5}], "blocked": {}}, r"columns: \['phone'\]; write"),
        ({"links": [], "blocked": {"phone": []}}, "blocked: phone: write a list under one of"),
        ({"links": [], "blocked": {"domain": "qq.com"}}, "blocked: domain: write a list"),
    ],
)
def test_wrong_rules_are_refused_with_the_mend(rules, said):
    with pytest.raises(ContractError, match=f"rules.yaml: companies: .*{said}"):
        check_company_rules(rules, "rules.yaml")


def test_the_users_rules_replace_ours(tmp_path):
    own = {"links": [{"columns": ["name"], "max_records": 2}], "blocked": {}}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"companies": own}), encoding="utf-8")
    assert load_company_rules(tmp_path) == own
    (tmp_path / "rules.yaml").write_text("blocked: {}", encoding="utf-8")
    assert load_company_rules(tmp_path) == RULES
    (tmp_path / "rules.yaml").write_text("companies: [", encoding="utf-8")
    with pytest.raises(IdentityError, match="rules.yaml: not readable as YAML"):
        load_company_rules(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_ids_do_not_hang_on_the_order_or_portions_of_rows(tmp_path, seed):
    rng = random.Random(seed)
    made = [
        make_company(
            f"Q{number}",
            source=rng.choice(["crm", "erp"]),
            domain=rng.choice([None, f"d{rng.randrange(25)}.example"]),
            registration_id=rng.choice([None, f"AAAAAA{rng.randrange(25)}"]),
            created_at=datetime(2026, 1, 1 + rng.randrange(20)),
        )
        for number in range(60)
    ]
    con = connect()
    run_night(con, tmp_path, companies=made)
    first = ids(con)
    assert 5 < len(set(first.values())) < 60
    for _ in range(2):
        rng.shuffle(made)
        run_night(con, tmp_path, companies=made)
        assert ids(con) == first
    # a part of the rows is away for a night: whoever stays together keeps the id of the larger part, and all come back
    run_night(con, tmp_path, is_newest=False, companies=made[:30])
    run_night(con, tmp_path, companies=made)
    assert ids(con) == first
