"""Files that hold tables: each table lands by itself, the file stands beside its parts, and nothing is counted twice."""

import gzip
import json
import tracemalloc
import zipfile
from types import SimpleNamespace

import duckdb
import pytest

from pipeline.ingest import intake as intake_module
from pipeline.ingest.containers import kind_of
from pipeline.ingest.landings import current_landings
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.read import UnreadableFile
from pipeline.steps.landing import ingest
from tests.builders import (
    CUSTOMER,
    NIGHT,
    ORDER,
    Intake,
    customer_file,
    make_customer_layout,
    make_customer_line,
    make_order_layout,
    make_order_line,
    order_file,
)
from tests.ingest.test_archives import raw_zip, zip_of
from tests.ingest.test_workbooks import workbook_of

ORDERS, CUSTOMERS = order_file(make_order_line()), customer_file(make_customer_line())


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


def vault_files(intake):
    """What lies in the vault's raw folder, without the names of its folders."""
    return sorted(path.name for path in (intake.settings.vault / "raw").rglob("*") if path.is_file())


def parquet_of(folder, sql):
    path = folder / "made.parquet"
    duckdb.connect().execute(f"copy ({sql}) to '{path}' (format parquet)")
    return path.read_bytes()


# what a file is


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a,b\n1,2\n", "text"),
        (b"", "text"),
        (b"{a},b\n", "text"),
        (b"[id],name\n", "text"),
        (b"<3,b\n", "text"),
        (b'{"a": 1}', "json"),
        (b'\xef\xbb\xbf\n [ {"a": 1}]', "json"),
        ('[{"a": 1}]'.encode("utf-16"), "json"),
        (b"[]", "json"),
        (b"PAR1....", "parquet"),
        (b"<html><table>", "markup"),
        ("<!DOCTYPE HTML>".encode("utf-16"), "markup"),
        (b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook xmlns="x">', "markup"),
        (b"<?xml version='1.0'?><orders>", "text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "workbook"),
        (workbook_of({"S": [["a"]]}), "workbook"),
        (zip_of({"a.csv": b"a"}), "zip"),
        (gzip.compress(b"a"), "gzip"),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_content(tmp_path, content, kind):
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    assert kind_of(path) == kind


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"%PDF-1.7", "a PDF"),
        (bytes(257) + b"ustar", "a tar archive"),
        (zip_of({"[Content_Types].xml": b"", "word/document.xml": b""}), "a document, no workbook"),
    ],
)
def test_what_is_known_and_not_read_is_said(tmp_path, content, message):
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=f"is {message}"):
        kind_of(path)


# each table by itself


def test_tables_of_every_kind_in_a_zip(intake, tmp_path):
    columns = ", ".join(f"'{text}' as \"{name}\"" for name, text in (ORDER | {"订单号": "P1"}).items())
    intake.drop(
        "export.zip",
        zip_of(
            {
                "a/orders.csv": ORDERS.replace("O1", "A1"),
                "b/c/packed.csv.gz": gzip.compress(ORDERS.replace("O1", "B1").encode("gbk")),
                "crm.xlsx": workbook_of({"客户": [list(CUSTOMER), list(CUSTOMER.values())]}),
                "orders.json": json.dumps([ORDER | {"订单号": "J1"}]),
                "orders.parquet": parquet_of(tmp_path, f"select {columns}"),
                "manual.pdf": b"%PDF-1.7",
            }
        ),
    )
    outcomes = intake.night()
    assert statuses(outcomes) == {
        "export.zip/a/orders.csv": "landed",
        "export.zip/b/c/packed.csv.gz": "landed",
        "export.zip/crm.xlsx/客户": "landed",
        "export.zip/orders.json": "landed",
        "export.zip/orders.parquet": "landed",
    }
    assert "manual.pdf: a PDF, no table" in outcomes["export.zip/a/orders.csv"].message
    orders = [row for name, one in outcomes.items() if "crm" not in name for row in intake.landed(one.landings[0])]
    assert [row["order_id"] for row in orders] == ["A1", "B1", "J1", "P1"]
    assert len({tuple(row[name] for name in ("ordered_at", "net", "email", "phone")) for row in orders}) == 1
    assert len({row["observed_at"] for row in orders}) == 4
    assert vault_files(intake) == ["export.zip"] + ["part.csv"] * 5
    assert list(intake.inbox.iterdir()) == []
    assert set(statuses(intake.night()).values()) == {"kept"}
    assert set(statuses(intake.night(full=True)).values()) == {"landed"}


