"""Archives and workbooks in the vault: whoever is forgotten is in no original either; what is not theirs stays in its parts."""

import zipfile
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.ingest import clean as clean_module
from pipeline.ingest.landings import current_landings
from pipeline.ledger import Ledger
from pipeline.privacy.backup import back_up
from pipeline.privacy.restore import restore
from pipeline.privacy.retention import delete_old_raw
from pipeline.settings import read_settings
from tests.builders import (
    CUSTOMER,
    NIGHT,
    ORDER,
    Intake,
    customer_file,
    make_customer_line,
    make_order_line,
    order_file,
)
from tests.ingest.test_archives import zip_of
from tests.ingest.test_workbooks import workbook_of

ANN = {"客户": "C7", "邮箱": "ann@example.com", "手机": "13955550001"}
BOB = {"客户": "C8", "邮箱": "bob@example.com", "手机": "13955550002"}
ORDERS = order_file(make_order_line(订单号="O1", **ANN), make_order_line(订单号="O2", **BOB))
CUSTOMERS = customer_file(make_customer_line(会员号="C9", 电话=""))
BOOK = workbook_of(
    {
        "订单": [list(ORDER)]
        + [list((ORDER | {"订单号": f"O{n}"} | who).values()) for n, who in enumerate((ANN, BOB), 1)],
        "客户": [list(CUSTOMER), list((CUSTOMER | {"会员号": "C9", "电话": ""}).values())],
    }
)
ZIP = zip_of({"orders.csv": ORDERS, "customers.csv": CUSTOMERS})


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def raw_files(intake):
    return sorted(path.name for path in (intake.settings.vault / "raw").rglob("*") if path.is_file())


def vault_texts(intake):
    """Every byte of the vault's files, archives unpacked."""
    found = b""
    for path in (intake.settings.vault / "raw").rglob("*"):
        if path.is_file():
            found += path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    found += b"".join(archive.read(name) for name in archive.namelist())
    return found


def orders_now(intake):
    return [
        row["order_id"]
        for landing in current_landings(intake.settings, intake.layouts(), intake.ledger)
        if landing["entity"] == "orders"
        for row in intake.landed(type("", (), {"path": intake.settings.vault / landing["path"]}))
    ]


@pytest.mark.parametrize(("name", "content"), [("export.zip", ZIP), ("crm.xlsx", BOOK)])
def test_the_original_goes_and_the_part_is_edited(intake, name, content):
    intake.drop(name, content)
    intake.night()
    assert raw_files(intake) == sorted([name, "part.csv", "part.csv"])
    assert b"ann@example.com" in vault_texts(intake)
    intake.suppress(email="ann@example.com")
    found = intake.clean()
    assert found["vault/raw", "archives and workbooks deleted whole; their tables stay"] == 1
    assert raw_files(intake) == ["part.csv", "part.csv"]
    assert b"ann@example.com" not in vault_texts(intake) and b"bob@example.com" in vault_texts(intake)
    assert orders_now(intake) == ["O2"]
    assert +intake.clean() == {}
    assert {row["container"] for row in intake.ledger.rows("select container from contents")} == {None}
    assert {outcome.status for outcome in intake.night(full=True).values()} == {"landed"}
    assert orders_now(intake) == ["O2"]

    # the same export again brings nobody back, and counts as what it is
    intake.drop(name, content)
    again = [outcome.status for key, outcome in intake.night().items() if not key.startswith("again")]
    assert (again, raw_files(intake), list(intake.inbox.iterdir())) == (["repeated"] * 2, ["part.csv"] * 2, [])


def test_an_original_that_brings_somebody_suppressed_is_never_kept(intake):
    intake.suppress(email="ann@example.com")
    intake.drop("crm.xlsx", BOOK)
    assert {outcome.status for outcome in intake.night().values()} == {"landed"}
    assert (raw_files(intake), list(intake.inbox.iterdir())) == (["part.csv", "part.csv"], [])
    assert b"ann@example.com" not in vault_texts(intake)
    assert orders_now(intake) == ["O2"]


