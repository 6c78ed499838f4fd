"""Tables of real MySQL and PostgreSQL servers: what a pull brings, what the next one leaves out, and what goes wrong."""

import csv
import re
import socket
import time
import tracemalloc
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
from sqlalchemy.dialects import mysql, oracle, postgresql

from pipeline.ingest import database_servers, databases
from pipeline.ingest.database_servers import PullFailed, cause_of, oracle_text, reading_session, select_statement
from pipeline.ingest.databases import Entry, all_layouts, entries_of, take_in_entry
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.relanding import file_layouts, land_again
from pipeline.ledger import Ledger
from pipeline.night import STEPS, Night, NightFailed, take_step
from pipeline.settings import SettingsError, read_settings
from tests.builders import NIGHT, Intake, assert_lines_add_up, make_order_layout, make_order_line, order_file
from tests.servers import Server, server_url

ORDERS = "order_id, source_customer_id, ordered_at, net, updated_at"
KINDS = {"mysql": "datetime(6)", "postgresql": "timestamp"}


@pytest.fixture(scope="session", params=["mysql", "postgresql"])
def server_of_kind(request, tmp_path_factory):
    with server_url(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture(scope="session")
def mysql_server(tmp_path_factory):
    with server_url("mysql", tmp_path_factory.mktemp("mysql")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory):
    with server_url("postgresql", tmp_path_factory.mktemp("postgresql")) as url:
        yield url


class Shop:
    """A data folder with one [[database]] entry, and the server that it names."""

    def __init__(self, url, folder):
        self.server, self.intake = Server(url), Intake(folder)
        self.environment, self.pulls = {"SHOP_URL": url}, 0
        self.kind = "mysql" if url.startswith("mysql") else "postgresql"
        self.entry = {"name": "shop", "url": "SHOP_URL", "entity": "orders", "cursor": "updated_at"}

    def orders(self, *rows, ending=""):
        """A table of orders with these rows: (order_id, net, updated_at)."""
        self.entry["table"] = name = self.server.table(ending)
        self.server.run(
            f"create table {self.server.quoted(name)} (order_id bigint primary key, source_customer_id varchar(20),"
            f" ordered_at {KINDS[self.kind]}, net decimal(14, 2), updated_at {KINDS[self.kind]})"
        )
        self.add(*rows)

    def add(self, *rows):
        values = ", ".join(f"({key}, 'C{key}', '2026-05-01 10:00:00', {net}, '{at}')" for key, net, at in rows)
        if rows:
            self.server.run(f"insert into {self.server.quoted(self.entry['table'])} ({ORDERS}) values {values}")

    @property
    def settings(self):
        return replace(self.intake.settings, database=[self.entry])

    def pull(self):
        """What becomes of the entry in one more night."""
        self.pulls += 1
        (entry,) = entries_of(self.settings)
        (outcome,) = take_in_entry(
            self.intake.con,
            entry,
            self.settings,
            all_layouts(self.settings),
            self.intake.ledger,
            self.intake.scratch,
            NIGHT + timedelta(seconds=self.pulls),
            f"run {self.pulls}",
            self.environment,
        )
        for landing in outcome.landings:
            assert_lines_add_up(landing)
        return outcome

    def delivered(self, outcome):
        """The rows of a delivery as it is kept, each a dictionary of texts."""
        (content,) = self.intake.ledger.rows("select * from contents where file_id = ?", (outcome.file_id,))
        with (self.settings.vault / content["raw_path"]).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def landed(self, outcome):
        (landing,) = outcome.landings
        return self.intake.landed(landing)


@pytest.fixture
def shop(server_of_kind, tmp_path):
    shop = Shop(server_of_kind, tmp_path)
    yield shop
    shop.server.drop_tables()


@pytest.fixture
def mysql_shop(mysql_server, tmp_path):
    shop = Shop(mysql_server, tmp_path)
    yield shop
    shop.server.drop_tables()


@pytest.fixture
def postgresql_shop(postgresql_server, tmp_path):
    shop = Shop(postgresql_server, tmp_path)
    yield shop
    shop.server.drop_tables()


def ids(rows):
    return sorted(row["order_id"] for row in rows)


def test_a_second_pull_moves_only_what_changed(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00.25"), (2, 20, "2026-05-02 10:00:00"))
    first = shop.pull()
    assert first.status == "landed"
    assert [(row["order_id"], row["net"], row["source"]) for row in shop.landed(first)] == [
        ("1", 10, "shop"),
        ("2", 20, "shop"),
    ]
    shop.add((3, 30, "2026-05-03 10:00:00"))
    shop.server.run(f"update {shop.entry['table']} set net = 11, updated_at = '2026-05-03 11:00:00' where order_id = 1")
    second = shop.pull()
    assert [(row["order_id"], row["net"]) for row in shop.landed(second)] == [("1", 11), ("3", 30)]
    third = shop.pull()
    assert (third.status, third.message) == ("unchanged", "nothing new since the last pull")


def test_rows_committed_late_at_the_moment_of_the_cursor_are_not_lost_and_none_comes_twice(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"), (2, 20, "2026-05-02 10:00:00.000001"))
    shop.pull()
    shop.add((3, 30, "2026-05-02 10:00:00.000001"))
    assert ids(shop.delivered(shop.pull())) == ["3"]
    shop.server.run(f"update {shop.entry['table']} set net = 21 where order_id = 2")
    assert ids(shop.delivered(shop.pull())) == ["2"]
    assert shop.pull().status == "unchanged"


@pytest.mark.parametrize(
    ("column", "first", "late", "newer"),
    [
        ("bigint", "9007199254740993", "9007199254740993", "9007199254740994"),
        ("decimal(20, 4)", "10.0001", "10.0001", "10.0002"),
        ("date", "'2026-05-02'", "'2026-05-02'", "'2026-05-03'"),
    ],
)
def test_a_cursor_may_be_an_integer_a_decimal_or_a_date(shop, column, first, late, newer):
    shop.entry |= {"table": shop.server.table(), "cursor": "seq"}
    table = shop.entry["table"]
    shop.server.run(f"create table {table} (order_id int, ordered_at date, net int, seq {column})")
    for number, place in enumerate((first, late, newer), start=1):
        shop.server.run(f"insert into {table} values ({number}, '2026-05-01', 5, {place})")
        assert ids(shop.delivered(shop.pull())) == [str(number)]
    assert shop.pull().status == "unchanged"


def test_a_cursor_with_a_zone_is_compared_as_a_moment(postgresql_shop):
    shop = postgresql_shop
    shop.entry["table"] = table = shop.server.table()
    shop.server.run(
        f"create table {table} (order_id int, ordered_at timestamptz, net int, updated_at timestamptz)",
        f"insert into {table} values (1, '2026-05-01 10:00:00.5+08', 5, '2026-05-01 10:00:00+08'),"
        " (2, '2026-05-01 10:00:00-05', 5, '2026-05-01 03:00:00+00')",
    )
    first = shop.pull()
    assert [row["ordered_at"] for row in shop.landed(first)] == [
        datetime(2026, 5, 1, 2, 0, 0, 500_000),
        datetime(2026, 5, 1, 15, 0, 0),
    ]
    shop.server.run(f"insert into {table} values (3, '2026-05-01', 5, '2026-05-01 11:00:00+08')")
    assert ids(shop.delivered(shop.pull())) == ["3"]


def test_rows_whose_cursor_is_blank_or_in_the_future_are_told(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"), (2, 20, "2099-12-31 00:00:00"))
    shop.server.run(f"insert into {shop.entry['table']} ({ORDERS}) values (3, 'C3', '2026-05-01', 5, null)")
    first = shop.pull()
    assert ids(shop.delivered(first)) == ["1", "2", "3"]
    assert "1 rows without a updated_at: told apart by their content" in first.message
    assert "1 rows whose updated_at is in the future: the cursor stops before them" in first.message
    shop.add((4, 40, "2026-05-02 10:00:00"))
    assert ids(shop.delivered(shop.pull())) == ["4"]
    assert shop.pull().status == "unchanged"


def test_rows_without_a_cursor_come_whenever_they_are_new_or_changed(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    table = shop.server.quoted(shop.entry["table"])
    blank = f"insert into {table} ({ORDERS}) values ({{}}, 'C', '2026-05-01', 5, null)"
    shop.server.run(blank.format(2))
    assert ids(shop.delivered(shop.pull())) == ["1", "2"]
    shop.server.run(blank.format(3))
    assert ids(shop.delivered(shop.pull())) == ["3"]
    shop.server.run(f"update {table} set net = 6 where order_id = 2")
    assert ids(shop.delivered(shop.pull())) == ["2"]
    # the row that the cursor stands at is gone: those without one are still known
    shop.server.run(f"delete from {table} where order_id = 1")
    assert shop.pull().status == "unchanged"
    assert shop.pull().status == "unchanged"


def test_more_rows_without_a_cursor_than_can_be_told_apart_are_warned_of_each_night(shop, monkeypatch):
    monkeypatch.setattr(databases, "MAX_BLANK", 1)
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    table = shop.server.quoted(shop.entry["table"])
    for number in (2, 3):
        shop.server.run(f"insert into {table} ({ORDERS}) values ({number}, 'C', '2026-05-01', 5, null)")
    first = shop.pull()
    assert ids(shop.delivered(first)) == ["1", "2", "3"]
    shop.server.run(f"update {table} set net = 6 where order_id = 2")
    second = shop.pull()
    assert second.status == "unchanged"
    for outcome in (first, second):
        ((english, chinese),) = outcome.warnings
        assert english.startswith("2 rows without a updated_at, more than 1: they came with the first pull alone")
        assert chinese.startswith("2 行没有 updated_at")


def test_a_table_that_returns_to_an_earlier_state_is_a_delivery_again(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    del shop.entry["cursor"]
    for net in (10, 20, 10):
        shop.server.run(f"update {shop.entry['table']} set net = {net}")
        outcome = shop.pull()
        assert [row["net"] for row in shop.landed(outcome)] == [net]
    assert shop.pull().status == "repeated"
    contents = shop.intake.ledger.rows("select * from contents order by observed_at")
    assert len(contents) == 3
    again = [
        land_again(
            shop.intake.con,
            one,
            shop.settings,
            all_layouts(shop.settings),
            shop.intake.ledger,
            shop.intake.scratch,
            True,
        )
        for one in contents
    ]
    assert [shop.landed(one)[0]["net"] for one in again] == [10, 20, 10]


def test_a_table_with_somebody_who_is_forgotten_is_still_known_by_its_bytes(mysql_shop):
    shop = mysql_shop
    shop.orders((1, 10, "2026-05-01 10:00:00"), (2, 20, "2026-05-01 10:00:00"))
    del shop.entry["cursor"]
    shop.intake.suppress(customer="shop|C2")
    first = shop.pull()
    assert [row["order_id"] for row in shop.landed(first)] == ["1"]
    assert ids(shop.delivered(first)) == ["#suppressed", "1"]
    assert shop.pull().status == "repeated"
    (content,) = shop.intake.ledger.rows("select * from contents")
    again = land_again(
        shop.intake.con,
        content,
        shop.settings,
        all_layouts(shop.settings),
        shop.intake.ledger,
        shop.intake.scratch,
        True,
    )
    assert (again.status, [row["order_id"] for row in shop.landed(again)]) == ("landed", ["1"])


def test_two_entries_that_bring_the_same_rows_both_land(mysql_shop):
    shop = mysql_shop
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    found = []
    for name in ("shop", "branch"):
        shop.entry["name"] = name
        found.append(shop.landed(shop.pull()))
    assert [[row["source"] for row in rows] for rows in found] == [["shop"], ["branch"]]


def test_a_delivery_of_an_earlier_release_is_known_by_its_bytes(mysql_shop):
    shop = mysql_shop
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    del shop.entry["cursor"]
    shop.pull()
    ledger = shop.intake.ledger
    ledger.change("update contents set content_hash = raw_hash, raw_hash = null")
    assert shop.pull().status == "repeated"


def test_without_a_cursor_an_identical_table_counts_as_repeated(shop):
    shop.orders((2, 20, "2026-05-02 10:00:00"), (1, 10, "2026-05-01 10:00:00"))
    del shop.entry["cursor"]
    assert shop.pull().status == "landed"
    again = shop.pull()
    assert (again.status, again.message.split(": ")[1]) == ("repeated", "2 lines are duplicates")
    shop.server.run(f"update {shop.entry['table']} set net = 21 where order_id = 2")
    assert ids(shop.delivered(shop.pull())) == ["1", "2"]


def test_a_pull_that_fails_before_it_has_landed_is_made_again(shop, monkeypatch):
    shop.orders((1, 10, "2026-05-01 10:00:00"))

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Ledger, "insert_together", crash)
        shop.pull()
    assert shop.intake.ledger.rows("select * from cursors") == []
    shop.add((2, 20, "2026-05-02 10:00:00"))
    assert ids(shop.delivered(shop.pull())) == ["1", "2"]


def test_order_data_that_cannot_be_believed_stops_the_night_and_is_pulled_again(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"), (2, 20, "2026-05-02 10:00:00"))
    shop.server.run(f"update {shop.entry['table']} set ordered_at = null")
    with pytest.raises(OrderDataStopped, match=r"2 of 2 rows are rejected.*\[\[database\]\] shop in settings.toml"):
        shop.pull()
    shop.server.run(f"update {shop.entry['table']} set ordered_at = '2026-05-01'")
    assert ids(shop.delivered(shop.pull())) == ["1", "2"]


def test_a_layout_maps_the_columns_of_a_table_and_a_corrected_one_lands_the_pull_again(shop):
    shop.entry |= {"table": shop.server.table(), "layout": "my_orders", "cursor": "修改时间"}
    del shop.entry["entity"]
    columns = [shop.server.quoted(name) for name in ("订单号", "客户", "下单时间", "实付", "修改时间")]
    kinds = ("int", "varchar(9)", KINDS[shop.kind], "decimal(9, 2)", KINDS[shop.kind])
    listed = ", ".join(f"{column} {kind}" for column, kind in zip(columns, kinds, strict=True))
    encoding = " default charset utf8mb4" if shop.kind == "mysql" else ""
    shop.server.run(
        f"create table {shop.entry['table']} ({listed}){encoding}",
        f"insert into {shop.entry['table']} values (7, '张三', '2026-05-01 10:00:00.5', 12.5, '2026-05-01 10:00:00')",
    )
    (row,) = shop.landed(shop.pull())
    # 10:00:00.5 in Shanghai, the business time zone
    assert (row["order_id"], row["source_customer_id"], row["net"]) == ("7", "张三", 12.5)
    assert row["ordered_at"] == datetime(2026, 5, 1, 2, 0, 0, 500_000)
    shop.intake.write_layout(make_order_layout(timezone="UTC"))
    (content,) = shop.intake.ledger.rows("select * from contents")
    again = land_again(
        shop.intake.con,
        content,
        shop.settings,
        all_layouts(shop.settings),
        shop.intake.ledger,
        shop.intake.scratch,
        False,
    )
    assert again.status == "landed"
    assert shop.landed(again)[0]["ordered_at"] == datetime(2026, 5, 1, 10, 0, 0, 500_000)
    assert shop.pull().status == "unchanged"


def test_a_query_stands_as_it_is_written(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"), (2, 20, "2026-05-02 10:00:00"))
    table = shop.entry.pop("table")
    shop.entry["query"] = f"select o.*, '10:30 100% :x' as remark from {table} o where net % 20 = 0 -- the even ones\n;"
    first = shop.pull()
    assert [(row["order_id"], row["remark"]) for row in shop.delivered(first)] == [("2", "10:30 100% :x")]
    assert shop.pull().status == "unchanged"


@pytest.mark.parametrize("ending", ['"; drop table x; --', "`a`", "100% :p %s", "订单 表", "'"])
def test_hostile_names_are_names(shop, ending):
    shop.entry |= {"table": shop.server.table(ending), "cursor": ending}
    table, column = shop.server.quoted(shop.entry["table"]), shop.server.quoted(ending)
    encoding = " default charset utf8mb4" if shop.kind == "mysql" else ""
    shop.server.run(
        f"create table {table} (order_id int, ordered_at date, net int, {column} int){encoding}",
        f"insert into {table} values (1, '2026-05-01', 5, 1)",
    )
    assert shop.delivered(shop.pull()) == [{"order_id": "1", "ordered_at": "2026-05-01", "net": "5", ending: "1"}]
    shop.server.run(f"insert into {table} values (2, '2026-05-01', 5, 1)")
    assert ids(shop.delivered(shop.pull())) == ["2"]
    assert shop.pull().status == "unchanged"


def test_an_endless_moment_stands_in_no_cursors_way(postgresql_shop):
    shop = postgresql_shop
    shop.entry["table"] = table = shop.server.table()
    shop.server.run(
        f"create table {table} (order_id int, ordered_at timestamptz, net int, updated_at timestamptz)",
        f"insert into {table} values (1, '2026-05-01', 5, '2026-05-01 10:00:00+00'), (2, '2026-05-01', 5, 'infinity'),"
        " (3, '2026-05-01', 5, '-infinity')",
    )
    assert ids(shop.delivered(shop.pull())) == ["1", "2", "3"]
    assert shop.pull().status == "unchanged"
    shop.server.run(f"insert into {table} values (4, '2026-05-01', 5, '2026-05-02')")
    assert ids(shop.delivered(shop.pull())) == ["4"]


def test_digits_in_a_column_of_texts_are_no_cursor_there(postgresql_shop):
    shop = postgresql_shop
    shop.entry |= {"table": shop.server.table(), "cursor": "seq"}
    shop.server.run(
        f"create table {shop.entry['table']} (order_id int, ordered_at date, net int, seq text)",
        f"insert into {shop.entry['table']} values (1, '2026-05-01', 5, '17')",
    )
    outcome = shop.pull()
    assert outcome.status == "misset"
    assert "cursor seq: it holds texts; name a column of integers, dates or times, or cast it" in outcome.message
    shop.entry["query"] = f"select order_id, ordered_at, net, seq::bigint as seq from {shop.entry.pop('table')}"
    assert shop.pull().status == "landed"
    assert shop.pull().status == "unchanged"


def test_every_mysql_type_comes_as_the_server_writes_it(mysql_shop):
    shop = mysql_shop
    shop.entry |= {"table": shop.server.table(), "cursor": "ts"}
    table = shop.entry["table"]
    shop.server.run(
        f"create table {table} (order_id bigint unsigned, net decimal(65, 30), ordered_at datetime(6), ts timestamp(3) null,"
        " flag tinyint(1), bits bit(9), emoji varchar(9) character set utf8mb4, old varchar(9) character set latin1,"
        " zero datetime, raw varbinary(4), blank varchar(9), nothing varchar(9), two_lines text, f double, t time, y year,"
        " kind enum('a', 'b'), doc json)",
        "set sql_mode = ''",
    )
    with shop.server.engine.connect() as connection:
        connection.exec_driver_sql("set session sql_mode = '', time_zone = '+08:00'")
        connection.exec_driver_sql(
            f"insert into {table} values (18446744073709551615, 1.000000000000000000000000000001,"
            " '2026-05-01 10:00:00.123456', '2026-05-01 10:00:00.5', 1, b'100000001', '😀', 'é', '0000-00-00', x'00ff', '',"
            " null, 'a\"b,\nc', 0.1, '-12:30:00', 2026, 'b', '{\"a\": 1}')"
        )
    outcome = shop.pull()
    (row,) = shop.delivered(outcome)
    assert row == {
        "order_id": "18446744073709551615",
        "net": "1.000000000000000000000000000001",
        "ordered_at": "2026-05-01 10:00:00.123456",
        "ts": "2026-05-01 02:00:00.500 +00:00",
        "flag": "1",
        "bits": "257",
        "emoji": "😀",
        "old": "é",
        "zero": "0000-00-00 00:00:00",
        "raw": "\\x00ff",
        "blank": "",
        "nothing": "",
        "two_lines": 'a"b,\nc',
        "f": "0.1",
        "t": "-12:30:00",
        "y": "2026",
        "kind": "b",
        "doc": '{"a": 1}',
    }
    (raw,) = (shop.settings.vault / "raw" / outcome.file_id).iterdir()
    # '' and null are told apart in the delivery
    assert '\\x00ff,"",,' in raw.read_text(encoding="utf-8")
    assert shop.pull().status == "unchanged"


def test_every_postgresql_type_comes_as_the_server_writes_it(postgresql_shop):
    shop = postgresql_shop
    shop.entry |= {"table": shop.server.table(), "cursor": "tz"}
    table = shop.entry["table"]
    shop.server.run(
        f"create table {table} (order_id uuid, net numeric, ordered_at timestamp, tz timestamptz, doc jsonb, tags text[],"
        " raw bytea, flag boolean, f float8, span interval, late timestamp, nums numeric[], day date, blank text, nothing text)",
        f"insert into {table} values ('6f2c1d5e-0000-4000-8000-000000000001', 1.00000000000000000000000000000000000000001,"
        " '2026-05-01 10:00:00', '2026-05-01 10:00:00.25+08', '{\"a\": [1, 2]}', array['x', 'y,z', null], '\\x00ff', true,"
        " 0.1, '1 day 2 hours', 'infinity', array[1.5, 2], '0044-03-15 BC', '', null)",
    )
    outcome = shop.pull()
    (row,) = shop.delivered(outcome)
    assert row == {
        "order_id": "6f2c1d5e-0000-4000-8000-000000000001",
        "net": "1.00000000000000000000000000000000000000001",
        "ordered_at": "2026-05-01 10:00:00",
        "tz": "2026-05-01 02:00:00.25 +00:00",
        "doc": '{"a": [1, 2]}',
        "tags": '{x,"y,z",NULL}',
        "raw": "\\x00ff",
        "flag": "t",
        "f": "0.1",
        "span": "P1DT2H",
        "late": "infinity",
        "nums": "{1.5,2}",
        "day": "0044-03-15 BC",
        "blank": "",
        "nothing": "",
    }
    assert shop.pull().status == "unchanged"


def test_a_long_table_is_pulled_in_bounded_memory(shop):
    shop.orders()
    table, kind = shop.entry["table"], shop.kind
    numbers = {"mysql": "select seq as n from seq_1_to_120000", "postgresql": "select generate_series(1, 120000) as n"}
    moment = {
        "mysql": "date_add('2026-01-01', interval n second)",
        "postgresql": "timestamp '2026-01-01' + n * interval '1s'",
    }
    shop.server.run(
        f"insert into {table} ({ORDERS}) select n, concat('C', n), {moment[kind]}, n / 100.0, {moment[kind]}"
        f" from ({numbers[kind]}) numbers"
    )
    begun = time.monotonic()
    tracemalloc.start()
    outcome = shop.pull()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.line_count == 120_001
    assert [landing.landed for landing in outcome.landings] == [120_000]
    # one batch of 20,000 rows is about 12 MB of Python objects, the whole table 75
    assert peak < 40 << 20
    assert time.monotonic() - begun < 120
    shop.add((120_001, 5, "2026-03-01 00:00:00"))
    assert [landing.landed for landing in shop.pull().landings] == [1]


def test_what_goes_wrong_is_said_in_one_line_without_secrets(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    assert shop.pull().status == "landed"
    good, table = shop.environment["SHOP_URL"], shop.entry["table"]
    host = good.split("@")[1].split("/")[0]
    scheme = good.split("://")[0]

    def trouble(url=good, status="misset", **changed):
        before = dict(shop.entry)
        shop.environment = {"SHOP_URL": url} if url else {}
        shop.entry |= changed
        outcome = shop.pull()
        shop.entry = before
        assert outcome.status == status
        for secret in (host, "s3cret", "nobody_there"):
            assert secret not in outcome.message
        assert "\n" not in outcome.message
        return outcome.message

    assert "the environment variable SHOP_URL is not set" in trouble(None)
    assert "what it delivered last, at 2026-11-20 18:00 UTC, stands" in trouble(None)
    assert "SHOP_URL: the server cannot be reached" in trouble(
        f"{scheme}://nobody_there:s3cret@127.0.0.1:1/x", "unreached"
    )
    assert "no such database" in trouble(good.rsplit("/", 1)[0] + "/nobody_there")
    assert "holds no SQLAlchemy URL" in trouble("s3cret")
    assert "holds the URL of a mssql database" in trouble("mssql://nobody_there:s3cret@host/x")
    assert "no such table" in trouble(table="nobody_there")
    assert "no such column" in trouble(query=f"select nobody_there from {table}", table=None)
    assert "is not valid SQL" in trouble(query="select from from s3cret", table=None)
    assert "no column no_such to be the cursor; its columns: order_id" in trouble(cursor="no_such")
    assert 'did you mean "updated_at"?' in trouble(cursor="Updated_At", query=f"select * from {table}", table=None)
    assert "it holds texts" in trouble(cursor="source_customer_id")
    shop.environment = {"SHOP_URL": good}
    assert shop.pull().status == "unchanged"


def test_a_wrong_password_is_said_without_it(mysql_shop):
    mysql_shop.orders()
    mysql_shop.environment["SHOP_URL"] = mysql_shop.server.url.replace("root@", "root:s3cret@")
    outcome = mysql_shop.pull()
    assert outcome.message == "SHOP_URL: wrong user or password (28000); it never delivered anything"


def test_a_session_cannot_write(shop):
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    with (
        pytest.raises(PullFailed, match="the statement would write; only reading is allowed"),
        reading_session(shop.environment["SHOP_URL"], 1) as connection,
    ):
        connection.exec_driver_sql(f"delete from {shop.entry['table']}")
    assert len(shop.server.run(f"select * from {shop.entry['table']}")) == 1


def test_a_statement_cannot_hang(shop):
    waiting = {"mysql": "select sleep(30) as order_id", "postgresql": "select pg_sleep(30)::text as order_id"}
    shop.entry = {"name": "shop", "url": "SHOP_URL", "entity": "orders", "query": waiting[shop.kind]}
    shop.entry["timeout_minutes"] = 1 / 30
    begun = time.monotonic()
    assert "it took longer than timeout_minutes" in shop.pull().message
    assert time.monotonic() - begun < 15


def test_a_server_that_accepts_and_says_nothing_cannot_hang_a_night(monkeypatch):
    monkeypatch.setattr(database_servers, "CONNECT_SECONDS", 2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for scheme in ("mysql", "postgresql", "oracle"):
            begun = time.monotonic()
            with (
                pytest.raises(PullFailed, match=r"cannot be reached|the connection was lost"),
                reading_session(f"{scheme}://u:s3cret@{address}/x", 1 / 20),
            ):
                pytest.fail("it answered")
            assert time.monotonic() - begun < 20


@pytest.mark.parametrize(("given", "name"), [(None, "orders"), (5, "where"), (datetime(2026, 5, 1, tzinfo=UTC), "at")])
def test_the_statement_is_the_same_for_every_server(given, name):
    entry = Entry("shop", "U", table='a"b', schema="select", cursor=name)
    for dialect, table in (
        (oracle.dialect(), '"select"."a""b"'),
        (postgresql.dialect(), '"select"."a""b"'),
        (mysql.dialect(), '`select`.`a"b`'),
    ):
        compiled = select_statement(entry, given).compile(dialect=dialect)
        written = " ".join(str(compiled).split())
        assert written.startswith(f"SELECT * FROM {table}")
        assert list(compiled.params.values()) == ([] if given is None else [given])
        assert (" WHERE " in written) == (given is not None)


def test_a_query_is_a_subselect_for_oracle_too():
    entry = Entry("shop", "U", query="select a::b, ':c' from t -- d;", cursor="updated_at")
    compiled = select_statement(entry, datetime(2026, 5, 1)).compile(dialect=oracle.dialect())
    assert " ".join(str(compiled).split()) == (
        "SELECT * FROM ( select a::b, ':c' from t -- d ) pulled WHERE updated_at >= :last_pulled"
    )


def test_oracle_numbers_are_fetched_to_their_last_digit():
    oracledb = pytest.importorskip("oracledb")

    class Cursor:
        arraysize = 100

        def var(self, kind, arraysize):
            return kind, arraysize

    class Metadata:
        type_code = oracledb.DB_TYPE_NUMBER

    assert oracle_text(Cursor(), Metadata()) == (oracledb.DB_TYPE_VARCHAR, 100)
    Metadata.type_code = oracledb.DB_TYPE_DATE
    assert oracle_text(Cursor(), Metadata()) is None


def test_an_oracle_error_is_known_by_its_code():
    oracledb = pytest.importorskip("oracledb")
    with pytest.raises(oracledb.Error) as raised:
        oracledb.connect(user="u", password="s3cret", dsn="127.0.0.1:1/x", tcp_connect_timeout=2)
    assert cause_of(raised.value) == "the server cannot be reached (DPY-6005)"


def test_a_pulled_layout_recognises_no_file_of_the_inbox(tmp_path):
    intake = Intake(tmp_path)
    entry = {"name": "shop", "url": "U", "table": "t", "entity": "orders"}
    layouts = all_layouts(replace(intake.settings, database=[entry]))
    assert layouts["database:shop"].entry == "shop"
    assert "database:shop" not in file_layouts(layouts)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layout": "my_order", "entity": None}, 'no layout "my_order"; did you mean "my_orders"?'),
        ({"entity": "order"}, 'no entity "order"; did you mean "orders"?'),
    ],
)
def test_an_entry_names_a_mapping_that_is_there(tmp_path, changed, message):
    entry = {"name": "shop", "url": "U", "table": "t", "entity": "orders"} | changed
    with pytest.raises(SettingsError, match=re.escape(message)):
        all_layouts(replace(Intake(tmp_path).settings, database=[entry]))


def test_columns_that_changed_are_told_and_a_lost_one_of_order_data_stops_the_night(mysql_shop):
    shop = mysql_shop
    shop.orders((1, 10, "2026-05-01 10:00:00"))
    shop.pull()
    table = shop.entry["table"]
    shop.server.run(f"alter table {table} add column coupon varchar(9) default 'X'")
    shop.add((2, 20, "2026-05-02 10:00:00"))
    outcome = shop.pull()
    assert (outcome.status, outcome.schema_change) == ("landed", "added: coupon")
    assert outcome.warnings[0][1].endswith("列有变化：新增列：coupon")
    shop.server.run(f"alter table {table} change ordered_at ordered_time datetime(6)")
    shop.server.run(
        f"insert into {table} (order_id, ordered_time, net, updated_at) values (3, '2026-05-01', 5, '2026-05-03')"
    )
    with pytest.raises(OrderDataStopped, match="it has no column ordered_at, but ordered_time looks like ordered_at"):
        shop.pull()
    shop.server.run(f"alter table {table} change ordered_time ordered_at datetime(6)")
    assert ids(shop.delivered(shop.pull())) == ["3"]


@pytest.mark.parametrize("entity", ["orders", "products"])
def test_an_entry_that_is_gone_is_asked_back_once(mysql_shop, monkeypatch, entity):
    shop = mysql_shop
    shop.entry |= {"table": shop.server.table(), "entity": entity}
    table = shop.entry["table"]
    shop.server.run(
        f"create table {table} (order_id int, ordered_at date, net int, sku int, name varchar(9), updated_at date)"
    )
    for number in (1, 2):
        shop.server.run(f"insert into {table} values ({number}, '2026-05-01', 5, {number}, 'x', '2026-05-0{number}')")
        assert shop.pull().status == "landed"
    data = shop.settings.data_dir
    (data / "settings.toml").write_text('language = "en"\n')
    (shop.settings.inbox / "orders.csv").write_text(order_file(make_order_line()))

    def night(run_id):
        night = Night(read_settings(data, {}), date(2026, 11, 1), run_id, NIGHT + timedelta(days=1), False)
        with closing(night.con):
            take_step(night, *STEPS[0], lambda name, rows: None)
        return night

    mend = 'put [[database]] name = "shop" back into settings.toml, with pull = false'
    if entity == "orders":
        with pytest.raises(NightFailed, match=re.escape(mend)) as stopped:
            night("run 1")
        assert "data/sources" not in str(stopped.value)
        # what was looked at is on record
        files = shop.intake.ledger.rows("select status, layout from files")
        assert files == [{"status": "unknown", "layout": "database:shop"}] * 2
    else:
        (warning,) = [warning for warning in night("run 1").warnings if "shop-" in warning]
        assert mend in warning
    lines = "\n".join(f'{key} = "{value}"' for key, value in shop.entry.items())
    (data / "settings.toml").write_text(f'language = "en"\n[[database]]\n{lines}\npull = false\n')
    assert not [warning for warning in night("run 2").warnings if "shop" in warning]


@pytest.mark.slow
def test_a_night_whose_inbox_is_empty_pulls_lands_and_goes_on_with_what_it_had(mysql_shop, monkeypatch):
    shop = mysql_shop
    shop.orders((1, 10, "2026-05-01 10:00:00"), (2, 20, "2026-05-02 10:00:00"))
    data = shop.settings.data_dir
    lines = "\n".join(f'{key} = "{value}"' for key, value in shop.entry.items())
    (data / "settings.toml").write_text(f'language = "en"\n[[database]]\n{lines}\n', encoding="utf-8")

    def night(day):
        night = Night(read_settings(data, {}), date(2026, 11, day), f"run {day}", NIGHT + timedelta(days=day), False)
        for title, work in STEPS:
            take_step(night, title, work, lambda name, rows: None)
        night.con.close()
        with duckdb.connect(str(shop.settings.warehouse), read_only=True) as con:
            orders = con.execute("select order_id, net::int from core.orders order by order_id").fetchall()
            files = con.execute("select status, layout from ops.files order by observed_at").fetchall()
        return night, orders, files

    monkeypatch.setenv("SHOP_URL", shop.environment["SHOP_URL"])
    _, orders, files = night(1)
    assert orders == [("1", 10), ("2", 20)]
    assert files == [("landed", "database:shop")]
    shop.server.run(f"update {shop.entry['table']} set net = 11, updated_at = '2026-05-03' where order_id = 1")
    done, orders, files = night(2)
    assert orders == [("1", 11), ("2", 20)]
    assert files == [("kept", "database:shop"), ("landed", "database:shop")]
    assert done.lines[:2] == (3, 3)
    monkeypatch.setenv("SHOP_URL", "mysql://nobody:s3cret@127.0.0.1:1/x")
    done, orders, files = night(3)
    assert orders == [("1", 11), ("2", 20)]
    assert files[-1] == ("unreached", "database:shop")
    (warning,) = [warning for warning in done.warnings if "unreached" in warning]
    assert "SHOP_URL: the server cannot be reached (2003); what it delivered last" in warning
    assert "s3cret" not in warning
