"""The RFM part of the page and the workbook: cut-points, segments out of reach, grades and ABC, and who went where."""

import json
from datetime import timedelta

import pytest

from pipeline.reports import rfm_figures
from pipeline.reports.page import write_page
from pipeline.reports.rfm_figures import migrations_query, read_migrations, read_rfm_details
from pipeline.reports.wording import Wording
from pipeline.tags import migrations
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from tests.tags.small_warehouse import AS_OF, insert, make_warehouse

SEGMENTS = {"champions": ("Champions", "冠军客户"), "lost": ("Lost", "已流失客户")}
SCORED = {
    "c1": ("champions", "Key", "重要客户", "A", "A类客户", 900),
    "c2": ("lost", "Ordinary", "普通客户", "B", "B类客户", 100),
    "c3": ("champions", "Key", "重要客户", "A", "A类客户", 900),
}
# of 20 champions 30 days ago 10 still are, 6 are lost, 1 left, 3 merged; of 9 who were lost 8 came back; 2 are new
MOVES = [
    ("champions", "champions", "stayed", 10, 0.5),
    ("champions", "lost", "moved", 6, 0.3),
    ("champions", None, "left", 1, 0.05),
    ("champions", None, "merged", 3, 0.15),
    ("lost", "champions", "moved", 8, 0.999),
    ("lost", "unknown_code", "moved", 1, 0.001),
    (None, "lost", "new", 2, None),
]


@pytest.fixture
def con():
    """Three scored customers, and moves written by hand."""
    scores = []
    for customer, (segment, grade, grade_zh, abc, abc_zh, spend) in SCORED.items():
        named = dict(zip(("rfm_segment", "rfm_segment_zh"), SEGMENTS[segment], strict=True))
        classes = {"customer_grade": grade, "customer_grade_zh": grade_zh, "abc_class": abc, "abc_class_zh": abc_zh}
        scores.append({"customer_id": customer, "r_score": 5, "f_score": 5, "monetary": spend} | named | classes)
    con = make_warehouse(*({"customer_id": name} for name in SCORED), rfm=scores)
    build_tags(con, load_catalogue(CATALOGUE_FOLDER), AS_OF)
    for was, now, change, count, share in MOVES:
        moved = {"as_of": AS_OF, "tag": "rfm_segment", "period": "30_days", "compared_on": AS_OF - timedelta(days=30)}
        moved |= {"from_value": was, "to_value": now, "change": change, "customer_count": count, "from_share": share}
        insert(con, "tags.tag_migrations", moved)
    params = {"fitted_on": "2026-02-10", "customer_count": 1234, "window_days": 365}
    metrics = {"unreachable_segments": ["Promising"], "skipped_scores": {"frequency": [2, 3], "monetary": []}}
    metrics["in_window_count"] = 1
    run = {"as_of": AS_OF, "model": "rfm", "status": "used", "message": "", "row_count": 3}
    insert(con, "ops.model_runs", run | {"params": json.dumps(params), "metrics": json.dumps(metrics)})
    return con


def test_a_matrix_accounts_for_everybody(con):
    (tag,) = read_migrations(con)
    (period,) = tag["periods"]
    assert [column["name"] for column in period["columns"]] == ["Champions", "Lost", "unknown_code"]
    assert period["gone"] == ["left", "merged"]
    counted = [[cell and cell["customer_count"] for cell in row["cells"]] for row in period["rows"]]
    assert counted == [[10, 6, None, 1, 3], [8, None, 1, None, None]]
    assert [row["total"] for row in period["rows"]] == [20, 9]
    assert [cell and cell["customer_count"] for cell in period["came"]] == [None, 2, None]
    assert period["counts"] == {"stayed": 10, "moved": 15, "new": 2, "left": 1, "merged": 3}
    assert period["then_count"] == 29
    assert [(move["was"]["code"], move["customer_count"]) for move in period["largest"]] == [
        ("lost", 8),
        ("champions", 6),
        ("lost", 1),
    ]


def test_the_page_knows_every_tag_and_period_that_is_counted():
    assert rfm_figures.MIGRATED == migrations.MIGRATED
    assert tuple(migrations.PERIODS) == rfm_figures.PERIODS


def test_grades_and_abc_are_those_of_the_scores(con):
    grades, abc = read_rfm_details(con, AS_OF)["classes"]
    assert [(row["name"], row["customer_count"], round(row["spend_share"], 3)) for row in grades["rows"]] == [
        ("Key", 2, 0.947),
        ("Ordinary", 1, 0.053),
    ]
    assert [row["name_zh"] for row in abc["rows"]] == ["A类客户", "B类客户"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_says_by_which_cut_points_and_who_went_where(con, tmp_path, language):
    page = write_page(con, tmp_path / "index.html", language).read_text("utf-8")
    words = Wording(language)
    assert words("cut_points_held", "2026-02-10", "1,234") in page.replace("&#39;", "'")
    assert words("rfm_window", 365) in page
    assert words("unreachable", "有望成长客户" if language == "zh" else "Promising") in page
    assert (
        words("skipped_frequency", words("comma").join("23")) in page
        and words("outside", words.share(2 / 3), 365) in page
    )
    assert words("moves_lead", 29, AS_OF - timedelta(days=30), 10, words.share(10 / 29), 15, 4, 2) in page
    assert words("change_merged") in page and words("came") in page and words("fitted_since") in page
    assert words.share(0.5, 0) in page and f"&lt;{words.share(0.01, 0)}" in page
    assert ("冠军客户" in page) == (language == "zh")
    # where nobody moved, nobody moved because of the cut-points
    con.execute("delete from tags.tag_migrations where change = 'moved'")
    assert words("fitted_since") not in write_page(con, tmp_path / "index.html", language).read_text("utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_an_earlier_night_the_page_says_so(con, tmp_path, language):
    con.execute("delete from tags.tag_migrations; delete from ops.model_runs")
    page = write_page(con, tmp_path / "index.html", language).read_text("utf-8")
    assert Wording(language)("no_moves") in page


def test_the_sheet_of_moves_is_named_in_the_order_of_the_catalogue(con):
    rows = con.execute(migrations_query("zh")).fetchall()
    assert rows[2][:2] == ("RFM客群", "较30天前") and [row[5] for row in rows[1:4]] == ["迁移", "不再评分", "已合并"]
    assert [(row[3], row[4], row[6]) for row in rows] == [
        ("冠军客户", "冠军客户", 10),
        ("冠军客户", "已流失客户", 6),
        ("冠军客户", None, 1),
        ("冠军客户", None, 3),
        ("已流失客户", "冠军客户", 8),
        ("已流失客户", "unknown_code", 1),
        (None, "已流失客户", 2),
    ]
