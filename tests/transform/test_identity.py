"""Who is one customer, worked by hand."""

from dataclasses import replace
from datetime import date, datetime

import pytest

from pipeline.transform.identity_rules import Decision, Identifier, IdentityError, load_decisions, load_rules
from tests.transform.identity_night import Nights, order, record


def grouped(ids):
    """The customers as a set of sets of record keys."""
    groups = {}
    for (_, key), customer_id in ids.items():
        groups.setdefault(customer_id, set()).add(key)
    return {frozenset(keys) for keys in groups.values()}


def groups(*keys):
    return {frozenset(group.split()) for group in keys}


def rules(**changed):
    return load_rules() | changed


def test_records_hang_together_through_shared_identifiers():
    ids = Nights().run(
        customers=[
            record("crm", "c1", email="a@x.cn"),
            record("shop", "s1", email="a@x.cn", phone="+8613911112222"),
            record("help", "h1", phone="+8613911112222"),
            record("crm", "c2", email="b@x.cn", wechat="bee"),
            record("shop", "s2", wechat="bee"),
            record("shop", "s3"),
        ]
    )
    assert grouped(ids) == groups("c1 s1 h1", "c2 s2", "s3")


def test_a_guests_order_belongs_to_whoever_shows_its_address():
    ids = Nights().run(customers=[record("crm", "c1", email="a@x.cn")], orders=[order("o1", email="a@x.cn")])
    assert grouped(ids) == groups("c1 e:a@x.cn")


def test_ids_follow_first_evidence_not_the_order_of_rows():
    rows = [record("crm", f"c{day}", registered_at=datetime(2025, 1, 9 - day)) for day in range(1, 8)]
    ids = Nights().run(customers=rows)
    assert ids == Nights().run(customers=rows[::-1])
    assert ids["crm", "c7"] == "C000000001" and ids["crm", "c1"] == "C000000007"


def test_a_placeholder_links_nobody_and_names_nobody():
    ids = Nights().run(
        customers=[record("crm", "c1", phone="+8613800000000"), record("crm", "c2", phone="+8613800000000")],
        orders=[
            order("o1", phone="+8613800000000"),
            order("o2", email="info@x.cn", phone="+8613911112222"),
            order("o3", phone="+8613911112222"),
        ],
    )
    # o1 is anonymous, and o2 belongs to its telephone
    assert grouped(ids) == groups("c1", "c2", "p:+8613911112222")


def test_an_identifier_that_too_many_records_share_is_blocked():
    rows = [record("crm", f"c{number}", email="all@x.cn") for number in range(4)]
    assert len(grouped(Nights().run(customers=rows, limit=4))) == 1
    assert len(grouped(Nights().run(customers=rows, limit=3))) == 4


def test_an_office_address_with_many_telephones_is_nobodys():
    orders = [order(f"o{number}", email="desk@x.cn", phone=f"+86139111122{number}0") for number in range(4)]
    orders += [order(f"g{number}", phone=f"+86139111122{number}0") for number in range(4)]
    assert len(grouped(Nights().run(orders=orders, limit=3))) == 4
    assert len(grouped(Nights().run(orders=orders, limit=4))) == 1


def test_a_familys_telephone_links_only_those_of_one_birthday():
    ids = Nights().run(
        customers=[
            record("crm", "anna1", phone="+8613911112222", birth_date=date(1980, 5, 1)),
            record("shop", "anna2", phone="+8613911112222", birth_date=date(1980, 5, 1)),
            record("shop", "bert", phone="+8613911112222", birth_date=date(1979, 2, 3)),
            record("help", "somebody", phone="+8613911112222"),
            record("crm", "carl1", phone="+8613933334444", birth_date=date(1990, 1, 1)),
            record("help", "carl2", phone="+8613933334444"),
        ]
    )
    assert grouped(ids) == groups("anna1 anna2", "bert", "somebody", "carl1 carl2")


def test_ties_in_what_parts_a_family_hang_on_no_order_of_rows():
    people = [
        record("crm", "a", email="a@x.cn", phone="+8613911112222", birth_date=date(1980, 5, 1)),
        record("shop", "b", email="a@x.cn", birth_date=date(1981, 5, 1)),
        record("help", "c", phone="+8613911112222", birth_date=date(1980, 5, 1)),
    ]
    # what a and b told at one moment differs: the greater counts, whoever comes first
    for rows in (people, people[::-1], [people[1], people[2], people[0]]):
        assert grouped(Nights().run(rows)) == groups("a b", "c")


