"""JSON, JSON lines, Parquet and HTML as text tables: nothing is rounded, guessed or lost on the way."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import polars as pl
import pytest

from pipeline.ingest import archives, documents
from pipeline.ingest.containers import kind_of, render
from pipeline.ingest.read import UnreadableFile
from tests.builders import ORDER, Intake, broken


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def rendered(intake, content, name="export.json"):
    """({label: text}, {label: English warnings}, notes) of a file."""
    path = intake.scratch / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    parts, notes = render(kind_of(path), path, intake.scratch, intake.settings)
    texts = {part.label: part.path.read_bytes().decode() for part in parts}
    return texts, {part.label: [english for english, _ in part.warnings] for part in parts}, notes


def table(intake, content, name="export.json"):
    """The lines of a file's only table."""
    texts, _, _ = rendered(intake, content, name)
    assert list(texts) == [""]
    return texts[""].split("\n")[:-1]


# JSON


def test_objects_in_objects_become_columns_and_lists_stay_json(intake):
    records = [
        {"id": 1, "via": {"channel": "web", "source": {"from": None}}, "tags": ["a", "b"], "lines": [{"sku": "x"}]},
        {"id": 2, "via": None, "late": True, "tags": [], "empty": {}},
    ]
    assert table(intake, json.dumps(records)) == [
        '"id","via.channel","via.source.from","tags","lines","late","empty"',
        '"1","web",,"[""a"",""b""]","[{""sku"":""x""}]",,',
        '"2",,,"[]",,"true","{}"',
    ]


TEXTS = [
    "007",
    "1e5",
    "NaN",
    "null",
    "",
    " x ",
    "2024-01-01T00:00:00Z",
    "=1+1",
    'say "hi"',
    "a,b\nc",
    "\u202e李",
    "1.50",
]
NUMBERS = ["12345678901234567890123", "9007199254740993", "1.10", "1e5", "0.1", "-3", "12345678901234567.89", "1.0E-7"]


def test_texts_and_numbers_come_out_as_they_went_in(intake):
    lines = [f'{{"v": {json.dumps(text)}}}' for text in TEXTS] + [f'{{"v": {number}}}' for number in NUMBERS]
    found = table(intake, "\n".join(lines))
    whole = "\n".join(found[1:])
    assert whole.startswith("\n".join('"' + text.replace('"', '""') + '"' for text in TEXTS))
    # 1.10 is 1.1: the same number
    assert found[-len(NUMBERS) :] == [f'"{number}"' for number in NUMBERS[:2] + ["1.1"] + NUMBERS[3:]]


@pytest.mark.parametrize(
    "content",
    [
        '[{"a":1,"b":"x"},{"a":2,"b":"y"}]',
        '[\n {"a":1,"b":"x"}\n,\n {"a":2,\n"b":"y"}]\n',
        '{"a":1,"b":"x"}\n{"a":2,"b":"y"}',
        '{"a":1,"b":"x"}\r\n{"a":2,"b":"y"}\r\n',
        '{\n"a":1,\n"b":"x"}\n{\n"a":2,\n"b":"y"}\n',
        '{"rows":[{"a":1,"b":"x"},{"a":2,"b":"y"}],"count":2}',
        '{"code":0,"data":{"total":2,"list":[\n{"a":1,"b":"x"},\n{"a":2,"b":"y"}\n]}}',
        '\ufeff[{"a":1,"b":"x"},{"a":2,"b":"y"}]',
        '[{"a":1,"b":"x"},{"a":2,"b":"y"}]'.encode("utf-16"),
    ],
)
def test_the_shapes_of_json(intake, content):
    assert table(intake, content) == ['"a","b"', '"1","x"', '"2","y"']


def test_json_in_gb18030(intake):
    assert table(intake, '{"姓名":"李雷"}\n{"姓名":"韩梅梅"}\n'.encode("gb18030")) == ['"姓名"', '"李雷"', '"韩梅梅"']


