"""Raw files and rejected lines go after some days; what landed stays, and no later night misses them."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from pipeline.ingest.landings import current_landings
from pipeline.ledger import Ledger
from pipeline.privacy.retention import delete_old_raw
from pipeline.transform.staging import read_landed, stage_entities
from tests.builders import NIGHT, Intake, make_order_line, order_file

BAD = make_order_line(订单号="O2", 下单时间="someday")


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    intake.take("orders.csv", order_file(make_order_line(), BAD))
    return intake


def raw_files(intake):
    return [path.name for path in (intake.settings.vault / "raw").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("days", "age", "left"), [(0, 999, 1), (30, 29, 1), (30, 31, 0)])
def test_raw_files_go_when_they_are_old_enough(intake, days, age, left):
    now = NIGHT.replace(day=21) + timedelta(days=age)
    deleted = delete_old_raw(replace(intake.settings, keep_raw_days=days), intake.ledger, now)
    assert (deleted, len(raw_files(intake))) == (1 - left, left)
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    rejects = pl.read_parquet(intake.settings.vault / landing["rejects_path"])
    assert rejects.select("line", "rule").rows() == [(3, "not_a_timestamp")]
    assert rejects["raw_line"].to_list() == [BAD if left else None]


def test_later_nights_go_on_without_them(intake):
    delete_old_raw(replace(intake.settings, keep_raw_days=1), intake.ledger, NIGHT + timedelta(days=90))
    before = current_landings(intake.settings, intake.layouts(), intake.ledger)
    assert intake.night()["again: orders.csv"].status == "kept"
    again = intake.night(full=True)["again: orders.csv"]
    assert (again.status, again.message) == ("outdated", "kept as it landed, since its raw file is no longer there")
    assert current_landings(intake.settings, intake.layouts(), intake.ledger) == before


def test_the_same_export_again_has_the_age_that_it_had(intake):
    [content] = intake.ledger.rows("select * from contents")
    delete_old_raw(replace(intake.settings, keep_raw_days=1), intake.ledger, NIGHT + timedelta(days=90))
    assert intake.take("orders.csv", order_file(make_order_line(), BAD)).status == "landed"
    assert intake.ledger.rows("select * from contents") == [content]


def test_a_file_landed_under_an_earlier_contract_is_staged_with_what_it_has(intake):
    [landing] = current_landings(intake.settings, intake.layouts(), intake.ledger)
    path = intake.settings.vault / landing["path"]
    rows = pl.read_parquet(path)
    older = path.with_name("older.parquet")
    rows.drop("coupon").with_columns(order_id=pl.lit("O0"), instalments=pl.lit("3")).write_parquet(older)
    intake.con.execute("attach ':memory:' as work")
    intake.con.execute("set search_path = 'memory.main,work.main'")
    for paths in ([older], [older, path]):
        read_landed(intake.con, {"orders": paths})
        stage_entities(intake.con)
        found = intake.con.execute("select order_id, coupon, instalments from stg_orders order by order_id").fetchall()
        assert found == [("O0", None, 3), ("O1", None, 3)][: len(paths)]


def test_a_ledger_of_before_gets_the_new_column(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.change("alter table contents drop column raw_hash")
    ledger.change("insert into contents (content_hash) values ('x')")
    assert Ledger(path).rows("select raw_hash from contents") == [{"raw_hash": None}]
