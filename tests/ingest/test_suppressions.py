"""Rows of the suppressed do not land and leave the kept files; every line stays accounted for, under its own number."""

import gzip

import polars as pl
import pytest

from pipeline.ingest.landings import current_landings
from tests.builders import (
    Intake,
    broken,
    customer_file,
    make_customer_layout,
    make_customer_line,
    make_order_layout,
    make_order_line,
    order_file,
)

ANN = {"客户": "C7", "邮箱": "Ann@Example.com", "手机": "+86 139-5555-0001"}
BOB = {"客户": "C8", "邮箱": "bob@example.com", "手机": "13955550002"}
LINES = (
    make_order_line(订单号="O1", **BOB),
    make_order_line(订单号="O2", **ANN),
    make_order_line(订单号="O3", **BOB),
    make_order_line(订单号="O2", **ANN),
    make_order_line(订单号="O4", **ANN | {"手机": '"+86 139-5555-0001"', "邮箱": '"ann@example.com"'}),
    make_order_line(订单号="O5", **BOB),
)


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def raw_text(intake, name, encoding="utf-8"):
    """A kept file as text, unpacked."""
    [content] = intake.ledger.rows("select * from contents where file_name = ?", (name,))
    raw = (intake.settings.vault / content["raw_path"]).read_bytes()
    return (gzip.decompress(raw) if name.endswith(".gz") else raw).decode(encoding)


def current_rows(intake):
    """What the night builds on: (file record, order) of each landed row."""
    rows = []
    for landing in current_landings(intake.settings, intake.layouts(), intake.ledger):
        table = pl.read_parquet(intake.settings.vault / landing["path"]).sort("file_record")
        rows += table.select("file_record", "order_id").rows()
    return rows


WRITTEN = [
    ("orders.csv", "utf-8", "\n"),
    ("orders.csv", "utf-8", "\r\n"),
    ("orders.csv", "utf-8-sig", "\n"),
    ("orders.csv", "gb18030", "\r\n"),
    ("orders.csv", "utf-16", "\n"),
    ("orders.csv", "utf-8", "\r"),
    ("orders.csv.gz", "utf-8", "\n"),
]


def written(encoding, end, *lines):
    return order_file(*lines).replace("\n", end).encode(encoding)


@pytest.mark.parametrize(("name", "encoding", "end"), WRITTEN)
@pytest.mark.parametrize("when", ["before it lands", "after it landed"])
def test_lines_of_the_suppressed_are_rejected_and_gone_from_the_kept_file(intake, name, encoding, end, when):
    content = written(encoding, end, *LINES)
    intake.drop(name, gzip.compress(content) if name.endswith(".gz") else content)
    if when == "after it landed":
        assert intake.night()[name].status == "landed"
        intake.suppress(email="ann@example.com")
        assert intake.clean()["vault/raw", "lines"] == 3
    else:
        intake.suppress(email="ann@example.com")
        assert intake.night()[name].status == "landed"
    assert not (intake.inbox / name).exists()
    assert current_rows(intake) == [(1, "O1"), (3, "O3"), (6, "O5")]
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert [landing[name] for name in ("lines_read", "landed", "rejected", "duplicates")] == [6, 3, 3, 0]
    rejects = pl.read_parquet(intake.settings.vault / landing["rejects_path"]).to_dicts()
    assert broken(rejects) == [(line, None, "suppressed", "rejected") for line in (3, 5, 6)]
    assert {row["raw_line"] for row in rejects} == {None}
    text = raw_text(intake, name, encoding)
    assert "139-5555-0001" not in text
    assert "nn@" not in text
    assert len(text.splitlines()) == 7
    for number in (0, 2, 5):
        assert LINES[number] in text
    again = intake.night(full=True)[f"again: {name}"]
    assert (again.status, again.landings[0].suppressed) == ("landed", 3)
    assert current_rows(intake) == [(1, "O1"), (3, "O3"), (6, "O5")]
    assert raw_text(intake, name, encoding) == text


def test_the_same_export_dropped_again_is_a_repeat(intake):
    intake.take("orders.csv", order_file(*LINES))
    intake.suppress(email="ann@example.com")
    intake.clean()
    assert intake.take("again.csv", order_file(*LINES)).status == "repeated"
    assert intake.night()["again: orders.csv"].status == "kept"


def test_cleaning_twice_finds_nothing_the_second_time(intake):
    intake.take("orders.csv", order_file(*LINES))
    intake.suppress(phone="+8613955550001")
    assert intake.clean()
    assert +intake.clean() == {}


