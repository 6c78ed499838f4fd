"""Golden records: which source record says what, tonight and on earlier nights."""

import re
from datetime import date, datetime

import numpy as np
import pytest

from pipeline.ingest.contracts import load_contracts
from pipeline.transform import build
from pipeline.transform.survivorship import RULES, attributes
from tests.transform.golden_night import build_records, facts_as_of, make_record, rows

ALL = "default: {}\nattributes: {{name: {}, gender: {}, birth_date: {}, place: {}}}"


def by(rule):
    """A user's file with one rule for every attribute."""
    return ALL.format(*[rule] * 5)


CRM = make_record("2026-01-01", "crm", gender="male", city="Wuhan", occupation="doctor", education="master", owner="W")
SHOP = make_record("2026-06-01", "shop", gender="female", city="Xiamen")
ERP = make_record("2026-03-01", "erp", gender="other", city="Harbin", occupation="teacher")


@pytest.mark.parametrize(
    ("rules", "gender", "city", "source"),
    [
        (by("most_recent"), "female", "Xiamen", "shop"),
        (by("most_trusted"), "male", "Wuhan", "crm"),
        # of the sources that are not named, the most recent
        ("trust: [erp]\n" + by("most_trusted"), "other", "Harbin", "erp"),
        ("trust: []\n" + by("most_trusted"), "female", "Xiamen", "shop"),
        (by("most_complete"), "male", "Wuhan", "crm"),
    ],
)
def test_each_rule_chooses_its_record(tmp_path, rules, gender, city, source):
    con = build_records(tmp_path, [SHOP, CRM, ERP], rules)
    assert rows(con, "select gender, city from core.customers") == [(gender, city)]
    assert rows(con, "select gender_source, place_source from core.customer_attribute_sources") == [(source, source)]
    facts = facts_as_of(con, date(2026, 11, 1))[0]
    assert (facts["gender"], facts["city"]) == (gender, city)
    # nobody but the CRM says who is responsible
    assert (facts["owner"], rows(con, "select owner from core.customers")) == ("W", [("W",)])


def test_our_rules(tmp_path):
    con = build_records(tmp_path, [CRM | {"name": "Wang Li"}, SHOP | {"name": "lily", "loyalty_points": 5}])
    # gender and name by trust, place by completeness, all else by time
    assert rows(con, "select gender, city, loyalty_points from core.customers") == [("male", "Wuhan", 5)]
    assert rows(con, "select name from vault.contacts") == [("Wang Li",)]
    found = rows(
        con,
        "select name_source, gender_source, loyalty_points_source, phone_source from core.customer_attribute_sources",
    )
    assert found == [("crm", "crm", "shop", None)]


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_attribute_has_no_say(tmp_path, rule):
    con = build_records(tmp_path, [CRM | {"gender": None}, SHOP], by(rule))
    assert rows(con, "select gender from core.customers") == [("female",)]
    assert rows(con, "select gender_source from core.customer_attribute_sources") == [("shop",)]


def test_a_place_comes_from_one_record_as_a_whole(tmp_path):
    crm = CRM | {"province": "Hubei", "district": "Hongshan", "address": "Road 1", "postal_code": "430070"}
    shop = SHOP | {"province": "Fujian", "country": "CN"}
    con = build_records(tmp_path, [crm, shop], by("most_recent"))
    # the shop knows neither district nor street; those of Wuhan are not in Xiamen
    assert rows(con, "select country, province, city, district from core.customers") == [
        ("CN", "Fujian", "Xiamen", None)
    ]
    assert rows(con, "select address, postal_code from vault.contacts") == [(None, None)]
    # a record with a country alone tells no place
    con = build_records(tmp_path, [crm, SHOP | {"city": None, "country": "CN"}], by("most_recent"))
    assert rows(con, "select country, province, city, district from core.customers") == [
        ("CN", "Hubei", "Wuhan", "Hongshan")
    ]


