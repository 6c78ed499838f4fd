"""Every published table and column says what it means, in both languages, and every SQL file what a row is."""

import re
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline import meanings
from pipeline.ingest import contracts
from pipeline.ledger import Ledger
from pipeline.models import churn, clv, contract_churn, next_purchase, rfm, segments
from pipeline.models.drift import DRIFT_SCHEMA, REFERENCE_SCHEMA
from pipeline.models.records import BACKTEST_SCHEMA, MODEL_RUN_SCHEMA
from pipeline.ops import CHECKS, TRAININGS, append_history, write_ops
from pipeline.settings import Settings
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from pipeline.transform import build
from pipeline.transform.contactability import build_contactability
from pipeline.warehouse import write_frame
from tests.transform.identity_night import identify

AS_OF, TIMEZONE = date(2026, 3, 1), "Asia/Shanghai"
SQL_FILES = sorted(build.FOLDER.rglob("*.sql"))
HEADER = re.compile(r"-- One row per [^.]+\. Key: \((\w+(?:, \w+)*)\)[.;]")
# how a name ends -> what its English meaning must say
UNITS = {
    "_at": "(UTC)",
    "_share": "0..1",
    "_amount": "reporting currency",
    "_days": "days",
    "_hours": "hours",
    "_bytes": "bytes",
}


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    """The whole warehouse of a night without any data: every table and column, no row but of the tag catalogue."""
    con = duckdb.connect()
    con.execute("attach ':memory:' as vault")
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    build.set_night(con, AS_OF, TIMEZONE)
    identify(con, {}, AS_OF, TIMEZONE)
    build.build_contacts(con)
    build.build_core(con, _ignore)
    build.build_facts(con, AS_OF, TIMEZONE, [], 1000, _ignore)
    build_contactability(con, _ignore)
    build.build_company_facts(con, _ignore)
    build.build_outcomes(con, [(AS_OF, 90)], TIMEZONE)
    con.execute("create schema scores")
    for model in (rfm, segments, clv, churn, next_purchase, contract_churn):
        write_frame(con, f"scores.{model.__name__.split('.')[-1]}", pl.DataFrame(schema=model.SCHEMA))
    build_tags(con, load_catalogue(CATALOGUE_FOLDER), AS_OF)
    folder = tmp_path_factory.mktemp("data")
    write_ops(con, Ledger(folder / "ledger.sqlite"), Settings(folder), "run", AS_OF, [], "")
    histories = {"checks": CHECKS, "model_runs": MODEL_RUN_SCHEMA, "backtests": BACKTEST_SCHEMA, "trainings": TRAININGS}
    histories["drift"] = DRIFT_SCHEMA
    for table, schema in histories.items():
        append_history(con, table, pl.DataFrame(schema=schema), AS_OF, None)
    write_frame(con, "ops.drift_references", pl.DataFrame(schema=REFERENCE_SCHEMA))
    yield con
    con.close()


def _ignore(name, rows):
    pass


@pytest.fixture(scope="module")
def published(con):
    """(schema, table, column) of every published column."""
    return con.execute(
        "select schema_name, table_name, column_name from duckdb_columns()"
        " where database_name = current_database() and schema_name in ('core', 'marts', 'scores', 'tags', 'ops')"
    ).fetchall()


def test_nothing_published_is_without_a_meaning(con):
    assert meanings.uncommented(con) == []


def test_every_meaning_is_in_both_languages(published):
    entries = {
        f"{kind} {name}": entry for kind, group in meanings.load_meanings().items() for name, entry in group.items()
    }
    entries |= {".".join(column): meanings.column_meaning(*column) for column in published}
    for name, entry in entries.items():
        assert set(entry) == {"en", "zh"}, name
        assert entry["en"].strip() and not _has_chinese(entry["en"]), name
        assert _has_chinese(entry["zh"]), name


