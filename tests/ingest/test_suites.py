"""The suites and the quarantine are two readings of one contract: on the same raw rows their counts must agree."""

import subprocess
import sys
from datetime import date

import duckdb
import polars as pl
import pytest

from pipeline.ingest import suites
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.land import land_file
from pipeline.ingest.rates import Rates, define_rates
from pipeline.ingest.read import profile_file
from pipeline.ingest.rules import Reading, define_readers
from pipeline.ingest.sources import read_layout
from pipeline.ingest.text_form import open_text
from pipeline.transform.staging import read_landed, stage_entities

READING = Reading(timezone="UTC", currency="CNY", reporting_currency="CNY", phone_country_code="86")
AS_OF = date(2025, 6, 1)
ORDERS = """
layout: shop_orders
source: shop
match: {columns: [number, customer]}
read: {delimiter: ","}
entities:
  orders:
    columns:
      order_id: number
      source_customer_id: customer
      email: mail
      phone: tel
      ordered_at: placed
      currency: money
      status: {column: state, values: {Paid: paid, Done: completed}}
      net: total
      gross: goods
      refunded_amount: refunded
      instalments: parts
      updated_at: changed
"""
GOOD_ORDER = {
    "number": "1",
    "customer": "c1",
    "mail": "a@b.cn",
    "placed": "2025-01-02",
    "state": "Paid",
    "total": "10.50",
    "goods": "12",
    "refunded": "0",
    "parts": "1",
    "changed": "2025-01-03",
    "tel": "13800138000",
    "money": "CNY",
}
HEADER = ",".join(GOOD_ORDER)
CONSENTS = """
layout: crm_consents
source: crm
match: {columns: [number, person]}
read: {delimiter: ","}
entities:
  consents:
    columns:
      consent_id: number
      source_customer_id: person
      email: mail
      purpose: purpose
      channel: channel
      status: status
      captured_at: at
"""


def make_order(**overrides):
    """A line of the orders export; every order is good until a field is overridden."""
    return ",".join((GOOD_ORDER | overrides).values())


FAULTY_ORDERS = [
    *(make_order(number=str(number)) for number in range(100, 120)),
    make_order(number=""),
    make_order(number="", total=""),
    make_order(number="201", placed=""),
    make_order(number="202", placed="2025-02-30"),
    make_order(number="203", placed="yesterday", total="a lot"),
    make_order(number="204", placed="1969-07-20"),
    make_order(number="205", placed="2031-01-01"),
    make_order(number="206", refunded="-1"),
    make_order(number="207", refunded="-0.01", goods="free"),
    make_order(number="208", state="Lost"),
    make_order(number="209", state="pending"),
    # a word of the layout, in another case
    make_order(number="210", state="DONE"),
    make_order(number="211", parts="-2"),
    make_order(number="212", parts="2.5"),
    make_order(number="213", mail="nobody"),
    make_order(number="214", changed="2031-01-01"),
    make_order(number="215", mail="a***@b.cn"),
    make_order(number="216", tel="138****8000"),
    make_order(number="217", tel="12"),
    make_order(number="218", placed="1/2/2025"),
    make_order(number="219", changed="2/1/2025"),
    make_order(number="220", money="USD"),
    make_order(number="221", money="dollars"),
    # a version each (good), then a conflict of three, then a pair of the same content
    make_order(number="301", changed="2025-01-04"),
    make_order(number="301", changed="2025-01-05", total="9"),
    make_order(number="302", total="1"),
    make_order(number="302", total="2"),
    make_order(number="302", total="3"),
    make_order(number="303"),
    make_order(number="303"),
]
# what a reader counts in FAULTY_ORDERS by hand
WRONG_ORDERS = {
    ("order_id", "missing"): 2,
    ("net", "missing"): 1,
    ("ordered_at", "missing"): 1,
    ("ordered_at", "not_a_timestamp"): 2,
    ("ordered_at", "below_min"): 1,
    ("ordered_at", "in_future"): 1,
    ("net", "not_a_money"): 1,
    ("refunded_amount", "below_min"): 2,
    ("gross", "not_a_money"): 1,
    ("status", "unknown_value"): 1,
    ("instalments", "below_min"): 1,
    ("instalments", "not_a_integer"): 1,
    ("email", "not_a_email"): 1,
    ("updated_at", "in_future"): 1,
    ("email", "masked_email"): 1,
    ("phone", "masked_phone"): 1,
    ("phone", "not_a_phone"): 1,
    ("ordered_at", "order_of_date_not_stated"): 1,
    ("updated_at", "order_of_date_not_stated"): 1,
    ("currency", "no_exchange_rate"): 1,
    ("currency", "not_a_currency"): 1,
}
CONSENT_LINES = [
    "number,person,mail,purpose,channel,status,at",
    *(f"{number},p{number},,marketing,email,granted,2025-01-01" for number in range(20)),
    "51,,,marketing,email,granted,2025-01-01",
    "52,,x@y.cn,marketing,email,granted,2025-01-01",
    "53,p,,cooking,email,granted,2025-01-01",
    "54,,,marketing,pigeon,granted,2025-01-01",
]
WRONG_CONSENTS = {
    (None, "names_somebody"): 2,
    ("purpose", "unknown_value"): 1,
    ("channel", "unknown_value"): 1,
}


