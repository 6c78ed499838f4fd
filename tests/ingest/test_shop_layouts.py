"""Exports of shop systems, from file to landed rows: orders, lines, buyers and payments as worked out by hand."""

import csv
import io
import json
import random
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.rates import Rates, define_rates
from tests.builders import Intake, ingest_connection, our_layouts

FIXTURES = Path(__file__).parent / "fixtures"
SHOPS = ("shopify", "taobao", "jd", "youzan")
# as each system writes its files
ENCODINGS = {
    "shopify_orders.csv": "utf-8",
    "shopify_customers.csv": "utf-8",
    "shopify_customers_by_email.csv": "utf-8",
    "taobao_orders.csv": "gbk",
    "taobao_orders.2.csv": "utf-8-sig",
    "taobao_order_items.csv": "gbk",
    "jd_orders.csv": "gbk",
    "youzan_customers.csv": "utf-8-sig",
    "youzan_orders.csv": "utf-8-sig",
    "youzan_order_items.csv": "utf-8-sig",
}
OF_THE_FILE = {"file_id", "observed_at"}


def march(day, hour, minute, second=0):
    """A moment of March 2024, UTC."""
    return datetime(2024, 3, day, hour, minute, second)


def table(columns, *rows):
    """The rows that an entity must have, of these columns."""
    return [dict(zip(columns.split(), row, strict=True)) for row in rows]


ORDER = "order_id status ordered_at gross discount shipping tax net refunded_amount payment_method"
LINE = "order_id line sku quantity unit_price discount amount"
PAYMENT = "payment_id order_id method amount paid_at"

