"""A file as text tables: what holds them, how each is written, with the evidence, and its rows ready to be read."""

import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.ingest.containers import Opened, Part
from pipeline.ingest.dialect import Dialect, records_of
from pipeline.ingest.inspect.headers import is_header
from pipeline.ingest.inspect.proposal import TableForm
from pipeline.ingest.kinds import kind_of
from pipeline.ingest.read import Profile, UnreadableFile, first_text, profile_file
from pipeline.ingest.scan import unique_names
from pipeline.ingest.text_form import TextForm, is_bare, open_text

SAMPLE_ROWS = 1000
TELLING_KINDS = ("email", "phone", "date", "timestamp", "decimal", "money")


@dataclass(frozen=True)
class TextTable:
    """One table of a file. readable: UTF-8 with one kind of line end; original: as it was, or as it was taken out of a
    container. names: of its columns, made unique. written: what the proposal says of it. file_name: of what holds it."""

    file_name: str
    part: Part
    original: Profile
    readable: Profile
    form: TextForm
    written: TableForm
    names: tuple[str, ...]


def open_table(opened: Opened, part: Part, file_name: str, layouts: dict, scratch: Path) -> TextTable:
    """One part of an opened file as a text table. Raises UnreadableFile where it is none."""
    original = profile_file(part.path)
    if part.is_rendition:
        # a text table of ours, however the layout's files are written
        ours = {"delimiter": ",", "quote": '"', "escape": '"', "encoding": None}
        layouts = {name: replace(layout, **ours) for name, layout in layouts.items()}
    name = Path(f"{file_name}/{part.label}").name if opened.is_container else file_name
    readable, form = open_text(original, name, layouts, scratch)
    if not any(form.header):
        raise UnreadableFile("it holds no text but blanks; export it again")
    text = first_text(readable)
    if form.layout is None and is_bare(text, form.header_line) and not is_header(form.header, []):
        raise UnreadableFile("no records stand below its first line")
    if form.layout is None:
        form = _without_personal_header(_spaced(form, text), text, part.is_keyed)
    has_header = form.header_line > 0
    written = TableForm(
        file_name=name,
        delimiter=form.dialect.delimiter,
        quote=form.dialect.quote,
        encoding=form.encoding.name,
        has_header=has_header,
        headers=_signing(form.header) if has_header else (),
        is_rendition=part.is_rendition,
    )
    return TextTable(file_name, part, original, readable, form, written, tuple(unique_names(form.header)))


def _signing(header):
    """The header's cells, those that stand twice as ""."""
    counts = Counter(header)
    return tuple(cell if counts[cell] == 1 else "" for cell in header)


def _spaced(form, text):
    """A table of one column whose lines all have the same number of pieces between blanks has so many columns."""
    lines = [line.split() for line in io.StringIO(text) if line.strip()][:-1]
    is_spaced = lines and len({len(pieces) for pieces in lines}) == 1 and len(lines[0]) > 1 and "  " in text
    if len(form.header) > 1 or not is_spaced or not lines[0][0][:1].isdigit():
        return form
    names = tuple(f"column_{place}" for place in range(1, len(lines[0]) + 1))
    return replace(form, dialect=Dialect("whitespace", "", ""), header_line=0, header=names)


def _without_personal_header(form, text, is_keyed):
    """A first line with an e-mail, a phone, a date or an amount in it is somebody's record, and is not shown as a header.

    Nor is one of words alone that may be values. is_keyed: the columns are the keys of JSON or Parquet, no line.
    """
    if not form.header_line:
        return form
    rows = records_of(text.split("\n", form.header_line)[-1], form.dialect)[:SAMPLE_ROWS]
    is_record = any(kind_of([cell]) in TELLING_KINDS for cell in form.header if cell)
    if not is_record and (is_keyed or is_header(form.header, rows)):
        return form
    names = tuple(f"column_{place}" for place in range(1, len(form.header) + 1))
    return replace(form, header_line=0, header=names)