def test_year_and_month_of_birth_come_from_one_record(tmp_path):
    records = [CRM | {"birth_date": date(1980, 5, 1)}, SHOP | {"birth_date": date(1991, 12, 31)}]
    for rule, born in {"most_trusted": (1980, 5), "most_recent": (1991, 12)}.items():
        con = build_records(tmp_path, records, by(rule))
        assert rows(con, "select birth_year, birth_month from core.customers") == [born]
        assert rows(con, "select year(birth_date), month(birth_date) from vault.contacts") == [born]


@pytest.mark.parametrize("rule", RULES)
def test_ties_go_to_the_later_name_of_source_and_id(tmp_path, rule):
    tied = [make_record("2026-01-01", "shop", key, gender=gender) for key, gender in (("U1", "male"), ("U2", "female"))]
    for records in (tied, tied[::-1]):
        con = build_records(tmp_path, records, by(rule))
        assert rows(con, "select gender from core.customers") == [("female",)]
    tied.append(make_record("2026-01-01", "crm", "Z9", gender="other"))
    expected = "other" if rule == "most_trusted" else "female"
    assert rows(build_records(tmp_path, tied, by(rule)), "select gender from core.customers") == [(expected,)]


def test_a_deleted_record_says_nothing_while_another_lives(tmp_path):
    gone = CRM | {"deleted": True, "name": "Wang Li"}
    con = build_records(tmp_path, [gone, SHOP], by("most_trusted"))
    assert rows(con, "select gender, occupation, is_deleted from core.customers") == [("female", None, False)]
    assert rows(con, "select name from vault.contacts") == [(None,)]
    assert rows(con, "select gender_source, occupation_source from core.customer_attribute_sources") == [("shop", None)]
    con = build_records(tmp_path, [gone, SHOP | {"deleted": True}], by("most_trusted"))
    assert rows(con, "select gender, occupation, is_deleted from core.customers") == [("male", "doctor", True)]
    assert rows(con, "select name from vault.contacts") == [("Wang Li",)]
    facts = facts_as_of(con, date(2026, 11, 1))[0]
    assert (facts["is_deleted"], facts["gender"]) == (True, None)


def on(con, day):
    """What core.customers said as of a day: the query that the README gives."""
    return rows(
        con,
        f"""
        select gender, city, occupation from (
            select * from core.customers_history
            where coalesce(valid_from <= date '{day}', true) and valid_to > date '{day}'
            union all by name
            select * from core.customers where coalesce(valid_from <= date '{day}', true)
        )
        """,
    )


def test_history_tells_what_was_known_on_a_day(tmp_path):
    moved = CRM | {"city": "Chengdu", "updated_at": datetime(2026, 8, 1, 12)}
    con = build_records(
        tmp_path, [CRM, moved, SHOP, SHOP | {"customer_id": "C2", "customer_key": "U2"}], by("most_recent")
    )
    assert rows(
        con, "select customer_id, gender, city, valid_from, valid_to from core.customers_history order by all"
    ) == [
        ("C1", "female", "Xiamen", date(2026, 6, 2), date(2026, 8, 2)),
        ("C1", "male", "Wuhan", None, date(2026, 6, 2)),
    ]
    assert rows(con, "select customer_id, gender, city, valid_from from core.customers order by all") == [
        ("C1", "male", "Chengdu", date(2026, 8, 2)),
        ("C2", "female", "Xiamen", None),
    ]
    assert [on(con, day)[0][1] for day in ("2025-01-01", "2026-06-01", "2026-06-02", "2026-08-01", "2026-08-02")] == [
        "Wuhan", "Wuhan", "Xiamen", "Xiamen", "Chengdu"
    ]  # fmt: skip


def test_several_changes_of_one_day_are_one(tmp_path):
    steps = [
        CRM | {"city": city, "updated_at": datetime(2026, 8, 1, hour)} for hour, city in ((9, "Lhasa"), (15, "Xining"))
    ]
    con = build_records(tmp_path, [CRM, *steps])
    assert rows(con, "select city, valid_to from core.customers_history") == [("Wuhan", date(2026, 8, 2))]
    assert rows(con, "select city from core.customers") == [("Xining",)]


