"""The inbox: what each file is, what became of it, and that nothing is lost whatever happens on the way."""

import gzip
import os
import shutil
from types import SimpleNamespace

import duckdb
import polars as pl
import pytest

from pipeline.ingest import contents, landings
from pipeline.ingest import intake as intake_module
from pipeline.ingest.connection import pseudonym_key
from pipeline.ingest.intake import inbox_files, passed_over
from pipeline.ingest.landings import current_landings
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.steps.landing import _warn_of_emptied
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

TWO_ORDERS = order_file(make_order_line(), make_order_line(订单号="O2"))


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def current(intake):
    """(entity, file name, lines landed) that a night builds on."""
    landings = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert all((intake.settings.vault / landing["path"]).exists() for landing in landings)
    return [(landing["entity"], landing["file_name"], landing["landed"]) for landing in landings]


def vault_files(intake, kind):
    return sorted(path.name for path in (intake.settings.vault / kind).rglob("*") if path.is_file())


# which files are looked at


def test_hidden_unfinished_and_linked_files_are_not_looked_at(intake, tmp_path):
    for name in ("b.csv", "sub/a.csv", ".hidden.csv", ".sync/c.csv", "d.csv.part", "e.tmp", "F.TMP"):
        intake.drop(name, TWO_ORDERS)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text(TWO_ORDERS)
    (intake.inbox / "link.csv").symlink_to(outside / "secret.csv")
    (intake.inbox / "linked").symlink_to(outside)
    os.mkfifo(intake.inbox / "pipe.csv")
    assert [str(path.relative_to(intake.inbox)) for path in inbox_files(intake.settings)] == ["b.csv", "sub/a.csv"]
    assert passed_over(intake.settings) == ["link.csv", "linked", "pipe.csv"]


def test_a_column_that_loses_many_of_its_values_is_told(intake):
    lines = [
        make_order_line(订单号=f"O{number}", 手机="call me" if number < 3 else "13800138000") for number in range(10)
    ]
    outcome = intake.take("orders.csv", order_file(*lines))
    told = []
    _warn_of_emptied(SimpleNamespace(warn=lambda english, chinese: told.append(english)), outcome)
    assert told == ["orders.csv: orders: 3 of 10 values of phone emptied (not_a_phone); see ops.rejects"]


def test_inbox_and_vault_are_their_owners_alone(intake):
    assert [folder.stat().st_mode & 0o777 for folder in (intake.inbox, intake.settings.vault)] == [0o700, 0o700]


def test_the_key_is_made_once_beside_the_data_folder(intake):
    key = pseudonym_key(intake.settings)
    assert (len(key), pseudonym_key(intake.settings)) == (64, key)
    assert intake.settings.pseudonym_key_file.parent == intake.settings.data_dir.parent
    assert intake.settings.pseudonym_key_file.stat().st_mode & 0o777 == 0o600


# files that land


def test_a_file_lands_and_moves_to_the_vault(intake):
    outcome = intake.take("sub/orders.csv", TWO_ORDERS)
    assert (outcome.status, outcome.layout, outcome.source, outcome.message) == ("landed", "my_orders", "shop", "")
    assert (outcome.line_count, outcome.size_bytes) == (3, len(TWO_ORDERS.encode()))
    assert not (intake.inbox / "sub" / "orders.csv").exists()
    [content] = intake.ledger.rows("select * from contents")
    assert (intake.settings.vault / content["raw_path"]).read_text() == TWO_ORDERS
    assert current(intake) == [("orders", "sub/orders.csv", 2)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("orders.csv", TWO_ORDERS.encode("gbk"), "read as gb18030: its header reads as layout my_orders"),
        ("orders.csv", TWO_ORDERS.encode("utf-16"), "UTF-16 little endian by byte order mark"),
        ("orders.csv", b"\xef\xbb\xbf" + TWO_ORDERS.encode(), ""),
        ("orders.csv", TWO_ORDERS.replace("\n", "\r\n"), ""),
        ("orders.csv", TWO_ORDERS.replace("\n", "\r\n", 1), "line ends were mixed; read as one kind"),
        ("orders.csv", TWO_ORDERS.replace("\n", "\r"), "line ends were mixed; read as one kind"),
        ("orders.csv", TWO_ORDERS.replace(",", ";"), ""),
        ("orders.txt", TWO_ORDERS.replace(",", "\t"), ""),
        ("orders.csv.gz", gzip.compress(TWO_ORDERS.encode()), ""),
        ("orders[1] *.csv", TWO_ORDERS, ""),
        ("订单.csv", TWO_ORDERS, ""),
    ],
)
def test_the_same_orders_however_they_are_written(intake, name, content, message):
    intake.drop("orders1.csv.part", "another file that a pattern could match")
    outcome = intake.take(name, content)
    assert (outcome.status, outcome.message) == ("landed", message)
    [landing] = outcome.landings
    assert [row["order_id"] for row in intake.landed(landing)] == ["O1", "O2"]
    assert (outcome.line_count, landing.lines_read, landing.rejected) == (3, 2, 0)


