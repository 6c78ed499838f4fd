"""Rows of one export: landed, rejected with a reason, or known incompletely; every line accounted for."""

from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest

from pipeline.ingest.land import land_file
from pipeline.ingest.read import profile_file
from pipeline.ingest.rules import Reading
from pipeline.ingest.text_form import open_text
from tests.builders import (
    NIGHT,
    assert_lines_add_up,
    broken,
    customer_file,
    ingest_connection,
    make_customer_layout,
    make_customer_line,
    make_layout,
    make_order_layout,
    make_order_line,
    order_file,
)

REJECTED, EMPTIED = "rejected", "emptied"


class Landed:
    """What became of one entity of a file: its rows, and the vault's listing of broken rules."""

    def __init__(self, landing):
        assert_lines_add_up(landing)
        self.landing = landing
        self.rows = pl.read_parquet(landing.path).sort("file_record").to_dicts() if landing.path else []
        self.rejects = pl.read_parquet(landing.rejects_path).to_dicts() if landing.rejects_path else []
        assert len(self.rows) == landing.record_count
        if landing.rejects is not None:
            assert "raw_line" not in landing.rejects.columns
            assert len(landing.rejects) == len(self.rejects)

    @property
    def lines(self):
        landing = self.landing
        return landing.lines_read, landing.landed, landing.rejected, landing.duplicates


def land(tmp_path, layout, text, currency="CNY", reporting="CNY"):
    """Entity -> Landed of one export text under a layout (a dictionary or YAML)."""
    con = ingest_connection()
    con.execute("set variable file_id = 'f1'")
    con.execute("set variable observed_at = ?", (NIGHT,))
    path = tmp_path / "export.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    layout = make_layout(tmp_path, layout)
    landings = land_file(
        con,
        *open_text(profile_file(path), path.name, {layout.name: layout}, tmp_path),
        layout,
        Reading("Asia/Shanghai", currency, reporting, "86"),
        lambda kind, entity: tmp_path / kind / entity / "f1.parquet",
        tmp_path,
    )
    return {landing.entity: Landed(landing) for landing in landings}


def land_orders(tmp_path, *lines, **overrides):
    return land(tmp_path, make_order_layout(**overrides), order_file(*lines))["orders"]


def land_customers(tmp_path, *lines, **overrides):
    return land(tmp_path, make_customer_layout(**overrides), customer_file(*lines))["customers"]


# good rows


def test_a_valid_order_lands_typed(tmp_path):
    orders = land_orders(tmp_path, make_order_line())
    assert orders.lines == (1, 1, 0, 0)
    assert orders.rejects == []
    [row] = orders.rows
    assert {name: row[name] for name in ("order_id", "source_customer_id", "email", "phone", "instalments")} == {
        "order_id": "O1",
        "source_customer_id": "C1",
        "email": "li@example.com",
        "phone": "+8613800138000",
        "instalments": 3,
    }
    assert row["ordered_at"] == datetime(2026, 5, 1, 2)
    assert (row["net"], row["discount"], row["currency"]) == (Decimal(100), Decimal(5), "CNY")
    assert (row["source"], row["customer_key"], row["file_id"], row["file_record"]) == ("shop", "C1", "f1", 1)
    assert (row["observed_at"], row["delivery"], row["status"]) == (NIGHT, "delta", None)


def test_a_header_alone_lands_no_rows(tmp_path):
    orders = land_orders(tmp_path)
    assert orders.lines == (0, 0, 0, 0)
    assert orders.landing.path.exists()


def test_columns_that_no_contract_asks_for_are_left(tmp_path):
    text = order_file(make_order_line()).replace("订单号", "订单号,备注").replace("O1", "O1,note")
    assert land(tmp_path, make_order_layout(), text)["orders"].lines == (1, 1, 0, 0)