def test_what_only_the_vault_tells_makes_no_interval_outside_it(tmp_path):
    renamed = CRM | {"name": "Wang", "updated_at": datetime(2026, 8, 1, 12)}
    con = build_records(tmp_path, [CRM | {"name": "Li"}, renamed])
    assert rows(con, "select * from core.customers_history") == []
    assert rows(con, "select name, valid_from, valid_to from vault.contacts_history") == [
        ("Li", None, date(2026, 8, 2))
    ]
    assert rows(con, "select name from vault.contacts") == [("Wang",)]


def test_a_deletion_is_known_from_its_day(tmp_path):
    gone = CRM | {"deleted": True, "updated_at": datetime(2026, 8, 1, 12)}
    con = build_records(tmp_path, [CRM, SHOP | {"updated_at": datetime(2025, 6, 1)}, gone], by("most_trusted"))
    assert on(con, date(2026, 8, 1)) == [("male", "Wuhan", "doctor")]
    assert on(con, date(2026, 8, 2)) == [("female", "Xiamen", None)]


def test_facts_know_a_later_record_only_where_nothing_was_known(tmp_path):
    con = build_records(tmp_path, [CRM, SHOP | {"occupation": "chef", "income_band": "low"}], by("most_recent"))
    facts = facts_as_of(con, date(2026, 3, 1))[0]
    assert (facts["gender"], facts["occupation"], facts["income_band"]) == ("male", "doctor", "low")
    assert facts["is_attribute_backdated"]
    # trust gives a record that came later no say either
    con = build_records(
        tmp_path, [CRM | {"updated_at": datetime(2026, 6, 1)}, SHOP | {"updated_at": datetime(2026, 1, 1)}]
    )
    assert facts_as_of(con, date(2026, 3, 1))[0]["gender"] == "female"
    assert facts_as_of(con, date(2026, 7, 1))[0]["gender"] == "male"
    # before anything was known, the record of the first day stands, of several of one day that of the rule
    assert facts_as_of(con, date(2025, 1, 1))[0]["gender"] == "female"
    both = [record | {"updated_at": datetime(2026, 6, 1, hour)} for hour, record in enumerate((SHOP, CRM))]
    assert facts_as_of(build_records(tmp_path, both), date(2025, 1, 1))[0]["gender"] == "male"


def draw_records(rng, count=60, first=date(2026, 1, 1), days=200):
    """Records of a dozen customers with versions on random days; some cells empty, some records deleted."""
    records = []
    for _ in range(count):
        number, source = int(rng.integers(0, 12)), ("crm", "shop", "erp")[rng.integers(0, 3)]
        day = np.datetime64(first) + rng.integers(0, days)

        def some(*values):
            return (None, *values)[rng.integers(0, len(values) + 1)]

        records.append(
            make_record(
                f"{day}T{rng.integers(0, 24):02}:00:00",
                source,
                f"{source}{number}{rng.integers(0, 2)}",
                f"C{number}",
                gender=some("male", "female"),
                city=some("Wuhan", "Xiamen", "Harbin"),
                province=some("A", "B"),
                occupation=some("doctor", "chef"),
                loyalty_points=some(1, 2, 3),
                name=some("x", "y"),
                registered_at=(day - rng.integers(0, 300)).astype("datetime64[us]").astype(datetime),
                birth_date=some(date(1980, 1, 1), date(1990, 2, 2)),
                deleted=some(True, False, False),
            )
        )
    # one version of a record an hour
    return list({(row["customer_key"], row["updated_at"]): row for row in records}.values())


SHOWN = "gender birth_year birth_month occupation province city loyalty_points"


