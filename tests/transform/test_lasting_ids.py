"""Ids over several nights: a merge keeps the older, a split the larger part's, nothing else moves them."""

import random
from datetime import date, datetime

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
