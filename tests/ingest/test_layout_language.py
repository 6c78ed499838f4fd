"""What a layout can say of a column: several names, the first that is filled, joined, a place, carried cells, kept columns."""

import json
import re
from datetime import datetime
from decimal import Decimal

import pytest

from pipeline.ingest.contracts import ContractError
from pipeline.ingest.recognition import fitted, header_key, nearest_layout, recognise
from pipeline.ingest.sources import load_layouts
from tests.builders import (
    make_customer_layout,
    make_layout,
    make_order_layout,
    make_order_line,
    order_file,
    write_layout,
)
from tests.ingest.test_land import REJECTED, broken, land

SHOP = """\
layout: my_shop
source: shop
match: {columns: [Name, Email, Lineitem name]}
personal_ids: true
entities:
  orders:
    fold: true
    columns:
      order_id: Name
      source_customer_id: [Email, Phone]
      email: Email
      ordered_at: Created at
      net: Total
  order_items:
    columns:
      order_id: Name
      line: {from: place, within: order_id}
      name: Lineitem name
      quantity: {constant: 1}
      amount: Price
  customers:
    carry_by: Name
    needs: [Email, Phone]
    columns:
      source_customer_id: [Email, Phone]
      name: {join: [First, Last], with: " "}
      email: Email
      phone: [Phone, Billing phone]
      updated_at: Created at
  payments:
    fold: true
    needs: [Paid at]
    carry_by: Name
    columns:
      payment_id: Name
      order_id: Name
      amount: Total
      paid_at: Paid at
"""
HEADER = "Name,Email,Phone,Billing phone,First,Last,Created at,Paid at,Total,Lineitem name,Price"


def land_shop(tmp_path, *lines):
    return land(tmp_path, SHOP, "\n".join([HEADER, *lines]) + "\n")


def test_one_order_file_feeds_orders_lines_buyers_and_payments(tmp_path):
    landed = land_shop(
        tmp_path,
        "#1,ann@example.com,,13800138000,Ann,Lee,2026-05-01 10:00,2026-05-01 10:05,30,Tea,10",
        "#1,,,,,,,,,Cup,20",
        "#2,,13900139000,,,Wu,2026-05-02 10:00,,5,Tea,5",
        "#3,,,,,,2026-05-03 10:00,2026-05-03 10:00,7,Tea,7",
    )
    orders, items, customers, payments = (landed[name] for name in ("orders", "order_items", "customers", "payments"))
    assert orders.lines == (4, 4, 0, 0)
    assert [(row["order_id"], row["net"]) for row in orders.rows] == [("#1", 30), ("#2", 5), ("#3", 7)]
    assert items.lines == (4, 4, 0, 0)
    assert [(row["order_id"], row["line"], row["name"]) for row in items.rows] == [
        ("#1", "1", "Tea"),
        ("#1", "2", "Cup"),
        ("#2", "1", "Tea"),
        ("#3", "1", "Tea"),
    ]
    # the second line of #1 says again what its first says; the line of #3 names no buyer and is no line of customers
    assert customers.lines == (3, 2, 0, 1)
    assert [(row["name"], row["email"], row["phone"]) for row in customers.rows] == [
        ("Ann Lee", "ann@example.com", "+8613800138000"),
        ("Wu", None, "+8613900139000"),
    ]
    assert customers.landing.notes[-1] == "customers: 1 lines without Email or Phone are none"
    assert customers.rows[0]["customer_key"] == orders.rows[0]["customer_key"]
    assert payments.lines == (3, 3, 0, 0)
    assert [(row["order_id"], row["amount"]) for row in payments.rows] == [("#1", 30), ("#3", 7)]


def test_a_line_without_a_group_takes_nothing_from_the_group_of_its_number(tmp_path):
    landed = land_shop(tmp_path, "2,ann@example.com,,,Ann,,2026-05-01 10:00,,30,Tea,10", ",,,,,,,,,Cup,20")
    assert landed["customers"].lines == (1, 1, 0, 0)


