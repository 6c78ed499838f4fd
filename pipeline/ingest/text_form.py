"""What a text file is before its rows are read: encoding, dialect, where its table begins, and whose layout it has."""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.ingest.dialect import (
    DELIMITERS,
    Dialect,
    find_header,
    guess_delimiter,
    guess_quoting,
    leading_headers,
    looks_like_data,
    modal_width,
    records_of,
    separator_line,
)
from pipeline.ingest.encodings import Encoding, decide_encoding
from pipeline.ingest.layouts import Layout
from pipeline.ingest.read import Profile, first_text, line_with, readable_copy, unescaped_copy
from pipeline.ingest.recognition import header_key, recognise


@dataclass(frozen=True)
class TextForm:
    """How a text table is written, and the evidence as notes.

    dialect is that of the readable copy. header_line: the physical line that the header stands on, 0 where there is none.
    header: its cells, trimmed (of a headerless layout, the names that it gives). ends_in_delimiter: every record has one
    delimiter more than the header. layout: the layout that recognises the header, None where none does.
    """

    encoding: Encoding
    dialect: Dialect
    header_line: int
    header: tuple[str, ...]
    ends_in_delimiter: bool = False
    layout: Layout | None = None
    notes: tuple[str, ...] = ()


def open_text(profile: Profile, file_name: str, layouts: dict[str, Layout], scratch: Path) -> tuple[Profile, TextForm]:
    """A file made readable (UTF-8, one kind of line end, quotes doubled; a copy in scratch where it is not), and its form.

    file_name: the bare name, which some layouts go by. Raises UnreadableFile when it is no text in its encoding.
    """

    def reads_as(text, encoding):
        alike = {name: layout for name, layout in layouts.items() if encoding in (None, layout.encoding)}
        _, header, layout = _find_layout(text.replace("\r\n", "\n").replace("\r", "\n"), file_name, alike)
        # plain ASCII reads alike in every encoding
        held = {header_key(cell) for cell in header.cells if not cell.isascii()} if layout else set()
        return layout.name if layout and (encoding or held & _signature(layout)) else None

    stated = tuple(dict.fromkeys(layout.encoding for layout in layouts.values() if layout.encoding))
    encoding = decide_encoding(profile.path, profile.encoding == "utf-8", stated, reads_as)
    readable, notes = readable_copy(profile, encoding.name, scratch)
    said = [encoding.evidence] if encoding.evidence else []
    text = first_text(readable)
    mark, header, layout = _find_layout(text, file_name, layouts)
    if layout and layout.delimiter == "whitespace":
        form = TextForm(encoding, Dialect("whitespace", "", ""), 0, layout.column_names, layout=layout)
        return readable, replace(form, notes=(*said, *notes))
    mark = mark or guess_delimiter(text)
    table = text.split("\n", header.line - 1)[-1] if header else text
    dialect = _dialect(readable, table, mark, layout)
    if layout is None:
        header = find_header(text, dialect)
        table = text.split("\n", header.line - 1)[-1]
    if dialect.escape == "\\" and dialect.quote:
        readable = unescaped_copy(readable, dialect.quote, scratch)
        notes = (*notes, "quotes inside values are escaped with a backslash")
        dialect = replace(dialect, escape=dialect.quote)
        table = first_text(readable).split("\n", max(header.line, 1) - 1)[-1]
    where = [f"its header stands on line {header.line}"] if header.line > 1 else []
    form = TextForm(encoding, dialect, header.line, header.cells, layout=layout, notes=(*said, *notes, *where))
    if layout and not layout.header:
        form = replace(form, header_line=0, header=layout.column_names)
    elif layout is None and looks_like_data(header.cells):
        names = tuple(f"column_{place}" for place in range(1, len(header.cells) + 1))
        note = "its first line looks like data; read without a header"
        form = replace(form, header_line=0, header=names, notes=(*form.notes, note))
    return readable, _with_trailing_delimiter(form, table)


def is_bare(text: str, header_line: int) -> bool:
    """Whether nothing stands below a table's header in a text that begins the file."""
    return header_line > 0 and not "".join(text.split("\n", header_line)[header_line:]).strip()


def _find_layout(text, file_name, layouts):
    """(delimiter, header, layout): the first of the leading lines on which a layout's signature stands, else Nones."""
    named = separator_line(text)
    stated = [layout.delimiter for layout in layouts.values() if layout.delimiter not in (None, "whitespace")]
    delimiters = tuple(dict.fromkeys([*([named] if named else []), *DELIMITERS, *stated]))
    signed = {name: layout for name, layout in layouts.items() if layout.header}
    seen = leading_headers(text, delimiters)
    known = set().union(*map(_signature, signed.values()))
    fewest = min((len(layout.match_columns) for layout in signed.values()), default=0)
    for mark, header in seen:
        # few lines share enough with any layout to be looked at more closely
        is_near = signed and len(known & {header_key(cell) for cell in header.cells}) >= fewest
        layout = recognise(file_name, list(header.cells), signed) if is_near else None
        if layout:
            return mark, header, layout
    # a headerless layout goes by the file's name and the width of its first line
    headerless = {name: layout for name, layout in layouts.items() if not layout.header}
    filled = [(mark, header) for mark, header in seen if any(header.cells)]
    for mark, header in filled if headerless else []:
        if header.line == filled[0][1].line:
            layout = recognise(file_name, list(header.cells), headerless)
            if layout and layout.delimiter in (None, "whitespace", mark):
                return mark, header, layout
    return None, None, None


def _signature(layout):
    """The names, in normal form, by which a layout's signature may stand in a header."""
    return {header_key(other) for name in layout.match_columns for other in (name, *layout.also_called.get(name, ()))}


def _dialect(readable, table, mark, layout):
    """The dialect of a table by its beginning, and by the first line with a backslash before a quote, wherever that is."""
    quote, escape = (layout.quote, layout.escape) if layout else (None, None)
    if quote is not None and escape is not None:
        return Dialect(mark, quote, escape)
    escaped = "" if '\\"' in table or "\\'" in table else line_with(readable, b'\\"')
    guessed = guess_quoting(f"{table}\n{escaped}" if escaped else table, mark)
    if quote is not None and quote != guessed.quote:
        return Dialect(mark, quote, escape or quote)
    return replace(guessed, escape=escape or guessed.escape)


def _with_trailing_delimiter(form, table):
    """A form whose records all end in a delimiter that its header does not have."""
    width = len(form.header)
    rows = [row for row in records_of(table, form.dialect)[1 if form.header_line else 0 :] if row]
    longer = [row for row in rows if len(row) == width + 1 and not row[-1]]
    if rows and modal_width(rows) == width + 1 and len(longer) > 0.5 * len(rows):
        return replace(form, ends_in_delimiter=True, notes=(*form.notes, "its lines end with a delimiter"))
    return form
