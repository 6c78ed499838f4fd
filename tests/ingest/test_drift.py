"""Columns that came, went, were renamed, retyped or moved since the source last sent them, and what that does to a night."""

import json

import pytest

from pipeline.ingest.drift import Change, changes, predecessor
from pipeline.ingest.outcomes import OrderDataStopped
from tests.builders import (
    ORDER,
    Intake,
    customer_file,
    make_customer_layout,
    make_customer_line,
    make_layout,
    make_order_layout,
    make_order_line,
    order_file,
)
from tests.ingest.test_workbooks import workbook_of

FIRST = order_file(make_order_line(), make_order_line(订单号="O2"))


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


@pytest.fixture
def orders(tmp_path):
    """What changed from one header to another, each cell `name:kind`, by the layout my_orders."""
    layout = make_layout(tmp_path, make_order_layout())

    def changed(before, after):
        (old, old_kinds), (new, new_kinds) = (
            (list(named), named)
            for named in (dict(cell.split(":") for cell in text.split()) for text in (before, after))
        )
        return changes({"header": old, "kinds": old_kinds}, new, new_kinds, layout)

    return changed


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a:id b:money", "a:id b:money", Change()),
        ("a:id b:money", "A:id Ｂ:money", Change()),
        ("a:id b:money", "a:id b:money c:date", Change(added=("c",))),
        ("a:id b:money c:date", "a:id b:money", Change(removed=("c",))),
        ("a:id b:money", "b:money a:id", Change(is_reordered=True)),
        ("a:id b:money c:date", "a:id b:date c:date", Change(retyped={"b": ("money", "date")})),
        # one sample of whole amounts, or of blanks, is no other type
        ("a:id b:money c:date", "a:integer b:integer c:empty", Change()),
        ("paid_at:date x:id", "paid-at-time:timestamp x:id", Change(renamed={"paid_at": "paid-at-time"})),
        # near in name, but values of another kind
        ("amount:money x:id", "x:id amount2:email", Change(added=("amount2",), removed=("amount",))),
        (
            "x:id 优惠:money",
            "coupon_amount:money x:id 优惠券:text",
            Change(added=("coupon_amount", "优惠券"), removed=("优惠",)),
        ),
        # another word altogether, at the same place and of the same kind
        ("a:id 实付:money c:date", "a:id total:money c:date", Change(renamed={"实付": "total"})),
        ("a:id 实付:money c:date", "a:id c:date total:money", Change(added=("total",), removed=("实付",))),
    ],
)
def test_what_changed_in_the_columns(orders, before, after, expected):
    assert orders(before, after) == expected


def test_a_known_other_name_is_no_riddle(tmp_path):
    layout = make_layout(tmp_path, make_order_layout(also_called={"优惠": ["coupon"]}))
    before = {"header": ["订单号", "优惠"], "kinds": {"优惠": "money"}}
    assert changes(before, ["coupon", "订单号"], {"coupon": "text"}, layout).renamed == {"优惠": "coupon"}


def test_changes_are_said_in_both_languages():
    change = Change(("a",), ("b",), {"c": "d"}, {"e": ("money", "text")}, True)
    assert change.words() == (
        "added: a; removed: b; looks renamed: c -> d; retyped: e (money -> text); columns in another order",
        "新增列：a；缺少列：b；疑似改名：c -> d；类型变化：e（money -> text）；列的顺序有变".replace(
            "（", " ("
        ).replace("）", ")"),
    )
    assert Change().words() == ("", "")


def test_a_night_says_what_changed_since_the_last_file_of_a_layout_and_lands_it(intake):
    intake.take("orders_0501.csv", FIRST)
    (content,) = intake.ledger.rows("select * from contents")
    assert json.loads(content["kinds"])["实付"] == "money"
    lines = FIRST.replace("优惠,", "").replace("5.00,", "").replace("O1", "O3").splitlines()
    changed = "\n".join([f"{lines[0]},渠道", *(f"{line},web" for line in lines[1:])])
    outcome = intake.take("orders_0502.csv", changed)
    assert (outcome.status, outcome.schema_change) == ("landed", "added: 渠道; removed: 优惠")
    assert outcome.warnings[-1] == (
        "its columns changed since orders_0501.csv: added: 渠道; removed: 优惠",
        "与 orders_0501.csv 相比，列有变化：新增列：渠道；缺少列：优惠",
    )
    same = intake.take("orders_0503.csv", changed.replace("O3", "O4"))
    assert (same.schema_change, same.warnings) == ("", outcome.warnings[:-1])


def test_views_that_come_in_turn_are_each_compared_with_their_own(intake):
    full, rows = customer_file(make_customer_line()), []
    short = "会员号,姓名,城市\nC2,韩梅,杭州\n"
    for number, content in enumerate([full, short, full.replace("C1", "C3"), short.replace("C2", "C4")]):
        rows.append(intake.take(f"members_{number}.csv", content).schema_change)
    assert rows == ["", "added: 城市; removed: 性别, 生日, 电话, 积分, 变更时间", "", ""]


def test_another_language_is_one_line_and_no_rename_of_every_column(intake):
    english = "Record Id,Deal Name,Stage,Amount,Closing Date,Created Time,Next Step\n1,x,Closed Won,5,2026-05-01,2026-05-01,call\n"
    chinese = "记录 ID,商机名称,阶段,金额,结束日期,创建时间,下一步\n2,y,赢单,6,2026-05-02,2026-05-02,电话\n"
    assert intake.take("deals.csv", english).schema_change == ""
    outcome = intake.take("商机.csv", chinese)
    assert outcome.schema_change == (
        "its columns go by other names that the layout knows (another language); the rest was not compared"
    )
    assert [
        intake.take(name, content).schema_change
        for name, content in (
            ("deals 2.csv", english.replace("1,x", "3,x")),
            ("商机 2.csv", chinese.replace("2,y", "4,y")),
            ("商机 3.csv", chinese.replace("2,y", "5,y").replace("下一步", "后续")),
        )
    ] == ["", "", "looks renamed: 下一步 -> 后续"]


