"""Source layouts: how to recognise an export, and how its columns become a contract's. Read from sources/*.yaml."""

import codecs
import csv
import difflib
import fnmatch
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import available_timezones

import yaml

from pipeline.ingest.contracts import FOLDER as CONTRACTS
from pipeline.ingest.contracts import ContractError, load_contracts

FOLDER = Path(__file__).parent / "sources"
FIELD_OPTIONS = {"column", "constant", "from", "add", "subtract", "values", "format", "fold"}
DELIMITERS = (",", ";", "\t", "|")
READ_OPTIONS = {"delimiter", "encoding", "quote", "header", "column_names"}
LAYOUT_OPTIONS = {
    "layout",
    "source",
    "meaning",
    "match",
    "read",
    "timezone",
    "currency",
    "delivery",
    "personal_ids",
    "entities",
}


@dataclass(frozen=True)
class Field:
    """Where one contract column comes from: a column, a constant, the place in the file, or a sum of columns."""

    column: str | None = None
    constant: str | None = None
    from_record: bool = False
    add: tuple[str, ...] = ()
    subtract: tuple[str, ...] = ()
    values: dict = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    fold: str = "first"

    def columns(self):
        """The export's columns that this field reads."""
        return ((self.column,) if self.column else ()) + self.add + self.subtract


@dataclass(frozen=True)
class EntityMap:
    """How one entity's rows come out of an export. fold: several lines of the export are one row."""

    columns: dict[str, Field]
    fold: bool = False


@dataclass(frozen=True)
class Layout:
    """One export layout. fingerprint changes with its YAML and with the contracts."""

    name: str
    source: str
    entities: dict[str, EntityMap]
    match_columns: frozenset[str]
    match_file: str | None
    fingerprint: str
    delimiter: str | None = None
    encoding: str | None = None
    quote: str = '"'
    header: bool = True
    column_names: tuple[str, ...] = ()
    timezone: str | None = None
    currency: str | None = None
    delivery: str = "delta"
    personal_ids: bool = False


def load_layouts(user_folder: Path | None = None) -> dict[str, Layout]:
    """Every layout by name, the user's after ours and instead of one of the same name. Raises ContractError."""
    layouts = {}
    for folder in (FOLDER, user_folder):
        for path in sorted(folder.glob("*.yaml")) if folder and folder.is_dir() else []:
            layout = read_layout(path)
            layouts[layout.name] = layout
    return layouts


def read_layout(path: Path) -> Layout:
    """One layout file. Raises ContractError naming the file, the field and the mend.

    Every word in it is text as it stands there: YAML would read Yes as true, NO (Norway) as false and 01 as 1.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506 (it makes nothing but text, lists and dictionaries)
    except yaml.YAMLError as error:
        raise ContractError(f"{path.name}: not readable as YAML: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"{path.name}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    if not isinstance(document, dict):
        raise ContractError(f"{path.name}: must begin with `layout: {path.stem}`")
    _known(path.name, "", document, LAYOUT_OPTIONS)
    for name in ("layout", "source", "match", "entities"):
        if name not in document:
            raise ContractError(f"{path.name}: `{name}:` is missing")
    if document["layout"] != path.stem:
        raise ContractError(f'{path.name}: layout is "{document["layout"]}"; it must be named as the file')
    read = _mapping(path.name, "read", document.get("read") or {})
    _known(path.name, "read: ", read, READ_OPTIONS)
    match = _mapping(path.name, "match", document["match"] or {})
    _known(path.name, "match: ", match, {"columns", "file"})
    layout = Layout(
        name=document["layout"],
        source=document["source"],
        entities={
            name: _entity_map(path.name, name, spec)
            for name, spec in _mapping(path.name, "entities", document["entities"]).items()
        },
        match_columns=frozenset(_names(path.name, "match: columns", match.get("columns", []))),
        match_file=match.get("file"),
        fingerprint=_fingerprint(text),
        delimiter=read.get("delimiter"),
        encoding=read.get("encoding"),
        quote=read.get("quote", '"'),
        header=_flag(path.name, "read: header", read.get("header", "true")),
        column_names=_names(path.name, "read: column_names", read.get("column_names", [])),
        timezone=document.get("timezone"),
        currency=document.get("currency"),
        delivery=document.get("delivery", "delta"),
        personal_ids=_flag(path.name, "personal_ids", document.get("personal_ids", "false")),
    )
    _check(path.name, layout)
    return layout


def _check(where, layout):
    """What single fields cannot show: that they go together, and that the names in them exist."""
    if not layout.source:
        raise ContractError(f"{where}: `source:` is empty; name the system, whose customer ids are of one kind")
    if not layout.entities:
        raise ContractError(f"{where}: `entities:` is empty; map at least one, such as orders")
    if layout.header and layout.column_names:
        raise ContractError(f"{where}: read.column_names is for a headerless file; write header: false beside it")
    if layout.header and not layout.match_columns:
        raise ContractError(
            f"{where}: match needs `columns:`, or `file:` with read.column_names for a headerless file (header: false)"
        )
    if not layout.header and not (layout.match_file and layout.column_names):
        raise ContractError(f"{where}: a headerless file (header: false) needs match.file and read.column_names")
    if layout.header and layout.delimiter == "whitespace":
        raise ContractError(f"{where}: read.delimiter whitespace is for a headerless file; write header: false")
    if layout.delimiter is not None and layout.delimiter != "whitespace" and len(layout.delimiter) != 1:
        raise ContractError(f'{where}: read.delimiter "{layout.delimiter}"; write one character, or whitespace')
    if len(layout.quote) > 1 or not layout.quote.isascii():
        raise ContractError(
            f"{where}: read.quote \"{layout.quote}\"; write one character, or '' where nothing is quoted"
        )
    if layout.encoding is not None:
        try:
            codecs.lookup(layout.encoding)
        except LookupError as error:
            raise ContractError(
                f'{where}: read.encoding "{layout.encoding}" is unknown; write one such as utf-8 or gb18030'
            ) from error
    if layout.timezone is not None and layout.timezone not in available_timezones():
        raise ContractError(
            f'{where}: timezone "{layout.timezone}" is no IANA time zone; write one such as "Asia/Shanghai"'
        )
    if layout.delivery not in ("full", "delta", "append"):
        raise ContractError(f'{where}: delivery "{layout.delivery}"; write full, delta or append')


def recognise(file_name: str, header: list[str], layouts: dict[str, Layout]) -> Layout | None:
    """The layout of a file from its name and first line: the one with most signature columns in the header.

    A headerless layout needs its name pattern and as many columns as it names.
    """
    found = [layout for layout in layouts.values() if _matches(layout, file_name, header)]
    return max(found, key=lambda layout: (len(layout.match_columns), layout.match_file is not None), default=None)


def nearest_layout(header: list[str], layouts: dict[str, Layout]) -> tuple[str, list[str]] | None:
    """The layout that shares most of its signature with the header, and the columns that it misses."""
    shares = {
        layout.name: len(layout.match_columns & set(header)) / len(layout.match_columns)
        for layout in layouts.values()
        if layout.match_columns
    }
    best = max(shares, key=shares.get, default=None)
    if best is None or shares[best] < 0.5:
        return None
    return best, sorted(layouts[best].match_columns - set(header))


def header_of(first_lines: str, delimiters=DELIMITERS) -> tuple[str, list[str]]:
    """Delimiter and cells of a file's first record: the delimiter that gives most cells."""
    rows = {mark: next(csv.reader(io.StringIO(first_lines, newline=None), delimiter=mark), []) for mark in delimiters}
    best = max(rows, key=lambda mark: len(rows[mark]))
    return best, [cell.strip() for cell in rows[best]]