def test_a_birth_date_told_after_as_of_parts_nobody_before():
    people = [
        record("crm", "a", phone="+8613911112222", birth_date=date(1980, 5, 1)),
        record("shop", "b", phone="+8613911112222", updated_at=datetime(2025, 2, 1)),
    ]
    later = record("shop", "b", phone="+8613911112222", birth_date=date(1990, 5, 1), updated_at=datetime(2025, 9, 1))
    assert grouped(Nights().run([*people, later], as_of=date(2025, 9, 1))) == groups("a b")
    assert grouped(Nights().run([*people, later], as_of=date(2025, 9, 2))) == groups("a", "b")


def test_two_shared_addresses_are_one_link():
    people = [record("crm", "a", email="a@x.cn"), record("shop", "b", email="a@x.cn")]
    people += [
        record("crm", "a", email="b@x.cn", updated_at=datetime(2026, 1, 2)),
        record("shop", "b", email="b@x.cn", updated_at=datetime(2026, 1, 2)),
    ]
    nights = Nights()
    nights.run(people)
    assert nights.con.sql("select linked_by, linked_at from links").fetchall() == [("email", datetime(2025, 1, 1))]


def test_composite_identifiers_need_every_column_and_may_exchange_them():
    people = [
        record("crm", "c1", surname="Müller", given_name="Ann-Marie", birth_date=date(1980, 5, 1)),
        record("shop", "s1", surname="ann marie", given_name="MULLER", birth_date=date(1980, 5, 1)),
        record("shop", "s2", surname="Muller", given_name="Ann Marie"),
        record("shop", "s3", surname="Muller", given_name="Ann Marie"),
        record("shop", "s4", surname="Mullera", given_name="nn Marie", birth_date=date(1980, 5, 1)),
    ]
    key = Identifier("name_and_birth", ("surname", "given_name", "birth_date"), in_any_order=True)
    assert grouped(Nights().run(people, rules=rules(identifiers=(key,), blocked={}))) == groups(
        "c1 s1", "s2", "s3", "s4"
    )
    in_order = replace(key, in_any_order=False)
    assert len(grouped(Nights().run(people, rules=rules(identifiers=(in_order,), blocked={})))) == 5


SAME = Decision(2, True, ("crm", "c1"), ("shop", "s1"), date(2026, 3, 1))
DIFFERENT = Decision(3, False, ("crm", "c1"), ("shop", "s2"), date(2026, 3, 1))


def test_a_decision_makes_two_records_one_from_its_day():
    nights = Nights()
    people = [record("crm", "c1"), record("shop", "s1")]
    assert grouped(nights.run(people, decisions=[SAME], as_of=date(2026, 3, 1))) == groups("c1", "s1")
    assert grouped(nights.run(people, decisions=[SAME], as_of=date(2026, 3, 2))) == groups("c1 s1")


def test_a_decision_keeps_two_records_apart_and_cuts_the_weakest_link():
    people = [
        record("crm", "c1", email="a@x.cn"),
        record("shop", "s1", email="a@x.cn", phone="+8613911112222"),
        record("shop", "s2", phone="+8613911112222", email="b@x.cn"),
        record("help", "h2", email="b@x.cn", phone="+8613911112222"),
    ]
    nights = Nights()
    assert len(grouped(nights.run(people))) == 1
    ids = nights.run(people, decisions=[DIFFERENT])
    assert grouped(ids) == groups("c1 s1", "s2 h2")
    assert nights.counts["links_refused"] == 2


def test_a_decision_may_name_the_same_customers_by_their_ids():
    people = [record("crm", "c1"), record("shop", "s1")]
    nights = Nights()
    nights.run(people)
    same = Decision(2, True, ("", "C000000001"), ("", "C000000002"), date(2025, 1, 1))
    assert grouped(nights.run(people, decisions=[same])) == groups("c1 s1")


@pytest.mark.parametrize(
    ("written", "key"), [("Ann@X.cn", "h:ann@x.cn"), ("+86 138 0000 0003", "h:+8613800000003"), ("ann", "h:ann")]
)
def test_a_decision_may_write_an_address_or_phone_as_the_export_does(written, key):
    people = [record("crm", "c1"), record("shop", key)]
    same = Decision(2, True, ("crm", "c1"), ("shop", written), date(2025, 1, 1))
    assert grouped(Nights().run(people, decisions=[same])) == groups(f"c1 {key}")


