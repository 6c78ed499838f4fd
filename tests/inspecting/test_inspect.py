"""What inspect says of files made for it, and what lands by what it proposes."""

import csv
import gzip
import io
import json
import re
import zipfile
from datetime import datetime

import pytest
import xlsxwriter
from rich.cells import cell_len

import flows
from pipeline.ingest.containers import kind_of
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.inspect import inspect_file
from pipeline.ingest.inspect.masks import mask
from pipeline.ingest.inspect.profile import are_phones, decimal_mark, epoch_format
from pipeline.ingest.inspect.proposal import scalar
from pipeline.ingest.inspect.wording import in_words
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.sources import read_layout
from pipeline.settings import read_settings
from tests.builders import Intake, customer_file, make_customer_line, make_order_layout, write_layout
from tests.inspecting import exports, held_out
from tests.inspecting.score import score

NOW = datetime(2026, 11, 20, 18, 0, 0)
ALL = [*exports.EXPORTS, *held_out.EXPORTS]


def inspect(tmp_path, name, content, language="en", layouts=None):
    """(the lines printed, the text of the one proposal or None) of a file, with a data folder beside it."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(exist_ok=True)
    (data_dir / "settings.toml").write_text(f'language = "{language}"\n')
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    lines = inspect_file(path, read_settings(data_dir, {}), layouts or {}, NOW)
    proposed = list((data_dir / "sources" / "proposed").glob("*.yaml"))
    return lines, proposed[0].read_text(encoding="utf-8") if proposed else None


def landed(tmp_path, name, content, proposal):
    """What lands by a proposal: entity -> rows."""
    intake = Intake(tmp_path / "night")
    write_layout(intake.settings.data_dir / "sources", proposal)
    outcome = intake.take(name, content)
    assert outcome.status == "landed", outcome.message
    return {landing.entity: intake.landed(landing) for landing in outcome.landings}


def one_line_each(*columns, rows):
    """A CSV of some columns from rows."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()


def language_of(name):
    return "en" if name.isascii() else "zh"


def scores(tmp_path, kept):
    settings = read_settings(tmp_path, {})
    found = {}
    for export in kept:
        path = tmp_path / export.file_name
        path.write_text(export.text(), encoding="utf-8")
        found[export.file_name] = score(path, export.key(), settings)
    return found


def test_columns_of_the_exports_that_the_vocabulary_was_made_by(tmp_path):
    found = scores(tmp_path, exports.EXPORTS)
    assert {name: result[0] for name, result in found.items()} == {one.file_name: one.entity for one in exports.EXPORTS}
    assert [sum(result[place] for result in found.values()) for place in (1, 2, 3)] == [113, 0, 0]


def test_columns_of_the_exports_that_were_held_out(tmp_path):
    found = scores(tmp_path, held_out.EXPORTS)
    assert {name: result[0] for name, result in found.items()} == {
        one.file_name: one.entity for one in held_out.EXPORTS
    }
    right, wrong, left_out = (sum(result[place] for result in found.values()) for place in (1, 2, 3))
    assert right + wrong + left_out == 63
    assert right >= 48
    assert wrong <= 1


@pytest.mark.parametrize("export", ALL, ids=lambda export: export.file_name)
def test_a_proposal_loads_and_lands_what_it_has_columns_for(tmp_path, export):
    language = language_of(export.file_name)
    lines, proposal = inspect(tmp_path, export.file_name, export.text(), language)
    assert any(line.strip().startswith(export.entity) for line in lines)
    (path,) = (tmp_path / "data" / "sources" / "proposed").glob("*.yaml")
    layout = read_layout(path)
    required = load_contracts()[export.entity]
    blanks = {"en": "FILL IN", "zh": "请填写"}[language]
    if f": {scalar(blanks)}" in proposal:
        assert [name for name, one in layout.entities[export.entity].columns.items() if one.column == (blanks,)]
        with pytest.raises((AssertionError, OrderDataStopped), match="required column missing"):
            landed(tmp_path, export.file_name, export.text(), proposal)
        return
    rows = landed(tmp_path, export.file_name, export.text(), proposal)
    assert rows.keys() == layout.entities.keys()
    for entity, found in rows.items():
        assert 11 <= len(found) <= exports.RECORDS, entity
    assert all(
        row[name] is not None for row in rows[export.entity] for name, one in required.columns.items() if one.required
    )