def test_the_place_of_a_line_does_not_hang_on_the_file(tmp_path):
    first = land_shop(
        tmp_path, "#9,a@b.co,,,,,2026-05-01,,1,Tea,1", "#1,a@b.co,,,,,2026-05-01,,3,Tea,1", "#1,,,,,,,,,Cup,2"
    )
    again = land_shop(tmp_path, "#1,a@b.co,,,,,2026-05-01,,3,Tea,1", "#1,,,,,,,,,Cup,2")
    lines = [[(row["order_id"], row["line"], row["name"]) for row in one["order_items"].rows] for one in (first, again)]
    assert lines[0][1:] == lines[1] == [("#1", "1", "Tea"), ("#1", "2", "Cup")]


def test_a_line_that_is_none_of_an_entity_keeps_the_line_numbers_of_the_others(tmp_path):
    landed = land_shop(
        tmp_path,
        "#1,,,,,,2026-05-01,,1,Tea,1",
        "#2,not an address,,,,,2026-05-01,,1,Tea,1",
        "#3,ann@example.com,,,,,2026-15-01,,1,Tea,1",
    )
    customers = landed["customers"]
    assert customers.lines == (2, 2, 0, 0)
    assert broken(customers.rejects) == [
        (3, "email", "not_a_email", "emptied"),
        (4, "updated_at", "not_a_timestamp", "emptied"),
    ]
    assert broken(landed["orders"].rejects)[1] == (4, "ordered_at", "not_a_timestamp", REJECTED)


CASES = """\
layout: my_cases
source: sf
match: {columns: [Id, ContactId, Opened]}
entities:
  tickets:
    columns:
      ticket_id: {column: Id, form: salesforce_id}
      source_customer_id: {column: ContactId, form: salesforce_id}
      opened_at: Opened
      first_reply_at: {column: Opened, plus_minutes: Minutes}
      status: {join: [Closed, Won], with: "/", values: {"true/false": closed, "false/false": open}}
      csat: {column: Score, divide_by: 100}
"""


def test_times_ids_shares_and_joined_words(tmp_path):
    tickets = land(
        tmp_path,
        CASES,
        "Id,ContactId,Opened,Minutes,Closed,Won,Score\n"
        "001000000000006AAA,003D000000QOMqF,2026-05-01 08:00,90.5,true,false,75\n"
        "500,003D000000QOMqFIAX,2026-05-01 08:00,,false,false,12.5%\n"
        "501,,2026-05-01 08:00,soon,maybe,,\n",
    )["tickets"]
    assert [row["source_customer_id"] for row in tickets.rows] == ["003D000000QOMqFIAX", "003D000000QOMqFIAX", None]
    assert [row["first_reply_at"] for row in tickets.rows] == [datetime(2026, 5, 1, 1, 30, 30), None, None]
    assert [row["status"] for row in tickets.rows] == ["closed", "open", None]
    assert [row["csat"] for row in tickets.rows] == [Decimal("0.75"), Decimal("0.125"), None]
    assert broken(tickets.rejects) == [
        (4, "first_reply_at", "not_a_timestamp", "emptied"),
        (4, "status", "unknown_value", "emptied"),
    ]


CALLS = """\
layout: my_calls
source: crm
match: {columns: [Id, Start, Status]}
also_called: {Status: State}
entities:
  interactions:
    unless: {Status: [Scheduled, Cancelled]}
    columns:
      interaction_id: Id
      source_customer_id: {column: Contacts, form: first_listed}
      occurred_at: Start
      duration_s: {column: Duration, form: clock}
      outcome: {column: Result, values: {"No answer*": missed, No answer yet: pending, "No*": refused}}
      kind: {constant: call, when: {Status: [Done]}}
      campaign_id: {column: Result, form: keyed}
"""