@pytest.mark.parametrize("seed", range(8))
def test_later_versions_change_no_earlier_night(tmp_path, seed):
    rng = np.random.default_rng(seed)
    early = draw_records(rng)
    keys = {(row["customer_key"], row["customer_id"]) for row in early}
    later = [
        row for row in draw_records(rng, 80, date(2026, 8, 1), 60) if (row["customer_key"], row["customer_id"]) in keys
    ]
    assert len(later) > 10
    for rule in RULES:
        before, after = build_records(tmp_path, early, by(rule)), build_records(tmp_path, early + later, by(rule))
        for day in (date(2026, 2, 1), date(2026, 5, 1), date(2026, 8, 1)):
            assert facts_as_of(after, day) == facts_as_of(before, day)
            columns = ", ".join(["customer_id", *SHOWN.split(), "registered_at", "is_deleted"])
            told = (
                f"select {columns} from core.customers_history where coalesce(valid_from <= date '{day}', true)"
                f" and valid_to > date '{day}' union all by name select {columns} from core.customers"
                f" where is_described and coalesce(valid_from <= date '{day}', true) order by all"
            )
            assert rows(after, told) == rows(before, told)
            assert len(rows(after, told)) == len({row["customer_id"] for row in early})


@pytest.mark.parametrize("seed", range(8))
def test_a_later_record_changes_nothing_that_was_known(tmp_path, seed):
    rng = np.random.default_rng(seed)
    early = [row | {"deleted": None} for row in draw_records(rng)]
    later = [
        row | {"customer_key": f"new {row['customer_key']}"} for row in draw_records(rng, 40, date(2026, 8, 1), 60)
    ]
    day = date(2026, 8, 1)
    before, after = (build_records(tmp_path, records, by("most_trusted")) for records in (early, early + later))
    found = {row["customer_id"]: row for row in facts_as_of(after, day)}
    for row in facts_as_of(before, day):
        for name in ("gender", "birth_year", "birth_month", "occupation", "loyalty_points", "registered_at"):
            assert found[row["customer_id"]][name] == row[name] or row[name] is None


@pytest.mark.parametrize("seed", range(8))
def test_history_facts_and_customers_agree(tmp_path, seed):
    records = draw_records(np.random.default_rng(seed))
    con = build_records(tmp_path, records, by("most_complete"))
    compared = 0
    for day in (date(2026, 3, 1), date(2026, 6, 1), date(2026, 8, 1)):
        told = con.sql(
            f"select * from core.customers_history where coalesce(valid_from <= date '{day}', true)"
            f" and valid_to > date '{day}' union all by name select * from core.customers"
            f" where coalesce(valid_from <= date '{day}', true)"
        ).pl()
        told = {row["customer_id"]: row for row in told.to_dicts()}
        for row in facts_as_of(con, day):
            if not row["is_attribute_backdated"] and not row["is_deleted"]:
                assert {name: row[name] for name in SHOWN.split()} == {
                    name: told[row["customer_id"]][name] for name in SHOWN.split()
                }
                compared += 1
    assert compared > 10
    neighbours = rows(
        con,
        "select count(*) from core.customers_history as one inner join core.customers as other"
        " on one.customer_id = other.customer_id and one.valid_to > other.valid_from",
    )
    assert neighbours == [(0,)]


def test_slices_of_the_customers_give_the_same(tmp_path, monkeypatch):
    records = draw_records(np.random.default_rng(1))
    whole = build_records(tmp_path, records)
    monkeypatch.setattr(build, "VERSIONS_A_SLICE", 10)
    sliced = build_records(tmp_path, records)
    for table in ("core.customers", "core.customers_history", "core.customer_attribute_sources", "vault.contacts"):
        assert rows(sliced, f"from {table} order by all") == rows(whole, f"from {table} order by all")


def test_every_attribute_is_counted_and_ruled_in_the_sql():
    sql = {path.stem: path.read_text(encoding="utf-8") for path in build.FOLDER.rglob("*.sql")}
    columns = [
        name
        for name in load_contracts()["customers"].columns
        if f"versions.{name} is not null" in sql["customer_records"]
    ]
    assert (
        sorted(
            {
                "place" if name in ("province", "city", "district", "address", "postal_code") else name
                for name in columns
            }
        )
        == attributes()
    )
    for name in ("golden_records", "customer_attribute_sources"):
        assert set(re.findall(r"survivor_rank\('(\w+)'\)", sql[name])) >= set(attributes()), name