def test_hostile_column_names_can_be_mapped(tmp_path):
    hostile = '"; drop table scratch.raw; --'
    layout = make_order_layout(match={"columns": [hostile, "it's"]})
    layout["entities"]["orders"]["columns"] |= {
        "order_id": hostile,
        "coupon": "it's",
        "status": "cell_net",
        "shipping": "typed_net",
    }
    header = '"""; drop table scratch.raw; --",it\'s,cell_net,typed_net,下单时间,实付,net,reject\n'
    orders = land(tmp_path, layout, header + "O1,'; drop table scratch.checked; --,paid,1,2026-05-01,7,8,9\n")["orders"]
    assert orders.lines == (1, 1, 0, 0)
    [row] = orders.rows
    assert (row["order_id"], row["coupon"], row["status"]) == ("O1", "'; drop table scratch.checked; --", "paid")
    assert (row["shipping"], row["net"]) == (Decimal(1), Decimal(7))


# bad cells


@pytest.mark.parametrize(
    ("cells", "column", "rule"),
    [
        ({"订单号": ""}, "order_id", "missing"),
        ({"下单时间": ""}, "ordered_at", "missing"),
        ({"下单时间": "2026-02-30"}, "ordered_at", "not_a_timestamp"),
        ({"下单时间": "1970-01-01"}, "ordered_at", "below_min"),
        ({"下单时间": "2027-01-01"}, "ordered_at", "in_future"),
        ({"实付": ""}, "net", "missing"),
        ({"实付": "$100"}, "net", "not_a_money"),
        ({"优惠": "five"}, "discount", "not_a_money"),
    ],
)
def test_an_order_with_a_bad_value_that_matters_is_rejected_with_its_line(tmp_path, cells, column, rule):
    bad = make_order_line(**{"订单号": "O2"} | cells)
    orders = land_orders(tmp_path, make_order_line(), bad, make_order_line(订单号="O3"))
    assert orders.lines == (3, 2, 1, 0)
    assert [row["order_id"] for row in orders.rows] == ["O1", "O3"]
    assert broken(orders.rejects) == [(3, column, rule, REJECTED)]
    assert orders.rejects[0]["raw_line"] == bad


@pytest.mark.parametrize(
    ("cells", "column", "rule"),
    [
        ({"邮箱": "nobody"}, "email", "not_a_email"),
        ({"手机": "123"}, "phone", "not_a_phone"),
        ({"分期": "1.5"}, "instalments", "not_a_integer"),
        ({"分期": "-1"}, "instalments", "below_min"),
        ({"修改时间": "2026-02-30"}, "updated_at", "not_a_timestamp"),
    ],
)
def test_a_bad_value_that_is_not_needed_is_emptied_and_listed(tmp_path, cells, column, rule):
    orders = land_orders(tmp_path, make_order_line(**cells))
    assert orders.lines == (1, 1, 0, 0)
    assert orders.rows[0][column] is None
    assert broken(orders.rejects) == [(2, column, rule, EMPTIED)]


def test_several_bad_values_of_a_line_are_all_listed_and_the_line_counts_once(tmp_path):
    orders = land_orders(tmp_path, make_order_line(下单时间="soon", 实付="free", 手机="none"))
    assert orders.lines == (1, 0, 1, 0)
    assert broken(orders.rejects) == [
        (2, "net", "not_a_money", REJECTED),
        (2, "ordered_at", "not_a_timestamp", REJECTED),
    ]


@pytest.mark.parametrize(("text", "amount"), [("￥100.50", "100.50"), ('"￥1,234.50"', "1234.50"), ('"1,234"', "1234")])
def test_an_amount_with_the_files_own_sign_is_read(tmp_path, text, amount):
    assert land_orders(tmp_path, make_order_line(实付=text)).rows[0]["net"] == Decimal(amount)


