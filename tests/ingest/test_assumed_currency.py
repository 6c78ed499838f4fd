"""Amounts whose export tells no currency: which are taken for the reporting one, and that a night says so once a layout."""

from types import SimpleNamespace

import pytest

from pipeline.steps.landing import _warn_of_assumed_currency
from tests.builders import Intake, make_order_line, order_file

DEALS = "Record ID,Deal Name,Deal Stage,Amount,Create Date{more}\n{key},x,Closed Won,5,2026-05-01 10:00{cell}\n"
OWN = """\
layout: hubspot_deals
extends: hubspot_deals
currency: CNY
"""


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    yield intake
    intake.con.close()


def told(intake):
    """The warnings of a night about currencies."""
    found = []
    night = SimpleNamespace(
        settings=intake.settings,
        layouts=intake.layouts(),
        warn=lambda english, chinese: found.append((english, chinese)),
    )
    _warn_of_assumed_currency(night, list(intake.night().values()))
    return found


def test_a_night_says_once_a_layout_that_no_currency_is_stated(intake):
    intake.drop("a.csv", DEALS.format(key=1, more="", cell=""))
    intake.drop("b.csv", DEALS.format(key=2, more="", cell=""))
    assert told(intake) == [
        (
            "a.csv, b.csv: no currency is stated, so amounts are taken as CNY; `currency:` in hubspot_deals.yaml"
            " in data/sources says otherwise",
            "a.csv, b.csv：文件未注明币种，金额按 CNY 计；如非如此，请在 data/sources 的 hubspot_deals.yaml 中写明 `currency:`",
        )
    ]
    assert told(intake) == []


def test_a_column_or_a_layout_that_states_one_is_enough(intake):
    intake.drop("a.csv", DEALS.format(key=1, more=",Currency", cell=",CNY"))
    # a layout of one's own that maps no currency says by that what it is
    intake.drop("orders.csv", order_file(make_order_line()))
    assert told(intake) == []
    intake.write_layout(OWN)
    intake.drop("b.csv", DEALS.format(key=2, more="", cell=""))
    assert told(intake) == []
