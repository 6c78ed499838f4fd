"""How a text file is written: its encoding with the evidence, its dialect, and the line its table begins on."""

import csv
import io
import json
from pathlib import Path

import pytest

from pipeline.ingest.dialect import Dialect
from pipeline.ingest.layouts import Layout
from pipeline.ingest.read import profile_file
from pipeline.ingest.rows import read_rows
from pipeline.ingest.text_form import open_text
from pipeline.warehouse import frame
from tests.builders import ingest_connection

BLNS = Path(__file__).parents[2].parent / "shared" / "data" / "naughty_strings" / "blns.json"
CHINESE = "订单号,客户,城市\nO1,李雷,北京\nO2,韩梅梅,上海\n"
TAIWANESE = "訂單編號,客戶,縣市\nO1,王小明,臺北\nO2,陳美玲,高雄\n"
JAPANESE = "注文番号,氏名,都道府県\nO1,山田太郎,東京\nO2,佐藤花子,大阪\n"
WESTERN = "id,name,city\n1,José García,Málaga\n2,Jürgen Müller,Köln\n3,Zoë,Orléans\n"


def layout_of(name, columns, **overrides):
    """A layout that knows its header alone."""
    return {name: Layout(name, "shop", {}, frozenset(columns), None, "", **overrides)}


def opened(tmp_path, data, layouts=None, name="export.csv"):
    """(readable file, form) of a file's bytes."""
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return open_text(profile_file(path), name, layouts or {}, tmp_path)


def read(tmp_path, data, layouts=None):
    """(records as texts, blank as '', refused as (line, rule), the form, notes) of a file's bytes."""
    con = ingest_connection()
    readable, form = opened(tmp_path, data, layouts)
    rows = read_rows(con, readable, form, tmp_path)
    raw = frame(con, "select * exclude (good_record) from scratch.raw order by good_record").rows()
    records = [tuple(cell or "" for cell in cells) for cells in raw]
    return records, rows.refused.select("line", "rule").rows(), form, (*form.notes, *rows.notes)


# encodings


@pytest.mark.parametrize(
    ("text", "encoding", "name", "evidence"),
    [
        (CHINESE, "utf-8", "utf-8", ""),
        (CHINESE, "utf-8-sig", "utf-8", ""),
        (CHINESE, "utf-16", "utf-16-le", "UTF-16 little endian by byte order mark"),
        ("\ufeff" + CHINESE, "utf-16-be", "utf-16-be", "UTF-16 big endian by byte order mark"),
        (CHINESE, "utf-16-le", "utf-16-le", "UTF-16 little endian by its zero bytes"),
        (CHINESE.replace("\n", "\r"), "utf-16-be", "utf-16-be", "UTF-16 big endian by its zero bytes"),
        (WESTERN, "utf-16-le", "utf-16-le", "UTF-16 little endian by its zero bytes"),
        (CHINESE, "gbk", "gb18030", "read as gb18030: 5 common words of exports stand in it"),
        (TAIWANESE, "big5", "cp950", "read as cp950: 5 common words of exports stand in it"),
        (JAPANESE, "cp932", "cp932", "read as cp932: 6 common words of exports stand in it"),
    ],
)
def test_an_encoding_is_decided_by_evidence(tmp_path, text, encoding, name, evidence):
    readable, form = opened(tmp_path, text.encode(encoding))
    assert (form.encoding.name, form.encoding.evidence, form.encoding.is_guess) == (name, evidence, False)
    assert readable.path.read_text(encoding="utf-8-sig") == text.removeprefix("\ufeff").replace("\r", "\n")


def test_a_header_that_a_layout_knows_tells_the_encoding(tmp_path):
    layouts = layout_of("theirs", ["Größe", "Stück"])
    _, form = opened(tmp_path, "Größe,Stück\n1,2\n".encode("cp1252"), layouts)
    assert form.encoding.evidence == "read as cp1252: its header reads as layout theirs"


def test_the_encoding_that_a_layout_states(tmp_path):
    layouts = layout_of("theirs", ["id", "name"], encoding="cp1250")
    readable, form = opened(tmp_path, "id,name\n1,Łukasz\n".encode("cp1250"), layouts)
    assert form.notes == ("read as cp1250, as layout theirs states",)
    assert readable.path.read_text(encoding="utf-8") == "id,name\n1,Łukasz\n"