def test_arrays_beside_one_another_are_tables_of_their_own_and_what_is_beside_them_is_said(intake):
    texts, _, notes = rendered(intake, '{"next": 3, "people":[{"a":1}],"data":5,"shops":[{"b":2},{"b":3}]}')
    assert texts == {"people": '"a"\n"1"\n', "shops": '"b"\n"2"\n"3"\n'}
    assert notes == ["the records are people, shops; not read: data, next"]


def test_mixed_types_are_kept_as_they_stand(intake):
    assert table(intake, '[{"a":1},{"a":"x"},{"a":[1]},{"a":{"b":2}},{"a":null},{}]') == [
        '"a","a.b"',
        '"1",',
        '"x",',
        '"[1]",',
        ',"2"',
        ",",
        ",",
    ]


def test_a_requester_that_is_an_id_here_and_an_object_there_is_never_an_object_in_an_id(intake):
    ticket = {"subject": "s", "status": "open", "via": {"channel": "email"}, "created_at": "2026-10-02T02:03:04Z"}
    requesters = [{"id": 7, "name": "黄蓉", "email": "huang@example.com"}, 8]
    tickets = [ticket | {"id": place, "requester": requester} for place, requester in enumerate(requesters)]
    intake.drop("tickets.jsonl", "".join(json.dumps(ticket, ensure_ascii=False) + "\n" for ticket in tickets))
    outcome = intake.night()["tickets.jsonl"]
    landed = {landing.entity: intake.landed(landing) for landing in outcome.landings}
    assert [row["source_customer_id"] for row in landed["tickets"]] == ["7", "8"]
    assert [row["name"] for row in landed["customers"]] == ["黄蓉"]


def test_a_broken_line_is_rejected_with_its_place_and_the_others_land(intake):
    lines = [json.dumps(ORDER | {"订单号": f"O{number}"}, ensure_ascii=False) for number in range(200)]
    lines[1:1] = ["", '{"订单号": "O2", "邮箱', "[1]"]
    intake.drop("orders.jsonl", "\n".join(lines) + "\n")
    outcome = intake.night()["orders.jsonl"]
    [landing] = outcome.landings
    assert (outcome.status, landing.lines_read, landing.landed, landing.rejected) == ("landed", 202, 200, 2)
    # a line below the header that a table has and JSON has not
    assert broken(intake.rejects(landing)) == [(line, None, "too_many_columns", "rejected") for line in (4, 5)]
    assert outcome.warnings[0][0].startswith(
        "2 lines are no JSON object and are rejected: 3, 4 (ops.rejects lists them as too_many_columns, a line further down,"
    )


def test_a_field_that_stands_twice_in_a_record_is_told(intake):
    line = json.dumps(ORDER, ensure_ascii=False)
    twice = line.replace('"客户": "C1"', '"客户": "C1", "客户": "C9"').replace("O1", "O2")
    intake.drop("orders.jsonl", f"{line}\n{twice}\n")
    outcome = intake.night()["orders.jsonl"]
    assert [row["source_customer_id"] for row in intake.landed(outcome.landings[0])] == ["C1", "C1"]
    assert [english.split(";")[0] for english, _ in outcome.warnings] == ["1 records have a field twice"]


def test_a_broken_line_does_not_keep_out_a_file_most_of_whose_lines_are_none_of_an_entity(intake):
    ticket = {"subject": "s", "status": "open", "via": {"channel": "email"}, "created_at": "2026-10-02T02:03:04Z"}
    lines = [json.dumps(ticket | {"id": place, "requester_id": 7}) for place in range(100)]
    lines[2] = lines[2][:20]
    intake.drop("tickets.jsonl", "\n".join(lines))
    outcome = intake.night()["tickets.jsonl"]
    assert outcome.status == "landed", outcome.message
    assert {landing.entity: (landing.landed, landing.rejected) for landing in outcome.landings} == {
        "tickets": (99, 1),
        "customers": (0, 1),
    }


