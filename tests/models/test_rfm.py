import itertools
import json

import numpy as np
import polars as pl
import pytest

from pipeline.models.rfm import (
    SCHEMA,
    find_segment_of_cells,
    fit_rfm,
    name_value_class,
    read_rfm_segments,
    run_rfm,
    score_rfm,
)


def score_by_definition(values):
    return [1 + 5 * sum(other < value for other in values) // len(values) for value in values]


def test_hand_counted_scores(make_facts):
    # 10 customers; half bought once: nobody below them. The one with 2 days has 5 of 10 below: 1 + floor(2.5)
    # = 3
    days = [1, 1, 1, 1, 1, 2, 3, 4, 5, 6]
    scores = run_rfm(make_facts(order_day_count=days), None)[0]
    assert scores["f_score"].to_list() == [1, 1, 1, 1, 1, 3, 4, 4, 5, 5]


def test_recent_customers_score_high(make_facts):
    scores = run_rfm(make_facts(recency_days=[5, 10, 15, 20, 25]), None)[0]
    assert scores["r_score"].to_list() == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_the_definition_and_ties_share(make_facts, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    recency, days = rng.integers(1, 20, n), rng.geometric(0.5, n)
    money = np.round(rng.gamma(1, 20, n), int(rng.integers(0, 3)))
    facts = make_facts(recency_days=recency, order_day_count=days, net_spend_amount=money)
    scores = score_rfm(facts, fit_rfm(facts))
    assert scores["r_score"].to_list() == score_by_definition(-recency)
    assert scores["f_score"].to_list() == score_by_definition(days)
    assert scores["m_score"].to_list() == score_by_definition(money)
    assert run_rfm(facts.sample(fraction=1, shuffle=True, seed=seed), None)[0].equals(scores)


def test_one_customer_and_nobody(make_facts):
    scores, run, backtests = run_rfm(make_facts(), None)
    assert scores.select("r_score", "f_score", "m_score").row(0) == (1, 1, 1)
    assert run["status"] == "used" and backtests.is_empty()
    scores, run, _ = run_rfm(make_facts(order_count=0, recency_days=None), None)
    assert (len(scores), dict(scores.schema), run["status"]) == (0, SCHEMA, "not enough data")


def test_customers_without_orders_are_left_out_and_do_not_count(make_facts):
    facts = make_facts(order_count=[1, 0, 1], recency_days=[3, None, 9], order_day_count=[1, 0, 1])
    assert run_rfm(facts, None)[0]["customer_id"].to_list() == ["c000000", "c000002"]
    assert fit_rfm(facts)["customer_count"] == 2


def test_who_refused_profiling_is_neither_scored_nor_counted(make_facts):
    money = [10.0, 20.0, 30.0, 40.0, 50.0, 999.0]
    allowed = [True, True, True, True, None, False]
    facts = make_facts(net_spend_amount=money, is_profiling_allowed=allowed)
    scores, run, _ = run_rfm(facts, None)
    assert dict(scores.select("customer_id", "m_score").iter_rows()) == {f"c00000{n}": n + 1 for n in range(5)}
    assert json.loads(run["params"])["customer_count"] == 5
    # cut-points of an earlier run do not bring them back
    assert len(run_rfm(facts, None, json.loads(run["params"]))[0]) == 5


def test_saved_cut_points_hold_scores_still(make_facts):
    first = make_facts(net_spend_amount=[10.0, 20.0, 30.0, 40.0, 50.0])
    _, run, _ = run_rfm(first, None)
    later = pl.concat([first, make_facts(1, customer_id="new", net_spend_amount=999.0)])
    scores = run_rfm(later, None, json.loads(run["params"]))[0]
    assert scores["m_score"].to_list() == [1, 2, 3, 4, 5, 5]


def test_every_cell_has_one_segment_and_one_value_class():
    cells = list(itertools.product(range(1, 6), repeat=3))
    segment_of = find_segment_of_cells(read_rfm_segments(), "rfm_segments.yaml")
    assert set(segment_of) == set(cells) and len(set(segment_of.values())) == 11
    assert len({name_value_class(*cell) for cell in cells}) == 8
    assert name_value_class(5, 5, 5)[1] == "重要价值客户"
    assert name_value_class(4, 3, 4)[1] == "重要发展客户"
    assert name_value_class(3, 4, 4)[1] == "重要保持客户"
    assert name_value_class(1, 1, 5)[1] == "重要挽留客户"
    assert name_value_class(1, 1, 1)[1] == "一般挽留客户"


@pytest.mark.parametrize(
    ("boxes", "error"),
    [
        ([[{"r": [1, 5]}], [{"r": [5, 5], "f": [5, 5], "m": [5, 5]}]], "r5 f5 m5 is in both 'A' and 'B'"),
        ([[{"r": [1, 4]}]], "25 of the 125 cells are in no segment, first r5 f1 m1"),
        ([[{"r": [0, 5]}]], "segment 'A' has r from 0 to 5"),
    ],
)
def test_bad_segments_are_refused(boxes, error):
    segments = [{"name": name, "boxes": box} for name, box in zip("AB", boxes, strict=False)]
    with pytest.raises(ValueError, match=error):
        find_segment_of_cells(segments, "mine.yaml")


def test_segments_that_nobody_can_reach_are_reported(make_facts):
    # everyone bought once: f is 1 for all
    _, run, _ = run_rfm(make_facts(order_day_count=[1] * 10, recency_days=list(range(1, 11))), None)
    unreachable = json.loads(run["metrics"])["unreachable_segments"]
    assert {"Champions", "Loyal", "At Risk"} <= set(unreachable) and "Lost" not in unreachable