def test_a_till_roll_lands_as_orders_whose_lines_add_up(tmp_path):
    content = one_line_each(
        "receipt_id", "sold_at", "item_code", "item_description", "qty", "line_total",
        rows=[
            ("R1", "2024-05-01 12:00:00", "A1", "Espresso beans", "1", "9.90"),
            ("R1", "2024-05-01 12:00:00", "A2", "Green tea", "2", "9.00"),
            ("R2", "2024-05-02 12:00:00", "A1", "Espresso beans", "1", "9.90"),
            ("R2", "2024-05-02 12:00:00", "A3", "Mug", "1", "12.00"),
            ("R3", "2024-05-03 12:00:00", "A3", "Mug", "1", "12.00"),
        ],
    )  # fmt: skip
    _, proposal = inspect(tmp_path, "till.csv", content)
    rows = landed(tmp_path, "till.csv", content, proposal)
    assert [(row["order_id"], float(row["net"])) for row in rows["orders"]] == [
        ("R1", 18.9),
        ("R2", 21.9),
        ("R3", 12.0),
    ]
    assert [(row["order_id"], row["line"]) for row in rows["order_items"]] == [
        ("R1", "1"),
        ("R1", "2"),
        ("R2", "1"),
        ("R2", "2"),
        ("R3", "1"),
    ]


def test_a_total_repeated_on_each_line_of_an_order_is_not_added_up(tmp_path):
    content = one_line_each(
        "订单号", "下单时间", "商品名称", "货号", "数量", "商品小计", "订单金额",
        rows=[
            ("O1", "2024-05-01 12:00", "杯子", "A1", "1", "10.00", "25.00"),
            ("O1", "2024-05-01 12:00", "茶叶", "A2", "1", "15.00", "25.00"),
            ("O2", "2024-05-02 12:00", "杯子", "A1", "3", "30.00", "45.00"),
            ("O2", "2024-05-02 12:00", "茶叶", "A2", "1", "15.00", "45.00"),
        ],
    )  # fmt: skip
    _, proposal = inspect(tmp_path, "订单.csv", content, "zh")
    rows = landed(tmp_path, "订单.csv", content, proposal)
    assert [(row["order_id"], float(row["net"])) for row in rows["orders"]] == [("O1", 25.0), ("O2", 45.0)]
    assert [float(row["amount"]) for row in rows["order_items"]] == [10, 15, 30, 15]


def test_days_and_months_that_may_be_exchanged_are_offered_both_ways_and_never_guessed(tmp_path):
    rows = [(f"O{number}", f"{number}/{13 - number}/2024", f"{number}0.00") for number in range(1, 13)]
    content = one_line_each("Order ID", "Order Date", "Order Total", rows=rows)
    _, proposal = inspect(tmp_path, "orders.csv", content)
    assert re.findall(r"# format: (\S+)", proposal) == ['"%d/%m/%Y"', '"%m/%d/%Y"']
    assert "AMBIGUOUS: all 12 values" in proposal
    assert not re.search(r"^ *format:", proposal, re.MULTILINE)
    with pytest.raises(OrderDataStopped, match="ordered_at order_of_date_not_stated"):
        landed(tmp_path, "orders.csv", content, proposal)
    chosen = proposal.replace('# format: "%d/%m/%Y"', 'format: "%d/%m/%Y"')
    assert landed(tmp_path / "chosen", "orders.csv", content, chosen)["orders"][1]["ordered_at"] == datetime(
        2024, 11, 1, 16
    )