def test_somebody_forgotten_while_a_file_waits_is_not_in_what_is_kept_of_it(intake):
    intake.drop("export.zip", zip_of({"orders.csv": ORDERS, "other.csv": CUSTOMERS.replace("会员号", "号")}))
    intake.night()
    intake.suppress(email="ann@example.com")
    intake.clean()
    assert raw_files(intake) == ["part.csv"]
    layout = {
        "layout": "other",
        "source": "crm",
        "match": {"columns": ["号", "姓名"]},
        "entities": {"customers": {"columns": {"source_customer_id": "号", "name": "姓名"}}},
    }
    intake.write_layout(layout)
    assert intake.night()["export.zip/other.csv"].status == "landed"
    assert (raw_files(intake), list(intake.inbox.iterdir())) == (["part.csv", "part.csv"], [])
    assert b"ann@example.com" not in vault_texts(intake)


def test_a_table_that_stood_in_another_file_too_is_forgotten_in_both(intake):
    intake.drop("april.zip", ZIP)
    intake.night()
    intake.drop("may.zip", zip_of({"orders.csv": ORDERS, "more.csv": CUSTOMERS.replace("C9", "C10")}))
    intake.night()
    intake.suppress(email="ann@example.com")
    intake.clean()
    assert b"ann@example.com" not in vault_texts(intake)


def test_a_crash_after_the_original_went_is_made_good(intake, monkeypatch):
    intake.drop("crm.xlsx", BOOK)
    intake.night()
    intake.suppress(email="ann@example.com")
    with monkeypatch.context() as patch:
        patch.setattr(clean_module, "_clean", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            intake.clean()
    assert "crm.xlsx" not in raw_files(intake)
    intake.clean()
    assert b"ann@example.com" not in vault_texts(intake)
    assert orders_now(intake) == ["O2"]


def test_retention_takes_the_original_with_its_parts(intake):
    intake.drop("export.zip", ZIP)
    intake.night()
    settings = replace(intake.settings, keep_raw_days=30)
    assert delete_old_raw(settings, intake.ledger, NIGHT + timedelta(days=20)) == 0
    assert raw_files(intake) == ["export.zip", "part.csv", "part.csv"]
    assert delete_old_raw(settings, intake.ledger, NIGHT + timedelta(days=40)) == 2
    assert raw_files(intake) == []
    assert {outcome.status for outcome in intake.night().values()} == {"kept"}
    before = intake.ledger.rows("select content_hash, observed_at from contents order by content_hash")
    intake.drop("export.zip", ZIP)
    intake.night()
    assert raw_files(intake) == ["export.zip", "part.csv", "part.csv"]
    assert intake.ledger.rows("select content_hash, observed_at from contents order by content_hash") == before


def test_a_backup_holds_originals_and_misses_none_that_went(intake, tmp_path):
    intake.drop("export.zip", ZIP)
    intake.drop("crm.xlsx", workbook_of({"S": [list(CUSTOMER), list(CUSTOMER.values())]}))
    intake.night()
    intake.suppress(email="ann@example.com")
    intake.clean()
    assert raw_files(intake) == ["crm.xlsx"] + ["part.csv"] * 3
    made = back_up(intake.settings, tmp_path / "b.tar", "2026-11-20 00:00:00", lambda done, total: None)
    assert made["missing"] == []
    again = read_settings(tmp_path / "again", {})
    restore(again, tmp_path / "b.tar", False, "2026-11-21 00:00:00", lambda done, total: None)
    for row in Ledger(again.ledger).rows("select raw_path, container from contents"):
        assert all((again.vault / name).exists() for name in row.values() if name)


def test_a_ledger_of_before_gets_the_new_columns(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    for name in ("container", "is_rendition"):
        ledger.change(f"alter table contents drop column {name}")
    ledger.change("insert into contents (content_hash) values ('x')")
    assert Ledger(path).rows("select container, is_rendition from contents") == [
        {"container": None, "is_rendition": None}
    ]
