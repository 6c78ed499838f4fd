"""Every physical line of a file is part of a record, refused with its number and reason, or blank."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.ingest import lines, read, scan
from pipeline.ingest.dialect import Dialect
from pipeline.ingest.read import UnreadableFile, profile_file, readable_copy, write_kept
from pipeline.ingest.rows import read_rows
from pipeline.ingest.scan import unique_names
from pipeline.ingest.text_form import open_text
from pipeline.warehouse import frame
from tests.builders import ingest_connection

SPECTRUM = Path(__file__).parents[2].parent / "shared" / "data" / "csv_spectrum"


def write(tmp_path, data, name="export.csv"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read_file(con, tmp_path, data, delimiter=",", quote='"', columns=None, name="export.csv"):
    """The Rows of a file whose dialect is known, in scratch.raw."""
    readable, form = open_text(profile_file(write(tmp_path, data, name)), name, {}, tmp_path)
    form = replace(form, dialect=Dialect(delimiter, quote, quote))
    if columns:
        form = replace(form, header_line=0, header=columns)
    return read_rows(con, readable, form, tmp_path)


def read_text(tmp_path, data, delimiter=",", quote='"', columns=None, name="export.csv"):
    """(rows as tuples of text, their lines, refused as (line, rule, text)) of a file; its lines must add up."""
    con = ingest_connection()
    rows = read_file(con, tmp_path, data, delimiter, quote, columns, name)
    raw = frame(con, "select * exclude (good_record) from scratch.raw order by good_record").rows()
    assert rows.records == len(raw) == len(rows.good_lines())
    return raw, rows.good_lines().tolist(), rows.refused.rows()


# what one pass over the bytes shows


@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 22])
@pytest.mark.parametrize(
    ("data", "line_count", "encoding", "newline"),
    [
        ("a,b\n1,2\n", 2, "utf-8", "\\n"),
        ("a,b\n1,2", 2, "utf-8", "\\n"),
        ("a,b\r\n1,2\r\n", 2, "utf-8", "\\r\\n"),
        ("a,b\r\n1,2", 2, "utf-8", "\\r\\n"),
        ("a,b\r\n1,2\n", 2, "utf-8", "mixed"),
        ("a,b\n1,x\ry\n", 2, "utf-8", "mixed"),
        ("a,b\r1,2\r", 1, "utf-8", "mixed"),
        ("客户,😀\n李,雷\n", 2, "utf-8", "\\n"),
        ("客户,名\n".encode("gbk"), 1, "unknown", "\\n"),
        ("李".encode()[:2], 1, "unknown", "\\n"),
        ("\ufeffa,b\n", 1, "utf-8", "\\n"),
    ],
)
def test_profile(tmp_path, monkeypatch, chunk, data, line_count, encoding, newline):
    monkeypatch.setattr(read, "CHUNK", chunk)
    path = write(tmp_path, data)
    profile = profile_file(path)
    assert (profile.line_count, profile.encoding, profile.newline) == (line_count, encoding, newline)
    assert profile.size_bytes == path.stat().st_size
    assert profile.has_bom == path.read_bytes().startswith(b"\xef\xbb\xbf")


def test_an_empty_file_is_unreadable(tmp_path):
    with pytest.raises(UnreadableFile, match="empty; export it again"):
        profile_file(write(tmp_path, ""))


# plain files


def test_records_blank_lines_and_ragged_lines(tmp_path):
    text = 'a,b\n1,x\n\n2\n3,"two\nlines"\n4,y,z\n5,w\n'
    raw, good, refused = read_text(tmp_path, text)
    assert raw == [("1", "x"), ("3", "two\nlines"), ("5", "w")]
    assert good == [2, 5, 8]
    assert refused == [(4, "missing_columns", "2"), (7, "too_many_columns", "4,y,z")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path, line_end):
    raw, good, refused = read_text(tmp_path, f"a,b{line_end}1,2{line_end}{line_end}3{line_end}4,5{line_end}")
    assert raw == [("1", "2"), ("4", "5")]
    assert good == [2, 5]
    assert refused == [(4, "missing_columns", "3")]


def test_mixed_line_ends_are_read_as_one_kind(tmp_path):
    text = 'a,b\r\n1,"x\ny"\r\n2,z\n3,w\r4,v\n'
    assert profile_file(write(tmp_path, text)).newline == "mixed"
    raw, good, refused = read_text(tmp_path, text)
    assert raw == [("1", "x\ny"), ("2", "z"), ("3", "w"), ("4", "v")]
    assert good == [2, 4, 5, 6]
    assert refused == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5])
def test_mixed_line_ends_across_chunks(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(read, "CHUNK", chunk)
    assert read_text(tmp_path, "a,b\r\n李,2\n3,4\r\n")[0] == [("李", "2"), ("3", "4")]


def test_a_header_of_several_lines_and_a_byte_order_mark(tmp_path):
    con = ingest_connection()
    rows = read_file(con, tmp_path, '\ufeff"first\nname",b\n1,2\n3\n')
    assert rows.columns == ("first\nname", "b")
    assert rows.good_lines().tolist() == [3]
    assert rows.refused.rows() == [(4, "missing_columns", "3")]


def test_header_only(tmp_path):
    for text in ("a,b\n", "a,b", "a,b\n\n\n"):
        assert read_text(tmp_path, text) == ([], [], [])


def test_hostile_column_names_are_only_names(tmp_path):
    header = '"; drop table raw; --",\'quoted\',"with ""quotes""",good_record,a;b,,Tax,tax\n'
    con = ingest_connection()
    rows = read_file(con, tmp_path, header + "1,2,3,4,5,6,7,8\n")
    names = ("; drop table raw; --", "'quoted'", 'with "quotes"', "good_record_2", "a;b", "column_6", "Tax", "tax_2")
    assert rows.columns == names
    assert frame(con, "select * from scratch.raw").rows() == [(1, "1", "2", "3", "4", "5", "6", "7", "8")]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["a_2", "a", "A"], ["a_2", "a", "A_3"]),
        (["", "column_1"], ["column_1_2", "column_1"]),
        (["", ""], ["column_1", "column_2"]),
    ],
)
def test_unique_names(header, names):
    assert unique_names(header) == names


