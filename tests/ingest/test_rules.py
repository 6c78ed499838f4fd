"""A cell's text and what it becomes: its typed value, or nothing; never a value that the text does not say."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from pipeline.ingest.contracts import Column
from pipeline.ingest.layouts import Field
from pipeline.ingest.rules import Reading, problems, raw_cell, typed_cell
from tests.builders import NIGHT, ingest_connection

CHINA = Reading("Asia/Shanghai", "CNY", "CNY", "86")


@pytest.fixture(scope="module")
def con():
    con = ingest_connection()
    con.execute("set variable observed_at = ?", (NIGHT,))
    con.execute("set variable file_id = 'f1'")
    return con


def read(con, kind, text, reading=CHINA, field=None, **column):
    """(typed value, rules that it breaks) of one cell."""
    field, column = field or Field(column=("cell",)), Column("x", kind, "", "", **column)
    con.execute("create or replace table scratch.raw as select 1 as good_record, ?::varchar as cell", (text,))
    cell = raw_cell(field, column, {"cell"})
    con.execute(f"create or replace table scratch.texts as select *, {cell} as text from scratch.raw")
    typed = typed_cell(field, column, reading, "text")
    con.execute(f"create or replace table scratch.typed as select text, {typed} as x from scratch.texts")
    rules = problems(column, "text", "x")
    found = con.execute(f"select x, {', '.join(rules.values())} from scratch.typed").fetchall()[0]
    return found[0], [rule for rule, is_broken in zip(rules, found[1:], strict=True) if is_broken]


@pytest.mark.parametrize("kind", ["id", "category", "email", "integer", "money", "date", "timestamp", "boolean"])
@pytest.mark.parametrize("text", [None, "", "   ", "\t"])
def test_blank_is_null_and_no_problem_unless_required(con, kind, text):
    assert read(con, kind, text) == (None, [])
    assert read(con, kind, text, required=True) == (None, ["missing"])


@pytest.mark.parametrize(
    ("text", "expected"), [("  A1 ", "A1"), ("\t622848 \t", "622848"), ("007", "007"), ("a b", "a b"), ("1E5", "1E5")]
)
def test_an_id_is_its_text_without_the_blanks_around_it(con, text, expected):
    assert read(con, "id", text) == (expected, [])


def test_free_text_keeps_its_blanks(con):
    assert read(con, "text", "  hi\n") == ("  hi\n", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("12.00", 12),
        ("007", 7),
        ("1.5", None),
        ("1.99999", None),
        ("0.99999999999999999999", None),
        ("1_000", None),
        ("1e3", None),
        ("0x1F", None),
        (".5", None),
        ("12a", None),
        ("99999999999999999999", None),
        ("NaN", None),
    ],
)
def test_integers_are_never_rounded(con, text, expected):
    assert read(con, "integer", text) == (expected, [] if expected is not None else ["not_a_integer"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", "100"),
        ("-1.25", "-1.25"),
        ("0.00004", "0.0000"),
        ("0.12345", "0.1235"),
        ("￥1,234.50", "1234.50"),
        ("¥ 88", "88"),
        ("88元", "88"),
        ("-￥5.00", "-5"),
        ("￥-5.00", "-5"),
        ("1,234,567.89", "1234567.89"),
        ("$100", None),
        ("100 USD", None),
        ("€5", None),
        ("1,23", None),
        ("12,34,567", None),
        ("1.234,56", None),
        ("1_000", None),
        ("abc", None),
        ("--5", None),
        ("NaN", None),
        ("inf", None),
        ("1" * 20, None),
    ],
)
def test_amounts_of_a_file_in_yuan(con, text, expected):
    value, rules = read(con, "money", text)
    assert value == (Decimal(expected) if expected else None)
    assert rules == ([] if expected else ["not_a_money"])


@pytest.mark.parametrize(
    ("currency", "text", "expected"),
    [
        ("USD", "$1,000.10", "1000.10"),
        ("USD", "￥5", None),
        ("JPY", "¥500", "500"),
        ("CHF", "$5", None),
        ("CHF", "1,000", "1000"),
    ],
)
def test_the_sign_must_be_the_files_own_currency(con, currency, text, expected):
    value, _ = read(con, "money", text, Reading("UTC", currency, currency, "86"))
    assert value == (Decimal(expected) if expected else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.5", "0.5"), ("1,000", "1000"), ("5%", "0.05"), ("1_000.5", None), ("1,00", None), ("x", None)],
)
def test_decimals(con, text, expected):
    assert read(con, "decimal", text) == ((Decimal(expected), []) if expected else (None, ["not_a_decimal"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-28", date(2026, 2, 28)),
        ("2026/2/8", date(2026, 2, 8)),
        ("20260208", date(2026, 2, 8)),
        ("2024-02-29", date(2024, 2, 29)),
        ("2026-02-29", None),
        ("2026-02-30", None),
        ("2026-13-01", None),
        ("0000-00-00", None),
        ("2026115", None),
        ("260115", None),
        ("infinity", None),
        ("-infinity", None),
        ("epoch", None),
        ("today", None),
        ("46023", None),
    ],
)
def test_dates_that_exist(con, text, expected):
    assert read(con, "date", text) == (expected, [] if expected else ["not_a_date"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01 10:00:00", datetime(2026, 5, 1, 2)),
        ("2026-05-01 10:00", datetime(2026, 5, 1, 2)),
        ("2026/5/1", datetime(2026, 4, 30, 16)),
        ("2026-05-01T10:00:00", datetime(2026, 5, 1, 2)),
        ("2026-05-01T10:00:00Z", datetime(2026, 5, 1, 10)),
        ("2026-05-01 10:00:00 +0200", datetime(2026, 5, 1, 8)),
        ("2026-02-30 10:00:00", None),
        ("2026-05-01 24:00:00", None),
        ("2026-05-01 10:60", None),
        ("infinity", None),
        ("now", None),
    ],
)
def test_times_are_local_to_the_source_unless_they_say_their_zone(con, text, expected):
    assert read(con, "timestamp", text) == (expected, [] if expected else ["not_a_timestamp"])


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("%d/%m/%Y", "31/01/2026", date(2026, 1, 31)),
        ("%d/%m/%Y", "31/02/2026", None),
        ("%d/%m/%Y", "31/01/26", None),
        ("%d/%m/%y", "31/01/26", date(2026, 1, 31)),
        ("%d/%m/%y", "epoch", None),
        ("%b %d %Y", "Jan 31 2026", date(2026, 1, 31)),
        ("%Y%m%d", "20260131", date(2026, 1, 31)),
        ("%Y%m%d", "2026131", None),
        # a real date of a workbook beside dates written as text
        ("%d/%m/%Y", "2026-01-31", date(2026, 1, 31)),
        ("%d/%m/%Y", "2026-01-31 00:00:00", date(2026, 1, 31)),
        ("excel", "2026-01-31", date(2026, 1, 31)),
        # the stated year-first order stands alone
        ("%Y-%d-%m", "2026-01-31", None),
    ],
)
def test_a_stated_format_is_the_only_one(con, form, text, expected):
    assert read(con, "date", text, field=Field(column=("cell",), formats=(form,)))[0] == expected


def test_limits(con):
    assert read(con, "integer", "-1", min=0)[1] == ["below_min"]
    assert read(con, "integer", "0", min=0, max=5)[1] == []
    assert read(con, "decimal", "5.1", max=5)[1] == ["above_max"]
    assert read(con, "date", "1899-12-31", min=date(1900, 1, 1))[1] == ["below_min"]
    assert read(con, "timestamp", "2026-11-22 10:00:00", not_in_future=True)[1] == ["in_future"]
    assert read(con, "timestamp", "2026-11-21 10:00:00", not_in_future=True)[1] == []


def test_words_of_a_value_map_and_unknown_words(con):
    field = Field(column=("cell",), values={"男": "male", "F": "female"})
    values = {"field": field, "values": ("male", "female", "other")}
    assert read(con, "category", " 男 ", **values) == ("male", [])
    assert read(con, "category", "F", **values) == ("female", [])
    assert read(con, "category", "Other", **values) == ("other", [])
    assert read(con, "category", "保密", **values) == (None, ["unknown_value"])
    assert read(con, "category", "保密", field=field) == ("保密", [])
    assert read(con, "boolean", "在", field=Field(column=("cell",), values={"在": "true"})) == (True, [])
    # an opt-out that was not ticked is no consent: it says nothing
    opt_out = Field(column=("cell",), values={"1": "false", "0": ""})
    assert read(con, "boolean", "1", field=opt_out) == (False, [])
    assert read(con, "boolean", "0", field=opt_out) == (None, [])


@pytest.mark.parametrize(
    ("text", "expected"), [("是", True), ("NO", False), ("1", True), ("false", False), ("2", None)]
)
def test_booleans(con, text, expected):
    assert read(con, "boolean", text) == (expected, [] if expected is not None else ["not_a_boolean"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Li.Lei@Example.COM", "li.lei@example.com"),
        ("li@localhost", None),
        ("li lei@example.com", None),
        ("a@b.com;c@d.com", None),
        ("example.com", None),
    ],
)
def test_emails(con, text, expected):
    assert read(con, "email", text) == (expected, [] if expected else ["not_a_email"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("138 0013 8000", "+8613800138000"),
        ("+86-138-0013-8000", "+8613800138000"),
        ("0086 13800138000", "+8613800138000"),
        ("8613800138000", "+8613800138000"),
        ("(010) 6552-9988", "+861065529988"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("12345", None),
        ("call me", None),
        ("1.38E+10", None),
    ],
)
def test_phones(con, text, expected):
    assert read(con, "phone", text) == (expected, [] if expected else ["not_a_phone"])


def test_currencies(con):
    assert read(con, "currency", "cny") == ("CNY", [])
    # which rate it has is a question for the row
    assert read(con, "currency", "usd") == ("USD", [])
    assert read(con, "currency", "人民币") == ("CNY", [])
    assert read(con, "currency", "money") == (None, ["not_a_currency"])


def test_constants_and_places_in_the_file(con):
    assert read(con, "category", "x", field=Field(constant="it's")) == ("it's", [])
    assert read(con, "id", "x", field=Field(from_record=True)) == ("f1:1", [])
    assert read(con, "id", "x", field=Field(column=("not there",))) == (None, [])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("10", "2", "0.5"), ("7.5", [])),
        (("￥1,000", "", None), ("1000", [])),
        (("", "2", ""), ("-2", [])),
        (("", "", ""), (None, ["missing"])),
        (("10", "two", ""), (None, ["not_a_money"])),
    ],
)
def test_a_sum_of_cells_counts_blanks_as_nothing_and_guesses_no_part(con, cells, expected):
    field, column = Field(add=("a",), subtract=("b", "c")), Column("x", "money", "", "", required=True)
    con.execute("create or replace table scratch.raw as select ? as a, ? as b, ? as c", cells)
    con.execute(
        f"create or replace table scratch.typed as select *, {raw_cell(field, column, {'a', 'b', 'c'})} as text from scratch.raw"
    )
    typed = typed_cell(field, column, CHINA, "text")
    rules = problems(column, "text", "x")
    sql = f"select x, {', '.join(rules.values())} from (select text, {typed} as x from scratch.typed)"
    found = con.execute(sql).fetchall()[0]
    value, names = expected
    assert found[0] == (Decimal(value) if value else None)
    assert [rule for rule, is_broken in zip(rules, found[1:], strict=True) if is_broken] == names
    assert raw_cell(field, column, {"a", "b"}) == "null::varchar"