def test_a_header_that_only_its_layouts_encoding_and_delimiter_can_read(intake):
    layout = make_order_layout(
        layout="their_orders", match={"columns": ["訂單號", "下單時間"]}, read={"encoding": "big5", "delimiter": "^"}
    )
    layout["entities"]["orders"]["columns"] = {"order_id": "訂單號", "ordered_at": "下單時間", "net": "net"}
    intake.write_layout(layout)
    text = "訂單號^下單時間^net\nO1^2026-05-01^1\nO2^2026-05-01^2\n"
    outcome = intake.take("orders.csv", text.encode("big5"))
    assert (outcome.status, outcome.layout) == ("landed", "their_orders")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("月报,2026\n\n", "", "its header stands on line 3"),
        ("\n", "", "its header stands on line 2"),
        ("", "合计,,,,,200.00,10.00,,\n\n导出时间：2026-05-02\n", "2 lines below its table"),
    ],
)
def test_lines_around_the_table_are_rejected_and_stop_nothing(intake, before, after, message):
    outcome = intake.take("orders.csv", before + TWO_ORDERS + after)
    [landing] = outcome.landings
    assert (outcome.status, outcome.message) == ("landed", message)
    assert [row["order_id"] for row in intake.landed(landing)] == ["O1", "O2"]
    texts = [line for line in (before + after).split("\n") if line]
    assert [row["raw_line"] for row in intake.rejects(landing)] == texts
    assert (landing.landed, landing.rejected, landing.outside) == (2, len(texts), len(texts))


def test_a_header_alone_lands_and_says_so(intake):
    outcome = intake.take("orders.csv", order_file())
    assert (outcome.status, outcome.message) == ("landed", "it has a header and no rows")
    assert outcome.landings[0].lines_read == 0


def test_a_file_whose_lines_are_none_of_its_entity_is_not_called_empty(intake):
    layout = make_customer_layout()
    layout["entities"]["customers"]["unless"] = {"性别": ["男"]}
    intake.write_layout(layout)
    outcome = intake.take("crm.csv", customer_file(make_customer_line()))
    assert outcome.landings[0].elsewhere == 1
    assert outcome.message == "customers: 1 lines whose 性别 is 男 are none"


def test_an_order_without_any_customer_key_lands_as_nobodys(intake):
    outcome = intake.take("orders.csv", order_file(make_order_line(客户="", 邮箱="", 手机="")))
    assert [row["customer_key"] for row in intake.landed(outcome.landings[0])] == [None]


def test_rejected_lines_stay_in_the_vault(intake):
    lines = [make_customer_line(会员号=f"C{number}") for number in range(20)] + [
        make_customer_line(会员号="", 姓名="韩梅梅")
    ]
    outcome = intake.take("crm.csv", customer_file(*lines))
    [landing] = outcome.landings
    assert landing.rejects_path.is_relative_to(intake.settings.vault)
    assert [(row["line"], row["raw_line"]) for row in intake.rejects(landing)] == [(22, lines[-1])]
    assert "raw_line" not in landing.rejects.columns
    assert "韩梅梅" not in str(landing.rejects.to_dicts())


