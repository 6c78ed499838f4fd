"""Probable links: what is accepted, on rows worked by hand; and Splink's model on people whose truth is known."""

import random
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb
import polars as pl
import pytest
import yaml

import pipeline.transform.matching as matching
from pipeline.transform.clusters import MOST_COMPONENTS, accept_links
from pipeline.transform.matching import MatchingError, probable_links
from pipeline.transform.matching_model import LEVELS, levels_of

needs_splink = pytest.mark.skipif(find_spec("splink") is None, reason="the extra splink is not installed")

IDENTITY = Path(matching.__file__).parent / "identity.yaml"
COLUMNS = ["surname", "given_name", "birth_date", "national_id", "email", "phone", "address", "postal_code", "city"]


def shipped(**changed):
    """The rules as shipped, switched on, but for what is changed."""
    return {"probable": yaml.safe_load(IDENTITY.read_text(encoding="utf-8"))["probable"] | {"enabled": True} | changed}


def make_person(node, **overrides):
    """A record of a component of its own, about whom only a name is known."""
    return {
        "node": node,
        "component": node,
        **dict.fromkeys(COLUMNS),
        "surname": "smith",
        "given_name": "robert",
    } | overrides


def night(people):
    """A connection with work.people."""
    con = duckdb.connect()
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    kinds = {"node": pl.Int64, "component": pl.Int64, "birth_date": pl.Date}
    con.register("given", pl.DataFrame(people, schema={name: kinds.get(name, pl.String) for name in people[0]}))
    con.execute("create table work.people as select * from given")
    return con


def accepted(people, links, never=()):
    """The links (node, other_node) accepted of links (node, other_node, weight)."""
    con = night(people)
    con.execute("create schema work.probable")
    con.execute("create table work.probable.keyed as select node as unique_id, * exclude (node) from work.people")
    con.register("given_links", pl.DataFrame(links, ["unique_id_l", "unique_id_r", "weight"], orient="row"))
    con.execute("create table work.probable.scored as select * from given_links")
    con.execute("create table work.kept_apart (node bigint, other_node bigint)")
    for pair in never:
        con.execute("insert into work.kept_apart values (?, ?)", pair)
    spec = shipped()["probable"]
    table, refused = accept_links(con, spec["comparisons"], spec["one_each"], "work.kept_apart")
    rows = con.execute(f"select * from {table} order by all").fetchall()
    component = {person["node"]: person["component"] for person in people}
    assert refused == len({(component[node], component[other_node]) for node, other_node, _ in links}) - len(rows)
    return rows


def test_a_household_is_not_a_person():
    people = [
        make_person(1, given_name="robert", address="1 high street"),
        make_person(2, given_name="susan", address="1 high street"),
        make_person(3, given_name=None, address="1 high street"),
    ]
    assert accepted(people, [(1, 2, 12.0), (1, 3, 9.0), (2, 3, 9.0)]) == []


def test_what_is_a_tie_is_refused_and_a_majority_is_not():
    father = make_person(1, birth_date=date(1950, 1, 2))
    son = make_person(2, birth_date=date(1980, 5, 6))
    assert accepted([father, son], [(1, 2, 20.0)]) == []
    mistyped = make_person(3, birth_date=date(1950, 1, 2), national_id="111111111")
    corrected = make_person(4, birth_date=date(1950, 1, 3), national_id="222222222")
    assert accepted([mistyped, corrected], [(3, 4, 20.0)]) == [(3, 4)]


def test_a_chain_joins_nobody_who_contradicts_another():
    people = [
        make_person(1, birth_date=date(1950, 1, 2)),
        make_person(2),
        make_person(3, birth_date=date(1980, 5, 6)),
    ]
    assert accepted(people, [(1, 2, 9.0), (2, 3, 10.0)]) == [(2, 3)]
    assert accepted(people, [(1, 2, 10.0), (2, 3, 9.0)]) == [(1, 2)]


def test_who_was_decided_to_be_another_stays_apart():
    people = [make_person(node) for node in (1, 2, 3)]
    links = [(1, 2, 9.0), (2, 3, 8.0)]
    assert accepted(people, links) == [(1, 2), (2, 3)]
    assert accepted(people, links, never=[(3, 1)]) == [(1, 2)]
    assert accepted(people, links, never=[(1, 2)]) == [(2, 3)]


def test_components_count_as_one_and_the_heaviest_link_stands_for_both():
    people = [make_person(1), make_person(2, component=1), make_person(3), make_person(4, component=3)]
    assert accepted(people, [(1, 3, 8.0), (2, 4, 9.0)]) == [(2, 4)]


def test_more_than_a_person_can_be_is_not_joined():
    people = [make_person(node) for node in range(1, MOST_COMPONENTS + 5)]
    links = [(node, node + 1, 50.0 - node) for node in range(1, MOST_COMPONENTS + 4)]
    refused = {link[:2] for link in links} - set(accepted(people, links))
    assert refused == {(MOST_COMPONENTS, MOST_COMPONENTS + 1)}


