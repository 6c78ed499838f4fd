import itertools
import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.models.rfm import (
    SCHEMA,
    find_segment_of_cells,
    fit_rfm,
    read_rfm_segments,
    run_rfm,
    score_rfm,
)
from pipeline.models.rfm_grades import GRADES, fit_abc, name_grade, name_value_class

NIGHT = date(2025, 1, 1)


@pytest.fixture
def make_facts(make_facts):
    """Facts whose last orders lie on different days, unless told."""

    def make(count=1, **overrides):
        facts = make_facts(count, **overrides)
        return (
            facts if "recency_days" in overrides else facts.with_columns(recency_days=pl.int_range(10, 10 + pl.len()))
        )

    return make


def score_by_definition(values):
    return [1 + 5 * sum(other < value for other in values) // len(values) for value in values]


def test_hand_counted_scores(make_facts):
    # 10 customers; half bought once: nobody below them. The one with 2 days has 5 of 10 below: 1 + floor(2.5)
    # = 3
    days = [1, 1, 1, 1, 1, 2, 3, 4, 5, 6]
    scores = run_rfm(make_facts(order_day_count=days), NIGHT)[0]
    assert scores["f_score"].to_list() == [1, 1, 1, 1, 1, 3, 4, 4, 5, 5]


def test_recent_customers_score_high(make_facts):
    scores = run_rfm(make_facts(recency_days=[5, 10, 15, 20, 25]), NIGHT)[0]
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
    if len(set(recency)) > 1:
        assert run_rfm(facts.sample(fraction=1, shuffle=True, seed=seed), NIGHT)[0].equals(scores)


def test_one_customer_and_nobody(make_facts):
    assert score_rfm(make_facts(), fit_rfm(make_facts())).select("r_score", "f_score", "m_score").row(0) == (1, 1, 1)
    # alone it is neither lost nor a champion
    scores, run, backtests = run_rfm(make_facts(), NIGHT)
    assert (len(scores), run["status"], len(backtests)) == (0, "not enough data", 0)
    scores, run, _ = run_rfm(make_facts(order_count=0, recency_days=None), NIGHT)
    assert (len(scores), dict(scores.schema), run["status"]) == (0, SCHEMA, "not enough data")


def test_customers_without_orders_are_left_out_and_do_not_count(make_facts):
    counts = [1, 0, 1, 1, 1, 1]
    facts = make_facts(order_count=counts, recency_days=[3, None, 9, 10, 11, 12], order_day_count=counts)
    assert run_rfm(facts, NIGHT)[0]["customer_id"].to_list() == [f"c00000{n}" for n in (0, 2, 3, 4, 5)]
    assert fit_rfm(facts)["customer_count"] == 5


def test_who_refused_profiling_is_neither_scored_nor_counted(make_facts):
    money = [10.0, 20.0, 30.0, 40.0, 50.0, 999.0]
    allowed = [True, True, True, True, None, False]
    facts = make_facts(net_spend_amount=money, is_profiling_allowed=allowed)
    scores, run, _ = run_rfm(facts, NIGHT)
    assert dict(scores.select("customer_id", "m_score").iter_rows()) == {f"c00000{n}": n + 1 for n in range(5)}
    assert json.loads(run["params"])["customer_count"] == 5
    # cut-points of an earlier run do not bring them back
    assert len(run_rfm(facts, NIGHT, json.loads(run["params"]), hold_days=30)[0]) == 5


def test_saved_cut_points_hold_scores_still(make_facts):
    first = make_facts(net_spend_amount=[10.0, 20.0, 30.0, 40.0, 50.0])
    _, run, _ = run_rfm(first, NIGHT)
    later = pl.concat([first, make_facts(1, customer_id="new", net_spend_amount=999.0)])
    scores = run_rfm(later, NIGHT, json.loads(run["params"]), hold_days=30)[0]
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
    _, run, _ = run_rfm(make_facts(order_day_count=[1] * 10, recency_days=list(range(1, 11))), NIGHT)
    unreachable = json.loads(run["metrics"])["unreachable_segments"]
    assert {"Champions", "Loyal", "At Risk"} <= set(unreachable) and "Lost" not in unreachable
    assert "nobody can be in" in run["message"] and "Champions" in run["message"]
    assert json.loads(run["metrics"])["skipped_scores"] == {
        "frequency": [2, 3, 4, 5],
        "monetary": [2, 3, 4, 5],
        "recency_days": [],
    }


def test_a_segment_that_is_merely_empty_is_not_called_unreachable(make_facts):
    # all scores of all measures are there, but the three go together: only cells 111, 222 ... 555 are filled
    order = [1, 2, 3, 4, 5]
    facts = make_facts(order_day_count=order, net_spend_amount=[10.0 * n for n in order], recency_days=order[::-1])
    metrics = json.loads(run_rfm(facts, NIGHT)[1]["metrics"])
    assert "Loyal" in metrics["empty_segments"] and metrics["unreachable_segments"] == []


def test_a_window_that_empties_segments_says_so(make_facts):
    # half bought in the window, so who scores 1 or 2 for recency has frequency and spend 0: no segment of lost regulars
    days = [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    facts = make_facts(
        recency_days=[900, 800, 700, 600, 500, 50, 40, 30, 20, 10],
        rfm_order_day_count=days,
        rfm_net_spend_amount=[10.0 * count for count in days],
    )
    metrics = json.loads(run_rfm(facts, NIGHT, window_days=365)[1]["metrics"])
    assert {"At Risk", "Cannot Lose Them"} <= set(metrics["unreachable_segments"])
    assert {"Lost", "Hibernating", "Champions"} <= set(metrics["segment_counts"])
    # the same customers over all of time
    facts = facts.with_columns(order_day_count=pl.Series([9, 1, 8, 2, 7, 3, 6, 4, 5, 5]))
    assert "At Risk" not in json.loads(run_rfm(facts, NIGHT)[1]["metrics"])["unreachable_segments"]


def test_cdnow_buyers_of_one_day_share_a_score(cdnow_days, make_facts_of_days):
    # 1,411 of 2,357 bought on one day. NTILE gives them scores of 1 to 3; next come 439 with two days: 1 + floor(5 x .5986)
    scores = run_rfm(make_facts_of_days(cdnow_days, date(1997, 10, 1)), date(1997, 10, 1))[0]
    counts = scores.group_by("f_score", "frequency").len().sort("frequency").rows()[:2]
    assert counts == [(1, 1, 1411), (3, 2, 439)]
    spend = scores.group_by("abc_class").agg(pl.len(), pl.col("monetary").sum()).sort("abc_class").rows()
    assert [count for _, count, _ in spend] == [900, 800, 657]
    assert [round(money / scores["monetary"].sum(), 3) for _, _, money in spend] == [0.8, 0.15, 0.05]


def held_run(facts, kept, days=30, later=1, **settings):
    """Params of a night `later` days after the one that kept its cut-points for `days`."""
    night = NIGHT + timedelta(days=later)
    return json.loads(run_rfm(facts, night, kept, hold_days=days, **settings)[1]["params"])


def test_cut_points_are_held_for_their_days_and_then_fitted_anew(make_facts):
    first = make_facts(net_spend_amount=[10.0, 20.0, 30.0, 40.0, 50.0])
    kept = json.loads(run_rfm(first, NIGHT, hold_days=30)[1]["params"])
    later = pl.concat([first, make_facts(1, customer_id="new", net_spend_amount=999.0)])
    assert kept["fitted_on"] == "2025-01-01"
    assert held_run(later, kept, later=29) == kept
    assert held_run(later, held_run(later, kept, later=29), later=30)["fitted_on"] == "2025-01-31"
    assert held_run(later, kept, days=7, later=7)["fitted_on"] == "2025-01-08"
    assert held_run(later, kept, days=0)["monetary"] != kept["monetary"]
    message = run_rfm(later, NIGHT + timedelta(days=29), kept, hold_days=30)[1]["message"]
    assert message.startswith("cut-points of 2025-01-01 (5 customers), held for 30 days")


@pytest.mark.parametrize("changed", [{"window_days": 365}, {"currency": "USD"}])
def test_cut_points_of_another_window_or_currency_are_not_held(make_facts, changed):
    facts = make_facts(5, rfm_order_day_count=1, rfm_net_spend_amount=100.0)
    kept = json.loads(run_rfm(facts, NIGHT, hold_days=30, currency="CNY")[1]["params"])
    assert held_run(facts, kept, currency="CNY")["fitted_on"] == "2025-01-01"
    assert held_run(facts, kept, **{"currency": "CNY"} | changed)["fitted_on"] == "2025-01-02"


def test_cut_points_of_a_release_without_their_date_are_not_held(make_facts):
    kept = fit_rfm(make_facts(5))
    assert held_run(make_facts(5), kept)["fitted_on"] == "2025-01-02"


def test_held_cut_points_take_values_beyond_all_that_they_were_fitted_on(make_facts):
    money = [10.0, 20.0, 30.0, 40.0, 50.0]
    facts = make_facts(net_spend_amount=money, recency_days=[10, 20, 30, 40, 50], order_day_count=[1, 2, 3, 4, 5])
    kept = json.loads(run_rfm(facts, NIGHT, hold_days=30)[1]["params"])
    far = make_facts(net_spend_amount=[-5.0, 1e9], recency_days=[9_000, 0], order_day_count=[0, 900])
    scores = run_rfm(far, NIGHT + timedelta(days=1), kept, hold_days=30)[0]
    assert scores["rfm_cell"].to_list() == ["111", "555"]
    assert scores["abc_class"].to_list() == ["C", "A"]


def test_a_window_counts_its_own_days_and_keeps_who_bought_before_it(make_facts):
    # of five customers two have no order in the window: three are not below them, so f is 1 for both, and spend 0 is m 1
    facts = make_facts(
        order_day_count=[9, 8, 7, 2, 1],
        recency_days=[400, 500, 10, 20, 30],
        rfm_order_day_count=[0, 0, 3, 2, 1],
        rfm_net_spend_amount=[0.0, 0.0, 30.0, 20.0, 10.0],
    )
    scores, run, _ = run_rfm(facts, NIGHT, window_days=365)
    assert scores["frequency"].to_list() == [0, 0, 3, 2, 1]
    assert scores["rfm_cell"].to_list() == ["211", "111", "555", "444", "333"]
    assert scores["rfm_segment"].to_list()[:2] == ["Hibernating", "Lost"]
    assert scores["abc_class"].to_list() == ["C", "C", "A", "A", "B"]
    assert "of 365 days" in run["message"] and json.loads(run["metrics"])["in_window_count"] == 3


def abc_by_definition(money):
    total = sum(value for value in money if value > 0)

    def class_of(value):
        above = sum(other for other in money if other > value)
        return "C" if value <= 0 or 100 * above >= 95 * total else "A" if 100 * above < 80 * total else "B"

    return [class_of(value) for value in money]


def test_hand_counted_abc(make_facts):
    # of 1,000 spent, strictly above the spenders stand 0, 500, 700, 700, 900, 900: A below 800, B below 950
    money = [500.0, 200.0, 100.0, 100.0, 50.0, 50.0, 0.0, -20.0]
    scores = run_rfm(make_facts(net_spend_amount=money), NIGHT)[0]
    assert scores["abc_class"].to_list() == ["A", "A", "A", "A", "B", "B", "C", "C"]
    assert scores["abc_class_zh"].to_list()[0] == "A类客户"
    assert fit_abc(np.array(money)) == [100.0, 50.0]


def test_nobody_is_called_lost_where_all_bought_on_one_day(make_facts):
    scores, run, _ = run_rfm(make_facts(900, recency_days=2), NIGHT)
    assert scores.is_empty() and run["status"] == "not enough data"
    assert run["message"] == "not enough data: different days of a last order (needs 5, has 1)"
    # nor where there are fewer days than scores
    assert run_rfm(make_facts(recency_days=[2, 3, 4, 4, 5]), NIGHT)[1]["message"].endswith("(needs 5, has 4)")
    # held cut-points of a night that could tell them apart still score
    kept = json.loads(run_rfm(make_facts(recency_days=[2, 40, 90, 200, 400]), NIGHT)[1]["params"])
    scores, run, _ = run_rfm(make_facts(900, recency_days=2), NIGHT, kept, 30)
    assert set(scores["r_score"]) == {5} and run["status"] == "used"


@pytest.mark.parametrize("seed", range(20))
def test_abc_is_the_definition_and_ties_share(make_facts, seed):
    rng = np.random.default_rng(seed)
    cents = np.round(100 * rng.lognormal(3, 1.5, int(rng.integers(5, 80))), int(rng.integers(-3, 1))).astype(int)
    cents *= rng.choice([1, 1, 1, 1, 0, -1], len(cents))
    scores = run_rfm(make_facts(net_spend_amount=cents / 100, recency_days=np.arange(len(cents))), NIGHT)[0]
    assert scores["abc_class"].to_list() == abc_by_definition(cents.tolist())


def test_all_equal_are_all_a_and_nobody_who_spent_is_all_c(make_facts):
    days = [1, 2, 3, 4, 5, 6, 7]
    assert set(run_rfm(make_facts(net_spend_amount=5.0, recency_days=days), NIGHT)[0]["abc_class"]) == {"A"}
    scores, run, _ = run_rfm(
        make_facts(net_spend_amount=[0.0, -3.0, -3.0, 0.0, 0.0], recency_days=[1, 2, 3, 4, 5]), NIGHT
    )
    assert set(scores["abc_class"]) == {"C"} and json.loads(run["params"])["abc"] == [None, None]


def test_a_grade_is_whole_value_classes():
    grade_of = {}
    for r, f, m in itertools.product(range(1, 6), repeat=3):
        grade_of.setdefault(name_value_class(r, f, m)[1], set()).add(name_grade(r, m)[1])
    assert grade_of == {
        "重要价值客户": {"重要客户"},
        "重要发展客户": {"重要客户"},
        "重要保持客户": {"重要客户"},
        "重要挽留客户": {"重要客户"},
        "一般价值客户": {"潜在客户"},
        "一般发展客户": {"潜在客户"},
        "一般保持客户": {"普通客户"},
        "一般挽留客户": {"普通客户"},
    }
    assert {name for name, _ in GRADES.values()} == {"Key", "Potential", "Ordinary"}


def test_when_everybody_refused_profiling_there_is_not_enough_data(make_facts):
    scores, run, _ = run_rfm(make_facts(4, is_profiling_allowed=False), NIGHT)
    assert scores.is_empty() and run["message"] == "not enough data: customers with an order (needs 1, has 0)"