@pytest.mark.parametrize("name", ["orders[1].csv", "orders*.csv", "orders?{a,b}.csv", "it's.csv", "orders.csv.zst"])
def test_hostile_file_names(tmp_path, name):
    write(tmp_path, "a,b\n7,8\n", "orders1.csv")
    write(tmp_path, "a,b\n7,8\n", "orders9.csv")
    assert read_text(tmp_path, "a,b\n1,2\n", name=name)[0] == [("1", "2")]


def test_a_null_byte_a_quote_inside_and_empty_cells_stay_what_they_are(tmp_path):
    raw, _, refused = read_text(tmp_path, 'a,b\n1,x\0y\n2,6" pipe\n3,""\n4,\n5,NULL\n')
    assert raw == [("1", "x\0y"), ("2", '6" pipe'), ("3", None), ("4", None), ("5", "NULL")]
    assert refused == []


def test_no_header(tmp_path):
    raw, good, _ = read_text(tmp_path, "1,2\n\n3,4\n", columns=("a", "b"))
    assert (raw, good) == ([("1", "2"), ("3", "4")], [1, 3])


def test_columns_set_apart_by_blanks(tmp_path):
    text = " 0001  1 19970101  2   29.33\n\n   \n0002 7\n 0003 2 19970102 1 10.00\n"
    columns = ("full_id", "sample_id", "date", "cds", "dollars")
    raw, good, refused = read_text(tmp_path, text, delimiter="whitespace", columns=columns)
    assert raw == [("0001", "1", "19970101", "2", "29.33"), ("0003", "2", "19970102", "1", "10.00")]
    assert good == [1, 5]
    assert refused == [(3, "number_of_columns", "   "), (4, "number_of_columns", "0002 7")]