# files that do not


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        (
            "notes.txt",
            "hello\nworld\n",
            "unknown",
            "no layout fits its header (read as utf-8, delimiter ',', header on line 1); write one in data/sources",
        ),
        ("orders.csv", "\ufeff", "unknown", "it holds no text but blanks"),
        (
            "orders.csv",
            TWO_ORDERS.replace("下单时间", "时间"),
            "unknown",
            "the nearest, my_orders, also needs 下单时间",
        ),
        ("orders.xlsx", b"PK\x03\x04\x00\xff\r\n\x00\r", "unreadable", "no complete zip file"),
        ("orders.csv", "", "unreadable", "the file is empty; export it again"),
        ("orders.csv.gz", gzip.compress(b""), "unreadable", "the file is empty"),
        ("orders.csv.gz", gzip.compress(TWO_ORDERS.encode())[:-9], "unreadable", "no complete gzip file"),
        ("orders.csv", TWO_ORDERS.encode("utf-16")[:-1], "unreadable", "not utf-16"),
        ("image.png", bytes(range(256)) * 4, "unknown", "no layout fits"),
    ],
)
def test_a_file_that_cannot_be_taken_in_stays_and_says_why(intake, name, content, status, message):
    outcome = intake.take(name, content)
    assert (outcome.status, outcome.landings) == (status, ())
    assert message in outcome.message
    assert (intake.inbox / name).exists()
    assert current(intake) == vault_files(intake, "landed") == []


def test_a_name_that_is_not_utf_8(intake):
    (intake.inbox / os.fsdecode("订单.csv".encode("gbk"))).write_text(TWO_ORDERS)
    [outcome] = intake.night().values()
    assert (outcome.status, outcome.message) == ("unreadable", "its name is not UTF-8; rename the file")
    outcome.file_name.encode("utf-8")