def test_lines_that_are_none_by_a_word_lists_clocks_and_beginnings(tmp_path):
    calls = land(
        tmp_path,
        CALLS,
        "Id,Start,State,Contacts,Duration,Result\n"
        "1,2026-05-01T08:00:00.000+0000,Done, 7 ; 8,05:30,No answer (busy)\n"
        "2,2026-05-01T08:00:00.5Z,Open,9,1:00:01,No answer yet\n"
        "3,2999-05-01T08:00:00Z, Scheduled ,9,,No\n"
        "4,2026-05-01T08:00:00+0200,,,12.5,No interest\n"
        "5,2026-05-01 08:00:00 -0700,Done,;8,5:3,Yes\n",
    )["interactions"]
    assert calls.lines == (4, 4, 0, 0)
    assert calls.landing.notes[-1] == "interactions: 1 lines whose State is Scheduled or Cancelled are none"
    assert [row["occurred_at"].isoformat() for row in calls.rows] == [
        "2026-05-01T08:00:00",
        "2026-05-01T08:00:00.500000",
        "2026-05-01T06:00:00",
        "2026-05-01T15:00:00",
    ]
    assert [row["source_customer_id"] for row in calls.rows] == ["7", "9", None, None]
    assert [row["duration_s"] for row in calls.rows] == [330, 3601, Decimal("12.5"), None]
    assert [row["outcome"] for row in calls.rows] == ["missed", "pending", "refused", "Yes"]
    assert [row["kind"] for row in calls.rows] == ["call", None, None, "call"]
    assert len({row["campaign_id"] for row in calls.rows}) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", row["campaign_id"]) for row in calls.rows)
    assert broken(calls.rejects) == [(6, "duration_s", "not_a_decimal", "emptied")]


def test_a_column_goes_by_several_names(tmp_path):
    layout = make_layout(
        tmp_path, make_order_layout(also_called={"订单号": ["Order No", "order_no"], "下单时间": "Ordered At"})
    )
    header = ["ＯＲＤＥＲ_no", "Ordered at（必填）", "客户", "实付 *"]
    assert recognise("x.csv", header, {"my_orders": layout}) is layout
    columns = fitted(layout, header).entities["orders"].columns
    assert [columns[name].column for name in ("order_id", "ordered_at", "net", "email")] == [
        ("ＯＲＤＥＲ_no",),
        ("Ordered at（必填）",),
        ("实付 *",),
        ("邮箱",),
    ]
    assert recognise("x.csv", header[:1], {"my_orders": layout}) is None
    assert nearest_layout(header[:1], {"my_orders": layout}) == ("my_orders", ["下单时间"])
    assert header_key(" 金额（元） ") == "金额(元)"
    landed = land(
        tmp_path,
        make_order_layout(also_called={"订单号": ["Order No"], "下单时间": ["Ordered At"]}),
        "order no,ORDERED AT,实付（必填）\nO1,2026-05-01,12\n",
    )["orders"]
    assert [(row["order_id"], row["net"]) for row in landed.rows] == [("O1", 12)]


def test_the_exact_name_comes_before_another(tmp_path):
    layout = make_layout(tmp_path, make_order_layout(also_called={"订单号": ["编号"]}))
    assert fitted(layout, ["编号", "订单号"]).entities["orders"].columns["order_id"].column == ("订单号",)


def test_a_layout_that_extends_ours_says_only_what_differs(tmp_path):
    path = write_layout(
        tmp_path,
        """\
        layout: demo_shop_orders
        extends: demo_shop_orders
        timezone: Europe/Berlin
        entities:
          orders:
            keep: [gift_note, colour]
            columns: {coupon: voucher}
        """,
    )
    ours, theirs = load_layouts()["demo_shop_orders"], load_layouts(tmp_path)["demo_shop_orders"]
    assert theirs.timezone == "Europe/Berlin"
    assert theirs.match_columns == ours.match_columns
    assert theirs.entities["orders"].keep == ("gift_note", "colour")
    assert theirs.entities["orders"].columns["coupon"].column == ("voucher",)
    assert theirs.entities["orders"].columns["net"] == ours.entities["orders"].columns["net"]
    assert theirs.fingerprint != ours.fingerprint
    path.write_text("layout: demo_shop_orders\nextends: demo_shop_order\n")
    with pytest.raises(
        ContractError, match='extends: there is no layout "demo_shop_order"; did you mean "demo_shop_orders"'
    ):
        load_layouts(tmp_path)


