"""Source layouts: how to recognise an export, and how its columns become a contract's. Read from sources/*.yaml."""

import codecs
import difflib
import hashlib
from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

import yaml

from pipeline.ingest.contracts import FOLDER as CONTRACTS
from pipeline.ingest.contracts import ContractError
from pipeline.ingest.layout_fields import as_flag, as_mapping, as_names, as_text, check_known, read_entity
from pipeline.ingest.layouts import Layout

FOLDER = Path(__file__).parent / "sources"
# the same loader in C where PyYAML was built with it: a night reads some fifty layouts
LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
MAX_BYTES = 1 << 20
READ_OPTIONS = {"delimiter", "encoding", "quote", "escape", "header", "column_names", "decimal"}
LAYOUT_OPTIONS = {
    "layout",
    "source",
    "extends",
    "meaning",
    "match",
    "also_called",
    "read",
    "timezone",
    "currency",
    "delivery",
    "personal_ids",
    "entities",
}


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

    `extends: name` begins with one of ours and says only what differs: lists are replaced, everything else is joined.
    """
    written, document = _document(path)
    base = document.pop("extends", None)
    if base is not None:
        if not (FOLDER / f"{base}.yaml").is_file():
            near = difflib.get_close_matches(str(base), [ours.stem for ours in FOLDER.glob("*.yaml")], n=1)
            hint = f'did you mean "{near[0]}"?' if near else "write the name of a layout of ours"
            raise ContractError(f'{path.name}: extends: there is no layout "{base}"; {hint}')
        base_text, ours = _document(FOLDER / f"{base}.yaml")
        written, document = f"{written}\0{base_text}", _joined(ours, document)
    for name in ("layout", "source", "match", "entities"):
        if name not in document:
            raise ContractError(f"{path.name}: `{name}:` is missing")
    if document["layout"] != path.stem:
        raise ContractError(f'{path.name}: layout is "{document["layout"]}"; it must be named as the file')
    read = as_mapping(path.name, "read", document.get("read") or {})
    check_known(path.name, "read: ", read, READ_OPTIONS)
    match = as_mapping(path.name, "match", document["match"] or {})
    check_known(path.name, "match: ", match, {"columns", "any_of", "file"})

    def text(spec, name, where=""):
        return as_text(path.name, f"{where}{name}", spec.get(name))

    layout = Layout(
        name=document["layout"],
        source=text(document, "source"),
        entities={
            name: read_entity(path.name, name, spec)
            for name, spec in as_mapping(path.name, "entities", document["entities"]).items()
        },
        match_columns=frozenset(as_names(path.name, "match: columns", match.get("columns", []))),
        match_any=frozenset(as_names(path.name, "match: any_of", match.get("any_of", []))),
        match_file=text(match, "file", "match: "),
        fingerprint=_fingerprint(written),
        also_called={
            name: (others,) if isinstance(others, str) else as_names(path.name, f"also_called: {name}", others)
            for name, others in as_mapping(path.name, "also_called", document.get("also_called") or {}).items()
        },
        delimiter=text(read, "delimiter", "read: "),
        encoding=text(read, "encoding", "read: "),
        quote=text(read, "quote", "read: "),
        escape=text(read, "escape", "read: "),
        decimal=text({"decimal": "."} | read, "decimal", "read: "),
        header=as_flag(path.name, "read: header", read.get("header", "true")),
        column_names=as_names(path.name, "read: column_names", read.get("column_names", [])),
        timezone=text(document, "timezone"),
        currency=text(document, "currency"),
        delivery=text({"delivery": "delta"} | document, "delivery"),
        personal_ids=as_flag(path.name, "personal_ids", document.get("personal_ids", "false")),
    )
    _check(path.name, layout)
    return layout


def _document(path):
    """(text, content) of a layout file.

    Every word in it is text as it stands there: YAML would read Yes as true, NO (Norway) as false and 01 as 1.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ContractError(f"{path.name}: more than {MAX_BYTES >> 20} MiB; a layout is a page of text, so split it")
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = yaml.load(text, LOADER)  # noqa: S506 (it makes nothing but text, lists and dictionaries)
    except yaml.YAMLError as error:
        mark, why = (
            getattr(error, "problem_mark", None),
            getattr(error, "problem", None) or " ".join(str(error).split()),
        )
        line = f" line {mark.line + 1}" if mark else ""
        # a name alone could be of sources, tags or audiences
        raise ContractError(f"{'/'.join(path.parts[-3:])}{line}: not readable as YAML: {why}; correct it") from error
    except RecursionError:
        raise ContractError(f"{path.name}: nested too deeply; write a layout as the ones that come with it") from None
    except UnicodeDecodeError as error:
        raise ContractError(f"{path.name}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    if not isinstance(document, dict):
        raise ContractError(f"{path.name}: must begin with `layout: {path.stem}`")
    check_known(path.name, "", document, LAYOUT_OPTIONS)
    return text, document


def _joined(ours, theirs):
    """Two documents as one: dictionaries are joined, anything else of theirs stands instead of ours."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return theirs
    shared = {name: _joined(ours[name], given) for name, given in theirs.items() if name in ours}
    return ours | theirs | shared


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
    if layout.quote is not None and (len(layout.quote) > 1 or not layout.quote.isascii()):
        raise ContractError(
            f"{where}: read.quote \"{layout.quote}\"; write one character, or '' where nothing is quoted"
        )
    if layout.escape is not None and (layout.quote == "" or layout.escape not in ("\\", layout.quote or '"')):
        raise ContractError(
            f'{where}: read.escape "{layout.escape}"; write \\ where a backslash stands before a quote inside a value,'
            " or the quote itself where it is doubled"
        )
    if layout.decimal not in (".", ","):
        raise ContractError(f'{where}: read.decimal "{layout.decimal}"; write "." or ","')
    if layout.encoding is not None:
        try:
            codecs.lookup(layout.encoding)
        except LookupError as error:
            raise ContractError(
                f'{where}: read.encoding "{layout.encoding}" is unknown; write one such as utf-8 or gb18030'
            ) from error
    if layout.timezone is not None and layout.timezone not in _timezones():
        raise ContractError(
            f'{where}: timezone "{layout.timezone}" is no IANA time zone; write one such as "Asia/Shanghai"'
        )
    if layout.delivery not in ("full", "delta", "append"):
        raise ContractError(f'{where}: delivery "{layout.delivery}"; write full, delta or append')


@cache
def _timezones():
    return available_timezones()


def _fingerprint(text):
    return hashlib.sha256(f"{text}\0{_contracts_text()}".encode()).hexdigest()[:12]


@cache
def _contracts_text():
    return "\0".join(path.read_text(encoding="utf-8") for path in sorted(CONTRACTS.glob("*.yaml")))