def test_amounts_in_another_currency_are_rejected_not_relabelled(tmp_path):
    layout = make_order_layout()
    layout["entities"]["orders"]["columns"]["currency"] = "优惠"
    lines = [make_order_line(订单号=f"O{number}", 优惠=word) for number, word in enumerate(["CNY", "usd", ""], start=1)]
    layout["entities"]["orders"]["columns"].pop("discount")
    orders = land(tmp_path, layout, order_file(*lines))["orders"]
    assert orders.lines == (3, 2, 1, 0)
    assert [(row["order_id"], row["currency"]) for row in orders.rows] == [("O1", "CNY"), ("O3", "CNY")]
    assert broken(orders.rejects) == [(3, "currency", "no_exchange_rate", REJECTED)]


def test_a_file_in_another_currency_is_rejected_as_a_whole(tmp_path):
    for layout in (make_order_layout(), make_order_layout()):
        orders = land(tmp_path, layout, order_file(make_order_line(), make_order_line(订单号="O2")), currency="USD")[
            "orders"
        ]
        assert orders.lines == (2, 0, 2, 0)
        assert {rule for _, _, rule, _ in broken(orders.rejects)} == {"no_exchange_rate"}
        layout["entities"]["orders"]["columns"]["currency"] = "优惠"


def test_amounts_of_records_that_tell_no_currency_are_not_relabelled(tmp_path):
    layout = """\
        layout: my_products
        source: shop
        match: {columns: [编码, 价]}
        currency: USD
        entities:
          products:
            columns: {sku: 编码, list_price: 价}
        """
    text = "编码,价\nA,$5.00\nB,\n"
    products = land(tmp_path, layout, text, currency="USD")["products"]
    assert [(row["sku"], row["list_price"]) for row in products.rows] == [("A", None), ("B", None)]
    assert broken(products.rejects) == [(2, "list_price", "no_exchange_rate", EMPTIED)]


def test_a_blank_currency_is_that_of_the_file(tmp_path):
    layout = make_order_layout()
    layout["entities"]["orders"]["columns"] |= {"currency": "优惠", "discount": {"constant": "0"}}
    orders = land(tmp_path, layout, order_file(make_order_line(优惠="")), currency="USD", reporting="CNY")["orders"]
    assert orders.lines == (1, 0, 1, 0)


def test_a_contracts_rule_over_the_whole_row(tmp_path):
    layout = """\
        layout: my_consents
        source: crm
        match: {columns: [客户, 意愿]}
        entities:
          consents:
            columns:
              source_customer_id: 客户
              purpose: {constant: marketing}
              channel: {constant: any}
              status: {column: 意愿, values: {Yes: granted, No: refused}}
        """
    consents = land(tmp_path, layout, "客户,意愿\nC1,Yes\n,No\nC3,maybe\n")["consents"]
    assert consents.lines == (3, 1, 2, 0)
    assert (consents.rows[0]["consent_id"], consents.rows[0]["status"]) == ("f1:1", "granted")
    assert broken(consents.rejects) == [(3, None, "names_somebody", REJECTED), (4, "status", "unknown_value", REJECTED)]


def test_words_are_mapped_and_unknown_ones_emptied(tmp_path):
    customers = land_customers(
        tmp_path,
        make_customer_line(),
        make_customer_line(会员号="C2", 性别="Z"),
        make_customer_line(会员号="C3", 生日="1990-02-30"),
    )
    assert customers.lines == (3, 3, 0, 0)
    assert [row["gender"] for row in customers.rows] == ["male", None, "male"]
    assert [row["birth_date"] for row in customers.rows] == [date(1990, 2, 28), date(1990, 2, 28), None]
    assert broken(customers.rejects) == [
        (3, "gender", "unknown_value", EMPTIED),
        (4, "birth_date", "not_a_date", EMPTIED),
    ]


# lines that are no record