def test_a_file_that_may_not_be_opened(intake, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(intake_module, "profile_file", refuse)
    outcome = intake.take("orders.csv", TWO_ORDERS)
    assert (outcome.status, outcome.message) == (
        "unreadable",
        "Permission denied; mend its rights, or put it there again",
    )


@pytest.mark.parametrize("quoted", ["", '"'])
def test_a_last_record_with_a_cell_of_any_length_lands(intake, quoted):
    long = quoted + "长" * 140_000 + quoted
    outcome = intake.take("crm.csv", customer_file(make_customer_line(), make_customer_line(会员号="C2", 姓名=long)))
    assert outcome.status == "landed"
    assert [len(row["name"]) for row in intake.landed(outcome.landings[0])] == [2, 140_000]


def fail_over(monkeypatch, entity):
    """Reading files of an entity fails with an error that holds a cell."""
    land_file, cell = contents.land_file, "13800138000"

    def fail(con, profile, form, layout, *others):
        if entity in layout.entities:
            raise ValueError(cell)
        return land_file(con, profile, form, layout, *others)

    monkeypatch.setattr(contents, "land_file", fail)


def test_a_fault_over_other_data_names_the_file_and_the_night_goes_on(intake, monkeypatch, capsys):
    intake.drop("crm.csv", customer_file(make_customer_line()))
    with monkeypatch.context() as patch:
        fail_over(patch, "customers")
        intake.drop("orders.csv", TWO_ORDERS)
        for outcomes in (intake.night(), intake.night()):
            outcome = outcomes["crm.csv"]
            assert outcome.status == "fault"
            assert outcome.message.startswith("the program failed over it: ValueError in test_intake.py line ")
            assert "13800138000" not in outcome.message
        assert current(intake) == [("orders", "orders.csv", 2)]
        logged = capsys.readouterr().err
        assert "in land_content" in logged
        assert "13800138000" not in logged
    # nothing about the file has changed, but the program has
    assert intake.night()["crm.csv"].status == "landed"


def test_a_fault_over_order_data_stops_the_night_with_the_files_name(intake, monkeypatch):
    intake.drop("orders.csv", TWO_ORDERS)
    fail_over(monkeypatch, "orders")
    with pytest.raises(OrderDataStopped, match="orders.csv: the program failed over it: ValueError in ") as error:
        intake.night()
    assert "13800138000" not in str(error.value)
    assert error.value.__context__ is None or "13800138000" not in str(error.value.__context__)
    assert (intake.inbox / "orders.csv").exists()


def test_order_data_without_a_required_column_stops_the_night(intake):
    intake.drop("orders.csv", TWO_ORDERS.replace("实付", "应付"))
    with pytest.raises(OrderDataStopped) as error:
        intake.night()
    text = "orders.csv: orders: required column missing: net (from 实付); the file has 订单号, "
    assert text in str(error.value)
    assert "its layout my_orders.yaml" in str(error.value)
    assert (intake.inbox / "orders.csv").exists()
    assert intake.ledger.rows("select * from contents") == []


def test_order_data_with_too_many_rejected_rows_stops_the_night(intake):
    lines = [make_order_line(订单号=f"O{number}") for number in range(97)] + [make_order_line(下单时间="x")] * 3
    intake.drop("orders.csv", order_file(*lines))
    with pytest.raises(
        OrderDataStopped, match="orders.csv: orders: 3 of 100 rows are rejected, more than max_rejected_share 0.02"
    ):
        intake.night()
    assert (intake.inbox / "orders.csv").exists()
    assert vault_files(intake, "landed") == []
    assert len(vault_files(intake, "rejected")) == 1
    lines[-1] = make_order_line(订单号="O98")
    assert intake.take("orders.csv", order_file(*lines)).status == "landed"


def test_other_data_with_too_many_rejected_rows_stays_and_the_night_goes_on(intake):
    intake.take("crm_1.csv", customer_file(make_customer_line()))
    bad = [make_customer_line(会员号="")] * 2 + [make_customer_line(会员号=f"C{number}") for number in range(8)]
    intake.drop("crm_2.csv", customer_file(*bad))
    intake.drop("orders.csv", TWO_ORDERS)
    outcomes = intake.night()
    assert outcomes["crm_2.csv"].status == "failed"
    assert "customers: 2 of 10 rows are rejected, more than max_rejected_share 0.1" in outcomes["crm_2.csv"].message
    assert outcomes["orders.csv"].status == "landed"
    assert (intake.inbox / "crm_2.csv").exists()
    assert current(intake) == [("customers", "crm_1.csv", 1), ("orders", "orders.csv", 2)]


def test_other_data_without_a_required_column_stays_and_the_night_goes_on(intake):
    intake.write_layout(make_customer_layout(match={"columns": ["姓名", "性别"]}))
    outcome = intake.take("crm.csv", customer_file(make_customer_line()).replace("会员号", "编号"))
    assert outcome.status == "failed"
    assert (
        "customers: required column missing: source_customer_id (from 会员号); the file has 编号, 姓名"
        in outcome.message
    )


# the same file again


def test_the_same_file_again_is_a_duplicate_as_a_whole(intake):
    intake.take("orders.csv", TWO_ORDERS)
    again = intake.take("copy.csv", TWO_ORDERS)
    assert again.status == "repeated"
    assert again.message == "the same content as orders.csv: 2 lines are duplicates"
    assert not (intake.inbox / "copy.csv").exists()
    [repeat] = intake.ledger.rows("select * from repeats")
    assert (repeat["file_name"], repeat["lines_read"]) == ("copy.csv", 2)
    assert current(intake) == [("orders", "orders.csv", 2)]


def test_the_same_file_packed_or_twice_in_one_night_is_a_duplicate_too(intake):
    intake.drop("a.csv", TWO_ORDERS)
    intake.drop("b.csv", TWO_ORDERS)
    intake.drop("c.csv.gz", gzip.compress(TWO_ORDERS.encode()))
    assert {name: outcome.status for name, outcome in intake.night().items()} == {
        "a.csv": "landed",
        "b.csv": "repeated",
        "c.csv.gz": "repeated",
    }
    assert current(intake) == [("orders", "a.csv", 2)]


# files that change


def grow(path, monkeypatch, module, name):
    """Calls of module.name append to the file first, as a copy that is still under way would."""
    original = getattr(module, name)

    def growing(*arguments, **options):
        with path.open("a") as file:
            file.write(make_order_line(订单号="O3") + "\n")
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, growing)


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_night(intake, monkeypatch):
    path = intake.drop("orders.csv", TWO_ORDERS)
    with monkeypatch.context() as patch:
        grow(path, patch, contents, "land_file")
        outcome = intake.night()["orders.csv"]
    assert (outcome.status, outcome.message) == ("changing", "it changed while it was read; left for the next night")
    assert outcome.landings == ()
    assert path.exists()
    assert vault_files(intake, "landed") == current(intake) == []
    assert intake.night()["orders.csv"].landings[0].lines_read == 3


