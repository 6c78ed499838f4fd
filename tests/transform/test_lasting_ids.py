"""Ids over several nights: a merge keeps the older, a split the larger part's, nothing else moves them."""

import random
from datetime import date, datetime

import polars as pl
import pytest

from pipeline.transform.identity_rules import Decision
from tests.transform.identity_night import Nights, order, record

FIRST, SECOND, THIRD = date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3)


def people(count, seed=1):
    """Records of three sources with shared addresses and telephones, some chained."""
    rng = random.Random(seed)
    return [
        record(
            rng.choice(["crm", "shop", "help"]),
            f"r{number}",
            email=f"{rng.randrange(count)}@x.cn",
            phone=f"+8613{rng.randrange(100000000, 100000000 + count * 2)}",
            registered_at=datetime(2025, 1, 1 + rng.randrange(28)),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_ten_shuffled_and_split_reruns_leave_every_id(seed):
    rows = people(150)
    nights = Nights()
    ids = nights.run(rows, as_of=FIRST)
    rng = random.Random(seed)
    again = rng.sample(rows, len(rows)) + rng.sample(rows, 40)
    assert nights.run(again, as_of=SECOND) == ids
    assert Nights().run(again, as_of=FIRST) == ids
    assert nights.changes() == []


def test_a_new_source_leaves_every_id():
    rows = people(100)
    nights = Nights()
    ids = nights.run(rows, as_of=FIRST)
    added = [
        record("app", f"a{number}", email=row["email"], registered_at=datetime(2020, 1, 1))
        for number, row in enumerate(rows[:50])
    ]
    after = nights.run(added + rows, as_of=SECOND)
    assert {key: after[key] for key in ids} == ids


def test_a_merge_keeps_the_older_id_and_logs_the_other():
    rows = [record("crm", "c1", email="a@x.cn"), record("shop", "s1", email="b@x.cn")]
    nights = Nights()
    nights.run(rows, as_of=FIRST)
    joining = record("help", "h1", email="b@x.cn", phone="+8613911112222", registered_at=datetime(2026, 5, 1))
    also = order("o1", email="a@x.cn", phone="+8613911112222", ordered_at=datetime(2026, 5, 1))
    ids = nights.run([*rows, joining], [also], as_of=SECOND)
    assert set(ids.values()) == {"C000000001"}
    assert nights.changes() == [(SECOND, "C000000002", "merged", "C000000001", 1, "email+phone")]
    # the same night again says nothing twice
    nights.run([*rows, joining], [also], as_of=SECOND)
    assert len(nights.changes()) == 1


def test_a_split_keeps_the_id_with_the_larger_part():
    first = record("crm", "c1", email="a@x.cn", phone="+8613911112222")
    others = [record("shop", f"s{number}", phone="+8613911112222", wechat="bee") for number in (1, 2)]
    nights = Nights()
    assert set(nights.run([first, *others], as_of=FIRST).values()) == {"C000000001"}
    apart = [
        Decision(2, False, ("crm", "c1"), ("shop", "s1"), FIRST),
        Decision(3, False, ("crm", "c1"), ("shop", "s2"), FIRST),
    ]
    ids = nights.run([first, *others], decisions=apart, as_of=SECOND)
    assert ids == {("crm", "c1"): "C000000004", ("shop", "s1"): "C000000001", ("shop", "s2"): "C000000001"}
    assert nights.changes() == [(SECOND, "C000000001", "split", "C000000004", 1, "decision")]
    # and it stays so, also when a new record comes
    ids = nights.run([first, *others, record("app", "a1")], decisions=apart, as_of=THIRD)
    assert ids["crm", "c1"] == "C000000004" and ids["shop", "s2"] == "C000000001" and ids["app", "a1"] == "C000000005"


def test_an_id_outlives_the_record_that_it_was_given_to():
    rows = [record("crm", "c1", email="a@x.cn"), record("shop", "s1", email="a@x.cn")]
    nights = Nights()
    nights.run(rows, as_of=FIRST)
    assert nights.run(rows[1:], as_of=SECOND) == {("shop", "s1"): "C000000001"}
    assert set(nights.run(rows, as_of=THIRD).values()) == {"C000000001"}


def test_who_is_gone_is_logged():
    nights = Nights()
    nights.run([record("crm", "c1"), record("crm", "c2")], as_of=FIRST)
    nights.run([record("crm", "c2")], as_of=SECOND)
    assert nights.changes() == [(SECOND, "C000000001", "ended", None, 1, "no source shows it any more")]


def test_a_retired_id_still_means_the_record_it_was_first_given_to():
    first = record("crm", "c1", phone="+8613911112222")
    second = record("shop", "s1", phone="+8613911112222", email="a@x.cn", registered_at=datetime(2025, 2, 1))
    third = record("help", "h1", email="a@x.cn", registered_at=datetime(2025, 3, 1))
    nights = Nights()
    nights.run([first, second, third], as_of=FIRST)
    apart = [Decision(2, False, ("crm", "c1"), ("shop", "s1"), FIRST)]
    ids = nights.run([first, second, third], decisions=apart, as_of=SECOND)
    assert ids["shop", "s1"] == ids["help", "h1"] == "C000000001" and ids["crm", "c1"] == "C000000004"
    # number 2 is on no record now; the record it was first given to is shop's
    same = Decision(3, True, ("", "C000000002"), ("app", "a1"), FIRST)
    ids = nights.run([first, second, third, record("app", "a1")], decisions=[*apart, same], as_of=THIRD)
    assert ids["app", "a1"] == "C000000001" and ids["crm", "c1"] == "C000000004"


def test_the_ids_of_release_0_1_stay():
    nights = Nights()
    nights.state["customer_map"] = pl.DataFrame(
        {
            "source": ["shop", "crm", "crm"],
            "customer_key": ["x1", "s1", "s2"],
            "customer_id": ["C000000002", "C000000001", "C000000001"],
        }
    )
    rows = [record("shop", "x1"), record("crm", "s1", email="a@x.cn"), record("crm", "s2", email="a@x.cn")]
    ids = nights.run([*rows, record("app", "new")], as_of=FIRST)
    assert ids == {
        ("shop", "x1"): "C000000002",
        ("crm", "s1"): "C000000001",
        ("crm", "s2"): "C000000001",
        ("app", "new"): "C000000004",
    }
    assert nights.changes() == []


def test_an_earlier_night_run_again_changes_no_id_and_logs_nothing():
    rows = [
        record("crm", "c1", email="a@x.cn", registered_at=datetime(2026, 4, 1)),
        record("shop", "s1", email="b@x.cn", registered_at=datetime(2026, 4, 2)),
        record("shop", "s1", email="a@x.cn", registered_at=datetime(2026, 4, 2), updated_at=datetime(2026, 5, 1, 12)),
    ]
    nights = Nights()
    early = nights.run(rows, as_of=FIRST)
    assert len(set(early.values())) == 2
    late = nights.run(rows, as_of=SECOND)
    assert len(set(late.values())) == 1
    assert nights.run(rows, as_of=FIRST, is_newest=False) == early
    assert nights.run(rows, as_of=SECOND) == late
    assert len(nights.changes()) == 1