def test_one_day_above_twelve_decides_and_it_is_said_by_how_many(tmp_path):
    rows = [(f"O{number}", f"{number}/{13 - number}/2024", "1.00") for number in range(1, 13)] + [
        ("O13", "13/1/2024", "1.00")
    ]
    content = one_line_each("Order ID", "Order Date", "Order Total", rows=rows)
    _, proposal = inspect(tmp_path, "orders.csv", content)
    assert 'format: "%d/%m/%Y"  # decided by 1 of 13 values' in proposal


def test_words_of_closed_categories_are_mapped_and_unknown_ones_offered(tmp_path):
    rows = [(f"O{number}", "2024-05-01", "1.00", ["已付款", "待发货", "神秘状态"][number % 3]) for number in range(30)]
    content = one_line_each("订单编号", "下单时间", "实付金额", "订单状态", rows=rows)
    _, proposal = inspect(tmp_path, "订单.csv", content, "zh")
    assert "          已付款: paid\n" in proposal
    assert "          待发货: paid\n" in proposal
    assert "          # 神秘状态: 未知：写 pending, paid, shipped, completed, cancelled, refunded 之一\n" in proposal
    statuses = [row["status"] for row in landed(tmp_path, "订单.csv", content, proposal)["orders"]]
    assert statuses.count("paid") == 20
    assert statuses.count(None) == 10


def test_opting_out_is_no_consent_and_not_opting_out_is_none_either(tmp_path):
    rows = [(f"C{number}", f"c{number}@example.com", ["true", "false"][number % 2]) for number in range(10)]
    content = one_line_each("Customer ID", "Email", "Email Opt Out", rows=rows)
    _, proposal = inspect(tmp_path, "customers.csv", content)
    found = landed(tmp_path, "customers.csv", content, proposal)["customers"]
    assert [row["email_marketing_allowed"] for row in found[:2]] == [False, None]


def test_marks_of_satisfaction_and_per_cents_come_as_shares(tmp_path):
    rows = [(f"T{number}", "2024-05-01 10:00:00", str(1 + number % 5)) for number in range(10)]
    content = one_line_each("Ticket ID", "Created at", "Satisfaction Score", rows=rows)
    _, proposal = inspect(tmp_path, "tickets.csv", content)
    found = landed(tmp_path, "tickets.csv", content, proposal)["tickets"]
    assert [float(row["csat"]) for row in found[:5]] == [0, 0.25, 0.5, 0.75, 1]
    rows = [(f"D{number}", "2024-05-01 10:00:00", "Qualify", str(10 * number)) for number in range(10)]
    content = one_line_each("Deal ID", "Create Date", "Deal Stage", "Probability", rows=rows)
    _, proposal = inspect(tmp_path / "deals", "deals.csv", content) if (tmp_path / "deals").mkdir() is None else None
    found = landed(tmp_path / "deals", "deals.csv", content, proposal)["opportunities"]
    assert [float(row["probability"]) for row in found[:3]] == [0, 0.1, 0.2]


def test_a_customer_known_by_e_mail_alone_has_it_for_a_personal_id(tmp_path):
    rows = [(f"T{number}", "2024-05-01 10:00:00", "Ann Lee", f"a{number}@example.com") for number in range(10)]
    content = one_line_each("Ticket ID", "Created at", "Customer Name", "Customer Email", rows=rows)
    _, proposal = inspect(tmp_path, "tickets.csv", content)
    assert "\npersonal_ids: true" in proposal
    rows = landed(tmp_path, "tickets.csv", content, proposal)
    assert [row["customer_key"] for row in rows["customers"]] == [row["customer_key"] for row in rows["tickets"]]
    assert rows["tickets"][0]["customer_key"].startswith("h:")


PERSONAL = {
    "会员资料.csv": ["会员编号", "姓名", "出生日期", "联系电话", "电子邮箱", "联系地址", "备注说明"],
    "售后服务单.csv": ["服务单号", "客户姓名", "客户电话", "问题描述"],
    "customer_master.csv": [
        "Cust_ID",
        "Last Name",
        "DOB",
        "E-Mail Address",
        "Mobile No.",
        "Street Address",
        "Post Code",
    ],
    "bookings_extract.csv": ["Booking Ref", "Guest ID", "Guest Name", "Guest Email"],
    "商品点评.csv": ["点评ID", "买家账号", "点评正文"],
}