def test_a_crash_between_the_kept_file_and_the_ledger_is_made_good(intake, monkeypatch):
    from pipeline.ingest import clean

    intake.take("orders.csv", order_file(*LINES))
    intake.suppress(email="ann@example.com")
    with monkeypatch.context() as patch:
        patch.setattr(clean, "adopt", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            intake.clean()
    assert "nn@" not in raw_text(intake, "orders.csv")
    intake.clean()
    assert current_rows(intake) == [(1, "O1"), (3, "O3"), (6, "O5")]
    assert intake.night(full=True)["again: orders.csv"].status == "landed"


def test_many_suppressed_lines_do_not_make_a_file_unbelievable(intake):
    intake.suppress(customer="shop|C7")
    outcome = intake.take("orders.csv", order_file(*LINES[1:5]))
    assert (outcome.status, outcome.landings[0].landed, outcome.landings[0].suppressed) == ("landed", 1, 3)
    assert intake.take("hers.csv", order_file(LINES[1])).status == "landed"


def test_lines_that_are_no_record_go_too_and_the_others_keep_their_numbers(intake):
    lines = [
        "C7,x",
        make_order_line(订单号="O1", **BOB),
        f"O9,{','.join(ANN.values())},2026-05-01 10:00:00,1,1,1,,more",
        '"O8,C7,ann@example.com',
        make_order_line(订单号="O7", 下单时间="someday", **ANN),
        make_order_line(订单号="O2", 修改时间="someday", **BOB),
        make_order_line(订单号="O3", **BOB),
    ] + [make_order_line(订单号=f"F{number}", **BOB) for number in range(200)]
    intake.take("orders.csv", order_file(*lines))
    before = current_rows(intake)
    intake.suppress(email="ann@example.com", customer="shop|C7")
    intake.clean()
    assert current_rows(intake) == before
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    rejects = pl.read_parquet(intake.settings.vault / landing["rejects_path"]).to_dicts()
    assert broken(rejects) == [(line, None, "suppressed", "rejected") for line in (2, 4, 5, 6)] + [
        (7, "updated_at", "not_a_timestamp", "emptied")
    ]
    assert [row["raw_line"] for row in rejects] == [None] * 4 + [lines[5]]
    intake.night(full=True)
    assert current_rows(intake) == before


def test_a_suppressed_referrer_is_emptied_where_others_name_him(intake):
    layout = make_customer_layout()
    layout["entities"]["customers"]["columns"]["referred_by"] = "积分"
    intake.write_layout(layout)
    lines = [
        make_customer_line(会员号="A", 积分="R7", 电话="", 姓名='"李,雷"'),
        make_customer_line(会员号="R7", 积分="", 电话=""),
        make_customer_line(会员号="B", 积分='"R8"', 电话=""),
    ]
    intake.take("customers.csv", customer_file(*lines))
    intake.suppress(customer="crm|R7")
    intake.clean()
    assert raw_text(intake, "customers.csv").splitlines()[1:] == [
        'A,"李,雷",男,1990-02-28,,,',
        "#suppressed,,,,,,",
        lines[2],
    ]
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    rows = pl.read_parquet(intake.settings.vault / landing["path"]).sort("file_record").to_dicts()
    assert [(row["source_customer_id"], row["referred_by"]) for row in rows] == [("A", None), ("B", "R8")]


@pytest.mark.parametrize("harm", ["raw gone", "layout gone"])
def test_where_a_file_cannot_land_again_its_rows_go_one_by_one(intake, harm):
    intake.take("orders.csv", order_file(*LINES[:3], make_order_line(订单号="O7", 下单时间="someday", **ANN)))
    [content] = intake.ledger.rows("select * from contents")
    raw = intake.settings.vault / content["raw_path"]
    if harm == "raw gone":
        raw.unlink()
    else:
        (intake.settings.data_dir / "sources" / "my_orders.yaml").unlink()
    intake.suppress(email="ann@example.com")
    intake.clean()
    assert not raw.exists()
    [landing] = intake.ledger.rows("select * from landings")
    assert [landing[name] for name in ("lines_read", "landed", "rejected", "duplicates")] == [4, 2, 2, 0]
    rows = pl.read_parquet(intake.settings.vault / landing["path"])
    assert rows["order_id"].to_list() == ["O1", "O3"]
    assert pl.read_parquet(intake.settings.vault / landing["rejects_path"])["raw_line"].to_list() == [None]


def test_what_the_ledger_does_not_know_is_deleted_whole(intake):
    intake.take("orders.csv", order_file(*LINES))
    stray = intake.settings.vault / "rejected" / "orders" / "left.parquet"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("ann@example.com")
    intake.suppress(email="nobody@example.com")
    assert +intake.clean() == {("vault/rejected", "files of exports that did not land"): 1}
    assert not stray.exists()


# a mapping that cannot be applied


def test_a_corrected_mapping_that_fails_leaves_the_file_as_it_stood(intake):
    intake.take("customers.csv", customer_file(make_customer_line(), make_customer_line(会员号="C2")))
    wrong = make_customer_layout()
    wrong["entities"]["customers"]["columns"]["registered_at"] = "积分"
    wrong["entities"]["customers"]["columns"]["source_customer_id"] = "变更时间"
    intake.write_layout(wrong)
    again = intake.night()["again: customers.csv"]
    assert again.status == "failed"
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    rows = pl.read_parquet(intake.settings.vault / landing["path"])
    assert rows["source_customer_id"].to_list() == ["C1", "C2"]


def test_a_mapping_changed_after_the_raw_file_went_waits_for_the_export(intake):
    intake.take("orders.csv", order_file(*LINES))
    [content] = intake.ledger.rows("select * from contents")
    (intake.settings.vault / content["raw_path"]).unlink()
    corrected = make_order_layout()
    corrected["entities"]["orders"]["columns"]["net"] = "优惠"
    intake.write_layout(corrected)
    again = intake.night()["again: orders.csv"]
    assert (again.status, again.message) == (
        "outdated",
        "kept as it landed under an earlier mapping; put the export into the inbox again to apply the new one",
    )
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert set(pl.read_parquet(intake.settings.vault / landing["path"])["net"].to_list()) == {100}
    intake.take("orders.csv", order_file(*LINES))
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert set(pl.read_parquet(intake.settings.vault / landing["path"])["net"].to_list()) == {5}