@pytest.fixture
def con():
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as work")
        connection.execute("set search_path = 'memory.main,work.main'")
        connection.execute("set timezone = 'UTC'")
        connection.execute("set variable file_id = 'f1'")
        connection.execute("set variable observed_at = timestamp '2025-06-01 02:00:00'")
        connection.execute("set variable pseudonym_key = 'key'")
        connection.execute("create macro keyed(text) as sha256(getvariable('pseudonym_key') || text)")
        define_readers(connection)
        define_rates(connection, Rates(), "UTC")
        yield connection


def land(con, folder, document, lines):
    """The one entity of a small export, landed: its Landing, contract, mapping and the export's columns."""
    layout_file = folder / f"{document.split()[1]}.yaml"
    layout_file.write_text(document, encoding="utf-8")
    layout = read_layout(layout_file)
    export = folder / "export.csv"
    export.write_text("\n".join(lines) + "\n", encoding="utf-8")
    [landing] = land_file(
        con,
        *open_text(profile_file(export), export.name, {layout.name: layout}, folder),
        layout,
        READING,
        lambda kind, entity: folder / kind / f"{entity}.parquet",
        folder,
    )
    return landing, load_contracts()[landing.entity], layout.entities[landing.entity], set(lines[0].split(","))


def counts(rows, column="unexpected_count"):
    return {(row["column_name"], row["rule"]): row[column] for row in rows.iter_rows(named=True) if row[column]}


@pytest.mark.parametrize(
    ("document", "lines", "wrong"),
    [(ORDERS, [HEADER, *FAULTY_ORDERS], WRONG_ORDERS), (CONSENTS, CONSENT_LINES, WRONG_CONSENTS)],
    ids=["orders", "consents"],
)
def test_suites_and_quarantine_count_the_same(con, tmp_path, document, lines, wrong):
    landing, contract, mapping, available = land(con, tmp_path, document, lines)
    quarantined = counts(landing.rejects.group_by("column_name", "rule").len("unexpected_count"))
    found = suites.check_unfiltered(con, contract, mapping, READING, available)
    assert not found.filter(pl.col("message").str.starts_with("could not")).height
    assert set(found["element_count"]) == {len(lines) - 1}
    expected = counts(found)
    # the suite counts every row that shares its key: those in conflict, and of a repeated pair both
    key = " + ".join(contract.key)
    assert expected.pop((key, "repeated_key"), 0) == (
        quarantined.pop((key, "conflicting_rows"), 0) + 2 * landing.duplicates
    )
    assert expected == quarantined == wrong


def test_repeated_keys_are_found_as_conflict_and_pair(con, tmp_path):
    landing, contract, mapping, available = land(con, tmp_path, ORDERS, [HEADER, *FAULTY_ORDERS])
    found = counts(suites.check_unfiltered(con, contract, mapping, READING, available))
    assert landing.duplicates == 1
    assert found["order_id", "repeated_key"] == 5