def _has_chinese(text):
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def test_every_table_named_is_published(published):
    assert set(meanings.load_meanings()["tables"]) == {f"{schema}.{table}" for schema, table, _ in published}


def test_every_column_entry_is_what_some_column_means(published):
    entries = meanings.load_meanings()["columns"]
    whole = {".".join(column): column for column in published}
    bare = {}
    for name, column in whole.items():
        if name not in entries:
            bare[column[2]] = bare.get(column[2], False) or meanings.column_meaning(*column) is entries.get(column[2])
    dead = [name for name in entries if not (name in whole if "." in name else bare.get(name))]
    assert dead == []


def test_a_whole_name_stands_only_where_the_meaning_differs(monkeypatch):
    written = meanings.load_meanings()
    own = {name: entry for name, entry in written["columns"].items() if "." in name}
    others = {name: entry for name, entry in written["columns"].items() if "." not in name}
    monkeypatch.setattr(meanings, "load_meanings", lambda: {"tables": {}, "columns": others})
    assert [name for name, entry in own.items() if meanings.column_meaning(*name.split(".")) == entry] == []


def test_no_name_stands_twice():
    text = Path(meanings.__file__).with_name("meanings.yaml").read_text(encoding="utf-8")
    names = re.findall(r"^  ([\w.]+):", text, re.MULTILINE)
    assert sorted(names) == sorted({*meanings.load_meanings()["tables"], *meanings.load_meanings()["columns"]})


def test_units_are_said():
    unsaid = [
        name
        for name, entry in meanings.load_meanings()["columns"].items()
        for ending, unit in UNITS.items()
        if name.endswith(ending) and unit not in entry["en"]
    ]
    assert unsaid == []


def test_every_table_says_what_a_row_is():
    for name, entry in meanings.load_meanings()["tables"].items():
        assert entry["en"].startswith("One row per "), name


def test_comments_are_written(con):
    meanings.comment_all(con)
    silent = con.execute(
        "select schema_name || '.' || table_name || '.' || column_name from duckdb_columns()"
        " where database_name = current_database() and schema_name not in ('main', 'temp') and comment is null"
    ).fetchall()
    assert silent == []
    comment = con.execute(
        "select comment from duckdb_columns() where table_name = 'customer_facts' and column_name = 'top_brand'"
    ).fetchall()
    assert comment == [
        ("brand with the largest line amount; among equals the first by name / 金额最高的品牌；并列时按名称取最前",)
    ]


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sql_file_begins_with_its_row_and_key(con, path):
    first_line = path.read_text(encoding="utf-8").splitlines()[0]
    key = HEADER.match(first_line)
    assert key, f"{path.name} begins with {first_line!r}; write -- One row per ... Key: (...)."
    folder = path.parent.name
    table = f"{folder}.{path.stem}" if folder in ("core", "marts", "vault") else path.stem
    if f"stg_{path.stem}_versions" in path.read_text(encoding="utf-8"):
        # such a file makes two tables, and speaks of the one that holds what was replaced
        table, first_line = f"{table}_history", first_line.replace("per version of", "per replaced version of")
    con.execute(f"select {key[1]} from {table} limit 0")
    published = meanings.load_meanings()["tables"].get(table)
    # what the analyst reads beside the table begins with what the author of the SQL wrote
    assert not published or published["en"].startswith(first_line.removeprefix("-- "))


def test_a_meaning_that_a_comma_cuts_is_refused(tmp_path, monkeypatch):
    text = (contracts.FOLDER / "customers.yaml").read_text(encoding="utf-8")
    assert contracts.load_contracts()["customers"].meaning["en"].endswith("as a source describes them")
    (tmp_path / "customers.yaml").write_text(text.replace('"', "", 2), encoding="utf-8")
    monkeypatch.setattr(contracts, "FOLDER", tmp_path)
    with pytest.raises(contracts.ContractError, match="meaning must have en and zh alone"):
        contracts.load_contracts.__wrapped__()
