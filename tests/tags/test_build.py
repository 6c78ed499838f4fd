"""Tags and their intervals over several nights, counted by hand."""

from datetime import date, timedelta

import pytest

from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, Catalogue, CatalogueError, load_catalogue
from tests.tags.small_warehouse import AS_OF, make_facts, make_synthetic_warehouse, make_warehouse, set_facts
from tests.tags.test_catalogue import make_tag, make_value, write_tags

NIGHTS = [AS_OF + timedelta(days=day) for day in range(5)]


@pytest.fixture(scope="module")
def shipped():
    return load_catalogue(CATALOGUE_FOLDER)


@pytest.fixture
def size(tmp_path):
    """One single-valued tag: big from 10 orders, small from 1."""
    values = [
        make_value(code="big", when="facts.order_count >= 10"),
        make_value(code="small", when="facts.order_count >= 1"),
    ]
    return load_catalogue(
        write_tags(tmp_path / "size", make_tag(code="size", values=values, confidence="facts.discount_share"))
    )


def run_nights(con, catalogue, nights, history=None):
    """nights: {as_of: facts}. Each takes the tag_history of the one before, as flows would hand it."""
    for as_of, facts in nights.items():
        if history:
            con.execute(f"create or replace table core.before as from {history}")
        set_facts(con, *facts, as_of=as_of)
        counts = build_tags(con, catalogue, as_of, "core.before" if history else None)
        history = "tags.tag_history"
    return counts


def read_history(con):
    return con.execute(
        "select customer_id, value, valid_from, valid_to from tags.tag_history order by customer_id, valid_from, value"
    ).fetchall()


def read_values(con, tag, customer="c1"):
    return [
        row[0]
        for row in con.execute(
            "select value from tags.customer_tags where tag = ? and customer_id = ? order by value",
            [tag, customer],
        ).fetchall()
    ]


def test_intervals_keep_change_gap_and_return(size):
    con = make_warehouse()
    first, second, third, fourth, fifth = NIGHTS
    orders = {first: 1, second: 2, third: 12, fourth: 0, fifth: 12}
    run_nights(con, size, {as_of: [{"order_count": count}] for as_of, count in orders.items()})
    assert read_history(con) == [
        ("c1", "small", first, third),
        ("c1", "big", third, fourth),
        ("c1", "big", fifth, None),
    ]
    assert con.execute("select value, valid_from from tags.customer_tags").fetchall() == [("big", fifth)]


def test_same_night_again_gives_the_same_tables_and_an_earlier_night_reopens(size):
    con = make_warehouse()
    first, second, third, *_ = NIGHTS
    nights = {first: [{"order_count": 1}], second: [{"order_count": 12}], third: [{"order_count": 0}]}
    run_nights(con, size, nights)
    history, held = read_history(con), con.execute("from tags.customer_tags").fetchall()
    again = run_nights(con, size, {third: nights[third]}, history="tags.tag_history")
    assert (read_history(con), con.execute("from tags.customer_tags").fetchall()) == (history, held)
    assert again["ended"] == 1
    run_nights(con, size, {second: [{"order_count": 5}]}, history="tags.tag_history")
    assert read_history(con) == [("c1", "small", first, None)]


def test_confidence_and_evidence_open_no_interval(size):
    con = make_warehouse()
    first, second, *_ = NIGHTS
    counts = run_nights(
        con, size, {first: [{"discount_share": 0.2}], second: [{"discount_share": 0.7, "order_count": 3}]}
    )
    assert con.execute("select confidence, valid_from, as_of from tags.customer_tags").fetchall() == [
        (0.7, first, second)
    ]
    assert (counts["opened"], counts["kept"], counts["ended"]) == (0, 1, 0)