def test_lines_that_are_no_record_are_rejected_beside_bad_cells(tmp_path):
    good = make_order_line()
    text = order_file(
        good,
        "O2,C2",
        "",
        make_order_line(订单号="O3", 实付="x"),
        good.replace("O1", 'O4","'),
        good.replace("O1", '"O5'),
    )
    orders = land(tmp_path, make_order_layout(), text)["orders"]
    assert orders.lines[0] == 5
    assert [row["order_id"] for row in orders.rows] == ["O1"]
    assert [(line, rule) for line, _, rule, _ in broken(orders.rejects)] == [
        (3, "missing_columns"),
        (5, "not_a_money"),
        (6, "unquoted_value"),
        (7, "unclosed_quote"),
    ]
    assert orders.rejects[0]["raw_line"] == "O2,C2"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_line_numbers_and_texts_after_records_of_several_lines(tmp_path, line_end):
    long = make_customer_line(姓名='"李\n雷"')
    lines = [long, make_customer_line(会员号="", 姓名='"韩\n\n梅"'), "", make_customer_line(会员号="C3", 积分="many")]
    text = customer_file(*lines).replace("\n", line_end)
    customers = land(tmp_path, make_customer_layout(), text)["customers"]
    assert customers.lines == (3, 2, 1, 0)
    assert broken(customers.rejects) == [
        (4, "source_customer_id", "missing", REJECTED),
        (8, "loyalty_points", "not_a_integer", EMPTIED),
    ]
    assert customers.rejects[0]["raw_line"] == lines[1].replace("\n", line_end)
    assert customers.rows[0]["name"] == f"李{line_end}雷"


def test_bytes_that_are_no_text_reject_their_line(tmp_path):
    text = order_file(make_order_line(), make_order_line(订单号="O2")).encode().replace(b"O2", b"O\xff\xfe")
    orders = land(tmp_path, make_order_layout(), text)["orders"]
    assert orders.lines == (2, 1, 1, 0)
    assert broken(orders.rejects) == [(3, None, "invalid_encoding", REJECTED)]


def test_a_ragged_line_is_rejected_even_where_the_columns_that_are_mapped_are_there(tmp_path):
    layout = make_order_layout()
    layout["entities"]["orders"]["columns"] = {"order_id": "订单号", "ordered_at": "下单时间", "net": "实付"}
    lines = [make_order_line(), make_order_line(订单号="O2")[:-1], "", make_order_line(订单号="O3") + ",x"]
    orders = land(tmp_path, layout, order_file(*lines))["orders"]
    assert orders.lines == (3, 1, 2, 0)
    assert broken(orders.rejects) == [(3, None, "missing_columns", REJECTED), (5, None, "too_many_columns", REJECTED)]


# required columns


def test_a_missing_required_column_names_column_file_columns_and_lands_nothing(tmp_path):
    text = order_file(make_order_line(), make_order_line(订单号="O2")).replace("实付", "应付")
    orders = land(tmp_path, make_order_layout(), text)["orders"]
    assert orders.lines == (2, 0, 2, 0)
    assert orders.landing.path is None
    assert orders.landing.failed.startswith("required column missing: net (from 实付); the file has 订单号, 客户, ")


def test_a_missing_optional_column_is_null_and_noted(tmp_path):
    orders = land(tmp_path, make_order_layout(), order_file(make_order_line()).replace("优惠", "减免"))["orders"]
    assert orders.lines == (1, 1, 0, 0)
    assert orders.rows[0]["discount"] is None
    assert orders.landing.notes == ("not in this file: 优惠",)


def test_a_sum_that_lacks_a_column_is_null_not_a_smaller_sum(tmp_path):
    layout = make_order_layout()
    layout["entities"]["orders"]["columns"]["gross"] = {"add": ["实付", "优惠", "没有"]}
    orders = land(tmp_path, layout, order_file(make_order_line()))["orders"]
    assert orders.rows[0]["gross"] is None
    assert orders.landing.notes == ("not in this file: 没有",)


# repeated keys