def test_columns_that_no_contract_has_can_be_kept(tmp_path):
    layout = make_order_layout()
    layout["entities"]["orders"]["keep"] = ["礼品", "颜 色", "没有"]
    orders = land(
        tmp_path, layout, '订单号,下单时间,实付,礼品,颜 色\nO1,2026-05-01,12,"是,""好""",\nO1,2026-05-01,12,否,红\n'
    )["orders"]
    assert orders.lines == (2, 0, 2, 0)  # the same order twice, which differs in a kept column
    orders = land(tmp_path, layout, '订单号,下单时间,实付,礼品,颜 色\nO1,2026-05-01,12,"是,""好""",\n')["orders"]
    assert json.loads(orders.rows[0]["custom"]) == {"礼品": '是,"好"', "颜 色": None}


def test_an_opt_out_is_a_refusal_and_its_absence_no_consent(tmp_path):
    layout = make_customer_layout()
    layout["entities"]["customers"]["columns"]["email_marketing_allowed"] = {"column": "Opt out", "form": "opt_out"}
    customers = land(
        tmp_path,
        layout,
        "会员号,姓名,Opt out\nC1,a,TRUE\nC2,b,false\nC3,c,1\nC4,d,是\nC5,e,\nC6,f,perhaps\nC7,g,No\n",
    )["customers"]
    allowed = [row["email_marketing_allowed"] for row in customers.rows]
    assert allowed == [False, None, False, False, None, None, None]
    assert broken(customers.rejects) == [(7, "email_marketing_allowed", "not_a_boolean", "emptied")]
    layout["entities"]["customers"]["columns"]["name"] = {"column": "姓名", "form": "keyed"}
    with pytest.raises(ContractError, match="customers.name: form: free text stays as it is"):
        make_layout(tmp_path, layout)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"instalments": {"from": "place"}}, "from: can be record_number"),
        ({"instalments": {"from": "place", "within": "status"}}, "within: names a mapped column of the contract"),
        ({"net": {"column": "实付", "with": "-"}}, "orders.net: with: goes with join:"),
        ({"net": {"column": "实付", "plus_minutes": "m"}}, "plus_minutes: goes with the column: of a time"),
        ({"net": {"column": "实付", "divide_by": "10"}}, "divide_by: can be 100"),
        ({"net": {"add": ["实付"], "optional": ["优惠"]}}, "optional: names columns of add: or subtract:"),
        (
            {"order_id": {"column": "a", "form": "upper"}},
            "form: can be salesforce_id, first_listed, clock, opt_out, keyed, unmasked",
        ),
        ({"order_id": "a", "status": {"column": "b", "form": "opt-out"}}, "form: can be salesforce_id"),
        ({"net": {"column": "a", "when": ["b"]}}, "orders.net: when: must hold `name: value` lines"),
        ({"net": {"column": "a", "when": {"b": "c"}}}, "orders.net: when: b: must be a list"),
        ({"coupon": {"column": "a", "word": "first"}}, "orders.coupon: word: is the place of a word"),
        ({"net": {"column": "a", "multiply": ["b", "c"]}}, "needs one of column:, join:"),
        ({"net": {"join": "实付"}}, "orders.net: join: must be a list"),
        ({"net": {"column": {"a": "b"}}}, "orders.net: column: must be a list"),
    ],
)
def test_errors_of_the_language(tmp_path, columns, message):
    layout = make_order_layout()
    layout["entities"]["orders"]["columns"] |= columns
    with pytest.raises(ContractError) as error:
        make_layout(tmp_path, layout)
    assert message in str(error.value)