def test_half_an_order_file_is_changing_and_does_not_stop_the_night(intake, monkeypatch):
    path = intake.drop("orders.csv", TWO_ORDERS[:-60])
    grow(path, monkeypatch, contents, "land_file")
    assert intake.night()["orders.csv"].status == "changing"


def test_a_known_file_that_grows_is_not_thrown_away(intake, monkeypatch):
    intake.take("orders.csv", TWO_ORDERS)
    path = intake.drop("orders.csv", TWO_ORDERS)
    original = intake_module.profile_file

    def growing(found):
        profile = original(found)
        if found == path:
            path.write_text(TWO_ORDERS + make_order_line(订单号="O3") + "\n")
        return profile

    with monkeypatch.context() as patch:
        patch.setattr(intake_module, "profile_file", growing)
        assert intake.night()["orders.csv"].status == "changing"
    assert intake.night()["orders.csv"].status == "landed"


# crashes


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("where", ["record_landings", "replace"])
def test_a_crash_between_ledger_and_move_loses_nothing(intake, monkeypatch, where):
    path = intake.drop("orders.csv", TWO_ORDERS)
    with monkeypatch.context() as patch:
        module = landings if where == "record_landings" else os

        def crash(source, *arguments, **options):
            if where == "record_landings" or source == path:
                raise Crash
            return original(source, *arguments, **options)

        original = getattr(module, where)
        patch.setattr(module, where, crash)
        with pytest.raises(Crash):
            intake.night()
    assert path.exists()
    assert len(intake.ledger.rows("select * from contents")) == 1
    outcomes = intake.night()
    assert outcomes["orders.csv"].status == "landed"
    assert not path.exists()
    assert current(intake) == [("orders", "orders.csv", 2)]
    assert {name: outcome.status for name, outcome in intake.night().items()} == {"again: orders.csv": "kept"}


def test_an_inbox_on_another_disk(intake, monkeypatch):
    path = intake.drop("orders.csv", TWO_ORDERS)
    original = os.replace

    def across_disks(source, target):
        if source == path:
            raise OSError(18, "Invalid cross-device link")
        original(source, target)

    monkeypatch.setattr(os, "replace", across_disks)
    assert intake.night()["orders.csv"].status == "landed"
    assert not path.exists()
    assert vault_files(intake, "raw") == ["orders.csv"]