@pytest.mark.parametrize(
    ("comparison", "left", "right", "level"),
    [
        ({"column": "surname", "how": "name"}, {"surname": "meier"}, {"surname": "meyer"}, "alike"),
        ({"column": "surname", "how": "name"}, {"surname": "johnson"}, {"surname": "jonhson"}, "close"),
        ({"column": "address", "how": "text"}, {"address": "12 main street"}, {"address": "12 main stret"}, "close"),
        ({"column": "address", "how": "text"}, {"address": "12 main street"}, {"address": "14 main street"}, None),
        ({"column": "email", "how": "text"}, {"email": "bob1@x.com"}, {"email": "bob2@x.com"}, None),
        (
            {"column": "birth_date", "how": "date"},
            {"birth_date": date(1971, 6, 5)},
            {"birth_date": date(1971, 5, 6)},
            "close",
        ),
        (
            {"column": "birth_date", "how": "date"},
            {"birth_date": date(1971, 6, 24)},
            {"birth_date": date(1998, 1, 1)},
            None,
        ),
        ({"column": "national_id", "how": "code"}, {"national_id": "1804974"}, {"national_id": "1804794"}, "close"),
        (
            {"column": "given_name", "how": "name", "swapped_with": "surname"},
            {"given_name": "lee", "surname": "robert"},
            {"given_name": "robert", "surname": "lee"},
            "swapped",
        ),
    ],
)
def test_levels(comparison, left, right, level):
    con = night([make_person(1, **left), make_person(2, **right)])
    cases = " ".join(f"when {sql} then '{name}'" for name, sql in levels_of(comparison))
    found = con.execute(f"select case {cases} end from people as l, people as r where l.node = 1 and r.node = 2")
    assert found.fetchall() == [(level,)]


def test_off_makes_no_links():
    con = night([make_person(1)])
    assert probable_links(con, "work.people", shipped(enabled=False), 1) == 0
    assert con.execute("select count(*) from probable_links").fetchall() == [(0,)]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(matching, "find_spec", lambda name: None)
    with pytest.raises(MatchingError, match=r"pip install '\.\[splink\]'"):
        probable_links(night([make_person(1)]), "work.people", shipped(), 1)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"comparisons": [{"column": "surname", "how": "sound"}, {"column": "city", "how": "exact"}]}, "sound"),
        ({"comparisons": [{"column": "surname", "how": "name"}]}, "two columns"),
        ({"blocking": [["shoe_size"]]}, "shoe_size"),
        ({"blocking": []}, "at least one list"),
        ({"threshold": 1}, "below 1"),
        ({"max_pairs": 0}, "max_pairs"),
    ],
)
def test_rules_that_cannot_be(changed, says):
    with pytest.raises(MatchingError, match=says):
        probable_links(night([make_person(1)]), "work.people", shipped(**changed), 1)


def test_every_how_has_a_best_level():
    assert all(levels[0][0] == "same" for levels in LEVELS.values())


def shop_people(count, seed=7):
    """People with two records each, the second mistyped, in components of their own; node 2n-1 and 2n are one person."""
    draw = random.Random(seed)
    letters = "abcdefghijklmnoprstuvwyz"
    surnames = ["".join(draw.choices(letters, k=7)) for _ in range(count // 3)]
    given_names = ["".join(draw.choices(letters, k=6)) for _ in range(60)]
    people = []
    for person in range(count):
        place = draw.randrange(5)
        first = make_person(
            2 * person + 1,
            surname=draw.choice(surnames),
            given_name=draw.choice(given_names),
            birth_date=date(1940 + draw.randrange(60), 1 + draw.randrange(12), 1 + draw.randrange(28)),
            city=f"city{'abcde'[place]}",
            postal_code=f"{place}{draw.randrange(20):03}",
        )
        second = first | {"node": 2 * person + 2, "component": 2 * person + 2}
        field = draw.choice(["surname", "given_name", "birth_date", None])
        if field == "birth_date":
            second[field] = None
        elif field:
            second[field] = second[field][:-1] + draw.choice(letters)
        people += [first, second]
    return people


def links_of(people, rules=None, status="used"):
    con = night(people)
    probable_links(con, "work.people", rules or shipped(), 1)
    assert con.execute("select status from probable_run").fetchall() == [(status,)]
    return con, con.execute("select * from probable_links order by node, other_node").fetchall()


@needs_splink
def test_splink_finds_who_is_one_and_nobody_else():
    con, links = links_of(shop_people(150))
    right = sum(node % 2 == 1 and other_node == node + 1 for node, other_node, *_ in links)
    assert right == len(links) and right >= 140
    assert all(probability >= 0.95 and weight > 4 for _, _, weight, probability, _ in links)
    status, people, count, threshold = con.execute(
        "select status, people, links, threshold from probable_run"
    ).fetchall()[0]
    assert (status, people, count, threshold) == ("used", 300, len(links), 0.95)


@needs_splink
def test_an_explanation_names_comparisons_and_no_value():
    people = shop_people(150)
    values = {str(person[name]) for person in people for name in COLUMNS if person[name] is not None}
    _, links = links_of(people)
    for *_, explanation in links:
        assert "surname same (+" in explanation or "surname close (+" in explanation or "surname alike (" in explanation
        assert not values & set(explanation.replace(",", "").split())


@needs_splink
def test_links_do_not_hang_on_the_order_of_rows():
    people = shop_people(150)
    _, links = links_of(people)
    for seed in range(3):
        shuffled = random.Random(seed).sample(people, len(people))
        assert links_of(shuffled)[1] == links


@needs_splink
def test_components_are_not_compared_within_and_leave_nothing_behind():
    people = shop_people(150)
    for person in people:
        person["component"] -= (person["component"] + 1) % 2
    con, links = links_of(people)
    assert links == []
    assert con.execute("select count(*) from duckdb_tables() where schema_name = 'probable'").fetchall() == [(0,)]


@needs_splink
def test_too_few_people_are_no_model():
    con, links = links_of(shop_people(40), status="not enough data")
    assert links == []
    assert con.execute("select message from probable_run").fetchall() == [("80 people, 100 needed",)]


@needs_splink
def test_max_pairs_takes_the_smallest_blocks():
    con, links = links_of(shop_people(150), shipped(max_pairs=1500))
    compared, left_out = con.execute("select pairs_compared, pairs_left_out from probable_run").fetchall()[0]
    assert 0 < compared <= 1500
    assert left_out > 0
    assert links
