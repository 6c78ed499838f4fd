"""Tags of companies: dated as those of customers are, in tables of their own, and their export."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pipeline.reports.audience_files import write_audiences
from pipeline.reports.exports import write_exports
from pipeline.tags.audiences import load_audiences
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, Catalogue, load_catalogue
from tests.reports.test_exports import read_csv
from tests.tags.small_warehouse import AS_OF, make_warehouse, set_companies, set_facts
from tests.tags.test_audiences import make_audience, write_audience_file
from tests.tags.test_catalogue import make_tag, make_value, write_tags

NEXT = AS_OF + timedelta(days=1)


@pytest.fixture(scope="module")
def shipped():
    return load_catalogue(CATALOGUE_FOLDER)


def values(con, tag):
    return con.execute(
        "select company_id, value from tags.company_tags where tag = ? order by company_id", [tag]
    ).fetchall()


def make_company(company="k1", **overrides):
    return {"company_id": company} | overrides


def test_grades_are_the_first_80_the_next_15_and_the_rest_of_the_spend(shipped):
    # of 1000: k1 begins at 0, k2 at 700, k3 at 850, k4 at 950 (not below 95 %), k5 has none
    spend = {"k1": 700, "k2": 150, "k3": 100, "k4": 50, "k5": 0, "k6": None}
    con = make_warehouse()
    set_companies(con, *(make_company(name, net_spend_365d_amount=amount) for name, amount in spend.items()))
    build_tags(con, shipped, AS_OF)
    assert values(con, "account_grade") == [("k1", "a"), ("k2", "a"), ("k3", "b"), ("k4", "c"), ("k5", "none")]


def test_states_of_a_company(shipped):
    none = {"overdue_opportunity_count": 0, "open_opportunity_count": 0, "won_opportunity_count": 0}
    none |= {"lost_opportunity_count": 0}
    con = make_warehouse()
    set_companies(
        con,
        make_company("k1", recency_days=90, order_count=2, contact_count=3, **none | {"open_opportunity_count": 1}),
        make_company("k2", recency_days=366, order_count=2, contact_count=2, **none | {"won_opportunity_count": 1}),
        make_company("k3", contact_count=0, complaint_count_90d=1, industry="retail", **none),
        make_company("k4", recency_days=91, order_count=1),
    )
    build_tags(con, shipped, AS_OF)
    assert values(con, "account_activity") == [
        ("k1", "active"),
        ("k2", "dormant"),
        ("k3", "prospect"),
        ("k4", "cooling"),
    ]
    assert values(con, "pipeline_state") == [("k1", "open"), ("k2", "won"), ("k3", "none")]
    assert values(con, "contact_depth") == [("k1", "many"), ("k2", "two"), ("k3", "none"), ("k4", "one")]
    assert values(con, "account_service") == [("k3", "complaining")]
    assert values(con, "industry") == [("k3", "retail")]
    assert con.execute("select count(*) from tags.customer_tags").fetchall() == [(0,)]


def test_intervals_of_companies_and_customers_are_kept_apart(tmp_path):
    folder = write_tags(tmp_path / "own", make_tag())
    busy = make_tag(code="busy", values=[make_value(when="company.order_count > 3")])
    catalogue = load_catalogue(write_tags(folder, busy, name="companies.yaml", level="company"))
    con = make_warehouse({"customer_id": "c1", "order_count": 5})
    set_companies(con, make_company("k1", order_count=4), make_company("k2", order_count=9))
    counts = build_tags(con, catalogue, AS_OF)
    assert counts == {
        "tags": 2,
        "customer_tags": 1,
        "company_tags": 2,
        "opened": 3,
        "ended": 0,
        "kept": 0,
        "history": 3,
    }
    con.execute("create table core.customers_before as from tags.tag_history")
    con.execute("create table core.companies_before as from tags.company_tag_history")
    set_facts(con, {"customer_id": "c1", "order_count": 5}, as_of=NEXT)
    set_companies(con, make_company("k1", order_count=4), make_company("k2", order_count=3), as_of=NEXT)
    counts = build_tags(con, catalogue, NEXT, "core.customers_before", None, "core.companies_before")
    assert (counts["opened"], counts["kept"], counts["ended"]) == (0, 2, 1)
    history = con.execute("select * exclude (category) from tags.company_tag_history order by company_id").fetchall()
    assert history == [("k1", "busy", "very", AS_OF, None), ("k2", "busy", "very", AS_OF, NEXT)]
    assert con.execute("select customer_id, valid_from from tags.customer_tags").fetchall() == [("c1", AS_OF)]
    levels = con.execute("select tag, level from tags.catalogue order by tag").fetchall()
    assert levels == [("busy", "company"), ("keen", "customer")]


def test_a_table_to_be_replaced_is_no_history_and_dates_must_agree(shipped):
    con = make_warehouse()
    with pytest.raises(ValueError, match="company_tag_history is a table to be replaced"):
        build_tags(con, shipped, AS_OF, None, None, "tags.company_tag_history")
    set_companies(con, make_company(), as_of=NEXT)
    with pytest.raises(ValueError, match="marts.company_facts holds as_of"):
        build_tags(con, shipped, AS_OF)


def test_the_export_has_a_row_a_company_and_no_column_of_customers(shipped, tmp_path):
    con = make_warehouse({"customer_id": "c1"})
    set_companies(
        con,
        make_company(
            "k2", name="=cmd", order_count=1, recency_days=10, net_spend_amount=Decimal("12.5"), industry="-x"
        ),
        make_company("k1", name="蓝海科技"),
    )
    build_tags(con, shipped, AS_OF)
    assert write_exports(con, tmp_path, "zh", 10)["company_tags.csv"] == 2
    first, second = read_csv(tmp_path / "company_tags.csv")
    assert (first["企业编号"], first["企业名称"], first["企业活跃度"]) == ("k1", "蓝海科技", "尚未下单")
    assert (second["企业名称"], second["行业"], second["累计净消费"]) == ("'=cmd", "'-x", "12.50")
    assert "生命周期阶段" not in first
    assert "企业活跃度" not in read_csv(tmp_path / "customer_tags.csv")[0]


def test_without_companies_there_is_no_export_of_them(shipped, tmp_path):
    con = make_warehouse({"customer_id": "c1"})
    build_tags(con, shipped, AS_OF)
    assert "company_tags.csv" not in write_exports(con, tmp_path, "zh", 10)
    assert not (tmp_path / "company_tags.csv").exists()


def test_an_audience_of_customers_cannot_ask_for_a_tag_of_companies(shipped, tmp_path):
    con = make_warehouse({"customer_id": "c1"})
    build_tags(con, Catalogue(shipped.tags), AS_OF)
    own = load_audiences(write_audience_file(tmp_path / "own", make_audience(where="has_tag('account_grade', 'a')")))
    with pytest.raises(ValueError, match="no tag 'account_grade'"):
        write_audiences(con, own, tmp_path)
