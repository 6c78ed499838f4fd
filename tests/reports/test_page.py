"""The pages: self-contained, without persons, in both languages, whatever is missing."""

import re
from datetime import timedelta

import pytest

from pipeline.ingest.contracts import load_contracts
from pipeline.model_names import REASON_KINDS
from pipeline.models.contract_reasons import REASONS
from pipeline.ops import absent_entities
from pipeline.reports.figures import read_changes, read_churn, round_step
from pipeline.reports.page import write_checks_page, write_page
from pipeline.reports.wording import TEXTS, Wording
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, Catalogue, load_catalogue
from tests.tags.small_warehouse import AS_OF, insert, make_synthetic_warehouse, make_warehouse, set_facts

NIGHT = {"run_id": "r1", "as_of": AS_OF}
CLASSES = [("c1", "Key Value", "重要价值客户"), ("c2", "Key Growth", "重要发展客户")]


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(CATALOGUE_FOLDER)


@pytest.fixture(scope="module")
def full(catalogue):
    """Everything filled, ops too."""
    con = make_synthetic_warehouse(600)
    build_tags(con, catalogue, AS_OF)
    counts = {"lines_read": 100, "landed": 90, "rejected": 7, "duplicates": 3}
    insert(con, "ops.reconciliation", NIGHT | {"file_name": "<b>orders</b>.csv", "entity": "orders"} | counts)
    insert(
        con,
        "ops.checks",
        NIGHT | {"entity": "orders", "rule": "order_id unique", "success": False, "unexpected_count": 4},
    )
    insert(
        con,
        "ops.files",
        {"run_id": "r1", "file_name": "x.bin", "status": "unknown", "message": "no layout matches"},
    )
    held = {
        "as_of": AS_OF,
        "model": "churn",
        "status": "held",
        "message": "worse than yesterday",
        "row_count": 5,
    }
    insert(con, "ops.model_runs", held)
    return con


