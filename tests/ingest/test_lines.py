"""Where lines and records begin, counted by hand."""

import numpy as np
import pytest

from pipeline.ingest import lines
from pipeline.ingest.lines import LineIndex


def index_of(tmp_path, data, quote='"'):
    path = tmp_path / "export.csv"
    path.write_bytes(data)
    return LineIndex(path, quote)


# line 1 header; 2-3 one record; 4 blank; 5 a record
TWO_LINE_RECORD = b'a,b\n1,"x\ny"\n\n2,z\n'


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 1 << 24])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_units_begin_where_no_quote_is_open(tmp_path, monkeypatch, chunk, line_end):
    monkeypatch.setattr(lines, "CHUNK", chunk)
    index = index_of(tmp_path, TWO_LINE_RECORD.replace(b"\n", line_end))
    assert index.unit_lines.tolist() == [1, 2, 4, 5]
    assert index.unit_is_blank.tolist() == [False, False, True, False]
    assert not index.ends_inside_a_quote
    assert index.texts(np.array([1, 3, 5])) == ["a,b", 'y"', "2,z"]
    assert index.unit_texts(np.array([1, 2, 5])) == ["a,b", f'1,"x{line_end.decode()}y"', "2,z"]


@pytest.mark.parametrize("data", [b"a,b\n1,2", b"a,b\n1,2\n"])
def test_the_last_line_counts_with_and_without_its_end(tmp_path, data):
    index = index_of(tmp_path, data)
    assert index.unit_lines.tolist() == [1, 2]
    assert index.texts(np.array([2])) == ["1,2"]


def test_a_doubled_quote_and_a_file_without_quoting(tmp_path):
    assert index_of(tmp_path, b'a\n"say ""hi"""\n2\n').unit_lines.tolist() == [1, 2, 3]
    assert index_of(tmp_path, b'a\n6" pipe\n2\n', quote="").unit_lines.tolist() == [1, 2, 3]


def test_no_lines_have_no_texts(tmp_path):
    assert index_of(tmp_path, b"a\n").texts(np.array([], np.int64)) == []


def test_a_copy_without_some_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", 2)
    index = index_of(tmp_path, b"one\ntwo\nthree\nfour\n")
    index.write_without(np.array([2, 4]), tmp_path / "rest.csv")
    assert (tmp_path / "rest.csv").read_bytes() == b"one\nthree\n"


def test_an_odd_line_is_a_stray_quote_a_long_value_or_unclosed(tmp_path):
    # 2: unclosed; 4-5: one record of two lines; 6: a quote that opens nothing; 7: unclosed, to the end
    index = index_of(tmp_path, b'a,b\n1,"lost\n2,x\n3,"two\nlines"\n4,27" screen\n5,"lost\n')
    unclosed, ragged = index.settle(",", '"', 2)
    assert (unclosed.tolist(), ragged) == ([2, 7], [])
    assert not index.is_odd[5]


def test_lines_that_are_far_apart_are_not_one_record(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_RECORD_BYTES", 20)
    index = index_of(tmp_path, b'a,b\n1,"from\n' + b"2,x\n" * 5 + b'to",3\n')
    unclosed, ragged = index.settle(",", '"', 2)
    assert (unclosed.tolist(), ragged) == ([2, 8], [])


def test_a_record_of_several_lines_with_too_many_cells_is_ragged_as_a_whole(tmp_path):
    unclosed, ragged = index_of(tmp_path, b'a,b\n1,"two\nlines",3\n2,x\n').settle(",", '"', 2)
    assert (unclosed.tolist(), ragged) == ([], [(2, 3)])


def test_the_rest_of_an_unclosed_line_is_no_record_of_its_own(tmp_path):
    unclosed, _ = index_of(tmp_path, b'a,b\n1,"two\nlines"x,3\n2,x\n').settle(",", '"', 2)
    assert unclosed.tolist() == [2, 3]