def test_names_of_fields_are_only_names(intake):
    names = ["a.b", "a/b", "a~b", '$."x"', "*", "'); drop table records; --", "", "0", "a b\n", '"', "[0]"]
    lines = "\n".join(json.dumps({name: str(place) for place, name in enumerate(names)}) for _ in range(2))
    header, *rows = table(intake, lines.replace("\\n", " "))
    assert header.split(",")[:3] == ['"a.b"', '"a/b"', '"a~b"']
    assert rows == [",".join(f'"{place}"' for place in range(len(names)))] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "it holds no record"),
        ("{}", "its records have no field"),
        ('[{"a":1},', "is no whole JSON file"),
        ('{"a":1', "is no whole JSON file"),
        ('[{"a":' + "[" * 1_000_000 + "]" * 1_000_000 + "}]", "is no"),
        ("\n".join(f'{{"k{number}":1}}' for number in range(2001)), "2001 different fields"),
        (b'{"a":"\xff\xff\xff"}', "neither utf-8 nor gb18030"),
    ],
)
def test_json_that_cannot_be_read_is_said_in_one_line(intake, content, message):
    intake.drop("export.json", content)
    outcome = intake.night()["export.json"]
    assert (outcome.status, message in outcome.message, "\n" in outcome.message) == ("unreadable", True, False)


def test_a_large_single_object_is_asked_for_as_lines(intake, monkeypatch):
    path = intake.scratch / "x.json"
    path.write_text('{"a":\n1}')
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 5)
    with pytest.raises(documents.NotRendered, match="export it as JSON lines"):
        documents.render(path, intake.scratch, 1 << 30)


# Parquet


def parquet(intake, sql):
    path = intake.scratch / "made.parquet"
    con = duckdb.connect()
    con.execute("set timezone = 'Asia/Shanghai'")
    con.execute(f"copy ({sql}) to '{path}' (format parquet)")
    return table(intake, path.read_bytes(), "export.parquet")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'007'", '"007"'),
        ("''", '""'),
        ("null::varchar", ""),
        ("'say \"hi\", x'", '"say ""hi"", x"'),
        ("9007199254740993", '"9007199254740993"'),
        ("18446744073709551615::ubigint", '"18446744073709551615"'),
        ("12345678901234567890.12::decimal(38,2)", '"12345678901234567890.12"'),
        ("1.10::decimal(9,2)", '"1.10"'),
        ("13800138000::double", '"13800138000"'),
        ("0.1::double", '"0.1"'),
        ("0.1::float", '"0.1"'),
        ("'nan'::double", '"nan"'),
        ("true", '"true"'),
        ("date '2024-05-01'", '"2024-05-01"'),
        ("time '10:30:00'", '"10:30:00"'),
        ("timestamp '2024-05-01 10:30:00'", '"2024-05-01 10:30:00"'),
        ("timestamp '2024-05-01 10:30:00.123456'", '"2024-05-01 10:30:00.123456"'),
        ("timestamptz '2024-05-01 10:30:00+08'", '"2024-05-01 02:30:00 +00:00"'),
        ("encode('李')", '"李"'),
        ("'\\xFF\\x00'::blob", '"\\xFF\\x00"'),
        ("['a', null]", '"[""a"",null]"'),
        ("[1.10::decimal(9,2)]", '"[""1.10""]"'),
        ("[9007199254740993]", '"[""9007199254740993""]"'),
        ("map {'k': 1.10::decimal(4,2)}", '"{""k"":""1.10""}"'),
        ("[{'a': 1, 'b': date '2024-05-01'}]", '"[{""a"":""1"",""b"":""2024-05-01""}]"'),
        ("'x'::enum('x', 'y')", '"x"'),
    ],
)
def test_every_type_of_parquet_is_rendered_without_loss(intake, cell, text):
    assert parquet(intake, f"select {cell} as c") == ['"c"', text]