@pytest.mark.parametrize("name", PERSONAL)
def test_no_personal_value_is_shown_or_proposed(tmp_path, name):
    (export,) = [one for one in ALL if one.file_name == name]
    content = export.text()
    lines, proposal = inspect(tmp_path, name, content, language_of(name))
    told = "\n".join(lines) + proposal
    for line in csv.DictReader(io.StringIO(content)):
        for header in PERSONAL[name]:
            if line[header]:
                assert not re.search(rf"(?<!\w){re.escape(line[header])}(?!\w)", told), header


@pytest.mark.parametrize(
    ("cell", "kind", "shape"),
    [
        ("张三丰", "text", "张**"),
        ("13800138000", "phone", "138******00"),
        ("+86 138-0013-8000", "phone", "861********00"),
        ("ann.lee@example.com", "email", "a***@e***.com"),
        ("7590-VHVEG", "id", "9999-AAAAA"),
        ("文一路10号", "text", "文文文99文"),
        ("Ann Lee", "text", "A** L**"),
        ("很快，好吃，味道足，量大，以后还会再来的，谢谢", "text", "(23)"),
    ],
)
def test_shapes(cell, kind, shape):
    assert mask(cell, kind) == shape


def test_a_column_of_few_names_that_come_again_is_hidden(tmp_path):
    rows = [(f"O{number}", "2024-05-01", "1.00", ["王小明", "李大力", "陈思思"][number % 3]) for number in range(30)]
    lines, proposal = inspect(
        tmp_path, "订单.csv", one_line_each("订单编号", "下单时间", "实付金额", "经手", rows=rows), "zh"
    )
    assert not [name for name in ("王小明", "李大力", "陈思思") if name in "\n".join(lines) + proposal]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("陈娜娜,浙江省杭州市西湖区文三路0号,金卡", "王小明,浙江省杭州市西湖区文三路{}号,金卡"),
        ("Bob Poe,0 High Street,York", "Ann Lee,{} High Street,York"),
        ("Bob Poe,0 High Street,Phone", "Ann Lee,{} High Street,E-mail"),
        ("bob poe,Springfield", "ann lee,Shelbyville {}"),
    ],
)
def test_a_first_line_that_may_be_somebody_is_not_shown(tmp_path, first, second):
    content = "\n".join([first, *(second.format(number) for number in range(1, 60))]) + "\n"
    lines, proposal = inspect(tmp_path, "people.csv", content)
    told = "\n".join([*lines, proposal or ""])
    for cell in first.split(",")[:2]:
        assert cell not in told
    assert "column_1" in told


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Bestellnummer,Kunde,Betrag", "B-{},K-{},12.50"),
        ("产品,标签", "茶叶{},热卖{}"),
        ("a,b", "1{},2{}"),
        ("Kunden Nummer,Datum", "{},2024-05-{}"),
    ],
)
def test_a_header_above_other_values_or_of_known_words_is_shown(tmp_path, header, row):
    content = "\n".join([header, *(row.format(number, number) for number in range(10, 30))]) + "\n"
    lines, _ = inspect(tmp_path, "export.csv", content)
    assert all(any(name in line for line in lines) for name in header.split(","))


def test_keys_of_json_are_no_line_of_data(tmp_path):
    content = "".join(json.dumps({"zyx": "foo", "wvu": f"bar{number}"}) + "\n" for number in range(9))
    lines, _ = inspect(tmp_path, "events.jsonl", content)
    assert any(line.strip().startswith("wvu") for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        ["bob lee", "ann poe", "jim o'neil"],
        ["BOB LEE", "ANN POE"],
        ["José García", "Zoë Müller"],
        ["欧阳小明", "王芳"],
        ["文三路12号3幢", "中山路8号"],
        ["12 High Street", "3 Mill Lane"],
        ["Hauptstr. 12", "Lindenweg 3"],
    ],
)
def test_a_column_of_few_names_or_addresses_is_hidden(tmp_path, words):
    rows = [(f"O{number}", "2024-05-01", "1.00", words[number % len(words)]) for number in range(30)]
    lines, proposal = inspect(
        tmp_path, "orders.csv", one_line_each("Order ID", "Order Date", "Order Total", "经手", rows=rows)
    )
    assert not [word for word in words if word in "\n".join(lines) + proposal]


