"""RFM from night to night: cut-points held over the nights, and when the summary speaks of segments out of reach."""

import json
from datetime import date, timedelta
from types import SimpleNamespace

import duckdb
import polars as pl
import pytest

from pipeline import ops
from pipeline.models.records import MODEL_RUN_SCHEMA
from pipeline.settings import Settings
from pipeline.steps.rfm_scores import run_rfm_of_night, word_unreachable
from tests.models.conftest import build_facts

FIRST = date(2025, 1, 1)


@pytest.fixture
def shop(tmp_path):
    """A function: one night over such facts; its params and warnings. Each night reads what the one before published."""
    con = duckdb.connect()
    con.execute("attach ':memory:' as previous; create schema previous.ops; create schema ops")
    known = SimpleNamespace(name=None)

    def night(facts, as_of=FIRST, **settings):
        warnings = []
        run = run_rfm_of_night(
            SimpleNamespace(
                con=con,
                as_of=as_of,
                settings=Settings(tmp_path, **settings),
                previous=known.name,
                warn=lambda en, zh: warnings.append((en, zh)),
            ),
            facts,
        )[1]
        ops.append_history(con, "model_runs", pl.DataFrame([run], MODEL_RUN_SCHEMA), as_of, known.name)
        con.execute("create or replace table previous.ops.model_runs as from ops.model_runs")
        known.name = "previous"
        return json.loads(run["params"]), warnings

    return night


def test_cut_points_are_handed_on_over_the_nights_of_a_month(shop):
    fitted = []
    for number in range(62):
        facts = build_facts(net_spend_amount=[10.0 + number, 20.0, 30.0, 40.0, 50.0], recency_days=[1, 2, 3, 4, 5])
        params, _ = shop(facts, FIRST + timedelta(days=number), rfm_hold_days=30)
        fitted.append(params["fitted_on"])
    assert fitted == ["2025-01-01"] * 30 + ["2025-01-31"] * 30 + ["2025-03-02"] * 2


def test_an_earlier_night_run_again_holds_what_it_held(shop):
    facts = build_facts(net_spend_amount=[10.0, 20.0, 30.0, 40.0, 50.0], recency_days=[1, 2, 3, 4, 5])
    shop(facts, rfm_hold_days=30)
    params, _ = shop(facts, FIRST + timedelta(days=3), rfm_hold_days=30)
    assert shop(facts, FIRST + timedelta(days=2), rfm_hold_days=30)[0] == params
    # nothing was held before the first night, so it fits its own
    assert shop(facts, FIRST - timedelta(days=1), rfm_hold_days=30)[0]["fitted_on"] == "2024-12-31"


def test_a_segment_out_of_reach_is_told_when_it_comes_to_be(shop):
    values = [1, 2, 3, 4, 5]
    spread = build_facts(order_day_count=values, net_spend_amount=[float(n) for n in values], recency_days=values)
    equal = spread.with_columns(order_day_count=pl.lit(1))
    told = [
        len(shop(facts, FIRST + timedelta(days=number))[1])
        for number, facts in enumerate([spread, equal, equal, spread, equal])
    ]
    assert told == [0, 1, 0, 0, 1]


def test_the_warning_says_which_scores_nobody_has():
    skipped = {"recency_days": [], "frequency": [2, 3], "monetary": [5]}
    english, chinese = word_unreachable(["Champions", "Loyal"], skipped)
    assert "nobody can be in Champions, Loyal" in english
    assert "no frequency score 2, 3, as too many values are equal; no spend score 5" in english
    assert "冠军客户、忠诚客户" in chinese and "频次得分 2、3 因数值相同者过多而空缺；金额得分 5" in chinese
    english, chinese = word_unreachable(["At Risk"], {}, 180, 0.78)
    assert "At Risk: 78% of customers have no order in the 180 days of the window; another" in english
    assert "流失风险客户：78% 的客户在 180 天窗口内没有订单" in chinese