def test_structs_become_columns_and_equal_names_stay_apart(intake):
    cells = "{'channel': 'web', 'deep': {'n': 1}} as via, 'x' as \"via.channel\", null::struct(a integer) as s"
    assert parquet(intake, f"select {cells}") == ['"via.channel","via.deep.n","via.channel_2","s.a"', '"web","1","x",']


def test_no_rows_and_no_whole_file(intake):
    assert parquet(intake, "select 1 as a where false") == ['"a"']
    with pytest.raises(UnreadableFile, match="is no whole Parquet file .*; export it again"):
        table(intake, b"PAR1" + bytes(100) + b"PAR1", "broken.parquet")


def test_parquet_that_unpacks_without_bounds_is_stopped(intake, monkeypatch):
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM", 1 << 20)
    path = intake.inbox / "bomb.parquet"
    duckdb.connect().execute(f"copy (select repeat('x', 1000) as a from range(1000000)) to '{path}' (format parquet)")
    outcome = intake.night()["bomb.parquet"]
    assert (outcome.status, outcome.message.split(" than ")[0]) == ("unreadable", "its tables take more")
    assert list(intake.scratch.iterdir()) == []


def test_parquet_of_polars_lands(intake):
    frame = pl.DataFrame(
        [ORDER | {"下单时间": datetime(2026, 5, 1, 2, tzinfo=UTC), "实付": Decimal("100.00"), "分期": 3.0}]
    )
    path = intake.inbox / "orders.parquet"
    frame.write_parquet(path)
    outcome = intake.night()["orders.parquet"]
    [order] = intake.landed(outcome.landings[0])
    assert (order["ordered_at"], order["net"], order["instalments"]) == (datetime(2026, 5, 1, 2), 100, 3)
    names = sorted(path.name for path in (intake.settings.vault / "raw").rglob("*.*"))
    assert names == ["orders.parquet", "part.csv"]


# what calls itself .xls


PAGE = """<html><head><meta charset="gb2312"></head><body><table>
<tr><th colspan=2>五月</th></tr><tr><th>单号</th><th>商品&amp;价</th></tr>
<tr><td rowspan="2">O1</td><td> 笔 <br>2</td></tr><tr><td>&#32440;</td></tr><tr><td></td></tr><tr><td>O2</td></tr>
</table><table></table><TABLE><TR><TD>x</TABLE>"""


def test_an_html_table(intake):
    texts, _, _ = rendered(intake, PAGE.encode("gbk"), "orders.xls")
    assert texts == {
        "table 1": '"五月",\n"单号","商品&价"\n"O1","笔 \n2"\n"O1","纸"\n\n"O2"\n',
        "table 2": '"x"\n',
    }


def test_a_spreadsheet_of_2003(intake):
    content = """<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">
<Worksheet ss:Name="订单"><Table><Row><Cell><Data ss:Type="String">单号</Data></Cell><Cell><Data>数</Data></Cell></Row>
<Row ss:Index="4"><Cell ss:Index="2"><Data ss:Type="Number">5</Data></Cell></Row></Table></Worksheet></Workbook>"""
    texts, _, _ = rendered(intake, content, "orders.xls")
    assert texts == {"订单": '"单号","数"\n\n\n,"5"\n'}


@pytest.mark.parametrize("ending", ["xls", "xls.gz"])
def test_text_that_calls_itself_xls_is_read_as_text(intake, ending):
    content = "\n".join("\t".join(row) for row in (ORDER, ORDER.values())).encode("utf-16")
    outcome = intake.take(f"orders.{ending}", gzip.compress(content) if ending.endswith("gz") else content)
    assert (outcome.status, outcome.landings[0].landed) == ("landed", 1)


def test_a_page_without_a_table(intake):
    outcome = intake.take("orders.xls", "<html><body>Please log in</body></html>")
    assert (outcome.status, outcome.message.split(",")[0]) == ("unreadable", "is an HTML page without a table")
