import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

from pipeline.models import segment_count
from pipeline.models.records import NotEnoughData
from pipeline.models.segment_names import name_segments
from pipeline.models.segments import SCHEMA, fit_segments, run_segments, score_segments

AS_OF = dt.date(2025, 1, 1)
# planted groups: purchase days, recency, order amount, discount share
GROUPS = [(30, 5, 300, 0.05), (12, 20, 20, 0.6), (1, 400, 60, 0.05)]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Fewer bootstrap draws: how they tell is tested in test_segment_nights.py."""
    monkeypatch.setattr(segment_count, "DRAWS", 3)


@pytest.fixture
def make_shop(make_facts):
    def make(n, seed, groups=GROUPS, shift=1.0):
        rng = np.random.default_rng(seed)
        group = rng.integers(0, len(groups), n)
        days, recency, amount, discount = np.array(groups, float)[group].T
        days = 1 + rng.poisson(np.maximum(days * shift - 1, 0))
        amount = (amount * np.exp(rng.normal(0, 0.2, n))).round(2)
        facts = make_facts(
            order_count=days,
            order_day_count=days,
            recency_days=np.maximum(1, recency * np.exp(rng.normal(0, 0.2, n))).astype(int),
            avg_order_amount=amount,
            net_spend_amount=(amount * days).round(2),
            discount_share=np.clip(discount + rng.normal(0, 0.03, n), 0, 1),
            return_share=[None] * n,
            ticket_count=[0] * n,
        )
        return facts, group

    return make


@pytest.mark.parametrize("seed", range(20))
def test_planted_groups_are_found_whatever_the_seed(make_shop, seed):
    facts, group = make_shop(300, seed)
    scores, run, backtests = run_segments(facts, AS_OF, seed=seed)
    model = json.loads(run["params"])
    assert model["k"] == 3 and backtests.is_empty()
    # ids by mean spend, so they do not hang on the labels of k-means
    assert [set(scores.filter(group == g)["segment_id"]) for g in range(3)] == [{1}, {2}, {3}]
    assert dict(scores.schema) == SCHEMA and scores["customer_id"].is_sorted()
    assert scores["segment_name"].n_unique() == scores["segment_name_zh"].n_unique() == 3


def test_the_order_of_the_facts_is_no_matter(make_shop):
    facts, _ = make_shop(300, 3)
    shuffled = facts.sample(fraction=1, shuffle=True, seed=1)
    (scores, run, _), (again, run_again, _) = (run_segments(frame, AS_OF, seed=3) for frame in (facts, shuffled))
    assert again.equals(scores) and run_again == run


def test_names_say_what_is_unusual(make_shop):
    facts, _ = make_shop(600, 1)
    names = {s["id"]: (s["name"], s["name_zh"]) for s in fit_segments(facts)["segments"]}
    assert "big baskets" in names[1][0] and "高客单" in names[1][1]
    assert "big discounts" in names[2][0] or "small baskets" in names[2][0]
    assert names[3][0].startswith("Lapsed occasional buyers") and "久未下单的低频客户" in names[3][1]


def test_constant_and_empty_columns_are_left_out(make_shop):
    facts, _ = make_shop(300, 1)
    names = [feature["name"] for feature in fit_segments(facts)["features"]]
    assert names == ["recency_days", "order_day_count", "avg_order_amount", "discount_share"]


def test_ids_and_names_outlive_a_refit(make_shop):
    model = fit_segments(make_shop(600, 1)[0])
    names = {segment["id"]: segment["name"] for segment in model["segments"]}
    for night in range(2, 8):
        # other customers, another seed, slowly rising frequency
        facts, group = make_shop(600, night, shift=1 + 0.02 * night)
        scores, run, _ = run_segments(facts, AS_OF, json.loads(json.dumps(model)), seed=night)
        model = json.loads(run["params"])
        assert {segment["id"]: segment["name"] for segment in model["segments"]} == names
        assert [set(scores.filter(group == g)["segment_id"]) for g in range(3)] == [{1}, {2}, {3}]


def test_a_new_group_gets_a_new_id(make_shop):
    model = fit_segments(make_shop(600, 1)[0])
    facts, group = make_shop(800, 2, groups=[*GROUPS, (60, 150, 1500, 0.9)])
    scores, run, _ = run_segments(facts, AS_OF, model)
    after = json.loads(run["params"])
    assert set(scores.filter(group == 3)["segment_id"]) == {4}
    assert after["next_segment_id"] == 5 and after["matched_segment_count"] == 3
    assert len({segment["name"] for segment in after["segments"]}) == 4


def test_scores_of_a_sample_fit_reach_everyone(make_shop):
    facts, group = make_shop(3_000, 1)
    model = fit_segments(facts, sample=300)
    scores = score_segments(facts, model)
    assert model["sample_count"] == 300 and len(scores) == 3_000
    assert [set(scores.filter(group == g)["segment_id"]) for g in range(3)] == [{1}, {2}, {3}]


def test_not_enough_data(make_facts, make_shop):
    scores, run, _ = run_segments(make_facts(), AS_OF)
    assert (len(scores), run["status"]) == (0, "not enough data")
    assert "needs 60, has 1" in run["message"]
    with pytest.raises(NotEnoughData, match="features that differ"):
        fit_segments(make_facts(100))
    with pytest.raises(NotEnoughData, match="differ from each other"):
        fit_segments(make_facts(recency_days=[1, 2] * 50, order_day_count=[1, 2] * 50))


def test_refused_profiling_and_no_orders_are_left_out(make_shop):
    facts, _ = make_shop(300, 1)
    facts = facts.with_columns(
        is_profiling_allowed=pl.int_range(pl.len()) >= 10,
        order_count=pl.when(pl.int_range(pl.len()) >= 290).then(0).otherwise("order_count"),
    )
    assert run_segments(facts, AS_OF)[0]["customer_id"].to_list() == facts["customer_id"][10:290].to_list()


def test_names_differ_even_where_nothing_else_does():
    segments = [{"id": number, "centroid": [0.0, 0.1]} for number in (1, 2)]
    name_segments(segments, ["recency_days", "ticket_count"])
    assert [segment["name"] for segment in segments] == ["Average buyers", "Average buyers 2"]
    assert [segment["name_zh"] for segment in segments] == ["普通客户", "普通客户2"]
