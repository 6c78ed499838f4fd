"""Exports: one row per customer, safe to open, in either language, capped where said."""

import csv
import io

import openpyxl
import polars as pl
import pytest

from pipeline.reports.audience_files import write_audiences
from pipeline.reports.exports import write_csv, write_exports
from pipeline.reports.wide import RISKY_STARTS
from pipeline.tags.audiences import AUDIENCE_FOLDER, load_audiences
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, Catalogue, load_catalogue
from pipeline.tags.rules import chinese_evidence
from tests.tags.small_warehouse import AS_OF, make_warehouse
from tests.tags.test_audiences import make_audience, write_audience_file

SHIPPED = load_catalogue(CATALOGUE_FOLDER)


def make_tagged(*facts, catalogue=SHIPPED, **scores):
    con = make_warehouse(*facts, **scores)
    build_tags(con, catalogue, AS_OF)
    return con


def read_csv(path):
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf") and not raw.startswith(b"\xef\xbb\xbf\xef")
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


@pytest.fixture(scope="module")
def con():
    """Three customers, read only by the tests."""
    return make_tagged(
        {
            "customer_id": "c2",
            "city": "上海",
            "order_count": 4,
            "night_order_share": 0.5,
            "weekend_order_share": 0.7,
        },
        {"customer_id": "c1", "is_marketing_allowed": None, "net_spend_amount": -5},
        {
            "customer_id": "c3",
            "order_count": 0,
            "order_day_count": 0,
            "recency_days": None,
            "net_spend_amount": 0,
        },
        clv=[
            {
                "customer_id": "c2",
                "p_alive": 0.9,
                "clv_365d_amount": 812.345678,
                "clv_365d_low": 1.0,
                "clv_365d_high": 2.0,
            }
        ],
        churn=[{"customer_id": "c2", "churn_probability": 0.71, "churn_band": "high"}],
    )


def test_wide_csv_in_chinese(con, tmp_path):
    assert write_exports(con, tmp_path, "zh", 100)["customer_tags.csv"] == 3
    rows = read_csv(tmp_path / "customer_tags.csv")
    assert [row["客户编号"] for row in rows] == ["c1", "c2", "c3"]
    assert [row["可营销"] for row in rows] == ["否", "是", "是"]
    assert rows[1]["购物时段"] == "夜间消费、周末消费"
    assert rows[1]["城市"] == "上海"
    assert (rows[1]["流失风险"], rows[1]["流失概率"], rows[1]["未来365天预期价值"]) == (
        "高流失风险",
        "0.71",
        "812.35",
    )
    assert rows[2]["生命周期阶段"] == "潜在客户" and rows[2]["距上次购买天数"] == ""
    assert rows[0]["累计净消费"] == "-5.00"


def test_wide_csv_in_english_agrees_with_the_long_parquet(con, tmp_path):
    write_exports(con, tmp_path, "en", 100)
    rows = read_csv(tmp_path / "customer_tags.csv")
    assert rows[1]["Shopping time"] == "Night shopper; Weekend shopper"
    long = pl.read_parquet(tmp_path / "customer_tags.parquet")
    names = dict(con.execute("select name, tag from tags.catalogue where level = 'customer'").fetchall())
    told = {
        (row["Customer id"], names[column], text)
        for row in rows
        for column in names
        for text in row[column].split("; ")
        if text
    }
    assert told == set(long.select("customer_id", "tag", "value_name").rows())


@pytest.mark.parametrize("start", RISKY_STARTS)
def test_formulas_are_neutralised(tmp_path, start):
    evil = f"{start}cmd|' /C calc'!A0"
    places = Catalogue(tuple(tag for tag in SHIPPED.tags if tag.code in ("city", "province")))
    con = make_tagged({"customer_id": evil, "city": evil, "province": "a=b"}, catalogue=places)
    write_exports(con, tmp_path, "en", 100)
    (row,) = read_csv(tmp_path / "customer_tags.csv")
    assert row["Customer id"] == row["City"] == "'" + evil
    assert row["Province"] == "a=b"
    cells = list(openpyxl.load_workbook(tmp_path / "customer_tags.xlsx")["Customers"].rows)
    city = next(cell.column for cell in cells[0] if cell.value == "City") - 1
    assert cells[1][city].data_type == "s" and cells[1][city].value.endswith(evil[1:])