def test_a_line_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "MAX_LINE_BYTES", 1000)
    raw, good, refused = read_text(tmp_path, f"a,b\n1,{'x' * 2000}\n2,y\n")
    assert (raw, good) == ([("2", "y")], [3])
    assert [(line, rule) for line, rule, _ in refused] == [(2, "line_size_over_maximum")]


# unclosed quotes


def test_one_unclosed_quote_loses_its_own_line_alone(tmp_path):
    raw, good, refused = read_text(tmp_path, 'a,b\n1,"open\n2,x\n3,"y"\n4,z\n')
    assert raw == [("2", "x"), ("3", "y"), ("4", "z")]
    assert good == [3, 4, 5]
    assert refused == [(2, "unclosed_quote", '1,"open')]


def test_two_unclosed_quotes_do_not_swallow_what_stands_between(tmp_path):
    raw, good, refused = read_text(tmp_path, 'a,b\n1,"open\n2,x\n3,"open too\n4,y\n')
    assert raw == [("2", "x"), ("4", "y")]
    assert good == [3, 5]
    assert refused == [(2, "unclosed_quote", '1,"open'), (4, "unclosed_quote", '3,"open too')]


def test_an_unclosed_quote_spares_the_records_of_several_lines(tmp_path):
    text = 'a,b\n1,"two\nlines"\n2,"open\n3,x\n4,"three\n\nlines"\n5,27" screen\n6\n7,y\n'
    raw, good, refused = read_text(tmp_path, text)
    assert raw == [("1", "two\nlines"), ("3", "x"), ("4", "three\n\nlines"), ("5", '27" screen'), ("7", "y")]
    assert good == [2, 5, 6, 9, 11]
    assert refused == [(4, "unclosed_quote", '2,"open'), (10, "missing_columns", "6")]


def test_a_ragged_record_of_several_lines_is_refused_alone(tmp_path):
    raw, good, refused = read_text(tmp_path, 'a,b\n1,"two\nlines",3\n2,x\n4,"fine\nhere"\n')
    assert raw == [("2", "x"), ("4", "fine\nhere")]
    assert good == [4, 5]
    assert refused == [(2, "number_of_columns", '1,"two\nlines",3')]


def test_a_quote_that_opens_nothing_beside_a_record_of_several_lines(tmp_path):
    raw, good, refused = read_text(tmp_path, 'a,b\n1,27" screen\n2,"two\nlines"\n3,x\n')
    assert raw == [("1", '27" screen'), ("2", "two\nlines"), ("3", "x")]
    assert (good, refused) == ([2, 3, 5], [])


def test_text_after_a_closing_quote_is_refused(tmp_path):
    raw, good, refused = read_text(tmp_path, 'a,b\n1,"x"y\n2,z\n')
    assert (raw, good) == ([("2", "z")], [3])
    assert refused == [(2, "unquoted_value", '1,"x"y')]


def test_an_unclosed_quote_in_the_header_makes_the_file_unreadable(tmp_path):
    with pytest.raises(UnreadableFile, match="state read.delimiter, read.quote and read.escape in the layout"):
        read_text(tmp_path, 'a,"b\n1,2\n3,4\n')


def test_the_original_text_of_a_record_of_several_lines(tmp_path):
    con = ingest_connection()
    rows = read_file(con, tmp_path, 'a,b\n1,"open\n2,"two\nlines"\n3,x\n')
    assert rows.good_lines().tolist() == [3, 5]
    assert rows.texts(rows.good_lines()) == ['2,"two\nlines"', "3,x"]