LINES = """\
layout: my_lines
source: shop
match: {columns: [No, Buyer, Price, Pieces]}
personal_ids: true
entities:
  order_items:
    columns:
      order_id: No
      line: {from: place, within: order_id}
      quantity: Pieces
      amount: {multiply: [Price, Pieces], subtract: [Off]}
  customers:
    needs: [Buyer]
    columns:
      source_customer_id: {column: Buyer, form: unmasked}
      province: {column: Address, word: 1}
      city: {column: Address, word: 2}
"""


def test_products_words_of_an_address_and_masked_buyers(tmp_path):
    landed = land(
        tmp_path,
        LINES,
        "No,Buyer,Price,Pieces,Off,Address\n"
        '1,tea_lover,"￥1,000.50",3,0.5,浙江 宁波  海曙区\n'
        "1,te****er,2,2,,\n"
        "2,cup_lover,,1,,上海\n"
        "3,,5,many,,\n",
    )
    items, customers = landed["order_items"], landed["customers"]
    assert [(row["order_id"], row["line"], row["amount"]) for row in items.rows] == [
        ("1", "1", Decimal("3001")),
        ("1", "2", Decimal("4")),
    ]
    assert broken(items.rejects) == [
        (4, "amount", "missing", REJECTED),
        (5, "amount", "not_a_money", REJECTED),
        (5, "quantity", "not_a_decimal", REJECTED),
    ]
    assert customers.lines == (2, 2, 0, 0)
    assert [(row["source_customer_id"], row["province"], row["city"]) for row in customers.rows] == [
        ("tea_lover", "浙江", "宁波"),
        ("cup_lover", "上海", None),
    ]
    assert customers.landing.notes[-1] == "customers: 2 lines without Buyer are none"


def test_only_the_columns_that_are_named_are_carried(tmp_path):
    layout = SHOP.replace(
        "  order_items:\n    columns:\n",
        "  order_items:\n    carry_by: Name\n    carry: [First]\n    columns:\n      sku: First\n",
    )
    items = land(
        tmp_path,
        layout,
        f"{HEADER}\n#1,a@b.co,,,Ann,,2026-05-01,,3,Tea,1\n#1,,,,,,,,,,2\n",
    )["order_items"]
    assert [(row["sku"], row["name"], row["amount"]) for row in items.rows] == [("Ann", "Tea", 1), ("Ann", None, 2)]


def test_a_sum_goes_without_an_optional_part_that_the_file_lacks(tmp_path):
    layout = make_order_layout()
    net = {"add": ["实付"], "subtract": ["优惠", "欠款"], "optional": ["欠款"]}
    layout["entities"]["orders"]["columns"] |= {"net": net}
    orders = land(tmp_path, layout, order_file(make_order_line(实付="100", 优惠="5")))["orders"]
    assert [row["net"] for row in orders.rows] == [95]
    whole = order_file(make_order_line(实付="100", 优惠="5")).replace("分期", "欠款")
    orders = land(tmp_path, layout, whole)["orders"]
    assert [row["net"] for row in orders.rows] == [92]


@pytest.mark.parametrize(("second", "warned"), [("C9", True), ("C1", False)])
def test_a_mapped_column_that_stands_twice_with_other_values_is_told(tmp_path, second, warned):
    lines = order_file(make_order_line(), make_order_line(订单号="O2")).splitlines()
    text = "\n".join([f"{lines[0]},客户", f"{lines[1]},C1", f"{lines[2]},{second}"]) + "\n"
    orders = land(tmp_path, make_order_layout(), text)["orders"]
    assert [row["source_customer_id"] for row in orders.rows] == ["C1", "C1"]
    told = [english for english, _ in orders.landing.warnings]
    assert told == (
        [
            "the column 客户 stands there more than once, with other values in 1 rows; the first is read: rename the one"
            " that is not meant"
        ]
        if warned
        else []
    )


def test_a_column_that_nothing_reads_may_stand_twice(tmp_path):
    lines = order_file(make_order_line()).splitlines()
    orders = land(tmp_path, make_order_layout(), f"{lines[0]},x,x\n{lines[1]},1,2\n")["orders"]
    assert orders.landing.warnings == ()