def test_a_file_that_is_utf_8_is_that_whatever_a_layout_states(tmp_path):
    readable, form = opened(tmp_path, CHINESE, layout_of("theirs", ["订单号"], encoding="gb18030"))
    assert (form.encoding.name, form.layout.name, form.notes) == ("utf-8", "theirs", ())


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WESTERN, "cp1252"),
        ("id,name\n1,José\n", "cp1252"),
        ("id;note\n1;Señor – “x”\n", "cp1252"),
        ("id,imię\n1,Łukasz Wójcik\n2,Małgorzata Żak\n3,Zofia Dąbrowska\n", "cp1250"),
        ("id,name\n1,Иван Петров\n2,Анна Иванова\n", "cp1251"),
        ("id,name\n1,김철수\n2,이영희 서울\n", "cp949"),
    ],
)
def test_a_guess_is_right_and_says_that_it_is_one(tmp_path, text, encoding):
    readable, form = opened(tmp_path, text.encode(encoding))
    assert readable.path.read_text(encoding="utf-8") == text
    assert form.encoding.is_guess
    assert form.notes[0].startswith(f"guessed {encoding} (")
    assert "state read.encoding in the layout" in form.notes[0]


def test_single_broken_characters_lose_their_line_alone(tmp_path):
    data = CHINESE.encode("gbk") * 40 + "O9,韩,上海".encode("gbk")[:-1] + b"\n" + "O10,李,北京\n".encode("gbk")
    records, refused, form, _ = read(tmp_path, data)
    assert form.encoding.name == "gb18030"
    assert refused == [(121, "invalid_encoding")]
    assert records[-1] == ("O10", "李", "北京")


def test_lines_of_another_encoding_are_refused_in_a_utf_8_file(tmp_path):
    data = (CHINESE * 10).encode() + "O8,王,广州\n".encode("gbk") + "O9,张,深圳\n".encode()
    records, refused, _, notes = read(tmp_path, data)
    assert notes == ("UTF-8 with bytes that are none; lines that are not UTF-8 are rejected",)
    assert refused == [(31, "invalid_encoding")]
    assert records[-1] == ("O9", "张", "深圳")


def test_what_fits_nothing_says_what_was_tried(tmp_path):
    _, form = opened(tmp_path, b"a,b\n1,\xff\xfe\xff\n2,x\n3,y\n")
    assert form.encoding.is_guess
    assert "not UTF-8 and not gb18030, cp950, cp932, euc_jp, cp1252" in form.notes[0]


# dialects