def test_gone_customer_and_retired_tag_end(size, tmp_path):
    con = make_warehouse()
    first, second, *_ = NIGHTS
    run_nights(con, size, {first: [{}, {"customer_id": "c2"}]})
    run_nights(con, size, {second: [{}]}, history="tags.tag_history")
    assert read_history(con) == [("c1", "small", first, None), ("c2", "small", first, second)]
    other = load_catalogue(write_tags(tmp_path / "other", make_tag(code="other")))
    run_nights(con, other, {NIGHTS[2]: [{}]}, history="tags.tag_history")
    assert read_history(con) == [("c1", "small", first, NIGHTS[2]), ("c2", "small", first, second)]


def test_unknown_numbers_give_no_tag(shipped):
    con = make_warehouse({"order_count": 2})
    build_tags(con, shipped, AS_OF)
    categories = {row[0] for row in con.execute("select distinct category from tags.customer_tags").fetchall()}
    assert categories == {"purchase", "value", "loyalty", "segment"}
    assert read_values(con, "nps_group") == []
    assert con.execute("select count(*) from tags.customer_tags where value is null or value = ''").fetchone() == (0,)


def test_model_tags_need_leave_to_profile(shipped):
    churn = [
        {"customer_id": name, "churn_probability": 0.8, "churn_band": "high"} for name in ("c1", "refused", "unknown")
    ]
    con = make_warehouse(
        {},
        {"customer_id": "refused", "is_profiling_allowed": False},
        {"customer_id": "unknown", "is_profiling_allowed": None},
        churn=churn,
    )
    build_tags(con, shipped, AS_OF)
    assert [read_values(con, "churn_risk", name) for name in ("c1", "refused", "unknown")] == [
        ["high"],
        [],
        ["high"],
    ]
    assert read_values(con, "lifecycle", "refused") == ["active"]


def test_no_tag_of_a_model_or_from_a_score_reaches_who_refused_profiling(shipped, tmp_path):
    rfm = {"rfm_cell": "555", "rfm_segment": "Champions", "rfm_segment_zh": "冠军客户", "r_score": 5}
    scores = {
        "rfm": rfm | {"value_class": "Key Value", "value_class_zh": "重要价值客户"},
        "segments": {"segment_id": 1, "segment_name": "Big", "segment_name_zh": "大", "distance": 1.0},
        "clv": {"p_alive": 0.9, "expected_orders_90d": 2.0, "clv_365d_amount": 900.0, "clv_365d_low": 1.0},
        "churn": {"churn_probability": 0.9, "churn_band": "high"},
    }
    # even where a score stood there in spite of all
    both = {table: [row | {"customer_id": name} for name in ("c1", "refused")] for table, row in scores.items()}
    con = make_warehouse({}, {"customer_id": "refused", "is_profiling_allowed": False}, **both)
    own = make_tag(code="own", kind="rule", values=[make_value(when="coalesce(rfm.r_score, 0) >= 0")])
    catalogue = load_catalogue(CATALOGUE_FOLDER, write_tags(tmp_path / "own", own))
    build_tags(con, catalogue, AS_OF)
    held = {}
    for name, tag in con.execute("select customer_id, tag from tags.customer_tags").fetchall():
        held.setdefault(name, set()).add(tag)
    models = {tag.code for tag in catalogue.tags if tag.kind == "model"}
    assert {"own", "rfm_segment", "value_class", "behaviour_segment", "churn_risk", "clv_band"} <= held["c1"]
    assert held["refused"] and not held["refused"] & (models | {"own"})
    # what is a plain fact stays
    assert held["refused"] == {tag for tag in held["c1"] if tag != "own" and tag not in models}


