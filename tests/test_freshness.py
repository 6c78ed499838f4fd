"""Where exports stop coming, silence is told and nothing is learnt from it."""

from datetime import date, timedelta
from types import SimpleNamespace

import duckdb
import pytest

from pipeline.steps import training_nights
from pipeline.steps.freshness import find_orders_until, freshness_check

LAST = date(2026, 3, 1)
BEFORE = {"trained_on": LAST - timedelta(days=8), "conditions": '{"order_count": 3}'}


def make_night(days_after, order_days):
    """A night so many days after the last order; order_days: days before it with an order."""
    con = duckdb.connect()
    con.execute("create schema core; create table core.orders (ordered_on date)")
    for back in order_days:
        con.execute("insert into core.orders values (?)", (LAST - timedelta(days=back),))
    # what comes after as_of is not known yet
    as_of = LAST + timedelta(days=days_after)
    con.execute("insert into core.orders values (?)", (as_of,))
    settings = SimpleNamespace(train_every_days=7)
    night = SimpleNamespace(con=con, as_of=as_of, run_id="run", settings=settings, warnings=[])
    night.warn = lambda *both: night.warnings.append(both)
    find_orders_until(night)
    return night


@pytest.mark.parametrize(
    ("days_after", "order_days", "is_stale"),
    [
        # orders every day: three days without one are a long weekend, four are not
        (4, range(30), False),
        (5, range(30), True),
        # a pause of four days within the year allows twice that
        (9, [0, 5, 6], False),
        (10, [0, 5, 6], True),
        # one of longer ago does not
        (10, [*range(366), 500], True),
        # one day with orders tells nothing of pauses, none neither
        (500, [0], False),
        (500, [], False),
    ],
)
def test_orders_that_stop_are_told(days_after, order_days, is_stale):
    night = make_night(days_after, order_days)
    assert night.orders_until == (LAST + timedelta(days=1) if is_stale else night.as_of)
    assert len(night.warnings) == is_stale
    ((success, message),) = freshness_check(night).select("success", "message").rows()
    assert success is not is_stale and bool(message) is is_stale


def test_nothing_is_learnt_from_silence():
    tonight = {"order_count": 3, "settings": None, "entities": None, "code": None}
    assert "7 days ago" not in training_nights._why_not(make_night(1, range(30)))
    assert training_nights._reason(make_night(1, range(30)), BEFORE, tonight) == "the last training was 9 days ago"
    stale = make_night(30, range(30))
    assert training_nights._reason(stale, BEFORE, tonight) is None
    assert training_nights._why_not(stale).startswith("no order since 2026-03-01")
    # without a model there is nothing to go on with
    assert training_nights._reason(stale, None, tonight) == "no training before"