def test_a_key_with_other_content_in_one_file_is_in_conflict_and_all_its_rows_are_rejected(tmp_path):
    lines = [make_order_line(), make_order_line(订单号="O2"), make_order_line(实付="99.00"), make_order_line()]
    orders = land_orders(tmp_path, *lines)
    assert orders.lines == (4, 1, 3, 0)
    assert [row["order_id"] for row in orders.rows] == ["O2"]
    assert broken(orders.rejects) == [(line, "order_id", "conflicting_rows", REJECTED) for line in (2, 4, 5)]
    assert [row["raw_line"] for row in orders.rejects] == [lines[0], lines[2], lines[3]]


def test_a_key_with_other_content_at_another_time_is_a_version(tmp_path):
    first = make_order_line(修改时间="2026-05-02")
    later = make_order_line(修改时间="2026-05-03", 实付="99.00")
    orders = land_orders(tmp_path, first, later, make_order_line(实付="98.00"))
    assert orders.lines == (3, 3, 0, 0)
    same_time = land_orders(tmp_path, later, make_order_line(修改时间="2026-05-03"))
    assert same_time.lines == (2, 0, 2, 0)


def test_exact_duplicates_are_counted_and_land_once(tmp_path):
    orders = land_orders(
        tmp_path, make_order_line(), make_order_line(订单号="O2"), make_order_line(), make_order_line()
    )
    assert orders.lines == (4, 2, 0, 2)
    assert [(row["order_id"], row["file_record"]) for row in orders.rows] == [("O1", 1), ("O2", 2)]


def test_a_rejected_row_does_not_take_its_good_twin_with_it(tmp_path):
    orders = land_orders(tmp_path, make_order_line(实付="free"), make_order_line())
    assert orders.lines == (2, 1, 1, 0)
    assert orders.rows[0]["net"] == Decimal(100)


def test_without_an_id_equal_lines_are_two_records(tmp_path):
    layout = make_order_layout()
    layout["entities"]["orders"]["columns"].pop("order_id")
    orders = land(tmp_path, layout, order_file(make_order_line(), make_order_line()))["orders"]
    assert orders.lines == (2, 2, 0, 0)
    assert [row["order_id"] for row in orders.rows] == ["f1:1", "f1:2"]


# who bought


@pytest.mark.parametrize(
    ("cells", "begins"),
    [
        ({}, "C1"),
        ({"客户": ""}, "e:"),
        ({"客户": "", "邮箱": ""}, "p:"),
        ({"客户": "", "邮箱": "nobody"}, "p:"),
        ({"客户": "", "邮箱": "", "手机": ""}, None),
    ],
)
def test_the_customer_key_is_the_id_else_a_keyed_hash_else_nobody(tmp_path, cells, begins):
    orders = land_orders(tmp_path, make_order_line(**cells))
    assert orders.lines == (1, 1, 0, 0)
    key = orders.rows[0]["customer_key"]
    assert key is None if begins is None else key.startswith(begins)
    assert key is None or "example" not in key and "138" not in key[:5]


def test_a_source_whose_ids_are_personal_shows_a_hash_outside_the_vault(tmp_path):
    orders = land_orders(tmp_path, make_order_line(客户="13800138000"), personal_ids=True)
    key = orders.rows[0]["customer_key"]
    assert key.startswith("h:")
    assert len(key) == 34
    again = land_customers(tmp_path, make_customer_line(会员号="13800138000"), personal_ids=True)
    assert again.rows[0]["customer_key"] == key


# several lines that are one record

BASKETS = """\
layout: my_baskets
source: till
match: {columns: [basket, at, article, price]}
entities:
  orders:
    fold: true
    columns:
      order_id: basket
      source_customer_id: who
      ordered_at: at
      net: {add: [price], subtract: [off], fold: sum}
      payment_method: paid_by
  order_items:
    columns:
      order_id: basket
      line: {from: record_number}
      sku: article
      quantity: {constant: 1}
      amount: price
"""