def test_a_comma_for_decimals_is_proposed_where_a_number_needs_it(tmp_path):
    rows = [(f"O{number}", "2024-05-01", ["3.254,41", "12,50", "1.000"][number % 3]) for number in range(12)]
    content = one_line_each("Order ID", "Order Date", "Order Total", rows=rows)
    lines, proposal = inspect(tmp_path, "orders.csv", content)
    assert '  decimal: ","\n' in proposal
    assert any("12.5 .. 3254.41" in line for line in lines)
    nets = [float(row["net"]) for row in landed(tmp_path, "orders.csv", content, proposal)["orders"]]
    assert nets[:3] == [3254.41, 12.5, 1000]


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["3.254,41", "7"], ","),
        (["12,5"], ","),
        (["0,125"], ","),
        (["1,000", "2,500"], "."),
        (["1.234", "5.678"], "."),
        (["12,5", "12.5"], "."),
        (["1,250.00", "7,5"], "."),
        (["€ 1.250,00"], ","),
        (["1,234,567", "12,5"], "."),
    ],
)
def test_the_mark_of_decimals(cells, mark):
    assert decimal_mark(cells) == mark


def test_times_counted_from_1970_are_times(tmp_path):
    rows = [(f"E{number}", 1760000000 + number, 1760000000000 + number, 13800138000 + number) for number in range(9)]
    content = one_line_each("Order No", "created_at", "ts", "Amount", rows=rows)
    lines, proposal = inspect(tmp_path, "orders.csv", content)
    kinds = [re.split(r"  +", line.strip())[1] for line in lines[lines.index("Columns") + 2 :][:4]]
    assert kinds == ["id", "timestamp", "timestamp", "phone"]
    assert re.search(r"format: epoch_m?s", proposal)
    assert epoch_format("order no", ("1760000000",)) is None
    assert epoch_format("time", ("1760000000", "17600000")) is None
    assert epoch_format("time", ("9760000000",)) is None


MEMBERS = [
    ("Member No", "First Name", "Surname", "Mobile", "Joined", "Expires", "Membership Type", "Monthly Fee", "Status"),
    ("卡号", "姓名", "性别", "手机号码", "办卡日期", "到期日期", "会籍套餐", "年费", "会籍状态"),
]


@pytest.mark.parametrize("header", MEMBERS)
def test_members_of_a_club_have_subscriptions_too(tmp_path, header):
    rows = [
        (f"GM-{number}", "Dan", "Khan", f"1338001{number:04d}", "2024-05-01", "2025-04-30", "Gold", "39.00", "Active")
        for number in range(12)
    ]
    content = one_line_each(*header, rows=rows)
    _, proposal = inspect(tmp_path, "members.csv", content)
    found = landed(tmp_path, "members.csv", content, proposal)
    assert len(found["customers"]) == 12
    row = found["subscriptions"][0]
    assert (row["subscription_id"], row["source_customer_id"], row["status"]) == ("GM-0", "GM-0", "Active")
    assert (row["plan"], float(row["amount"])) == ("Gold", 39)
    assert (row["started_at"], row["ended_at"]) == (datetime(2024, 4, 30, 16), datetime(2025, 4, 29, 16))


def test_a_column_named_mobile_is_judged_by_the_numbers_of_the_country():
    cells = ("07942 756115", "07976 977093")
    assert are_phones("Mobile", cells, "GB")
    assert not are_phones("Mobile", cells, "US")
    assert not are_phones("Order No", cells, "GB")