def test_a_full_disk_leaves_the_file_and_no_half_landed_one(intake, monkeypatch):
    path = intake.drop("orders.csv", TWO_ORDERS)

    def full(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            intake.night()
    assert path.exists()
    assert vault_files(intake, "landed") == current(intake) == []
    assert intake.night()["orders.csv"].status == "landed"


def test_scratch_holds_nothing_afterwards(intake):
    intake.drop("a.csv", TWO_ORDERS.encode("gbk"))
    intake.drop("b.csv.gz", gzip.compress(order_file('"O9').encode()))
    with pytest.raises(OrderDataStopped):
        intake.night()
    assert list(intake.scratch.iterdir()) == []


# landing again


def rename_refunds(layout):
    """The corrected mapping: the amount is in another column."""
    layout["entities"]["orders"]["columns"]["net"] = "优惠"
    return layout


def test_a_corrected_mapping_lands_the_raw_files_again(intake):
    intake.take("orders.csv", TWO_ORDERS)
    assert intake.night()["again: orders.csv"].status == "kept"
    intake.write_layout(rename_refunds(make_order_layout()))
    again = intake.night()["again: orders.csv"]
    assert again.status == "landed"
    assert [row["net"] for row in intake.landed(again.landings[0])] == [5, 5]
    assert current(intake) == [("orders", "orders.csv", 2)]
    intake.write_layout(make_order_layout())
    assert intake.night()["again: orders.csv"].status == "kept"
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert pl.read_parquet(intake.settings.vault / landing["path"])["net"].to_list() == [100, 100]


def test_a_new_layout_that_fits_better_takes_a_file_over(intake):
    intake.take("orders.csv", TWO_ORDERS)
    better = rename_refunds(make_order_layout(layout="better", match={"columns": ["订单号", "下单时间", "实付"]}))
    intake.write_layout(better)
    again = intake.night()["again: orders.csv"]
    assert (again.status, again.layout) == ("landed", "better")
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert pl.read_parquet(intake.settings.vault / landing["path"])["net"].to_list() == [5, 5]
    (intake.settings.data_dir / "sources" / "better.yaml").unlink()
    assert intake.night()["again: orders.csv"].status == "kept"
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert landing["layout"] == "my_orders"


def test_other_settings_that_read_values_land_again_and_back(intake):
    intake.take("orders.csv", TWO_ORDERS)
    settings = intake.settings
    hours = []
    for zone in ("UTC", "Asia/Shanghai"):
        intake.settings = type(settings)(data_dir=settings.data_dir, business_timezone=zone)
        intake.night()
        [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
        hours.append(pl.read_parquet(settings.vault / landing["path"])["ordered_at"][0].hour)
    assert hours == [10, 2]


def test_everything_derived_anew_is_the_same(intake):
    outcome = intake.take("orders.csv.gz", gzip.compress(TWO_ORDERS.encode("gbk")))
    before = intake.landed(outcome.landings[0])
    again = intake.night(full=True)["again: orders.csv.gz"]
    assert again.status == "landed"
    assert intake.landed(again.landings[0]) == before


def test_a_layout_that_is_gone_leaves_its_files_out_and_says_so(intake):
    intake.write_layout(make_order_layout(layout="mine", match={"columns": ["订单号", "分期"]}))
    (intake.settings.data_dir / "sources" / "my_orders.yaml").unlink()
    intake.take("orders.csv", TWO_ORDERS)
    (intake.settings.data_dir / "sources" / "mine.yaml").unlink()
    again = intake.night()["again: orders.csv"]
    assert (again.status, again.message) == (
        "unknown",
        "its layout mine is gone; what it landed is left out; put it back into data/sources",
    )
    assert current(intake) == []


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_raw_file_that_is_not_as_it_was_is_said_not_landed(intake, harm):
    intake.take("orders.csv", TWO_ORDERS)
    [raw] = (intake.settings.vault / "raw").rglob("orders.csv")
    if harm == "gone":
        shutil.rmtree(raw.parent)
    else:
        raw.write_text(TWO_ORDERS + make_order_line(订单号="O3") + "\n")
    again = intake.night(full=True)["again: orders.csv"]
    assert (again.status, again.message) == {
        "gone": ("outdated", "kept as it landed, since its raw file is no longer there"),
        "changed": ("unreadable", "its raw file in the vault is not as it was; put the export into the inbox again"),
    }[harm]
    assert current(intake) == [("orders", "orders.csv", 2)]
    if harm == "gone":
        assert intake.take("orders.csv", TWO_ORDERS).status == "landed"


# faulty files of several kinds at once


def test_each_fault_has_its_reason_and_the_rest_goes_on(intake):
    good = [make_order_line(订单号=f"O{number}") for number in range(300)]
    faults = {
        "ordered_at not_a_timestamp": make_order_line(订单号="X1", 下单时间="2026-02-30 10:00:00"),
        "net not_a_money": make_order_line(订单号="X2", 实付="$9"),
        "order_id missing": make_order_line(订单号=""),
        "None missing_columns": "X4,C1",
        "None unclosed_quote": make_order_line(订单号='"X5'),
    }
    lines = [*good[:100], *faults.values(), *good[100:]]
    [landing] = intake.take("orders.csv", order_file(*lines, good[7])).landings
    assert (landing.lines_read, landing.landed, landing.rejected, landing.duplicates) == (306, 300, 5, 1)
    rejects = intake.rejects(landing)
    assert {f"{row['column_name']} {row['rule']}": row["raw_line"] for row in rejects} == faults
    assert [line for line, *_ in broken(rejects)] == [102, 103, 104, 105, 106]


def test_the_night_can_read_what_landed_with_plain_sql(intake):
    intake.take("orders.csv", TWO_ORDERS)
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    path = intake.settings.vault / landing["path"]
    types = dict(duckdb.sql(f"select column_name, column_type from (describe from '{path}')").fetchall())
    assert (types["net"], types["ordered_at"], types["instalments"]) == ("DECIMAL(18,4)", "TIMESTAMP", "BIGINT")