def test_order_data_whose_signature_was_renamed_stops_the_night_every_night_until_the_mapping_is_mended(intake):
    intake.take("orders_0501.csv", FIRST)
    renamed = FIRST.replace("下单时间", "下单日期时间").replace("O1", "O3").replace("O2", "O4")
    expected = (
        r"orders_0502.csv: no layout fits, though it follows orders_0501.csv: it has no column 下单时间,"
        r" but 下单日期时间 looks like 下单时间; write 下单时间: \[下单日期时间\] under also_called: in my_orders.yaml"
    )
    for _ in range(2):
        with pytest.raises(OrderDataStopped, match=expected):
            intake.take("orders_0502.csv", renamed)
    intake.write_layout(make_order_layout(also_called={"下单时间": ["下单日期时间"]}))
    outcome = intake.night()["orders_0502.csv"]
    assert (outcome.status, outcome.schema_change) == ("landed", "looks renamed: 下单时间 -> 下单日期时间")


def test_a_required_column_that_was_renamed_is_named_with_its_likely_new_name(intake):
    intake.take("orders_0501.csv", FIRST)
    renamed = FIRST.replace("实付", "实付金额").replace("O1", "O3")
    with pytest.raises(OrderDataStopped) as stopped:
        intake.take("orders_0502.csv", renamed)
    assert "required column missing: net (from 实付)" in str(stopped.value)
    assert "实付金额 looks like 实付: write 实付: [实付金额] under also_called: in my_orders.yaml" in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_a_retyped_column_that_stops_the_night_is_named_as_what_changed(intake):
    intake.take("webshop_1.csv", order_file(*(make_order_line(订单号=f"O{number}") for number in range(3))))
    intake.drop(
        "webshop_2.csv", order_file(*(make_order_line(订单号=f"P{number}", 实付="soon") for number in range(3)))
    )
    with pytest.raises(
        OrderDataStopped, match=r"its columns changed since webshop_1.csv: retyped: 实付 \(\w+ -> \w+\)"
    ):
        intake.night()


def test_any_other_entity_goes_on_with_what_it_had(intake):
    intake.take("members.csv", customer_file(make_customer_line()))
    renamed = customer_file(make_customer_line(会员号="C2")).replace("会员号", "会员编号")
    outcome = intake.take("members 2.csv", renamed)
    assert outcome.status == "unknown"
    assert (
        "会员编号 looks like 会员号; write 会员号: [会员编号] under also_called: in my_customers.yaml"
        in outcome.message
    )
    assert outcome.message.endswith("what landed before stands")
    intake.write_layout(make_customer_layout(also_called={"会员号": ["会员编号"]}))
    assert intake.night()["members 2.csv"].status == "landed"


def test_a_corrected_mapping_lands_the_kept_file_of_before_the_drift_again(intake):
    intake.take("orders_0501.csv", FIRST)
    intake.take("orders_0502.csv", FIRST.replace("优惠", "折扣").replace("O1", "O3").replace("O2", "O4"))
    intake.write_layout(make_order_layout(also_called={"优惠": ["折扣"]}))
    night = intake.night()
    for name, ids in (("orders_0501.csv", ["O1", "O2"]), ("orders_0502.csv", ["O3", "O4"])):
        rows = intake.landed(night[f"again: {name}"].landings[0])
        assert [(row["order_id"], row["discount"]) for row in rows] == [(key, 5) for key in ids]


def test_a_file_that_follows_nothing_is_only_unknown(intake):
    intake.take("orders_0501.csv", FIRST)
    outcome = intake.take("weather.csv", "town,rain\nX,1\nY,2\n")
    assert outcome.status == "unknown" and "follows" not in outcome.message
    header = ["订单号", "客户", "邮箱", "手机", "when", "实付", "优惠"]
    layout, before = predecessor(intake.ledger, intake.layouts(), "export.csv", header)
    assert (layout.name, before["file_name"]) == ("my_orders", "orders_0501.csv")


@pytest.mark.parametrize(
    ("name", "other", "content"),
    [
        ("orders.xlsx", "budget.xlsx", workbook_of({"Sheet1": [["Cost centre", "Budget"], ["X", 3]]})),
        ("20260501.csv", "20260502.csv", b"Cost centre,Budget\nX,3\n"),
    ],
)
def test_a_name_that_tells_nothing_makes_no_file_follow_another(intake, name, other, content):
    orders = workbook_of({"Sheet1": [list(ORDER), list(ORDER.values())]}) if name.endswith("xlsx") else FIRST
    intake.drop(name, orders)
    assert [outcome.status for outcome in intake.night().values()] == ["landed"]
    intake.drop(other, content)
    assert [outcome.status for outcome in intake.night().values()] == ["kept", "unknown"]


def test_the_cells_of_a_delivery_without_a_header_are_not_told(intake):
    intake.take("orders_0501.csv", FIRST)
    lines = [make_order_line(订单号=f"O{number}", 邮箱="mail@example.com") for number in range(9)]
    with pytest.raises(OrderDataStopped) as error:
        intake.take("orders_0502.csv", "\n".join(lines) + "\n")
    assert "it has no column 下单时间, 订单号" in str(error.value)
    assert "example.com" not in str(error.value) and "O0" not in str(error.value)