@pytest.mark.parametrize("seed", range(5))
def test_line_numbers_of_a_long_file_by_another_route(tmp_path, monkeypatch, seed):
    """2000 records, some of several lines, some blank or ragged lines, some unclosed quotes; counted as it is written."""
    import random

    monkeypatch.setattr(lines, "CHUNK", 1000)
    chance, out, line, good, bad = random.Random(seed), ["a,b"], 2, [], []
    for number in range(2000):
        kind = chance.choice(["plain"] * 6 + ["long", "blank", "ragged", "quoted", "open"])
        text = {
            "plain": f"{number},x",
            "long": f'{number},"first\nsecond, with ""quotes""\n\nlast"',
            "blank": "",
            "ragged": f"{number},x,y",
            "quoted": f'{number},"a, b"',
            "open": f'{number},"open',
        }[kind]
        out.append(text)
        (bad if kind in ("ragged", "open") else good).append(line) if kind != "blank" else None
        line += text.count("\n") + 1
    raw, good_lines, refused = read_text(tmp_path, "\n".join(out) + "\n")
    assert good_lines == good
    assert [line for line, _, _ in refused] == bad


# encodings


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "gb18030", "cp950", "latin-1"])
def test_a_copy_has_the_same_lines_in_utf_8(tmp_path, encoding):
    text = "name,b\r\né,2\r\n" if encoding == "latin-1" else "客,名\r\n李,雷\r\n"
    profile = profile_file(write(tmp_path, text.encode(encoding)))
    copy, notes = readable_copy(profile, encoding, tmp_path)
    assert copy.path.read_text(encoding="utf-8") == text.replace("\r\n", "\n")
    assert (copy.content_hash, copy.copied_from, notes) == (profile.content_hash, encoding, ())


@pytest.mark.parametrize(
    "data", ["a,b\n1,é\n".encode("utf-16"), "\ufeffa,b\n".encode("utf-16-be"), b"\xef\xbb\xbfa,b\r1\n"]
)
def test_a_copy_can_be_written_back(tmp_path, data):
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(data[:2], "utf-8")
    copy, _ = readable_copy(profile_file(write(tmp_path, data)), encoding, tmp_path)
    write_kept(copy.path, copy.copied_from, False, tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == data.replace(b"\r", b"\n")


def test_bytes_that_are_no_text_lose_their_line_alone(tmp_path):
    raw, good, refused = read_text(tmp_path, b"a,b\n1,x\n2,\xff\xfe\xff\n3,z\n")
    assert (raw, good) == ([("1", "x"), ("3", "z")], [2, 4])
    assert refused == [(3, "invalid_encoding", "2,\ufffd\ufffd\ufffd")]


def test_half_a_utf_16_file_is_unreadable(tmp_path):
    with pytest.raises(UnreadableFile, match="not utf-16-le .*; export it again"):
        read_text(tmp_path, "a,b\n1,2\n".encode("utf-16")[:-1])


# the csv-spectrum collection: what every CSV reader should agree on


@pytest.mark.realdata
@pytest.mark.parametrize("name", [path.stem for path in sorted((SPECTRUM / "csvs").glob("*.csv"))])
def test_csv_spectrum(tmp_path, name):
    data = (SPECTRUM / "csvs" / f"{name}.csv").read_bytes()
    expected = json.loads((SPECTRUM / "json" / f"{name}.json").read_text(encoding="utf-8"))
    raw, good, refused = read_text(tmp_path, data)
    expected = expected if isinstance(expected, list) else [expected]
    header = next(csv.reader(io.StringIO(data.decode(), newline="")))
    if name == "location_coordinates":
        # the collection's own JSON has another number than its CSV
        assert expected[0].pop("Contact Phone Number") == "1234567890"
        header, raw = header[1:], [cells[1:] for cells in raw]
    records = [dict(zip(header, (cell or "" for cell in cells), strict=True)) for cells in raw]
    assert [{key: cell.replace("\r\n", "\n") for key, cell in record.items()} for record in records] == [
        {key: cell.replace("\r\n", "\n") for key, cell in record.items()} for record in expected
    ]
    assert refused == []
    assert len(good) == len(expected)
