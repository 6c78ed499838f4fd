"""A readable text table -> rows of text, each line accounted for: read, or refused with its line number and reason."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.ingest.asides import OUTSIDE, Aside, find_edges, overlapping_chunks
from pipeline.ingest.lines import LineIndex
from pipeline.ingest.read import Profile, UnreadableFile, first_text, profile_file
from pipeline.ingest.repair import (
    MAX_LINES,
    Refused,
    column_kinds,
    contradicts,
    good_rows,
    is_overlong,
    repairs,
    with_width,
)
from pipeline.ingest.scan import REFUSED, Rows, Table, read_once
from pipeline.ingest.text_form import TextForm
from pipeline.warehouse import value


def keep_raw(con) -> int:
    """The records of the view scratch.records as the table scratch.raw. Their count."""
    con.execute("create or replace table scratch.raw as select * from scratch.records")
    return value(con, "select count(*) from scratch.raw")


def read_rows(con, profile: Profile, form: TextForm, scratch: Path, keep: Callable = keep_raw) -> Rows:
    """A readable text table -> its records (good_record, then the columns as text), and the lines that are no record.

    keep(con) reads the view scratch.records once, makes tables of it, and returns how many records there were; it is
    called again if the file must be read again. Every physical line is part of a record, refused, or blank.

    The table is read in parallel, without the lines around it. Where lines are refused, those that can only mean one
    thing are put right and the table is read again; where the lines do not add up, those with an unclosed quote are set
    aside. When they still do not, UnreadableFile is raised.
    """
    con.execute("create schema if not exists scratch")
    index = cache(lambda: LineIndex(profile.path, form.dialect.quote))
    table = Table(con, profile, form, scratch, keep, index)
    edges = find_edges(profile, form, index)
    rows, aside = _read_without(table, edges, may_settle=False), edges
    if rows is None and form.dialect.quote:
        rows, aside = _read_with_quotes_settled(table)
    if rows is not None:
        rows, aside = _without_shifted(table, rows, aside)
    if rows is not None:
        rows = _with_repairs(table, rows, aside)
    if rows is None:
        raise UnreadableFile(
            f"its lines do not add up as read (delimiter {form.dialect.delimiter!r}, quote {form.dialect.quote!r});"
            " state read.delimiter, read.quote and read.escape in the layout"
        )
    return rows


def _read_with_quotes_settled(table):
    """(rows, aside): the table without lines whose quotes do not match; (None, None) when it does not add up even so."""
    index, dialect = table.index(), table.form.dialect
    odd = np.flatnonzero(index.is_odd) + 1
    unclosed, ragged = index.settle(dialect.delimiter, dialect.quote, table.width)
    edges = find_edges(table.profile, table.form, table.index)
    for lines, records in ((unclosed, ragged), (odd, [])):
        # not the header, nor what is set aside already
        is_outside = np.isin(lines, edges.lines) | (lines == table.form.header_line)
        aside = _set_aside(index, lines[~is_outside], records, edges)
        rows = _read_without(table, aside, may_settle=True)
        if rows is not None:
            return rows, aside
    return None, None


def _set_aside(index, unclosed, ragged, edges):
    """The edges, unclosed lines, and ragged records as a whole."""
    ragged = [(begin, end) for begin, end in ragged if begin not in edges.lines and end not in edges.lines]
    first = np.array([begin for begin, _ in ragged], np.int64)
    spans = [np.arange(begin, end + 1) for begin, end in ragged]
    refused = pl.DataFrame(
        {
            "line": np.concatenate([unclosed, first]),
            "rule": ["unclosed_quote"] * len(unclosed) + ["number_of_columns"] * len(first),
            "text": index.texts(unclosed) + index.unit_texts(first),
        },
        REFUSED,
    )
    lines = np.unique(np.concatenate([unclosed, *spans, edges.lines]))
    return Aside(lines, pl.concat([edges.refused, refused]).sort("line"), edges.edits)


def _without_shifted(table, rows, aside):
    """(rows, aside) without the records whose cells stand in the wrong columns, though there are enough of them.

    The reader takes any number of empty cells after the last for nothing, so that a value too many before it moves the
    others by a column: looked at are the lines that have a cell too many and end in an empty one. And the rest of a split
    line may have a record's width by chance: looked at are the lines below a line that is too short. Refused are those
    whose cells are not of the kinds that their columns show.
    """
    dialect, width = table.form.dialect, table.width
    if dialect.delimiter == "whitespace":
        return rows, aside
    none = np.array([], np.int64)
    longer = table.index().overlong(dialect.delimiter, dialect.quote, width) if _may_be_overlong(table, rows) else none
    short = rows.refused.filter(pl.col("rule") == "missing_columns")["line"].to_numpy()
    taken = [*rows.refused["line"], *aside.lines, table.form.header_line]
    longer, below = (lines[~np.isin(lines, taken)] for lines in (longer, short + 1))
    if len(longer) + len(below) == 0:
        return rows, aside
    index, kinds = table.index(), _kinds(table)
    below = np.intersect1d(below, index.unit_lines[~index.unit_is_blank])
    shifted = [
        (line, "too_many_columns", text)
        for line, text in zip(longer.tolist(), index.unit_texts(longer), strict=True)
        if is_overlong(text, dialect, width) and not with_width(text, dialect, width, kinds, False)
    ]
    shifted += [
        (line, "number_of_columns", text)
        for line, text in zip(below.tolist(), index.unit_texts(below), strict=True)
        if contradicts(text, dialect, width, kinds)
    ]
    if not shifted:
        return rows, aside
    spans = [np.arange(line, line + text.count("\n") + 1) for line, _, text in shifted]
    refused = pl.DataFrame(shifted, REFUSED, orient="row").unique("line")
    more = Aside(
        np.unique(np.concatenate([*spans, aside.lines])), pl.concat([aside.refused, refused]).sort("line"), aside.edits
    )
    return _read_without(table, more, may_settle=True), more


def _may_be_overlong(table, rows):
    """Whether the file has more delimiters than its records need, and lines that end in one."""
    mark, quotes = table.form.dialect.delimiter.encode(), table.form.dialect.quote.encode() * 2
    count = 0
    for chunk in overlapping_chunks(table.profile.path, 0):
        one_byte = len(mark) == 1
        count += np.count_nonzero(np.frombuffer(chunk, np.uint8) == mark[0]) if one_byte else chunk.count(mark)
    header = len(table.form.header) - 1 if table.form.header_line else 0
    refused = sum(text.count(mark.decode()) for text in rows.refused["text"])
    if count <= (table.width - 1) * rows.records + header + refused:
        return False
    ends = [mark + end + line_end for end in {b"", quotes} for line_end in (b"\n", b"\r\n")]
    last = b""
    for chunk in overlapping_chunks(table.profile.path, 8):
        if any(end in chunk for end in ends):
            return True
        last = chunk
    return last.endswith((mark, mark + quotes))


def _kinds(table):
    head = first_text(table.profile).split("\n", max(table.form.header_line - 1, 0))[-1]
    rows = good_rows(head, table.form.dialect, table.width)
    return column_kinds(rows[1 if table.form.header_line else 0 :], table.width)


def _with_repairs(table, rows, aside):
    """The rows with the refused lines put right that can only mean one thing; as they were where nothing is gained."""
    form, index = table.form, table.index
    around = rows.refused["rule"].is_in(OUTSIDE)
    candidates = rows.refused.filter(~around)
    if len(candidates) == 0 or len(candidates) > MAX_LINES or form.dialect.delimiter == "whitespace":
        return rows
    kinds = _kinds(table)
    given = [Refused(line, text.count("\n") + 1, rule, text) for line, rule, text in candidates.iter_rows()]
    edits, notes = repairs(given, form.dialect, table.width, kinds, form.ends_in_delimiter)
    if not edits:
        return rows
    edited = {line for edit in edits for line in range(edit.line, edit.line + edit.line_count)}
    better = Aside(
        np.array([line for line in aside.lines.tolist() if line not in edited], np.int64),
        aside.refused.filter(~pl.col("line").is_in(sorted(edited))),
        edits,
    )
    again = _read_without(table, better, may_settle=True)
    if again is not None and again.records >= rows.records + len(edits):
        return replace(again, notes=(*again.notes, *notes), texts=_texts_of(index(), edits, again))
    # what keep made stands for the last reading: it must be made anew
    return _read_without(table, aside, may_settle=True)


def _texts_of(index, edits, rows):
    """The whole records that begin at given lines, as they stand in the file, edited ones too."""
    ends = {edit.line: edit.line + edit.line_count - 1 for edit in edits}

    def texts(lines):
        found = rows.texts(lines)
        for place, line in enumerate(lines.tolist()):
            if line in ends:
                found[place] = "\n".join(index.texts(np.arange(line, ends[line] + 1)))
        return found

    return texts


def _read_without(table, aside, may_settle):
    """The Rows of a table without the lines set aside and with the edits made, or None when its lines do not add up."""
    if len(aside.lines) == 0 and not aside.edits:
        return read_once(table, table.profile, table.index)
    index, profile = table.index(), table.profile
    path = table.scratch / f"{profile.content_hash[:16]}.table"
    index.write_without(aside.lines, path, aside.edits)
    if path.stat().st_size == 0:
        return None

    @cache
    def rest():
        found = LineIndex(path, table.form.dialect.quote)
        if may_settle:
            found.settle(table.form.dialect.delimiter, table.form.dialect.quote, table.width)
        return found

    shorter = replace(profile_file(path), newline=profile.newline)
    rows = read_once(table, shorter, rest)
    if rows is None:
        return None
    original = np.setdiff1d(np.arange(1, len(index.offsets)), aside.lines, assume_unique=True)
    moved = rows.refused.with_columns(line=pl.Series(original[rows.refused["line"].to_numpy() - 1], dtype=pl.Int64))
    below = aside.refused["rule"].is_in(["after_table", "total_line"]).sum()
    notes = [f"{below} lines below its table"] if below else []
    if (aside.refused["rule"] == "unclosed_quote").any():
        notes.append("lines whose quotes do not match set aside")
    return replace(
        rows,
        refused=pl.concat([moved, aside.refused]).sort("line"),
        notes=tuple(notes),
        texts=lambda lines: rows.texts(np.searchsorted(original, lines) + 1),
        good_lines=cache(lambda: original[rows.good_lines() - 1]),
    )