def test_a_packed_workbook_and_one_named_csv(intake):
    rows = {"S": [list(ORDER), list(ORDER.values())]}
    intake.drop("orders.xlsx.gz", gzip.compress(workbook_of(rows)))
    assert statuses(intake.night()) == {"orders.xlsx.gz/S": "landed"}
    rows["S"].append(["O2", *list(ORDER.values())[1:]])
    intake.drop("orders.csv", workbook_of(rows))
    assert intake.night()["orders.csv/S"].landings[0].landed == 2


def test_a_gzip_file_without_its_ending_is_kept_and_lands_again(intake):
    assert intake.take("orders.csv", gzip.compress(ORDERS.encode())).status == "landed"
    assert vault_files(intake) == ["orders.csv.gz"]
    assert intake.night(full=True)["again: orders.csv"].status == "landed"


@pytest.mark.parametrize("stated", [{"delimiter": "\t"}, {"encoding": "gb18030"}, {"quote": ""}])
def test_how_a_layout_s_own_files_are_written_says_nothing_of_a_rendition(intake, stated):
    intake.write_layout(make_customer_layout(read=stated))
    intake.drop("crm.xlsx", workbook_of({"S": [list(CUSTOMER), list(CUSTOMER.values())]}))
    assert intake.night()["crm.xlsx/S"].status == "landed"
    [again] = intake.night(full=True).values()
    assert (again.status, intake.landed(again.landings[0])[0]["name"]) == ("landed", "李雷")