def test_known_customer_is_tagged_as_marketers_say(shipped):
    con = make_warehouse(
        {
            "order_count": 5,
            "order_day_count": 5,
            "night_order_share": 0.6,
            "weekend_order_share": 0.6,
            "discount_share": 0.3,
            "last_nps": 10,
            "city": "上海",
            "age_years": 30,
        },
        rfm=[
            {
                "customer_id": "c1",
                "rfm_cell": "155",
                "rfm_segment": "Cannot Lose Them",
                "rfm_segment_zh": "不可失去客户",
            }
        ],
    )
    build_tags(con, shipped, AS_OF)
    assert read_values(con, "shopping_time") == ["night", "weekend"]
    assert read_values(con, "price_sensitivity") == ["price_sensitive"]
    assert read_values(con, "nps_group") == ["promoter"]
    assert read_values(con, "city") == ["上海"]
    assert read_values(con, "age_group") == ["25_34"]
    assert read_values(con, "rfm_segment") == ["cannot_lose_them"]
    names = "select value_name, value_name_zh, evidence from tags.customer_tags where tag = ?"
    assert con.execute(names, ["rfm_segment"]).fetchone() == ("Cannot Lose Them", "不可失去客户", "RFM 155")
    assert con.execute(names, ["purchase_rhythm"]).fetchone() == (
        "Within usual rhythm",
        "节奏正常",
        "recency 10 d, every 30 d",
    )


def test_lifecycle_edges(shipped):
    stages = [
        (0, 0, None, "prospect"),
        (1, 1, 30, "new"),
        (1, 1, 31, "active"),
        (2, 2, 90, "active"),
        (2, 2, 91, "cooling"),
        (2, 2, 365, "sleeping"),
        (2, 2, 366, "lost"),
    ]
    facts = [
        {"customer_id": f"c{number}", "order_count": orders, "order_day_count": days, "recency_days": recency}
        for number, (orders, days, recency, _) in enumerate(stages)
    ]
    con = make_warehouse(*facts)
    build_tags(con, Catalogue(tuple(tag for tag in shipped.tags if tag.code == "lifecycle")), AS_OF)
    assert con.execute("select value from tags.customer_tags order by customer_id").fetchall() == [
        (stage,) for *_, stage in stages
    ]


def test_faulty_rules_and_dates_are_named(tmp_path, size):
    wrong = make_tag(values=[make_value(when="facts.oder_count > 1")])
    con = make_warehouse({})
    with pytest.raises(CatalogueError, match=r"own.yaml, tag keen: .*oder_count"):
        build_tags(con, load_catalogue(write_tags(tmp_path / "wrong", wrong)), AS_OF)
    with pytest.raises(ValueError, match="not 2026-03-02; build the facts"):
        build_tags(con, size, date(2026, 3, 2))
    with pytest.raises(ValueError, match="copy it to another name"):
        build_tags(con, size, AS_OF, "tags.tag_history")


def test_many_customers_two_routes_keys_order_and_comments(shipped):
    con = make_synthetic_warehouse(1500)
    counts = build_tags(con, shipped, AS_OF)
    keys = con.execute(
        """
        select count(*), count(distinct (customer_id, tag, value)), count(distinct tag),
            count(*) filter (confidence is null or confidence not between 0 and 1)
        from tags.customer_tags
        """
    ).fetchone()
    assert keys[0] == keys[1] == counts["customer_tags"] == counts["opened"] == counts["history"]
    of_companies = sum(tag.level == "company" for tag in shipped.tags)
    assert keys[2] == counts["tags"] - of_companies - 1 - 1  # nobody here has an income band or a single huge order
    assert keys[3] == 0
    singles = con.execute(
        """
        select count(*) from (
            select customer_id, tag from tags.customer_tags join tags.catalogue using (tag)
            where not is_multi_valued group by all having count(*) > 1)
        """
    ).fetchone()
    assert singles == (0,)
    assert con.execute(
        "select count(*) from tags.customer_tags anti join tags.catalogue_values using (tag, value)"
    ).fetchone() == (0,)
    rows = con.execute("from tags.customer_tags").fetchall()
    build_tags(con, shipped, AS_OF)
    assert con.execute("from tags.customer_tags").fetchall() == rows
    uncommented = "select count(*) from duckdb_columns() where schema_name = 'tags' and comment is null"
    assert con.execute(uncommented).fetchone() == (0,)


def test_builders_make_valid_facts():
    assert make_facts(order_count=9)["order_count"] == 9