def test_a_decision_about_nobody_says_its_line():
    with pytest.raises(IdentityError, match="line 2: no record of this source and id"):
        Nights().run([record("crm", "c1")], decisions=[SAME])


def test_a_link_counts_from_its_first_evidence():
    people = [
        record("crm", "c1", email="a@x.cn", registered_at=datetime(2025, 1, 1)),
        record("shop", "s1", email="a@x.cn", registered_at=datetime(2025, 8, 1)),
        record("help", "h1", email="a@x.cn", registered_at=None, updated_at=None),
    ]
    nights = Nights()
    assert grouped(nights.run(people, as_of=date(2025, 8, 1))) == groups("c1 h1", "s1")
    assert grouped(nights.run(people, as_of=date(2025, 8, 2))) == groups("c1 s1 h1")
    assert grouped(nights.then(date(2025, 8, 1))) == groups("c1 h1", "s1")
    assert grouped(nights.then(date(2025, 8, 2))) == groups("c1 s1 h1")


def test_an_address_that_a_later_version_brings_links_from_then():
    people = [
        record("crm", "c1", email="a@x.cn"),
        record("shop", "s1", email="old@x.cn", updated_at=datetime(2025, 2, 1)),
        record("shop", "s1", email="a@x.cn", updated_at=datetime(2025, 9, 1)),
    ]
    nights = Nights()
    assert grouped(nights.run(people)) == groups("c1 s1")
    assert grouped(nights.then(date(2025, 9, 1))) == groups("c1", "s1")
    assert grouped(nights.then(date(2025, 9, 2))) == groups("c1 s1")


def test_what_is_dated_after_as_of_changes_no_id():
    people = [record("crm", f"c{number}", email=f"{number}@x.cn") for number in range(5)]
    later = [
        record("shop", f"s{number}", email="0@x.cn", registered_at=datetime(2025, 9, 1)) for number in range(30)
    ] + [record("help", "h1", email="1@x.cn", registered_at=datetime(2025, 9, 1))]
    before = Nights().run(people, as_of=date(2025, 9, 1))
    after = Nights().run(people + later, as_of=date(2025, 9, 1))
    assert {key: after[key] for key in before} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "decision,source\n",
            "line 1: no column decided_on, other_source, other_source_customer_id, source_customer_id",
        ),
        ("{}\nmaybe,crm,c1,shop,s1,2026-01-01\n", 'line 2: decision is "maybe"; write same or different'),
        ("{}\nsame,crm,c1,shop,s1,1/2/2026\n", 'line 2: decided_on "1/2/2026" is no date'),
        ("{}\nsame,crm,c1,crm,c1,2026-01-01\n", "line 2: name two records"),
        ("{}\ndifferent,,C000000001,crm,c1,2026-01-01\n", "line 2: different must name two records by source"),
    ],
)
def test_a_line_of_decisions_that_cannot_be_says_where(tmp_path, text, message):
    head = "decision,source,source_customer_id,other_source,other_source_customer_id,decided_on"
    (tmp_path / "decisions.csv").write_text(text.format(head), encoding="utf-8")
    with pytest.raises(IdentityError, match=message.replace("(", r"\(")):
        load_decisions(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("identifier: {}", 'unknown "identifier"; did you mean "identifiers"'),
        ("identifiers: {email: {columns: [mail]}}", 'identifiers: email: unknown "mail"; did you mean "email"'),
        ("identifiers: {email: {column: [email]}}", 'identifiers: email: unknown "column"; did you mean "columns"'),
        ("blocked: {email: ['(']}", "blocked: email: .* is no regular expression"),
        ("blocked: {email: ['(?!x)y']}", "blocked: email: .* is no regular expression that DuckDB"),
        ("identifiers: {email: {columns: [[email]]}}", "identifiers: email: columns: write a list"),
        ("identifiers: {email: {columns: [email], unless_differs: [name]}}", "unless_differs: write one column"),
        ("identifiers: {email: {columns: [email], in_any_order: maybe}}", "in_any_order: write true or false"),
        ("probable: {enabled: true}", "probable: blocking: is missing; copy the whole block of identity.yaml"),
        ("probable:", "probable: must hold"),
        ("blocked: {mail: ['x']}", 'blocked: unknown "mail"'),
    ],
)
def test_a_rule_that_cannot_be_says_where(tmp_path, text, message):
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(IdentityError, match=message):
        load_rules(tmp_path)
