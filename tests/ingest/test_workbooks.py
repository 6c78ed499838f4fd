"""Workbooks: every sheet as the user sees it, read in a child process that a hostile file may kill without harm."""

import io
import struct
import zipfile
from datetime import date, datetime, time, timedelta

import openpyxl
import pytest
import xlsxwriter

from pipeline.ingest import archives, containers
from pipeline.ingest.containers import kind_of, memory_bytes, render
from pipeline.ingest.workbooks import column_letter
from tests.builders import CUSTOMER, ORDER, Intake, broken

ORDER_ROW = list((ORDER | {"下单时间": datetime(2026, 5, 1, 10), "实付": 100, "优惠": 5, "分期": 3}).values())
CUSTOMER_ROW = list((CUSTOMER | {"生日": date(1990, 2, 28), "电话": 13800138000, "积分": 120}).values())


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def workbook_of(sheets: dict, **options) -> bytes:
    """A workbook of sheet name -> rows; dates and times have their formats."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, options | {"in_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return out.getvalue()


def rendered(intake, content: bytes, name="book.xlsx"):
    """({sheet: text}, {sheet: English warnings}, notes) of a workbook."""
    path = intake.scratch / name
    path.write_bytes(content)
    parts, notes = render(kind_of(path), path, intake.scratch, intake.settings)
    texts = {part.label: part.path.read_bytes().decode() for part in parts}
    return texts, {part.label: [english for english, _ in part.warnings] for part in parts}, notes


def test_every_sheet_lands_by_its_own_layout(intake):
    intake.drop("crm.xlsx", workbook_of({"客户": [list(CUSTOMER), CUSTOMER_ROW], "订单": [list(ORDER), ORDER_ROW]}))
    outcomes = intake.night()
    assert {name: (one.status, one.layout) for name, one in outcomes.items()} == {
        "crm.xlsx/客户": ("landed", "my_customers"),
        "crm.xlsx/订单": ("landed", "my_orders"),
    }
    [customer] = intake.landed(outcomes["crm.xlsx/客户"].landings[0])
    assert (customer["source_customer_id"], customer["name"], customer["phone"]) == ("C1", "李雷", "+8613800138000")
    assert (customer["birth_date"], customer["loyalty_points"]) == (date(1990, 2, 28), 120)
    [order] = intake.landed(outcomes["crm.xlsx/订单"].landings[0])
    assert (order["ordered_at"], order["net"], order["instalments"]) == (datetime(2026, 5, 1, 2), 100, 3)
    assert list(intake.inbox.iterdir()) == []


@pytest.mark.parametrize("notes", [[["说明：本表每周导出"]], [["ref", "remark"]]])
def test_a_sheet_without_records_keeps_no_workbook_in_the_inbox(intake, notes):
    orders = [["订单号", "客户", "下单时间", "实付", "状态"], ["O1", "C1", "2026-05-01 10:00:00", "5", "完成"]]
    intake.drop("shop.xlsx", workbook_of({"说明": notes, "订单": orders}))
    found = intake.night()
    assert {name: outcome.status for name, outcome in found.items()} == {
        "shop.xlsx/说明": "empty",
        "shop.xlsx/订单": "landed",
    }
    assert not list(intake.inbox.iterdir())
    # nothing but such sheets is no export that was understood
    intake.drop("notes.xlsx", workbook_of({"说明": notes, "其他": [["另一页"]]}))
    assert {one.status for name, one in intake.night().items() if name.startswith("notes")} == {"unknown"}


def test_a_rejected_line_has_the_number_of_its_row(intake):
    rows = [list(ORDER), ORDER_ROW, [], ["O2", "C1", "", "", "someday", 1, 1, 1, ""], ["O3", *ORDER_ROW[1:]]]
    intake.drop("orders.xlsx", workbook_of({"S": rows}))
    outcome = intake.night()["orders.xlsx/S"]
    assert broken(intake.rejects(outcome.landings[0])) == [(4, "ordered_at", "not_a_timestamp", "rejected")]
    assert [row["order_id"] for row in intake.landed(outcome.landings[0])] == ["O1", "O3"]


def test_a_row_with_line_breaks_in_its_cells_is_one_row(intake):
    rows = [list(ORDER), ["O1", "one\ntwo\n\nthree", *ORDER_ROW[2:]], [], ["O2", "C1", "", "", "someday", 1, 1, 1, ""]]
    intake.drop("orders.xlsx", workbook_of({"S": [*rows, ["O3", *ORDER_ROW[1:]]]}))
    outcome = intake.night()["orders.xlsx/S"]
    assert broken(intake.rejects(outcome.landings[0])) == [(4, "ordered_at", "not_a_timestamp", "rejected")]


def test_titles_above_and_totals_below_are_no_data(intake):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        sheet = book.add_worksheet("S")
        sheet.merge_range("A1:I2", "五月订单明细")
        sheet.write("A3", "导出时间：2026-06-01")
        sheet.write_row("A5", list(ORDER))
        sheet.merge_range("B6:B7", "C1")
        for row, number in ((6, "O1"), (7, "O2")):
            sheet.write_row(f"C{row}", ORDER_ROW[2:])
            sheet.write(f"A{row}", number)
        sheet.write_row("A8", ["合计", "", "", "", "", 200, 10])
        sheet.write("A10", "制表：系统")
    intake.drop("orders.xlsx", out.getvalue())
    outcome = intake.night()["orders.xlsx/S"]
    [landing] = outcome.landings
    assert [(row["order_id"], row["source_customer_id"]) for row in intake.landed(landing)] == [
        ("O1", "C1"),
        ("O2", "C1"),
    ]
    assert broken(intake.rejects(landing)) == [
        (1, None, "before_header", "rejected"),
        (3, None, "before_header", "rejected"),
        (8, None, "total_line", "rejected"),
        (10, None, "after_table", "rejected"),
    ]


@pytest.mark.parametrize("is_1904", [False, True])
def test_cells_are_rendered_as_what_they_are(intake, is_1904):
    cells = [
        (datetime(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 10, 30, 15), "2024-05-01 10:30:15"),
        (datetime(2024, 2, 29, 23, 59, 59), "2024-02-29 23:59:59"),
        (time(10, 30), "10:30:00"),
        (13800138000, "13800138000"),
        (1.3800138e10, "13800138000"),
        (12345.0, "12345"),
        (19.99, "19.99"),
        (0.1 + 0.2, "0.3"),
        (-0.5, "-0.5"),
        (0, "0"),
        (True, "true"),
        (False, "false"),
        ("007", "007"),
        ("1e5", "1e5"),
        (' say "hi", then\nleave ', ' say ""hi"", then\nleave '),
        ("=1+1", "=1+1"),
    ]
    content = workbook_of({"S": [[value for value, _ in cells]]}, date_1904=is_1904, strings_to_formulas=False)
    texts, _, _ = rendered(intake, content)
    assert texts == {"S": ",".join(f'"{text}"' for _, text in cells) + "\n"}


def test_durations_and_percentages(intake):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("S")
        sheet.write_datetime(0, 0, timedelta(hours=36, minutes=5), book.add_format({"num_format": "[h]:mm:ss"}))
        sheet.write_number(0, 1, 0.15, book.add_format({"num_format": "0%"}))
        sheet.write_number(0, 2, 45413, book.add_format({"num_format": 'yyyy"年"m"月"d"日"'}))
        sheet.write_number(0, 3, 45413)
        sheet.write_string(0, 4, "2024/5/1")
    texts, _, _ = rendered(intake, out.getvalue())
    assert texts == {"S": '"36:05:00","0.15","2024-05-01","45413","2024/5/1"\n'}


def test_merged_cells(intake):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("S")
        sheet.merge_range("A1:C1", "订单表")
        sheet.write_row("A2", ["单号", "商品", "数量"])
        sheet.merge_range("A3:A5", "O1")
        sheet.write_column("B3", ["笔", "纸", "墨"])
        sheet.merge_range("C4:C5", 7)
        sheet.write_row("A6", ["O2", "砚"])
    texts, _, _ = rendered(intake, out.getvalue())
    assert texts["S"].split("\n") == [
        '"订单表",,',
        '"单号","商品","数量"',
        '"O1","笔",',
        '"O1","纸","7"',
        '"O1","墨","7"',
        '"O2","砚",',
        "",
    ]


def test_leading_and_trailing_blanks(intake):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "S"
    sheet["B3"], sheet["C3"], sheet["B6"] = "a", "b", "x"
    # formats without content, as a drag to the edge leaves them
    for cell in ("B40", "Z3"):
        sheet[cell].number_format = "0.00"
    sheet["Z4"].value = ""
    out = io.BytesIO()
    book.save(out)
    texts, _, _ = rendered(intake, out.getvalue())
    assert texts == {"S": '\n\n"a","b"\n\n\n"x",\n'}


def test_errors_and_formulas_that_nobody_calculated_are_empty_and_said(intake):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("S")
        sheet.write_formula(0, 0, "=1+1", None, 2)
        sheet.write_formula(0, 1, '="a"&"b"', None, "ab")
        sheet.write_formula(0, 2, "=NA()", None, "#N/A")
        sheet.write_formula(0, 3, "=1/0", None, "#DIV/0!")
        sheet.write(0, 4, "x")
    texts, warnings, _ = rendered(intake, out.getvalue())
    assert texts == {"S": '"2","ab",,,"x"\n'}
    assert warnings == {"S": ["2 cells of the workbook show an error such as #N/A; they are read as empty"]}
    book = openpyxl.Workbook()
    book.active.append(["a", "=1+1", "=A1"])
    out = io.BytesIO()
    book.save(out)
    texts, warnings, _ = rendered(intake, out.getvalue(), "never calculated.xlsx")
    assert texts == {"Sheet": '"a"\n'}
    assert warnings["Sheet"] == [
        "2 formulas of the workbook have no stored value and are read as empty; open it, and save it once"
    ]


def test_numbers_that_a_workbook_has_damaged_are_counted_by_column(intake):
    rows = [["id", "card"], [123456789012345, 6222021234567890123], ["9" * 19, 1.23e17], ["x", 5]]
    texts, warnings, _ = rendered(intake, workbook_of({"S": rows}))
    assert texts["S"].split("\n")[1:3] == [
        '"123456789012345","6222021234567890000"',
        '"9999999999999999999","123000000000000000"',
    ]
    assert [text.split(";")[0] for text in warnings["S"]] == [
        "column B: 2 numbers of more than 15 digits, of which a workbook keeps the first 15 only"
    ]


@pytest.mark.parametrize("writer", ["xlsxwriter", "openpyxl"])
def test_numbers_shown_with_zeros_before_them_are_told(intake, writer):
    cells = [(42, "00000"), (12345, "00000"), (7, "0"), (7, "0.00"), (3, "000")]
    out = io.BytesIO()
    if writer == "xlsxwriter":
        with xlsxwriter.Workbook(out) as book:
            sheet = book.add_worksheet("S")
            for row, (number, form) in enumerate(cells):
                sheet.write(row, 0, "x")
                sheet.write_number(row, 1, number, book.add_format({"num_format": form}))
    else:
        book = openpyxl.Workbook()
        book.active.title = "S"
        for number, form in cells:
            book.active.append(["x", number])
            book.active.cell(book.active.max_row, 2).number_format = form
        book.save(out)
    texts, warnings, _ = rendered(intake, out.getvalue())
    assert texts["S"].split("\n")[:2] == ['"x","42"', '"x","12345"']
    assert warnings["S"] == [
        "column B: 2 numbers are shown with zeros before them (format 00000), and read without; have the column exported"
        " as text"
    ]


def test_hidden_empty_and_chart_sheets(intake):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        book.add_worksheet("空")
        hidden = book.add_worksheet("藏")
        hidden.write_row(0, 0, list(CUSTOMER))
        hidden.write_row(1, 0, list(CUSTOMER.values()))
        hidden.hide()
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "=藏!$A$1:$A$2"})
        book.add_chartsheet("图").set_chart(chart)
    intake.drop("crm.xlsx", out.getvalue())
    [(name, outcome)] = intake.night().items()
    assert (name, outcome.status) == ("crm.xlsx/藏", "landed")
    assert outcome.message == "空: an empty sheet; 图: a chart or macro sheet, no table"
    assert outcome.warnings == (
        ("the sheet is hidden in its workbook, and was read", "该工作表在工作簿中被隐藏，仍已读取"),
    )


def unreadable(intake, name, content):
    intake.drop(name, content)
    outcome = intake.night()[name]
    assert (outcome.status, (intake.inbox / name).exists()) == ("unreadable", True)
    return outcome.message


def test_a_workbook_without_a_table_is_said_in_one_line(intake):
    assert (
        unreadable(intake, "a.xlsx", workbook_of({"S": []})) == "it holds no table: S: an empty sheet; export it again"
    )
    whole = workbook_of({"S": [["a"]]})
    assert "no complete zip file" in unreadable(intake, "b.xlsx", whole[: len(whole) // 2])
    harmed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(harmed, "w") as target:
        for member in source.namelist():
            target.writestr(member, source.read(member)[:40] if "sheet1" in member else source.read(member))
    assert "save it again" in unreadable(intake, "c.xlsx", harmed.getvalue())


def test_a_workbook_with_a_password(intake):
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(4000)
    assert unreadable(intake, "locked.xlsx", content) == "is protected by a password; save it without one"


def test_a_cell_far_away_kills_the_child_and_nothing_else(intake):
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = "a", "far"
    out = io.BytesIO()
    book.save(out)
    assert len(out.getvalue()) < 6000
    message = unreadable(intake, "far.xlsx", out.getvalue())
    assert message.startswith("reading it needs more than memory_limit 4GiB (ended by SIG")
    assert "a cell far below or right of the table" in message
    assert intake.take("orders.csv", ",".join(ORDER) + "\n" + ",".join(ORDER.values()) + "\n").status == "landed"


def test_no_entity_is_expanded(intake):
    entities = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "'
        + b"x" * 1000
        + b'">'
        + b"".join(b'<!ENTITY %c "%s">' % (name + 1, b"&%c;" % name * 1000) for name in range(97, 104))
    )
    whole, harmed = workbook_of({"S": [["a"]]}), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(harmed, "w") as target:
        for member in source.namelist():
            content = source.read(member)
            if "sharedStrings" in member:
                content = entities + b"]>" + content[content.index(b"<sst") :].replace(b"<t>a</t>", b"<t>&h;</t>")
            target.writestr(member, content)
    assert unreadable(intake, "entities.xlsx", harmed.getvalue()) == "is no whole workbook (XmlError); save it again"


def test_a_workbook_that_takes_too_long_or_writes_too_much_is_stopped(intake, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(containers, "SECONDS", 0)
        message = unreadable(intake, "slow.xlsx", workbook_of({"S": [["a"]]}))
    assert message == "reading it took more than 0 seconds; split it, or save it as CSV (UTF-8)"
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM", 0)
    monkeypatch.setattr(archives, "MAX_RATIO", 1)
    message = unreadable(intake, "wide.xlsx", workbook_of({"S": [["a" * 30_000]] * 100}))
    assert message.startswith("its tables take more than ") and message.endswith("split it")


def test_names_and_sizes():
    assert [column_letter(place) for place in (0, 25, 26, 701, 702, 16383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
    assert [memory_bytes(text) for text in ("4GiB", "500MB", "1.5 GiB")] == [4 << 30, 500_000_000, 3 << 29]


def test_ods(intake):
    names = ("office", "table", "text")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    cells = (
        '<table:table-cell office:value-type="string"><text:p>单号</text:p></table:table-cell>'
        '<table:table-cell office:value-type="float" office:value="13800138000"><text:p>x</text:p></table:table-cell>'
        '<table:table-cell office:value-type="date" office:date-value="2024-05-01"><text:p>x</text:p></table:table-cell>'
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet>'
            f'<table:table table:name="S"><table:table-row>{cells}</table:table-row></table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    texts, _, _ = rendered(intake, content.getvalue(), "book.ods")
    assert texts == {"S": '"单号","13800138000","2024-05-01"\n'}


def xls_of(rows: list[list], formats=(0,)) -> bytes:
    """A BIFF8 workbook of texts and numbers, one sheet, in its compound file. formats: number format of each style."""

    def record(kind, content=b""):
        return struct.pack("<HH", kind, len(content)) + content

    def text(value, width):
        return struct.pack(f"<{width}B", len(value), 1) + value.encode("utf-16-le")

    cells = b""
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            style = 0
            if isinstance(value, tuple):
                value, style = value
            place = struct.pack("<HHH", row, column, style)
            if isinstance(value, str):
                cells += record(0x204, place + text(value, "H"))
            elif value is not None:
                cells += record(0x203, place + struct.pack("<d", value))
    styles = b"".join(record(0xE0, struct.pack("<HH", 0, number) + bytes(16)) for number in formats)
    begin = record(0x809, struct.pack("<HHHHLL", 0x600, 5, 0, 0, 0, 6)) + record(0x42, b"\xb0\x04") + styles
    name = text("表", "B")
    at = len(begin) + 4 + 6 + len(name) + 4
    book = begin + record(0x85, struct.pack("<LBB", at, 0, 0) + name) + record(0x0A)
    book += record(0x809, struct.pack("<HHHHLL", 0x600, 16, 0, 0, 0, 6)) + cells + record(0x0A)
    sectors = max(-(-len(book) // 512), 8)
    chain = [-3, -2, *range(3, sectors + 2), -2]
    fat = struct.pack("<128l", *chain, *[-1] * (128 - len(chain)))

    def entry(title, kind, child, start, size):
        encoded = (title + "\0").encode("utf-16-le")
        links = struct.pack("<HBBlll", len(encoded), kind, 1, -1, -1, child)
        return encoded.ljust(64, b"\0") + links + bytes(36) + struct.pack("<lQ", start, size)

    folder = entry("Root Entry", 5, 1, -2, 0) + entry("Workbook", 2, -1, 2, sectors * 512) + bytes(256)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<LLlLLlLlL", 0, 1, 1, 0, 4096, -2, 0, -2, 0) + struct.pack("<109l", 0, *[-1] * 108)
    return head + fat + folder + book.ljust(sectors * 512, b"\0")


def test_xls(intake):
    rows = [list(ORDER), [(value, 0) if isinstance(value, str) else value for value in ORDER_ROW]]
    rows[1][3], rows[1][4] = 13800138000.0, (45413.4375, 1)
    intake.drop("orders.xls", xls_of(rows, formats=(0, 22)))
    outcome = intake.night()["orders.xls/表"]
    [order] = intake.landed(outcome.landings[0])
    assert (order["order_id"], order["phone"]) == ("O1", "+8613800138000")
    assert order["ordered_at"] == datetime(2024, 5, 1, 2, 30)