def write(con, tmp_path, language="en", **arguments):
    return write_page(con, tmp_path / "deep" / "index.html", language, **arguments).read_text("utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_full_page_is_self_contained_and_names_nobody(full, tmp_path, language):
    page = write(full, tmp_path, language, run_summary={"run_id": "r1", "warnings": ["tickets are <old>"]})
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|@import|url\(", page)
    assert "default-src 'none'" in page
    assert not re.search(r"c000000\d\d\d", page)
    assert "&lt;b&gt;orders&lt;/b&gt;.csv" in page and "<b>orders" not in page
    assert "tickets are &lt;old&gt;" in page
    assert "worse than yesterday" in page and "no layout matches" in page
    assert Wording(language)("first_night", "x").split("x")[0] in page
    assert page.count("<section") == 7
    assert not re.search(r"\b(None|nan|Undefined)\b", page)


def test_numbers_of_the_page_are_those_of_the_tables(full, tmp_path):
    page = write(full, tmp_path)
    customers, reachable = full.execute(
        "select count(*), count(*) filter (is_marketing_allowed) from marts.customer_facts"
    ).fetchone()
    assert f'<div class="figure">{customers}</div>' in page
    assert f'<div class="figure">{reachable}</div>' in page
    assert "100 read, 90 landed, 7 rejected, 3 duplicates" in page
    assert "do not add up" not in page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_segments_say_what_they_are_and_spend(full, tmp_path, language):
    page = write(full, tmp_path, language)
    for said, count, spend in full.execute(
        f"""
        select any_value(segment_description{"_zh" if language == "zh" else ""}), count(*),
            (sum(net_spend_amount) / sum(sum(net_spend_amount)) over ())::double
        from scores.segments inner join marts.customer_facts using (customer_id) group by segment_id
        """
    ).fetchall():
        words = Wording(language)
        assert words("segment_size", words.count(count), words.share(spend)) in page
        assert f'<p class="said">{said}</p>' in page


def test_reasons_are_counted_by_kind_whatever_their_numbers(full, tmp_path):
    high = full.execute(
        "select count(*), count(distinct reason_1) from scores.churn where churn_band = 'high'"
    ).fetchone()
    assert high[1] > 10
    assert [(row["kind"], row["customer_count"]) for row in read_churn(full)["reasons"]] == [
        ("complaints", high[0]),
        ("rhythm", high[0]),
    ]
    assert "<div>time since the last order, against the usual gap</div>" in write(full, tmp_path)
    assert "<div>距上次下单的时间（对照平常间隔）</div>" in write(full, tmp_path, "zh")


def test_every_kind_of_reason_has_a_name():
    kinds = {reason.code for reason in REASONS}
    assert kinds == set(REASON_KINDS)
    assert len(set(REASON_KINDS.values())) == len(kinds)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_and_warning_name_the_same_data_as_missing(tmp_path, catalogue, language):
    con, words = make_warehouse({}), Wording(language)
    build_tags(con, catalogue, AS_OF)
    needed = absent_entities([])
    assert "payments" not in needed and len(needed) == len(load_contracts()) - 1
    counts = {"lines_read": 1, "landed": 1, "rejected": 0, "duplicates": 0}
    for entity in needed:
        insert(
            con,
            "ops.reconciliation",
            NIGHT | {"file_name": "a.csv", "entity": entity} | counts,
        )
    assert words("complete") in write(con, tmp_path, language)
    con.execute("delete from ops.reconciliation where entity in ('order_items', 'tickets')")
    assert words("absent", {"en": "order items, tickets", "zh": "订单明细、服务工单"}[language]) in write(
        con, tmp_path, language
    )


def test_changed_columns_are_told_in_the_language_of_the_page(tmp_path, catalogue):
    con = make_warehouse({})
    build_tags(con, catalogue, AS_OF)
    insert(
        con,
        "ops.files",
        {
            "run_id": "r1",
            "file_name": "x.csv",
            "status": "landed",
            "message": "read as GBK",
            "schema_change": "added: coupon",
        },
    )
    assert "read as GBK; columns changed: added: coupon" in write(con, tmp_path)
    assert "read as GBK；列有变化：added: coupon" in write(con, tmp_path, "zh")


def test_rows_that_do_not_add_up_are_said(tmp_path, catalogue):
    con = make_warehouse({})
    build_tags(con, catalogue, AS_OF)
    counts = {"lines_read": 100, "landed": 90, "rejected": 7, "duplicates": 0}
    insert(con, "ops.reconciliation", NIGHT | {"file_name": "a.csv", "entity": "orders"} | counts)
    assert "1 of the files do not add up" in write(con, tmp_path)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_without_scores_says_so(tmp_path, catalogue, language):
    con = make_warehouse({})
    build_tags(con, catalogue, AS_OF)
    insert(
        con,
        "ops.model_runs",
        {"as_of": AS_OF, "model": "clv", "status": "not enough data", "message": "needs 30 buyers"},
    )
    page = write(con, tmp_path, language)
    words = Wording(language)
    assert words("no_rfm") in page
    assert words("no_value", "needs 30 buyers") in page
    assert words("no_churn", words("reason_unknown")) in page
    assert words("no_segments", words("reason_unknown")) in page
    assert words("no_rows") in page and words("no_checks") in page
    assert words("absent", "|").split("|")[0] in page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_without_customers_or_ops(tmp_path, language):
    con = make_warehouse()
    con.execute("drop schema ops cascade; drop schema tags cascade")
    assert Wording(language)("no_customers") in write(con, tmp_path, language)
    assert Wording(language)("no_customers") in write(con, tmp_path, language, run_summary={"as_of": AS_OF})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_customers_without_any_order(tmp_path, catalogue, language):
    con = make_warehouse({"order_count": 0, "order_day_count": 0, "recency_days": None, "net_spend_amount": 0})
    build_tags(con, catalogue, AS_OF)
    assert Wording(language)("no_rfm") in write(con, tmp_path, language)


def test_moves_between_value_classes_are_counted(tmp_path, catalogue):
    rfm = [{"customer_id": name, "value_class": text, "value_class_zh": text_zh} for name, text, text_zh in CLASSES]
    people = [{"customer_id": "c1"}, {"customer_id": "c2"}]
    con = make_warehouse(*people, rfm=rfm)
    catalogue = Catalogue(tuple(tag for tag in catalogue.tags if tag.category == "value"))
    build_tags(con, catalogue, AS_OF)
    con.execute("create table core.before as from tags.tag_history")
    con.execute("update scores.rfm set value_class = 'Key Growth', value_class_zh = '重要发展客户'")
    tomorrow = AS_OF + timedelta(days=1)
    set_facts(con, *people, as_of=tomorrow)
    build_tags(con, catalogue, tomorrow, "core.before")
    changes = read_changes(con, tomorrow)
    assert (changes["is_first"], changes["opened"], changes["ended"]) == (False, 1, 1)
    assert [(flow["became"], flow["customer_count"]) for flow in changes["flows"]] == [("Key Growth", 1)]
    page = write(con, tmp_path, "zh")
    assert "重要发展客户" in page and "本次共有 1 个标签" in page
    set_facts(con, *people, as_of=tomorrow + timedelta(days=1))
    con.execute("create or replace table core.before as from tags.tag_history")
    build_tags(con, catalogue, tomorrow + timedelta(days=1), "core.before")
    assert "Nothing changed" in write(con, tmp_path, "en")


def test_key_figures_against_an_attached_earlier_warehouse(full, tmp_path):
    full.execute("attach ':memory:' as yesterday; create schema yesterday.marts; create schema yesterday.scores")
    full.execute("create table yesterday.marts.customer_facts as from marts.customer_facts limit 300")
    full.execute(
        "create table yesterday.scores.clv as from scores.clv; create table yesterday.scores.churn as from scores.churn"
    )
    assert f"+100.0 % since {AS_OF}" in write(full, tmp_path, previous="yesterday")
    full.execute("drop table yesterday.scores.clv")
    assert "+100.0 %" not in write(full, tmp_path, previous="yesterday")
    full.execute("detach yesterday")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_checks_page(full, tmp_path, language):
    page = write_checks_page(full, tmp_path / "checks.html", language).read_text("utf-8")
    assert (
        "order_id unique" in page
        and Wording(language)("failed") in page
        and "http:" not in page
        and "https:" not in page
    )
    empty = write_checks_page(make_warehouse(), tmp_path / "none.html", language).read_text("utf-8")
    assert Wording(language)("no_checks") in empty


def test_same_warehouse_gives_the_same_page(full, tmp_path):
    assert write(full, tmp_path) == write(full, tmp_path)


def test_every_text_has_both_languages_with_the_same_gaps():
    for key, (english, chinese) in TEXTS.items():
        assert english and chinese, key
        assert set(re.findall(r"{\d}", english)) == set(re.findall(r"{\d}", chinese)), key


def test_numbers_read_as_written_in_each_language():
    zh, en = Wording("zh", "CNY"), Wording("en", "USD")
    assert (zh.money(1234.5), zh.money(17_240_000), zh.money(560_000_000)) == (
        "¥1,234",
        "¥1,724 万",
        "¥5.60 亿",
    )
    assert (en.money(99.5), en.money(-1_234_567), en.share(0.1234)) == ("$99.50", "-$1.23 M", "12.3 %")
    assert (en.change(110, 100), en.change(100, 100), en.change(1, 0)) == ("+10.0 %", None, None)
    assert [round_step(width) for width in (0, 0.7, 1, 3, 43)] == [1.0, 1.0, 1.0, 5.0, 50.0]