def _matches(layout, file_name, header):
    bare = file_name.lower().removesuffix(".gz")
    if layout.match_file and not fnmatch.fnmatch(bare, layout.match_file.lower().removesuffix(".gz")):
        return False
    if not layout.header:
        return layout.delimiter == "whitespace" or len(header) == len(layout.column_names)
    return layout.match_columns <= set(header)


def _entity_map(where, entity, spec):
    contracts = load_contracts()
    if entity not in contracts:
        raise ContractError(f'{where}: entities: unknown entity "{entity}"; one of {", ".join(contracts)}')
    _known(where, f"{entity}: ", _mapping(where, entity, spec), {"columns", "fold"})
    contract = contracts[entity]
    columns = {}
    for name, source in _mapping(where, f"{entity}: columns", spec.get("columns")).items():
        if name not in contract.columns:
            near = difflib.get_close_matches(name, contract.columns, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"its columns: {', '.join(contract.columns)}"
            raise ContractError(f'{where}: {entity}: the contract has no column "{name}"; {hint}')
        columns[name] = _field(where, f"{entity}.{name}", source)
    for name in contract.key:
        columns.setdefault(name, Field(from_record=True))
    for name, column in contract.columns.items():
        if column.required and name not in columns:
            raise ContractError(f"{where}: {entity}: required column {name} is not mapped; add it under columns:")
    return EntityMap(columns=columns, fold=_flag(where, f"{entity}: fold", spec.get("fold", "false")))


def _field(where, name, source):
    if isinstance(source, str) and source:
        return Field(column=source)
    if not isinstance(source, dict):
        raise ContractError(f"{where}: {name}: write a column's name, or column:, constant:, from:, add:")
    _known(where, f"{name}: ", source, FIELD_OPTIONS)
    if source.get("from", "record_number") != "record_number":
        raise ContractError(f"{where}: {name}: from: can only be record_number (the record's place in its file)")
    if source.get("fold", "first") not in ("first", "sum"):
        raise ContractError(f"{where}: {name}: fold: can be first or sum")
    if len(source.keys() & {"column", "constant", "from"}) + bool(source.keys() & {"add", "subtract"}) != 1:
        raise ContractError(f"{where}: {name}: needs one of column:, constant:, from:, or add: with subtract:")
    for option in ("column", "constant"):
        if not isinstance(source.get(option, ""), str):
            raise ContractError(f"{where}: {name}: {option}: must be one text")
    formats = source.get("format", [])
    return Field(
        column=source.get("column"),
        constant=source.get("constant"),
        from_record="from" in source,
        add=_names(where, f"{name}: add", source.get("add", [])),
        subtract=_names(where, f"{name}: subtract", source.get("subtract", [])),
        values=_mapping(where, f"{name}: values", source.get("values", {})),
        formats=(formats,) if isinstance(formats, str) else _names(where, f"{name}: format", formats),
        fold=source.get("fold", "first"),
    )


def _mapping(where, path, given):
    if not isinstance(given, dict):
        raise ContractError(f"{where}: {path}: must hold `name: value` lines")
    return given


def _names(where, path, given):
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ContractError(f"{where}: {path}: must be a list, such as [first, second]")
    return tuple(given)


def _flag(where, path, given):
    if given not in ("true", "false"):
        raise ContractError(f"{where}: {path}: {given}; write true or false")
    return given == "true"


def _known(where, path, given, known):
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(sorted(known))}"
            raise ContractError(f'{where}: {path}unknown "{name}"; {hint}')


def _fingerprint(text):
    parts = [text, *(path.read_text(encoding="utf-8") for path in sorted(CONTRACTS.glob("*.yaml")))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