# per file and entity: (lines read, landed, rejected, duplicates), and the rows
EXPECTED = {
    "shopify_orders.csv": {
        "orders": (
            (6, 6, 0, 0),
            table(
                f"{ORDER} email phone cancelled_at coupon sales_channel",
                (
                    *("#1001", "shipped", march(1, 2, 22, 33), 200, 20, 10, 0, 190, 0, "alipay"),
                    *("ann@example.com", "+8613800000002", None, "SPRING", "online"),
                ),
                ("#1002", "shipped", march(2, 10, 0), 60, 0, 0, 6, 66, 0, "cash", None, None, None, None, "store"),
                (
                    *("#1003", "shipped", march(2, 23, 59), 100, 0, 0, 0, 100, 30, "card"),
                    *("bob@example.com", None, None, None, "online"),
                ),
                (
                    *("#1004", "refunded", march(4, 3, 59), 50, 0, 0, 0, 50, 50, "alipay"),
                    *("ann@example.com", "+8613800000002", march(5, 1, 30), None, "online"),
                ),
                (
                    *("#1005", "pending", march(5, 12, 15), 1200, 0, 0, 0, 1200, 0, "bank_transfer"),
                    *(None, "+8613800000003", None, None, "staff"),
                ),
            ),
        ),
        "order_items": (
            (6, 6, 0, 0),
            table(
                f"{LINE} name brand",
                ("#1001", "1", "00123", 1, 100, 0, 100, "Teapot, small", "Leaf & Cup"),
                ("#1001", "2", "TEA-1", 2, 50, 20, 80, "Green tea", "Leaf & Cup"),
                ("#1002", "1", "CUP", 3, 20, 0, 60, "Cup", "Leaf & Cup"),
                ("#1003", "1", "00123", 1, 100, 0, 100, "Teapot, small", "Leaf & Cup"),
                ("#1004", "1", "TEA-1", 1, 50, 0, 50, "Green tea", "Leaf & Cup"),
                ("#1005", "1", "POT-L", 12, 100, 0, 1200, "Teapot, large", "Leaf & Cup"),
            ),
        ),
        # the second line of #1001 says again what the first says; #1002 was bought at a till by nobody known
        "customers": (
            (5, 4, 0, 1),
            table(
                "source_customer_id name phone address postal_code email_marketing_allowed updated_at",
                (
                    *("ann@example.com", "Ann Zhang", "+8613800000002", "1 Wensan Road, Unit 2", "310000"),
                    *(True, march(1, 2, 22, 33)),
                ),
                ("bob@example.com", "Bob Müller", None, "Teestr. 5", "10115", False, march(2, 23, 59)),
                (
                    *("ann@example.com", "Ann Zhang", "+8613800000002", "1 Wensan Road, Unit 2", "310000"),
                    *(True, march(4, 3, 59)),
                ),
                ("+8613800000003", "李四", "+8613800000003", "人民路 2 号", "315000", False, march(5, 12, 15)),
            ),
        ),
        "payments": (
            (4, 4, 0, 0),
            table(
                PAYMENT,
                ("#1001", "#1001", "alipay", 190, march(1, 2, 22, 35)),
                ("#1002", "#1002", "cash", 66, march(2, 10, 0)),
                ("#1003", "#1003", "card", 100, march(3, 0, 0)),
                ("#1004", "#1004", "alipay", 50, march(4, 4, 0)),
            ),
        ),
    },
    "shopify_customers.csv": {
        "customers": (
            (3, 3, 0, 0),
            table(
                "source_customer_id name given_name surname company email phone address postal_code"
                " email_marketing_allowed sms_marketing_allowed",
                (
                    *("6600000000001", "Ann Zhang", "Ann", "Zhang", "Leaf Ltd", "ann@example.com", "+8613800000002"),
                    *("1 Wensan Road, Unit 2", "310000", True, False),
                ),
                (
                    *("6600000000002", "Bob Müller", "Bob", "Müller", None, "bob@example.com", None),
                    *("Teestr. 5", "10115", False, False),
                ),
                ("6600000000003", "李四", None, "李四", None, None, "+8613800000003", None, None, False, True),
            ),
        )
    },
    "shopify_customers_by_email.csv": {
        "customers": (
            (2, 2, 0, 0),
            table(
                "source_customer_id name email phone email_marketing_allowed sms_marketing_allowed",
                ("ann@example.com", "Ann Zhang", "ann@example.com", "+8613800000002", True, False),
                ("+8613800000003", "李四", None, "+8613800000003", False, True),
            ),
        )
    },
    "taobao_orders.csv": {
        "orders": (
            (4, 4, 0, 0),
            table(
                f"{ORDER} source_customer_id phone sales_channel",
                (
                    *("2100000000000000001", "completed", march(1, 2, 22, 33), 1180, 15, 10, None, 1175, None, None),
                    *("爱喝茶的猫", "+8613800000002", "marketplace"),
                ),
                (
                    *("2100000000000000002", "pending", march(2, 15, 30), 50, 0, 0, None, 0, None, None),
                    *("teatime_99", "+8613800000003", "marketplace"),
                ),
                (
                    *("2100000000000000003", "cancelled", march(3, 0, 0), 60, 0, 6, None, 0, None, None),
                    *("爱喝茶的猫", "+8613800000002", "marketplace"),
                ),
                (
                    *("2100000000000000004", "shipped", march(4, 4, 0), 80, 0, 0, None, 80, None, None),
                    *(None, None, "marketplace"),
                ),
            ),
        ),
        # t**9 may be many people
        "customers": (
            (3, 3, 0, 0),
            table(
                "source_customer_id name phone social_account address updated_at",
                (
                    *("爱喝茶的猫", "张三", "+8613800000002", "zhangsan@example.com"),
                    *("浙江省 杭州市 西湖区 文三路 1 号", march(1, 2, 22, 33)),
                ),
                (
                    *("teatime_99", "李四", "+8613800000003", None),
                    *("上海 上海市 浦东新区 世纪大道 2 号", march(2, 15, 30)),
                ),
                (
                    *("爱喝茶的猫", "张三", "+8613800000002", "zhangsan@example.com"),
                    *("浙江省 杭州市 西湖区 文三路 1 号", march(3, 0, 0)),
                ),
            ),
        ),
        "payments": (
            (3, 3, 0, 0),
            table(
                PAYMENT,
                ("2100000000000000001", "2100000000000000001", None, 1175, march(1, 2, 23)),
                ("2100000000000000003", "2100000000000000003", None, 0, march(3, 0, 1)),
                ("2100000000000000004", "2100000000000000004", None, 80, march(4, 4, 0, 30)),
            ),
        ),
    },
    "taobao_orders.2.csv": {
        "orders": (
            (2, 2, 0, 0),
            table(
                "order_id status ordered_at gross discount shipping net source_customer_id phone",
                (
                    *("2100000000000000011", "paid", datetime(2024, 4, 1, 2, 22, 33), 180, None, 10, 190),
                    *("爱喝茶的猫", "+8613800000002"),
                ),
                (
                    *("2100000000000000012", "paid", datetime(2024, 4, 2, 15, 30), 50, None, 0, 50),
                    *("teatime_99", "+862160000003"),
                ),
            ),
        ),
        "customers": (
            (2, 2, 0, 0),
            table("source_customer_id name", ("爱喝茶的猫", "张三"), ("teatime_99", "李四")),
        ),
        "payments": (
            (2, 2, 0, 0),
            table("payment_id amount", ("2100000000000000011", 190), ("2100000000000000012", 50)),
        ),
    },
    "taobao_order_items.csv": {
        "order_items": (
            (3, 3, 0, 0),
            table(
                f"{LINE} name",
                ("2100000000000000001", "1", "00123", 1, 1080, None, 1080, "紫砂壶 小号"),
                ("2100000000000000001", "2", "W-2", 2, 50, None, 100, "绿茶"),
                ("2100000000000000003", "1", "CUP", 3, 20, None, 60, "茶杯"),
            ),
        )
    },
    "jd_orders.csv": {
        # 236 to pay and 50 from the balance are 286; 300 of goods and 6 of shipping less 286 are a discount of 20
        "orders": (
            (4, 4, 0, 0),
            table(
                f"{ORDER} source_customer_id phone",
                (
                    *("290000000001", "completed", march(1, 2, 22, 33), 300, 20, 6, None, 286, None),
                    *("online_payment", "jd_tea01", "+8613800000002"),
                ),
                (
                    *("290000000002", "cancelled", march(2, 15, 30), 50, 0, 0, None, 50, None),
                    *("cash_on_delivery", "jd_cup02", "+8613800000003"),
                ),
                (
                    *("290000000003", "pending", march(3, 0, 0), 1200, 0, 0, None, 1200, None),
                    *("online_payment", None, None),
                ),
            ),
        ),
        "order_items": (
            (4, 4, 0, 0),
            table(
                f"{LINE} name",
                ("290000000001", "1", "00123", 2, 100, None, 200, "紫砂壶, 小号"),
                ("290000000001", "2", "10000000002", 4, 25, None, 100, "绿茶"),
                ("290000000002", "1", "10000000002", 2, 25, None, 50, "绿茶"),
                ("290000000003", "1", "POT-L", 1, 1200, None, 1200, "紫砂壶 大号"),
            ),
        ),
        "customers": (
            (3, 2, 0, 1),
            table(
                "source_customer_id name phone address updated_at",
                ("jd_tea01", "张三", "+8613800000002", "浙江杭州市西湖区文三路1号", march(1, 2, 22, 33)),
                ("jd_cup02", "李四", "+8613800000003", "上海浦东新区世纪大道2号", march(2, 15, 30)),
            ),
        ),
        "payments": (
            (2, 2, 0, 0),
            table(PAYMENT, ("290000000001", "290000000001", "online_payment", 286, march(1, 2, 23))),
        ),
    },
    "youzan_customers.csv": {
        "customers": (
            (3, 3, 0, 0),
            table(
                "name gender birth_date phone registered_at owner loyalty_tier loyalty_points acquisition_channel",
                (
                    *("张三", "female", date(1990, 2, 28), "+8613800000002", datetime(2023, 5, 1, 1), "小王"),
                    *("黄金会员", 1250, "微信小程序"),
                ),
                ("微信用户", None, None, None, datetime(2023, 6, 1, 15, 30), None, None, 0, "扫码"),
                ("微信用户", "male", None, None, datetime(2023, 6, 2, 15, 30), None, None, 10, None),
            ),
        )
    },
    "youzan_orders.csv": {
        "orders": (
            (3, 3, 0, 0),
            table(
                f"{ORDER} phone sales_channel",
                (
                    *("E20240301102233000000001", "completed", march(1, 2, 22, 33), 200, 20, 10, None, 190, 0),
                    *("wechat_pay", "+8613800000002", "online"),
                ),
                (
                    *("E20240302233000000000002", "pending", march(2, 15, 30), 50, 0, 0, None, 0, 0),
                    *(None, None, "store"),
                ),
                (
                    *("E20240303080000000000003", "shipped", march(3, 0, 0), 60, 0, 5, None, 65, 20),
                    *("store_credit", "+8613800000002", "online"),
                ),
            ),
        ),
        "customers": (
            (2, 2, 0, 0),
            table(
                "source_customer_id name phone address updated_at",
                ("+8613800000002", None, "+8613800000002", "文三路 1 号", march(1, 2, 22, 33)),
                ("+8613800000002", None, "+8613800000002", "人民路 2 号", march(3, 0, 0)),
            ),
        ),
        "payments": (
            (2, 2, 0, 0),
            table(
                PAYMENT,
                (*("E20240301102233000000001",) * 2, "wechat_pay", 190, march(1, 2, 23)),
                (*("E20240303080000000000003",) * 2, "store_credit", 65, march(3, 0, 1)),
            ),
        ),
    },
    "youzan_order_items.csv": {
        "order_items": (
            (3, 3, 0, 0),
            table(
                f"{LINE} name category unit_cost",
                ("E20240301102233000000001", "1", "00123", 1, 100, 10, 90, "紫砂壶", "茶具", 40),
                ("E20240301102233000000001", "2", "TEA-1", 2, 50, 10, 90, "绿茶", "茶叶", None),
                ("E20240303080000000000003", "1", "CUP", 3, 20, 0, 60, "茶杯", "茶具", None),
            ),
        )
    },
}