def test_accepted_rows_pass_and_a_set_shows_what_rows_cannot(con, tmp_path):
    landing, *_ = land(con, tmp_path, ORDERS, [HEADER, *FAULTY_ORDERS])
    read_landed(con, {"orders": [landing.path]})
    stage_entities(con)
    good = suites.check_entities(con, ["orders"], "run", AS_OF, {"orders": 2 * landing.landed})
    assert good["success"].all()
    assert good.columns[:2] == ["run_id", "as_of"]
    assert good["as_of"].unique().to_list() == [AS_OF]

    # the same Parquet twice is the same file twice: every key stands twice; a night that had more than twice as many rows
    read_landed(con, {"orders": [landing.path, landing.path]})
    stage_entities(con)
    bad = suites.check_entities(con, ["orders", "returns"], "run", AS_OF, {"orders": 4 * landing.landed + 1})
    failed = bad.filter(~pl.col("success")).select("entity", "column_name", "rule", "unexpected_count", "message")
    rows = 2 * landing.landed
    assert failed.rows() == [
        ("orders", "order_id", "repeated_key", rows, f"{rows} of {rows} rows"),
        ("orders", None, "fewer_rows", None, f"{rows} rows; at least {rows + 1} expected"),
        ("returns", None, "empty", None, "0 rows; at least 1 expected"),
    ]


def test_every_contract_can_be_checked(con):
    read_landed(con, {})
    stage_entities(con)
    found = suites.check_entities(con, list(load_contracts()), "run", AS_OF, dict.fromkeys(load_contracts(), 1))
    assert set(found["entity"]) == set(load_contracts())
    assert set(found.filter(~pl.col("success"))["rule"]) == {"empty", "fewer_rows"}
    assert not found["message"].str.starts_with("could not").any()


def test_what_cannot_be_checked_fails_and_says_so_without_a_value(con):
    read_landed(con, {})
    stage_entities(con)
    returns = load_contracts()["returns"].landed_columns()
    columns = ", ".join(f"null::{kind} as {name}" for name, kind in returns.items() if name not in ("amount", "kind"))
    con.execute(
        f"create or replace temp view landed_returns as select {columns}, 'Ms Secret'::decimal(18, 4) as amount"
    )
    found = suites.check_entities(con, ["returns"], "run", AS_OF)
    unchecked = found.filter(pl.col("message").str.starts_with("could not be checked"))
    assert unchecked.select("column_name", "rule", "success", "message").rows() == [
        ("kind", "missing", False, 'could not be checked: The column "kind" in BatchData does not exist'),
        ("kind", "unknown_value", False, 'could not be checked: The column "kind" in BatchData does not exist'),
        ("amount", "below_min", False, "could not be checked: Conversion Error"),
    ]
    assert "Secret" not in found.write_csv()


def test_no_query_asks_for_values_and_the_connection_stays_open(con, tmp_path):
    landing, *_ = land(con, tmp_path, ORDERS, [HEADER, *FAULTY_ORDERS])
    con.execute(
        f"create temp view landed_orders as select * replace (-1 as refunded_amount, 'x' as status) from '{landing.path}'"
    )

    class Listening:
        asked = []

        def execute(self, statement, parameters=()):
            self.asked.append(statement)
            return con.execute(statement, parameters)

        def __getattr__(self, name):
            return getattr(con, name)

    found = suites.check_entities(Listening(), ["orders"], "run", AS_OF)
    assert counts(found) == {
        ("refunded_amount", "below_min"): landing.landed,
        ("status", "unknown_value"): landing.landed,
    }
    assert not [asked for asked in Listening.asked if "unexpected_values" in asked or asked.startswith("SELECT *")]
    # a describe and a probe; the row count; one query for all the columns; two times, and the key
    assert len(Listening.asked) == 7
    assert con.execute("select count(*) from landed_orders").fetchone() == (landing.landed,)


def test_great_expectations_is_imported_only_when_a_suite_runs():
    loaded = "import sys, pipeline.ingest.suites; print('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout == "False\n"