def test_a_chinese_inspection_says_how_a_file_was_read_in_chinese(tmp_path):
    rows = "".join(f'O{number},2024-05-01,5.00,"a \\"b\\" c"\n' for number in range(9))
    content = f"每日导出\n\n订单编号,下单时间,实付金额,备注\n{rows}"
    lines, _ = inspect(tmp_path, "订单.csv", content, "zh")
    assert "  值中的引号以反斜杠转义" in lines
    assert "  表头在第 3 行" in lines
    missing = "required column missing: net (from 金额); the file has a"
    assert in_words("zh", missing) == "缺少必需的列：net (from 金额)；文件中的列：a"
    assert in_words("en", missing) == missing


def test_a_file_of_json_lines_has_keys_and_no_count_of_tables(tmp_path):
    content = "".join(
        json.dumps({"order_id": number, "ordered_at": "2024-05-01", "net": 5}) + "\n" for number in range(9)
    )
    lines, _ = inspect(tmp_path, "orders.jsonl", content)
    assert "  3 columns, the keys of its records" in lines
    assert not [line for line in lines if "tables" in line or "header in line" in line]


def test_a_list_of_texts_is_no_table(tmp_path, capsys):
    (tmp_path / "texts.json").write_text('["", "a, b", "c\\n"]\n')
    assert flows.main(["inspect", str(tmp_path / "texts.json"), "--data-dir", str(tmp_path)]) == 2
    assert "is a JSON list of single values, which holds no records" in capsys.readouterr().err
    assert container_kind_of(tmp_path, '["a", 1]\n["b", 2]\n') == "text"


def container_kind_of(folder, text):
    (folder / "some").write_text(text)
    return kind_of(folder / "some")


def test_a_header_alone_has_a_proposal(tmp_path):
    _, proposal = inspect(tmp_path, "orders.csv", "Order ID,Order Date,Order Total\n")
    assert "order_id: Order ID" in proposal