def records_of(name):
    with (FIXTURES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def text_of(records):
    written = io.StringIO()
    csv.writer(written).writerows(records)
    return written.getvalue()


def landed(folder, name, records=None):
    """Entity -> (lines, rows) of a fixture, or of its records as altered, under a name that says nothing."""
    folder.mkdir()
    intake = Intake(folder)
    outcome = intake.take("export (1).csv", text_of(records or records_of(name)).encode(ENCODINGS[name]))
    assert (outcome.status, outcome.layout) == ("landed", name.split(".")[0]), outcome.message
    return {
        landing.entity: (
            (landing.lines_read, landing.landed, landing.rejected, landing.duplicates),
            [{key: row[key] for key in row if key not in OF_THE_FILE} for row in intake.landed(landing)],
        )
        for landing in outcome.landings
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What landed of a fixture as it stands, once for all tests."""
    return cache(lambda name: landed(tmp_path_factory.mktemp("whole") / "data", name))


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_lands_as_worked_out_by_hand(whole, name):
    found = whole(name)
    assert set(found) == set(EXPECTED[name])
    for entity, (lines, rows) in EXPECTED[name].items():
        assert found[entity][0] == lines, entity
        assert [{key: row[key] for key in wanted} for wanted, row in zip(rows, found[entity][1], strict=True)] == rows


@pytest.mark.parametrize("name", EXPECTED)
def test_columns_may_stand_in_any_order_be_missing_or_more(tmp_path, whole, name):
    layout = our_layouts()[name.split(".")[0]]
    used = {column for entity in layout.entities.values() for column in entity.source_columns()} | layout.match_columns
    used |= {other for column in used for other in layout.also_called.get(column, ())}
    header, *lines = records_of(name)
    places = [place for place, column in enumerate(header) if column in used]
    random.Random(7).shuffle(places)
    altered = [[header[place] for place in places] + ["我们加的一列"]]
    altered += [[line[place] for place in places] + [f"a note, {number}"] for number, line in enumerate(lines)]
    assert landed(tmp_path / "altered", name, altered) == whole(name)


@pytest.mark.parametrize(
    ("name", "column", "entity", "contract_column"),
    [
        ("shopify_orders.csv", "Discount Code", "orders", "coupon"),
        ("shopify_orders.csv", "Refunded Amount", "orders", "refunded_amount"),
        ("taobao_orders.csv", "积分抵扣", "orders", "discount"),
        ("jd_orders.csv", "运费金额", "orders", "shipping"),
        ("youzan_order_items.csv", "商品成本价", "order_items", "unit_cost"),
    ],
)
def test_without_an_optional_column_all_else_lands(tmp_path, whole, name, column, entity, contract_column):
    records = records_of(name)
    gone = records[0].index(column)
    less = landed(tmp_path / "less", name, [line[:gone] + line[gone + 1 :] for line in records])[entity]
    full = whole(name)[entity]
    assert less[0] == full[0]
    assert all(row[contract_column] is None for row in less[1])
    kept = [name for name in full[1][0] if name not in (contract_column, "discount")]
    assert [[row[name] for name in kept] for row in less[1]] == [[row[name] for name in kept] for row in full[1]]


@pytest.mark.parametrize("name", ["shopify_orders.csv", "taobao_orders.csv", "jd_orders.csv", "youzan_orders.csv"])
def test_net_is_goods_less_discount_with_shipping_and_tax(whole, name):
    # what Taobao and Youzan say was paid is nothing before it is paid, and after all of it was given back
    orders = [row for row in whole(name)["orders"][1] if row["net"] != 0]
    assert len(orders) >= 2
    for row in orders:
        assert row["gross"] - row["discount"] + row["shipping"] + (row["tax"] or 0) == row["net"], row["order_id"]


@pytest.mark.parametrize(
    ("orders", "lines"),
    [("shopify_orders.csv",) * 2, ("jd_orders.csv",) * 2, ("youzan_orders.csv", "youzan_order_items.csv")],
)
def test_lines_add_up_to_their_order(whole, orders, lines):
    amounts = {}
    for row in whole(lines)["order_items"][1]:
        amounts[row["order_id"]] = amounts.get(row["order_id"], 0) + row["amount"]
    rows = {row["order_id"]: row for row in whole(orders)["orders"][1]}
    assert amounts
    for order_id, amount in amounts.items():
        row = rows[order_id]
        # JD states what an order's discounts take off for the order alone
        discount = row["discount"] if orders == "jd_orders.csv" else 0
        assert amount - discount + row["shipping"] + (row["tax"] or 0) == row["net"], order_id


@pytest.mark.parametrize(
    "name", ["shopify_orders.csv", "taobao_order_items.csv", "jd_orders.csv", "youzan_order_items.csv"]
)
def test_a_line_has_its_number_in_any_export_of_its_order(tmp_path, whole, name):
    header, *lines = records_of(name)
    # the lines of the first order after all others
    again = landed(tmp_path / "again", name, [header, *lines[2:], *lines[:2]])["order_items"][1]
    first = whole(name)["order_items"][1]
    identity = ("order_id", "line", "sku", "amount")
    assert {tuple(row[key] for key in identity) for row in again} == {
        tuple(row[key] for key in identity) for row in first
    }


@pytest.mark.parametrize("name", ["shopify_orders.csv", "taobao_orders.csv", "jd_orders.csv", "youzan_orders.csv"])
def test_an_order_and_its_buyer_have_one_key_which_shows_nobody(whole, name):
    found = whole(name)
    buyers = {row["customer_key"]: row["source_customer_id"] for row in found["customers"][1]}
    keyed = {row["customer_key"]: row["source_customer_id"] for row in found["orders"][1] if row["customer_key"]}
    assert keyed == buyers
    assert all(key.startswith("h:") for key in keyed)
    assert any(row["customer_key"] is None for row in found["orders"][1])


def test_a_shopify_buyer_is_the_customer_of_that_address(whole):
    orders = whole("shopify_orders.csv")["customers"][1]
    customers = whole("shopify_customers_by_email.csv")["customers"][1]
    assert {row["customer_key"] for row in customers} < {row["customer_key"] for row in orders}


def test_many_may_share_a_masked_phone_and_stay_apart(whole):
    rows = whole("youzan_customers.csv")["customers"][1]
    assert len({row["customer_key"] for row in rows}) == 3


def test_an_edition_that_repeats_the_address_on_later_lines_has_the_same_buyers(tmp_path, whole):
    header, first, second, *others = records_of("shopify_orders.csv")
    email = header.index("Email")
    second[email] = first[email]
    records = [header, first, second, *others]
    assert landed(tmp_path / "repeated", "shopify_orders.csv", records) == whole("shopify_orders.csv")


def altered(changes):
    """Records of shopify_orders, with other cells: (line, column) -> text."""
    header, *lines = records_of("shopify_orders.csv")
    for (line, column), text in changes.items():
        lines[line][header.index(column)] = text
    return [header, *lines]


def test_an_order_of_several_lines_in_another_currency_lands_whole(tmp_path, monkeypatch):
    rates = Rates({("USD", date(2024, 3, 1)): Decimal("7.2")})
    con = ingest_connection()
    con.remove_function("exchange_rate_on")
    define_rates(con, rates, "Asia/Shanghai")
    monkeypatch.setattr("tests.builders.ingest_connection", lambda: con)
    changes = {(0, "Currency"): "USD", (0, "Total"): "$190.00"}
    found = {
        entity: [row for row in rows if row.get("order_id") == "#1001"]
        for entity, (_, rows) in landed(tmp_path / "usd", "shopify_orders.csv", altered(changes)).items()
    }
    [order] = found["orders"]
    assert (order["currency"], order["net"], order["exchange_rate"]) == ("USD", 190, Decimal("7.2"))
    assert [(row["currency"], row["amount"]) for row in found["order_items"]] == [("USD", 100), ("USD", 80)]
    [payment] = found["payments"]
    assert (payment["currency"], payment["amount"], payment["exchange_rate"]) == ("USD", 190, Decimal("7.2"))


def test_an_order_of_several_lines_in_a_currency_without_a_rate_is_rejected_as_such(tmp_path):
    many = [[f"#2{place:03}", *cells[1:]] for place, cells in enumerate([altered({})[3]] * 200)]
    intake = Intake(tmp_path)
    outcome = intake.take("o.csv", text_of([*altered({(0, "Currency"): "USD"}), *many]))
    orders = next(landing for landing in outcome.landings if landing.entity == "orders")
    told = [(row["line"], row["column_name"], row["rule"]) for row in intake.rejects(orders)]
    assert told == [(line, "currency", "no_exchange_rate") for line in (2, 3)]


def test_the_buyers_address_may_be_written_otherwise_on_another_line(tmp_path, whole):
    changes = {(0, "Email"): "Ann@Example.com", (1, "Email"): "ann@example.COM"}
    assert landed(tmp_path / "case", "shopify_orders.csv", altered(changes)) == whole("shopify_orders.csv")


def test_a_buyer_known_by_phone_has_one_key_however_it_is_written(tmp_path, whole):
    changes = {(5, "Phone"): "138 0000 0003"}
    assert landed(tmp_path / "phone", "shopify_orders.csv", altered(changes)) == whole("shopify_orders.csv")


def test_what_is_outstanding_was_not_paid(tmp_path):
    changes = {(0, "Financial Status"): "partially_paid", (0, "Outstanding Balance"): "50.00"}
    rows = landed(tmp_path / "part", "shopify_orders.csv", altered(changes))["payments"][1]
    assert (rows[0]["order_id"], rows[0]["amount"]) == ("#1001", 140)


def test_an_edition_without_what_is_outstanding_pays_the_total(tmp_path, whole):
    records = records_of("shopify_orders.csv")
    gone = records[0].index("Outstanding Balance")
    less = landed(tmp_path / "less", "shopify_orders.csv", [line[:gone] + line[gone + 1 :] for line in records])
    assert less == whole("shopify_orders.csv")


def test_places_come_from_one_address(whole):
    places = [
        [row[key] for key in ("country", "province", "city", "district")]
        for name in ("shopify_orders.csv", "taobao_orders.csv", "youzan_orders.csv")
        for row in whole(name)["customers"][1][:2]
    ]
    assert places == [
        ["CN", "Zhejiang", "Hangzhou", None],
        ["DE", None, "Berlin", None],
        [None, "浙江省", "杭州市", "西湖区"],
        [None, "上海", "上海市", "浦东新区"],
        [None, "浙江省", "杭州市", "西湖区"],
        [None, "浙江省", "宁波市", "海曙区"],
    ]


def test_every_status_word_means_a_status_of_the_contract():
    known = set(load_contracts()["orders"].columns["status"].values)
    words = {
        layout.name: layout.entities["orders"].columns["status"].values
        for layout in our_layouts().values()
        if layout.source in SHOPS and "orders" in layout.entities
    }
    assert set(words) == {"shopify_orders", "taobao_orders", "jd_orders", "youzan_orders"}
    assert all(set(meanings.values()) <= known for meanings in words.values())


@pytest.mark.parametrize("word", ["on_hold", "scheduled", "in_progress"])
def test_an_order_that_waits_to_be_sent_has_the_status_of_its_money(tmp_path, word):
    header, first, *_ = records_of("shopify_orders.csv")
    status, money = header.index("Fulfillment Status"), header.index("Financial Status")
    lines = []
    for number, paid in enumerate(["paid", "partially_refunded", "pending", "voided", "refunded"]):
        line = list(first)
        line[0], line[status], line[money] = f"#{number}", word, paid
        lines.append(line)
    found = landed(tmp_path / "waiting", "shopify_orders.csv", [header, *lines])
    assert [row["status"] for row in found["orders"][1]] == ["paid", "paid", "pending", "cancelled", "refunded"]


def test_where_a_marketplace_order_came_from_is_kept(tmp_path):
    intake = Intake(tmp_path)
    outcome = intake.take("export.csv", text_of(records_of("jd_orders.csv")).encode(ENCODINGS["jd_orders.csv"]))
    kept = json.loads(intake.landed(outcome.landings[0])[0]["custom"])
    assert kept == {"订单来源": "手机", "订单渠道": "京东商城"}