def test_archives_in_archives_and_names_that_climb(intake, tmp_path):
    inner = zip_of({"a.csv": ORDERS})
    intake.drop("deep.zip", zip_of({"inner.zip": inner, "inner.gz": gzip.compress(inner), "../../up.csv": ORDERS}))
    outcomes = intake.night()
    assert statuses(outcomes) == {
        "deep.zip/inner.zip": "unreadable",
        "deep.zip/inner.gz": "unreadable",
        "deep.zip/up.csv": "landed",
    }
    assert outcomes["deep.zip/inner.zip"].message == (
        "an archive inside an archive is not opened; put it there unpacked; until then deep.zip stays in the inbox"
    )
    assert list(tmp_path.rglob("up.csv")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_damaged_or_boundless_mimetype_kills_nothing(intake, tmp_path):
    packed = bytearray(zip_of({"mimetype": b"\0" * 2000}))
    packed[38:44] = bytes(byte ^ 0xFF for byte in packed[38:44])
    intake.drop("broken.zip", bytes(packed))
    assert statuses(intake.night()) == {"broken.zip/mimetype": "unreadable"}

    path = tmp_path / "large.zip"
    path.write_bytes(zip_of({"mimetype": b"\0" * (64 << 20)}))
    tracemalloc.start()
    assert kind_of(path) == "zip"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_name_in_gbk_is_what_the_user_called_it(intake):
    intake.drop("export.zip", raw_zip("订单/五月.csv".encode("gbk"), ORDERS.encode()))
    assert statuses(intake.night()) == {"export.zip/订单/五月.csv": "landed"}


@pytest.mark.parametrize("content", [zip_of({}), zip_of({"folder/": b""}), zip_of({"a.pdf": b"%PDF"})])
def test_an_archive_without_a_table(intake, content):
    outcome = intake.take("empty.zip", content)
    assert (outcome.status, outcome.message.split(":")[0].split(";")[0]) == ("unreadable", "it holds no table")


# some of its tables are not known


MIXED = {"orders.csv": ORDERS, "other.csv": "x,y\n1,2\n"}


def test_known_parts_land_and_the_file_waits_for_the_others(intake):
    intake.drop("export.zip", zip_of(MIXED))
    outcomes = intake.night()
    assert statuses(outcomes) == {"export.zip/orders.csv": "landed", "export.zip/other.csv": "unknown"}
    assert "until then export.zip stays in the inbox" in outcomes["export.zip/other.csv"].message
    assert (vault_files(intake), (intake.inbox / "export.zip").exists()) == (["part.csv"], True)

    again = intake.night()
    assert statuses(again) == {"again: export.zip/orders.csv": "kept", "export.zip/other.csv": "unknown"}
    assert again["export.zip/other.csv"].message == outcomes["export.zip/other.csv"].message
    assert intake.ledger.rows("select * from repeats") == []

    layout = make_order_layout(layout="other", match={"columns": ["x", "y"]})
    layout["entities"]["orders"]["columns"] = {"order_id": "x", "ordered_at": {"constant": "2026-05-01"}, "net": "y"}
    intake.write_layout(layout)
    assert statuses(intake.night()) == {"again: export.zip/orders.csv": "kept", "export.zip/other.csv": "landed"}
    assert vault_files(intake) == ["export.zip", "part.csv", "part.csv"]
    assert list(intake.inbox.iterdir()) == []
    assert intake.ledger.rows("select * from repeats") == []
    assert len({row["container"] for row in intake.ledger.rows("select container from contents")}) == 1


def test_a_file_that_nothing_has_changed_about_is_not_read_again(intake, monkeypatch):
    intake.drop("export.zip", zip_of(MIXED))
    intake.drop("broken.gz", b"no gzip")
    intake.drop("strange.csv", "x,y\n1,2\n")
    intake.night()
    opened = []
    real = intake_module.open_file

    def open_file(path, *arguments):
        opened.append(path.name)
        return real(path, *arguments)

    monkeypatch.setattr(intake_module, "open_file", open_file)
    assert list(statuses(intake.night()).values()) == ["kept", "unreadable", "unknown", "unknown"]
    assert opened == []
    intake.drop("strange.csv", "x,y\n1,2\n3,4\n")
    intake.night()
    assert opened == ["strange.csv"]
    intake.suppress(email="ann@example.com")
    intake.night()
    assert opened == ["strange.csv", "broken.gz", "export.zip", "strange.csv"]


def test_a_changed_file_counts_the_parts_that_came_before_as_repeats(intake):
    intake.drop("export.zip", zip_of(MIXED))
    intake.night()
    intake.drop("export.zip", zip_of({"orders.csv": ORDERS, "customers.csv": CUSTOMERS}))
    assert statuses(intake.night()) == {
        "again: export.zip/orders.csv": "kept",
        "export.zip/orders.csv": "repeated",
        "export.zip/customers.csv": "landed",
    }
    # of two originals that hold the orders the ledger would name one only
    assert (vault_files(intake), list(intake.inbox.iterdir())) == (["part.csv", "part.csv"], [])


def test_the_same_file_again_is_repeated_part_by_part(intake):
    content = zip_of({"orders.csv": ORDERS, "again.csv": ORDERS, "customers.csv": CUSTOMERS})
    intake.drop("export.zip", content)
    assert list(statuses(intake.night()).values()) == ["landed", "repeated", "landed"]
    assert vault_files(intake) == ["export.zip", "part.csv", "part.csv"]
    intake.drop("copy.zip", content)
    outcomes = intake.night()
    assert [outcome.status for name, outcome in outcomes.items() if name.startswith("copy")] == ["repeated"] * 3
    assert vault_files(intake) == ["export.zip", "part.csv", "part.csv"]
    assert list(intake.inbox.iterdir()) == []
    assert [row["lines_read"] for row in intake.ledger.rows("select * from repeats")] == [1] * 4


def test_a_crash_before_the_original_is_moved_is_made_good(intake, monkeypatch):
    intake.drop("export.zip", zip_of({"orders.csv": ORDERS, "customers.csv": CUSTOMERS}))
    with monkeypatch.context() as patch:
        patch.setattr(intake_module, "keep_original", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            intake.night()
    assert set(statuses(intake.night()).values()) == {"kept"}
    assert vault_files(intake) == ["export.zip", "part.csv", "part.csv"]
    assert (list(intake.inbox.iterdir()), intake.ledger.rows("select * from repeats")) == ([], [])


def test_order_data_that_cannot_be_believed_stops_the_night_and_goes_on_once_mended(intake):
    bad = order_file(*(make_order_line(订单号=f"X{number}", 下单时间="someday") for number in range(5)))
    intake.drop("export.zip", zip_of({"a.csv": CUSTOMERS, "b.csv": bad}))
    with pytest.raises(OrderDataStopped, match="export.zip/b.csv: orders: 5 of 5 rows are rejected"):
        intake.night()
    assert (intake.inbox / "export.zip").exists()
    intake.drop("export.zip", zip_of({"a.csv": CUSTOMERS, "b.csv": ORDERS}))
    assert statuses(intake.night()) == {
        "again: export.zip/a.csv": "kept",
        "export.zip/a.csv": "repeated",
        "export.zip/b.csv": "landed",
    }


def test_a_file_that_changes_while_it_is_opened_is_left(intake, monkeypatch):
    path = intake.drop("export.zip", zip_of(MIXED))
    real = intake_module.open_file

    def open_file(*arguments):
        opened = real(*arguments)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("more.csv", CUSTOMERS)
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(intake_module, "open_file", open_file)
        assert statuses(intake.night()) == {"export.zip": "changing"}
    assert vault_files(intake) == []
    assert len(intake.night()) == 3


def test_a_corrected_mapping_lands_the_kept_parts_again(intake):
    intake.drop("crm.xlsx", workbook_of({"S": [list(ORDER), list(ORDER.values())]}))
    intake.night()
    corrected = make_order_layout()
    corrected["entities"]["orders"]["columns"]["net"] = "优惠"
    intake.write_layout(corrected)
    assert statuses(intake.night()) == {"again: crm.xlsx/S": "landed"}
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert duckdb.read_parquet(str(intake.settings.vault / landing["path"])).select("net").fetchall() == [(5,)]


# what a night says of it


def test_a_night_says_what_was_read_otherwise_than_it_looks_and_what_waits(intake):
    rows = [list(ORDER), list((ORDER | {"订单号": 6222021234567890123}).values())]
    intake.drop("orders.xlsx", workbook_of({"S": rows, "T": [["x", "y"], [1, 2]]}))
    intake.drop("more.zip", zip_of({"customers.csv": CUSTOMERS}))

    def night(number, full=False):
        said = []
        scratch = intake.scratch / str(number)
        scratch.mkdir()
        one = SimpleNamespace(
            settings=intake.settings,
            ledger=intake.ledger,
            layouts=intake.layouts(),
            scratch=scratch,
            run_id=f"run {number}",
            as_of=NIGHT.date(),
            started_at=NIGHT.replace(day=20 + number),
            full=full,
            warn=lambda english, chinese: said.append((english, chinese)),
        )
        return ingest(one, lambda name, rows: None), said[:-1]

    landed, said = night(1)
    assert landed == 2
    assert said[0][0].startswith("orders.xlsx/S: column A: 1 numbers of more than 15 digits")
    assert said[0][1].startswith("orders.xlsx/S：A 列：1 个超过 15 位的数字")
    assert said[1][0].startswith("orders.xlsx/T: unknown: no layout fits")
    assert said[1][0].endswith("until then orders.xlsx stays in the inbox")
    assert night(2) == (0, [said[1]])
    assert night(3, full=True)[1] == [said[1]]
    files = intake.ledger.rows("select run_id, file_name, status from files order by run_id, file_name")
    assert [tuple(row.values()) for row in files if row["run_id"] == "run 2"] == [
        ("run 2", "more.zip/customers.csv", "kept"),
        ("run 2", "orders.xlsx/S", "kept"),
        ("run 2", "orders.xlsx/T", "unknown"),
    ]
    (intake.inbox / "orders.xlsx").unlink()
    assert night(4) == (0, [])
    assert intake.ledger.rows("select * from waiting") == []