def test_a_sheet_of_notes_holds_up_no_inspection(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("notes.csv", "written by hand\n")
        archive.writestr("orders.csv", "Order ID,Order Date,Order Total\nO1,2024-05-01,5.00\n")
    lines, proposal = inspect(tmp_path, "export.zip", out.getvalue())
    assert "  no records stand below its first line" in lines
    assert "order_id: Order ID" in proposal


def test_words_that_name_nobody_are_shown(tmp_path):
    words = ["credit card", "in progress", "1号店", "中山路店"]
    rows = [(f"O{number}", "2024-05-01", "1.00", words[number % 4]) for number in range(30)]
    lines, _ = inspect(
        tmp_path, "orders.csv", one_line_each("Order ID", "Order Date", "Order Total", "经手", rows=rows)
    )
    (line,) = [line for line in lines if "经手" in line and "credit" in line]
    assert all(word in line for word in words)


def test_the_profile_in_figures(tmp_path):
    content = one_line_each(
        "Order ID", "Order Date", "Order Total", "Colour",
        rows=[
            ("O1", "2024-05-01", "12.50", "red"),
            ("O2", "2024-05-03", "1,200.00", "red"),
            ("O3", "", "-3.00", "blue"),
            ("O4", "2024-04-01", "0.00", "blue"),
        ],
    )  # fmt: skip
    lines, _ = inspect(tmp_path, "orders.csv", content)
    rows = [re.split(r"  +", line.strip()) for line in lines[lines.index("Columns") + 1 :][:5]]
    assert rows == [
        ["column", "kind", "blank", "distinct", "from .. to", "examples"],
        ["Order ID", "id", "0", "4", "A9"],
        ["Order Date", "date", "1", "3", "2024-04-01 .. 2024-05-03", "2024-05-01, 2024-05-03, 2024-04-01"],
        ["Order Total", "money", "0", "4", "-3 .. 1200", "12.50, 1,200.00, -3.00"],
        ["Colour", "category", "0", "2", "blue, red"],
    ]


def test_columns_stand_under_each_other_whatever_the_script(tmp_path):
    lines, _ = inspect(tmp_path, "会员资料.csv", exports.EXPORTS[2].text(), "zh")
    table = lines[lines.index("各列") + 1 :][:17]
    kinds = "|".join(["类型", "编号", "文本", "类别", "日期", "电话", "邮箱", "整数", "是否"])
    starts = {cell_len(line[: re.search(rf"  ({kinds})  ", line).start(1)]) for line in table}
    assert len(starts) == 1


def test_a_file_in_gbk_with_semicolons_says_so_and_lands(tmp_path):
    content = exports.EXPORTS[1].text(";").encode("gbk")
    lines, proposal = inspect(tmp_path, "订单.csv", content, "zh")
    assert any("gb18030" in line.lower() or "gbk" in line.lower() for line in lines)
    assert 'delimiter: ";"' in proposal
    assert len(landed(tmp_path, "订单.csv", content, proposal)["orders"]) == exports.RECORDS


def test_a_file_without_a_header_line(tmp_path):
    content = "".join(
        f"{number:08d},c{number}@example.com,2024-05-{1 + number % 28:02d},12.50\n" for number in range(40)
    )
    lines, proposal = inspect(tmp_path, "log_20240501.csv", content)
    assert "  no header line: its first line is taken for data, and not shown" in lines
    assert 'file: "log_*.csv"' in proposal
    assert "header: false" in proposal
    assert "c0@example.com" not in "\n".join(lines) + proposal
    write_layout(tmp_path / "read", proposal)


def test_each_sheet_of_a_workbook_has_its_own_proposal(tmp_path):
    path = tmp_path / "export.xlsx"
    book = xlsxwriter.Workbook(path)
    sheets = {
        "会员": [
            ["会员编号", "姓名", "手机号", "会员等级"],
            *([f"V{number:04d}", "李雷", f"138001{number:05d}", "金卡"] for number in range(20)),
        ],
        "Orders": [
            ["Order ID", "Member No", "Order Date", "Total"],
            *([f"O{number}", f"V{number:04d}", "2024-05-31", 10 + number] for number in range(20)),
        ],
    }
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for place, row in enumerate([["2024 export"], [], *rows] if name == "Orders" else rows):
            sheet.write_row(place, 0, row)
    book.close()
    content = path.read_bytes()
    lines, _ = inspect(tmp_path, "export.xlsx", content)
    assert [line for line in lines if line.startswith("Table ")] == ["Table 会员", "Table Orders"]
    proposals = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "data/sources/proposed").iterdir()}
    assert proposals.keys() == {"export_会员", "export_orders"}
    # one source: the members are the customers of the orders
    assert all("\nsource: export  #" in proposal for proposal in proposals.values())
    intake = Intake(tmp_path / "night")
    for proposal in proposals.values():
        write_layout(intake.settings.data_dir / "sources", proposal)
    intake.drop("export.xlsx", content)
    landings = {landing.entity: landing.landed for outcome in intake.night().values() for landing in outcome.landings}
    assert landings == {"customers": 20, "orders": 20}


@pytest.mark.parametrize("kind", ["zip", "gz", "jsonl"])
def test_what_holds_a_table_is_opened(tmp_path, kind):
    export = exports.EXPORTS[4]
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(export.file_name, export.text())
        content = out.getvalue()
    elif kind == "gz":
        content = gzip.compress(export.text().encode())
    else:
        content = "".join(json.dumps(line) + "\n" for line in csv.DictReader(io.StringIO(export.text()))).encode()
    _, proposal = inspect(tmp_path, f"web_orders.{kind}", content)
    assert "      order_id: OrderNo\n" in proposal
    (path,) = (tmp_path / "data" / "sources" / "proposed").glob("*.yaml")
    assert read_layout(path).entities.keys() == {"orders"}


HOSTILE = [
    '"; drop table x; --',
    "{{7*7}}",
    "a: [b",
    "\x1b[31mred",
    "!!python/object:os",
    "# no",
    "'",
    "line\nend",
    "%s",
    "\U0001f600",
]


