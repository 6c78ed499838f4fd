"""Who went where between two nights, counted from the intervals of tags and by the states of the nights themselves."""

from collections import Counter
from datetime import date, timedelta

import duckdb
import numpy as np
import pytest

from pipeline.models.rfm import read_rfm_segments
from pipeline.models.rfm_grades import VALUE_CLASSES
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from pipeline.tags.migrations import MIGRATED, build_migrations, find_periods
from pipeline.tags.tables import create_tables
from tests.tags.small_warehouse import insert, make_warehouse, set_facts

AS_OF = date(2026, 3, 1)
FOUND = "select from_value, to_value, change, customer_count, from_share from tags.tag_migrations"


def days_ago(days):
    return AS_OF - timedelta(days=days)


def make_history(*intervals, merged=()):
    """A warehouse with (customer, value, days ago of begin, days ago of end or None) of rfm_segment; merged: ids that are gone."""
    con = duckdb.connect()
    con.execute("create schema core")
    con.execute("create table core.identity_changes (customer_id varchar, change varchar, current_customer_id varchar)")
    create_tables(con)
    for customer, value, begin, end in intervals:
        row = {"customer_id": customer, "tag": "rfm_segment", "value": value, "valid_from": days_ago(begin)}
        insert(con, "tags.tag_history", row | ({"valid_to": days_ago(end)} if end is not None else {}))
    for customer, into in merged:
        con.execute("insert into core.identity_changes values (?, 'merged', ?)", [customer, into])
    return con


def test_hand_counted_moves():
    con = make_history(
        ("stays", "champions", 40, None),
        ("stays too", "champions", 40, None),
        ("moves", "champions", 40, 20),
        ("moves", "at_risk", 20, None),
        # went and came back: the same on both nights
        ("returns", "champions", 40, 20),
        ("returns", "lost", 20, 10),
        ("returns", "champions", 10, None),
        ("new", "new_customers", 5, None),
        ("refused", "lost", 40, 3),
        ("part of stays", "lost", 40, 3),
        # there between the nights only
        ("passed", "lost", 20, 10),
        merged=[("part of stays", "stays"), ("passed", "stays")],
    )
    assert build_migrations(con, AS_OF, [days_ago(40)]) == con.execute(f"select count(*) from ({FOUND})").fetchone()[0]
    assert con.execute(f"{FOUND} where period = '30_days'").fetchall() == [
        ("champions", "at_risk", "moved", 1, 0.25),
        ("champions", "champions", "stayed", 3, 0.75),
        ("lost", None, "left", 1, 0.5),
        ("lost", None, "merged", 1, 0.5),
        (None, "new_customers", "new", 1, None),
    ]


def test_an_interval_holds_on_its_first_night_and_not_on_its_end():
    con = make_history(("c1", "lost", 60, 30), ("c1", "champions", 30, 1), ("c1", "loyal", 1, None))
    build_migrations(con, AS_OF, [days_ago(1), days_ago(30), days_ago(31)])
    found = con.execute("select period, from_value, to_value from tags.tag_migrations order by period").fetchall()
    assert found == [("30_days", "champions", "loyal"), ("last_night", "loyal", "loyal")]


def test_the_night_compared_is_the_newest_that_is_old_enough():
    nights = [days_ago(days) for days in (2, 29, 33, 60, 200)]
    assert find_periods(AS_OF, nights) == {
        "last_night": days_ago(2),
        "30_days": days_ago(33),
        "90_days": days_ago(200),
    }
    assert find_periods(AS_OF, nights[:2]) == {"last_night": days_ago(2)}
    assert find_periods(AS_OF, []) == {}


def test_a_tag_that_nobody_carried_then_is_not_compared():
    # a release that brings a tag would else call every customer new
    con = make_history(("c1", "champions", 0, None))
    assert build_migrations(con, AS_OF, [days_ago(1)]) == 0
    assert build_migrations(con, AS_OF, []) == 0


@pytest.mark.parametrize("seed", range(10))
def test_matrix_is_that_of_the_states_of_both_nights(seed):
    rng = np.random.default_rng(seed)
    values = ["champions", "lost", "loyal", None]
    nights = sorted(rng.choice(np.arange(1, 100), size=12, replace=False).tolist(), reverse=True) + [0]
    intervals, states = [], {}
    for customer in (f"c{number}" for number in range(60)):
        held, begun = None, None
        for night in nights:
            value = values[rng.choice(4, p=[0.3, 0.2, 0.3, 0.2])] if rng.random() < 0.4 else held
            if value != held:
                intervals += [(customer, held, begun, night)] if held else []
                held, begun = value, night
            states[customer, night] = held
        intervals += [(customer, held, begun, None)] if held else []
    con = make_history(*intervals)
    build_migrations(con, AS_OF, [days_ago(night) for night in nights[:-1]])
    for period, night in find_periods(AS_OF, [days_ago(night) for night in nights[:-1]]).items():
        then = (AS_OF - night).days
        expected = Counter((states[name, then], states[name, 0]) for name in {name for name, _ in states})
        del expected[None, None]
        found = con.execute(
            f"select from_value, to_value, customer_count from ({FOUND} where period = '{period}')"
        ).fetchall()
        assert {(was, now): count for was, now, count in found} == dict(expected)
        shares = con.execute(
            f"select sum(from_share) from tags.tag_migrations where period = '{period}' and from_value is not null"
            " group by from_value"
        ).fetchall()
        assert all(abs(share - 1) < 1e-5 for (share,) in shares)


def test_all_four_tags_of_two_nights():
    catalogue = load_catalogue(CATALOGUE_FOLDER)
    scores = {"rfm_segment": "Lost", "value_class": "General Win-back", "customer_grade": "Ordinary", "abc_class": "C"}
    con = make_warehouse({}, as_of=days_ago(1), rfm=[{"customer_id": "c1"} | scores])
    con.execute("create table core.identity_changes (customer_id varchar, change varchar, current_customer_id varchar)")
    build_tags(con, catalogue, days_ago(1))
    con.execute("create table core.before as from tags.tag_history")
    con.execute(
        "update scores.rfm set rfm_segment = 'Champions', value_class = 'Key Value', customer_grade = 'Key', abc_class = 'A'"
    )
    set_facts(con, {}, as_of=AS_OF)
    build_tags(con, catalogue, AS_OF, "core.before")
    build_migrations(con, AS_OF, [days_ago(1)])
    assert con.execute("select tag, from_value, to_value from tags.tag_migrations").fetchall() == [
        ("rfm_segment", "lost", "champions"),
        ("value_class", "general_win_back", "key_value"),
        ("customer_grade", "ordinary", "key"),
        ("abc_class", "c", "a"),
    ]


def test_the_catalogue_names_every_segment_and_class_in_their_order():
    tags = {tag.code: tag for tag in load_catalogue(CATALOGUE_FOLDER).tags}
    assert not any(tags[code].is_multi_valued for code in MIGRATED)
    segments = [(segment["name"], segment["zh"]) for segment in read_rfm_segments()]
    for code, names in {"rfm_segment": segments, "value_class": list(VALUE_CLASSES.values())}.items():
        assert [(value.name, value.name_zh) for value in tags[code].values] == names
        slugs = duckdb.connect().execute(
            "select regexp_replace(lower(unnest(?)), '[^a-z0-9]+', '_', 'g')", [[name for name, _ in names]]
        )
        assert [value.code for value in tags[code].values] == [slug for (slug,) in slugs.fetchall()]