def land_baskets(tmp_path, *lines):
    landed = land(tmp_path, BASKETS, "\n".join(["basket,who,at,article,price,off,paid_by", *lines]) + "\n")
    return landed["orders"], landed["order_items"]


def test_lines_fold_into_one_record_and_stay_lines_of_another(tmp_path):
    orders, items = land_baskets(
        tmp_path, "B1,C1,2026-05-01,A,10,1,", "B2,C2,2026-05-01,A,5,,card", "B1,C1,2026-05-01,B,2.50,,cash"
    )
    assert orders.lines == (3, 3, 0, 0)
    assert items.lines == (3, 3, 0, 0)
    assert [(row["order_id"], row["net"], row["payment_method"], row["file_record"]) for row in orders.rows] == [
        ("B1", Decimal("11.5"), "cash", 1),
        ("B2", Decimal(5), "card", 2),
    ]


@pytest.mark.parametrize(
    ("line", "column"),
    [("B1,C2,2026-05-01,B,2,,", "source_customer_id"), ("B1,C1,2026-05-02,B,2,,", "ordered_at")],
)
def test_lines_of_one_record_that_differ_in_who_or_when_reject_it(tmp_path, line, column):
    orders, items = land_baskets(tmp_path, "B1,C1,2026-05-01,A,10,,", "B2,C2,2026-05-01,A,5,,", line)
    assert orders.lines == (3, 1, 2, 0)
    assert items.lines == (3, 3, 0, 0)
    assert broken(orders.rejects) == [(line, column, "differs_between_lines", REJECTED) for line in (2, 4)]


def test_a_bad_line_rejects_its_record_and_each_line_has_a_reason(tmp_path):
    orders, items = land_baskets(tmp_path, "B1,C1,2026-05-01,A,10,,", "B1,C1,2026-05-01,B,x,,", ",C1,2026-05-01,B,1,,")
    assert orders.lines == (3, 0, 3, 0)
    assert items.lines == (3, 1, 2, 0)
    assert broken(orders.rejects) == [
        (2, "net", "not_a_money", REJECTED),
        (3, "net", "not_a_money", REJECTED),
        (4, "order_id", "missing", REJECTED),
    ]


def test_a_value_may_stand_on_the_first_line_alone(tmp_path):
    orders, _ = land_baskets(tmp_path, "B1,C1,2026-05-01,A,10,,", "B1,,,B,2,,")
    assert orders.lines == (2, 2, 0, 0)
    assert (orders.rows[0]["net"], orders.rows[0]["source_customer_id"]) == (Decimal(12), "C1")
    orders, _ = land_baskets(tmp_path, "B1,C1,,A,10,,", "B1,,,B,2,,")
    assert orders.lines == (2, 0, 2, 0)
    assert broken(orders.rejects) == [(line, "ordered_at", "missing", REJECTED) for line in (2, 3)]


def test_a_sum_must_be_in_range_not_its_parts(tmp_path):
    layout = BASKETS.replace("payment_method: paid_by", "refunded_amount: {add: [off], fold: sum}")
    text = "basket,who,at,article,price,off\nB1,C1,2026-05-01,A,9,5\nB1,C1,2026-05-01,B,9,-3\nB2,C1,2026-05-01,A,9,-1\n"
    orders = land(tmp_path, layout, text)["orders"]
    assert orders.lines == (3, 2, 1, 0)
    assert (orders.rows[0]["net"], orders.rows[0]["refunded_amount"]) == (Decimal(16), Decimal(2))
    assert broken(orders.rejects) == [(4, "refunded_amount", "below_min", REJECTED)]


@pytest.mark.slow
def test_many_rejected_lines(tmp_path):
    lines = [make_order_line(订单号=f"O{number}", 实付="x" if number % 2 else "1") for number in range(60_000)]
    orders = land_orders(tmp_path, *lines)
    assert orders.lines == (60_000, 30_000, 30_000, 0)
    assert orders.rejects[0]["line"] == 3