def test_hostile_headers_are_names_and_nothing_else(tmp_path):
    rows = [(f"O{number}", "2024-05-01", "1.00", *("x" for _ in HOSTILE)) for number in range(3)]
    content = one_line_each("Order ID", "Order Date", "Order Total", *HOSTILE, rows=rows)
    lines, proposal = inspect(tmp_path, "orders.csv", content)
    assert "\x1b" not in "\n".join(lines) + proposal
    assert len(landed(tmp_path, "orders.csv", content, proposal)["orders"]) == 3


@pytest.mark.parametrize("text", [*HOSTILE, "yes", "NO", "1", "", " blank ", "订单号", "a\\b", "\u2028"])
def test_any_text_is_a_yaml_scalar(tmp_path, text):
    layout = make_order_layout()
    path = tmp_path / "my_orders.yaml"
    body = f"layout: my_orders\nsource: s\nmatch:\n  columns: [x, {scalar(text)}]\nentities:\n  orders:\n    columns:\n"
    body += "".join(f"      {name}: x\n" for name in layout["entities"]["orders"]["columns"])
    path.write_text(body, encoding="utf-8")
    assert read_layout(path).match_columns == {"x", text}


def test_a_file_of_four_hundred_columns(tmp_path):
    rows = [(f"O{number}", "2024-05-01", "1.00", *(str(number) for _ in range(400))) for number in range(3)]
    content = one_line_each("Order ID", "Order Date", "Order Total", *(f"c{place}" for place in range(400)), rows=rows)
    _, proposal = inspect(tmp_path, "orders.csv", content)
    assert "      order_id: Order ID\n" in proposal


def test_a_known_layout_is_named_with_what_would_land_and_nothing_is_proposed(tmp_path):
    intake = Intake(tmp_path)
    content = customer_file(
        make_customer_line(), make_customer_line(会员号="C2", 生日="soon"), make_customer_line(会员号="")
    )
    lines, proposal = inspect(tmp_path, "members.csv", content, layouts=intake.layouts())
    assert proposal is None
    assert "  the layout my_customers (source crm) recognises it" in lines
    assert "  customers: of 3 lines 2 would land as 2 rows, 1 be rejected, 0 are duplicates" in lines
    assert "    1 x source_customer_id missing (line rejected)" in lines
    assert "    1 x birth_date not_a_date (cell emptied)" in lines


def test_nothing_is_written_but_the_proposal(tmp_path):
    intake = Intake(tmp_path)
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    inspect(tmp_path, "orders.csv", exports.EXPORTS[4].text())
    after = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert {str(path) for path in after - before} == {
        "orders.csv",
        "data/settings.toml",
        "data/sources/proposed",
        "data/sources/proposed/orders.yaml",
    }
    assert "orders" not in intake.layouts()


def test_a_second_proposal_leaves_the_first_as_it_was(tmp_path):
    inspect(tmp_path, "orders.csv", exports.EXPORTS[4].text())
    first = tmp_path / "data" / "sources" / "proposed" / "orders.yaml"
    first.write_text("mine")
    inspect(tmp_path, "orders.csv", exports.EXPORTS[4].text())
    assert first.read_text() == "mine"
    assert read_layout(first.with_name("orders_2.yaml")).name == "orders_2"


def test_the_command(tmp_path, capsys):
    path = tmp_path / "web_orders.csv"
    path.write_text(exports.EXPORTS[4].text())
    assert flows.main(["inspect", str(path), "--data-dir", str(tmp_path / "none")]) == 0
    printed = capsys.readouterr().out
    assert "orders（订单）" in printed
    assert "order_id: OrderNo" in printed
    assert f"未保存：没有数据文件夹 {tmp_path / 'none'}" in printed
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gone.csv", None, "there is no such file"),
        ("empty.csv", "", "the file is empty"),
        ("blank.csv", "\n\n", "blanks"),
    ],
)
def test_a_file_that_cannot_be_inspected_is_said_in_one_line(tmp_path, capsys, name, content, why):
    if content is not None:
        (tmp_path / name).write_text(content)
    assert flows.main(["inspect", str(tmp_path / name), "--data-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: inspect: ")
    assert why in error
    assert error.count("\n") == 1