ROWS = [("id", "name", "note"), ("1", "Ann", "a, b; c"), ("2", "Bob", 'say "hi"'), ("3", "Cy", "it's"), ("4", "Di", "")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~", ":", "\x01", "¦"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_delimiter_is_found(tmp_path, delimiter, quoting):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(ROWS)
    records, refused, form, _ = read(tmp_path, out.getvalue())
    assert (form.dialect, form.header) == (Dialect(delimiter), ROWS[0])
    assert (records, refused) == (ROWS[1:], [])


@pytest.mark.parametrize(
    ("text", "delimiter", "cells"),
    [
        ('"first\r\nname",b\r\n1,2\r\n', ",", ("first\nname", "b")),
        (" a , b ,c\n", ",", ("a", "b", "c")),
        ('"a;b;c;d",e\n', ",", ("a;b;c;d", "e")),
        ("a\u2028b,c\x0bd\n", ",", ("a\u2028b", "c\x0bd")),
        ("\n\na,b\n", ",", ("a", "b")),
        (" \n", ",", ()),
    ],
)
def test_a_header_by_itself(tmp_path, text, delimiter, cells):
    _, form = opened(tmp_path, text)
    assert (form.dialect.delimiter, form.header) == (delimiter, cells)


def test_a_header_that_a_layout_knows_by_another_name(tmp_path):
    layouts = layout_of("theirs", ["Record Id", "Name"], also_called={"Record Id": ("记录编号",), "Name": ("名字",)})
    _, form = opened(tmp_path, "记录编号;名字\n1;a\n".encode("gbk"), layouts)
    assert form.notes == ("read as gb18030: its header reads as layout theirs",)


def test_single_quotes(tmp_path):
    text = "'id','note'\n'1','a, b'\n'2','it''s'\n'3','say \"x\"'\n"
    records, _, form, _ = read(tmp_path, text)
    assert form.dialect == Dialect(",", "'", "'")
    assert records == [("1", "a, b"), ("2", "it's"), ("3", 'say "x"')]


def test_quotes_behind_a_backslash(tmp_path):
    text = '"id","note"\n"1","say \\"hi\\", ok"\n"2","C:\\\\dir"\n"3","tail\\\\"\n"4","C:\\new"\n'
    records, refused, form, notes = read(tmp_path, text)
    assert records == [("1", 'say "hi", ok'), ("2", "C:\\dir"), ("3", "tail\\"), ("4", "C:\\new")]
    assert (refused, notes) == ([], ("quotes inside values are escaped with a backslash",))


def test_the_only_backslash_before_a_quote_stands_far_down(tmp_path):
    text = '"id","note"\n' + '"1","plain"\n' * 20_000 + '"2","say \\"hi\\", ok"\n'
    records, refused, _, _ = read(tmp_path, text)
    assert (records[-1], refused) == (("2", 'say "hi", ok'), [])


def test_a_backslash_at_the_end_of_a_value_is_a_backslash(tmp_path):
    text = '"id","path"\n"1","C:\\"\n"2","D:\\"\n"3","E"\n'
    assert read(tmp_path, text)[0] == [("1", "C:\\"), ("2", "D:\\"), ("3", "E")]


def test_what_a_layout_states_goes_before_what_is_seen(tmp_path):
    layouts = layout_of("theirs", ["id", "note"], quote="", delimiter=",")
    records, refused, _, _ = read(tmp_path, 'id,note\n1,"x"\n2,"y\n', layouts)
    assert (records, refused) == ([("1", '"x"'), ("2", '"y')], [])


# what stands around the table


@pytest.mark.parametrize("layouts", [{}, layout_of("mine", ["id", "name"])])
@pytest.mark.parametrize(
    ("above", "line"),
    [
        ("", 1),
        ("sep=,\n", 2),
        ("Report of May\n\n", 3),
        ("Report,2026\nMade by,Ann\n\n\n", 5),
        ('"Report, of May","",""\n"","",""\n', 3),
    ],
)
def test_titles_above_the_header(tmp_path, layouts, above, line):
    text = f"{above}id,name,amount\n1,Ann,2.50\n2,Bob,3.50\n3,Cy,1.00\n"
    records, refused, form, _ = read(tmp_path, text, layouts)
    assert (form.header_line, form.header) == (line, ("id", "name", "amount"))
    assert records == [("1", "Ann", "2.50"), ("2", "Bob", "3.50"), ("3", "Cy", "1.00")]
    titles = [number for number, text in enumerate(above.split("\n"), start=1) if text.strip('",')]
    assert refused == [(number, "before_header") for number in titles]


@pytest.mark.parametrize(
    ("below", "rules"),
    [
        ("合计,,6.50\n", ["total_line"]),
        ("Total,2,6.50\n", ["total_line"]),
        ('"Grand total:","","6.50"\n', ["total_line"]),
        ("\n2 rows\n", ["after_table"]),
        ("共2条记录\n", ["after_table"]),
        ("Total,,6.50\n\nExported by Ann\n", ["total_line", "after_table"]),
        (",,\n,,\n", []),
        ("\n\n", []),
    ],
)
def test_totals_and_notes_below_the_last_record(tmp_path, below, rules):
    records, refused, _, _ = read(tmp_path, "id,name,amount\n1,Ann,2.50\n2,Bob,4.00\n" + below)
    assert records == [("1", "Ann", "2.50"), ("2", "Bob", "4.00")]
    assert [rule for _, rule in refused] == rules


@pytest.mark.parametrize("last", ["3,Total,1.00", "Total,Ann,1.00", '3,"Total\n\n2 rows",1.00', "3,,", "3,Sum,"])
def test_a_record_that_looks_a_little_like_a_total_is_a_record(tmp_path, last):
    records, refused, _, _ = read(tmp_path, f"id,name,amount\n1,Ann,2.50\n2,Bob,4.00\n{last}\n")
    assert (len(records), refused) == (3, [])


def test_rows_of_delimiters_alone_are_blank_lines(tmp_path):
    text = 'id,name,amount\n1,Ann,2.50\n,,\n2,Bob,4.00\n"","",""\n3,Cy,\n'
    records, refused, _, _ = read(tmp_path, text)
    assert records == [("1", "Ann", "2.50"), ("2", "Bob", "4.00"), ("3", "Cy", "")]
    assert refused == []


def test_a_file_without_a_header_is_said_to_have_none(tmp_path):
    records, _, form, notes = read(tmp_path, "1,Ann,2.50\n2,Bob,3.50\n")
    assert (form.header_line, form.header) == (0, ("column_1", "column_2", "column_3"))
    assert (len(records), notes) == (2, ("its first line looks like data; read without a header",))


# lines that are not as they should be


TABLE = "id,name,city,day,amount\nA1,Ann,Rome,2026-05-01,2.50\nA2,Bob,Oslo,2026-05-02,3.00\n"


@pytest.mark.parametrize(
    ("line", "record", "rule"),
    [
        ("A3,Cy,Bonn,2026-05-03,1.00,", ("A3", "Cy", "Bonn", "2026-05-03", "1.00"), None),
        ("A3,Cy,Bonn,2026-05-03,1.00,,,", ("A3", "Cy", "Bonn", "2026-05-03", "1.00"), None),
        # a cell too many, and the last one blank: the reader below would take it for a record
        ("A3,Cy,x,Bonn,2026-05-03,", None, "too_many_columns"),
        ("A3,Cy,x,Bonn,2026-05-03,1.00", None, "too_many_columns"),
        ("A3,Cy,Bonn", None, "missing_columns"),
        ('A3,"Cy "the" man",Bonn,2026-05-03,1.00', ("A3", 'Cy "the" man', "Bonn", "2026-05-03", "1.00"), None),
        ('A3,27" screen,Bonn,2026-05-03,1.00', ("A3", '27" screen', "Bonn", "2026-05-03", "1.00"), None),
        ("A3,C\0y,Bonn,2026-05-03,1.00", ("A3", "C\0y", "Bonn", "2026-05-03", "1.00"), None),
        ('A3,"Cy,Bonn,2026-05-03,1.00', None, "unclosed_quote"),
    ],
)
def test_a_damaged_line_is_put_right_or_refused(tmp_path, line, record, rule):
    records, refused, _, _ = read(tmp_path, f"{TABLE}{line}\nA4,Di,Lyon,2026-05-04,4.00\n")
    assert records[-1] == ("A4", "Di", "Lyon", "2026-05-04", "4.00")
    assert records[2:-1] == ([record] if record else [])
    assert refused == ([(4, rule)] if rule else [])


def test_a_record_split_by_a_line_end_is_joined(tmp_path):
    records, refused, _, notes = read(tmp_path, f"{TABLE}A3,C\ny,Bonn,2026-05-03,1.00\nA4,Di,Lyon,2026-05-04,4.00\n")
    assert records[2:] == [("A3", "C\ny", "Bonn", "2026-05-03", "1.00"), ("A4", "Di", "Lyon", "2026-05-04", "4.00")]
    assert (refused, notes) == ([], ("1 records split by a line end joined again",))


def test_two_short_lines_that_are_no_split_record_are_refused(tmp_path):
    records, refused, _, _ = read(tmp_path, f"{TABLE}A3,Cy\nA4,Di,Lyon,2026-05-04\n")
    assert len(records) == 2
    assert refused == [(4, "missing_columns"), (5, "missing_columns")]


def test_an_unclosed_quote_does_not_swallow_the_next_record(tmp_path):
    text = 'id,name,note\nA1,Ann,"open\nA2,Bob,"\nb"\nA3,Cy,"a, b"\n'
    records, refused, _, _ = read(tmp_path, text, layout_of("mine", ["id", "note"]))
    assert records == [("A2", "Bob", "\nb"), ("A3", "Cy", "a, b")]
    assert refused == [(2, "unclosed_quote")]


@pytest.mark.parametrize("header", ["id,name,city", "id,name,city,"])
def test_delimiters_at_the_end_of_every_line(tmp_path, header):
    text = f"{header}\n1,Ann,Rome,\n2,Bob,Oslo,\n" + "3,Cy,Bonn,\n" * 18 + "4,Di,x,Bonn\n"
    records, refused, form, _ = read(tmp_path, text)
    assert [cells[:3] for cells in records[:2]] == [("1", "Ann", "Rome"), ("2", "Bob", "Oslo")]
    assert form.ends_in_delimiter == (header == "id,name,city")
    # without a name for it, what stands behind the last delimiter is a cell too many
    assert refused == ([(22, "too_many_columns")] if form.ends_in_delimiter else [])


# hostile text


NAMES = [
    "a'; drop table x; --",
    '"; drop table x; --',
    "{{ 7 * 7 }}",
    "x" * 5000,
    "",
    "Tax",
    "tax",
    "two\nlines",
    "good_record",
    "spare",
    "; -- ",
    "\\",
]


def test_hostile_column_names_execute_nothing(tmp_path):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([NAMES, [*"abcdefghijkl"]])
    records, refused, form, _ = read(tmp_path, out.getvalue(), layout_of("mine", ["Tax", "{{ 7 * 7 }}"]))
    assert form.header == tuple(name.strip() for name in NAMES)
    assert (records, refused) == ([tuple("abcdefghijkl")], [])


@pytest.mark.realdata
@pytest.mark.skipif(not BLNS.exists(), reason="needs ../shared/data beside the repository")
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_naughty_strings_come_back_as_they_were(tmp_path, delimiter, encoding):
    strings = json.loads(BLNS.read_text(encoding="utf-8"))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["number", "text", "last"], *([number, text, "x"] for number, text in enumerate(strings))])
    records, refused, _, _ = read(tmp_path, out.getvalue().encode(encoding))
    assert refused == []
    assert [text for _, text, _ in records] == strings