def test_workbook_is_capped_and_says_so(con, tmp_path):
    assert write_exports(con, tmp_path, "en", 1)["customer_tags.xlsx"] == 1
    book = openpyxl.load_workbook(tmp_path / "customer_tags.xlsx")
    assert book.sheetnames == ["About", "Customers", "Tag dictionary", "Who went where"]
    about = " ".join(str(cell.value) for row in book["About"].rows for cell in row if cell.value)
    assert "only the 1 customers with the highest net spend, of 3" in about
    rows = list(book["Customers"].values)
    assert [row[0] for row in rows] == ["Customer id", "c2"]
    dictionary = list(book["Tag dictionary"].values)
    assert len(dictionary) > 120
    assert ("c2" in str(dictionary)) is False


def test_workbook_holds_everyone_under_the_cap(con, tmp_path):
    assert write_exports(con, tmp_path, "zh", 3)["customer_tags.xlsx"] == 3
    book = openpyxl.load_workbook(tmp_path / "customer_tags.xlsx")
    assert [row[0] for row in book["客户标签"].values] == ["客户编号", "c1", "c2", "c3"]
    assert "全部 3 位客户" in str(book["说明"]["A3"].value)


@pytest.mark.parametrize(("language", "name", "suffix"), [("en", "Segments", ""), ("zh", "行为客群", "_zh")])
def test_workbook_shows_the_segments_with_their_shares(tmp_path, language, name, suffix):
    people = [("c1", 300, 1), ("c2", 60, 2), ("c3", 40, 2), ("c4", 600, None)]
    facts = [{"customer_id": who, "net_spend_amount": spend} for who, spend, _ in people]
    segments = [
        {"customer_id": who, "segment_id": number, "segment_name": f"S{number}", "segment_name_zh": f"群{number}"}
        | {"segment_description": f"says {number}", "segment_description_zh": f"说明{number}"}
        for who, _, number in people
        if number
    ]
    write_exports(make_tagged(*facts, segments=segments), tmp_path, language, 1)
    rows = list(openpyxl.load_workbook(tmp_path / "customer_tags.xlsx")[name].values)[1:]
    said = {"": ("S", "says "), "_zh": ("群", "说明")}[suffix]
    # c4 is in no segment: the shares are of the 400 that those grouped spent; the cap is of customers, not of segments
    assert rows == [
        (2, f"{said[0]}2", f"{said[1]}2", 2, 0.6667, 100, 0.25),
        (1, f"{said[0]}1", f"{said[1]}1", 1, 0.3333, 300, 0.75),
    ]


def test_no_customers_still_gives_files(tmp_path):
    con = make_tagged()
    counts = write_exports(con, tmp_path, "zh", 10)
    assert counts == {"customer_tags.csv": 0, "customer_tags.parquet": 0, "customer_tags.xlsx": 0}
    assert read_csv(tmp_path / "customer_tags.csv") == []


def test_a_first_heading_that_needs_quotes_is_refused(con, tmp_path):
    with pytest.raises(ValueError, match="would be quoted"):
        write_csv(con, 'select 1 as "a,b"', tmp_path / "x.csv")


def test_audiences_leave_out_whoever_did_not_agree(con, tmp_path):
    own = load_audiences(
        write_audience_file(tmp_path / "own", make_audience(where="facts.order_count >= 0", reasons=["lifecycle"]))
    )
    (counts,) = write_audiences(con, own, tmp_path / "out", language="en").to_dicts()
    assert counted(counts) == (3, 1, 0, 0, 2)
    rows = read_csv(tmp_path / "out" / counts["file"])
    assert rows == [
        {"Customer id": "c2", "Reasons": "Active (4 orders, last 10 d ago)"},
        {"Customer id": "c3", "Reasons": "No order yet (known for 40 d, 0 orders)"},
    ]
    evidence = chinese_evidence(load_catalogue(CATALOGUE_FOLDER))
    (counts,) = write_audiences(con, own, tmp_path / "out", language="zh", evidence=evidence).to_dicts()
    assert read_csv(tmp_path / "out" / counts["file"]) == [
        {"客户编号": "c2", "入选原因": "活跃客户（4单，最近一单在10天前）"},
        {"客户编号": "c3", "入选原因": "潜在客户（已知40天，尚未下单）"},
    ]
    # a tag that its owner wrote without Chinese evidence keeps what it has
    (counts,) = write_audiences(con, own, tmp_path / "out", language="zh", evidence={}).to_dicts()
    assert read_csv(tmp_path / "out" / counts["file"])[0]["入选原因"] == "活跃客户（4 orders, last 10 d ago）"


def test_every_reason_of_the_shipped_audiences_has_evidence_in_chinese():
    catalogue = load_catalogue(CATALOGUE_FOLDER)
    known, tags = chinese_evidence(catalogue), {tag.code: tag for tag in catalogue.tags}
    for audience in load_audiences(AUDIENCE_FOLDER):
        for tag in audience.reasons:
            # what reads the same in both languages: RFM 345, NPS 9
            is_plain = tags[tag].evidence.startswith(("format('RFM {}'", "format('NPS {"))
            assert tag in known or is_plain, tag


def counted(counts):
    excluded = ("excluded_by_consent", "excluded_unreachable", "excluded_by_limit")
    return tuple(counts[name] for name in ("matched", *excluded, "written"))


@pytest.mark.parametrize(
    ("channel", "expected", "written"),
    [
        ("email", (6, 2, 2, 1, 1), ["allowed"]),
        # on some channel: whom one channel forbids, another may allow
        ("any", (6, 1, 2, 1, 2), ["allowed", "by_sms"]),
    ],
)
def test_audiences_leave_out_whoever_cannot_or_may_not_be_contacted(tmp_path, channel, expected, written):
    reasons = {
        "allowed": ("granted", "refused"),
        "by_sms": ("refused", "granted"),
        "silent": ("silence", "silence"),
        "nowhere": ("no_address", "refused"),
        "bounced": ("bounced", "silence"),
        "often": ("contact_limit", "bounced"),
    }
    con = make_tagged(*({"customer_id": name} for name in reasons))
    con.execute("drop view marts.contactability")
    con.execute(
        "create table marts.contactability"
        " (customer_id varchar, channel varchar, purpose varchar, is_allowed boolean, reason varchar)"
    )
    for name, (email, sms) in reasons.items():
        for of_channel, reason in (("email", email), ("sms", sms)):
            row = [name, of_channel, reason == "granted", reason]
            con.execute("insert into marts.contactability values (?, ?, 'marketing', ?, ?)", row)
            # that someone may be served says nothing of marketing
            con.execute("insert into marts.contactability values (?, ?, 'service', true, 'silence')", row[:2])
    audience = make_audience(where="facts.order_count >= 0", channel=channel)
    own = load_audiences(write_audience_file(tmp_path / "own", audience))
    (counts,) = write_audiences(con, own, tmp_path / "out", language="en").to_dicts()
    assert counted(counts) == expected
    assert [row["Customer id"] for row in read_csv(tmp_path / "out" / counts["file"])] == written


def test_shipped_audiences_are_written_by_name(con, tmp_path):
    audiences = load_audiences(AUDIENCE_FOLDER)
    frame = write_audiences(con, audiences, tmp_path, ["second_order", "keep_at_risk"])
    assert frame["audience"].to_list() == ["second_order", "keep_at_risk"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep_at_risk.csv", "second_order.csv"]
    assert write_audiences(con, audiences, tmp_path).height == len(audiences)
    with pytest.raises(ValueError, match="'nobody' is not known; use one of"):
        write_audiences(con, audiences, tmp_path, ["nobody"])


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("has_tag('lifecycel')", "no tag 'lifecycel'"),
        ("has_tag('lifecycle', 'newest')", "has no value 'newest'; it has prospect, new"),
        ("facts.oder_count > 1", "where: .*oder_count"),
    ],
)
def test_misspelt_audiences_are_refused(con, tmp_path, where, said):
    own = load_audiences(write_audience_file(tmp_path / "own", make_audience(where=where)))
    with pytest.raises(ValueError, match=f"own.yaml, audience mine.*{said}"):
        write_audiences(con, own, tmp_path)
