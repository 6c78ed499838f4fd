"""JSON (an array of objects, JSON lines, an object with arrays of records in it) -> text tables. Runs in the child.

Objects within objects become columns named with a dot (`via.channel`); lists, of whatever, stay JSON text in one cell.
"""

import json
import shutil
from pathlib import Path

import duckdb

from pipeline.ingest.render import NotRendered, quoted
from pipeline.warehouse import literal, value

CHUNK = 1 << 22
MAX_COLUMNS = 2000
MAX_DEPTH = 3
MAX_DOCUMENT_BYTES = 256 << 20
MAX_RECORD_BYTES = 64 << 20
LINES_LOOKED_AT = 100
BATCH = 20_000
# a number that a double would round, or write otherwise than it stands there
AT_RISK = r"[0-9][0-9.]{15,}|[0-9][eE][+-]?[0-9]"
TOKENS = r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+|.'


def render(path: Path, folder: Path, memory: int) -> tuple[list[dict], list[str]]:
    """Write each list of records as folder/<number>.csv. Returns (parts, notes). Raises NotRendered."""
    path = _as_utf8(path, folder)
    con = duckdb.connect(
        str(folder / "work.duckdb"),
        config={"memory_limit": f"{memory // 2 >> 20}MiB", "threads": 1, "temp_directory": str(folder)},
    )
    begins_with = _first_character(path)
    notes, tables = [], []
    try:
        if begins_with == "[":
            if _last_character(path) != "]":
                # the reader takes what stands before a comma at the end for the whole
                raise NotRendered("is no whole JSON file (its last ] is missing); export it again")
            _read_objects(con, path, "array", MAX_RECORD_BYTES)
        elif _is_lines(path):
            _read_lines(con, path)
        else:
            if path.stat().st_size > MAX_DOCUMENT_BYTES:
                raise NotRendered(
                    f"is one JSON object of more than {MAX_DOCUMENT_BYTES >> 20} MiB; export it as JSON lines"
                )
            _read_objects(con, path, "unstructured", MAX_DOCUMENT_BYTES)
            tables, notes = _tables_within(con)
    except duckdb.Error as error:
        raise NotRendered(f"is no whole JSON file ({type(error).__name__}); export it again") from None
    if not tables:
        tables = [("", "records")]
    parts = []
    for position, (label, table) in enumerate(tables):
        target = folder / f"{position}.csv"
        parts.append({"label": label, "file": target.name, "warnings": write_table(con, table, target)})
    return parts, notes


def _as_utf8(path, folder):
    """JSON is UTF-8 by its standard; a byte order mark goes, and what is UTF-16 or GB18030 is read so."""
    with path.open("rb") as file:
        head = file.read(3)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ("utf-16",)
    elif head == b"\xef\xbb\xbf":
        encodings = ("utf-8-sig",)
    else:
        encodings = ("utf-8", "gb18030")
    for encoding in encodings:
        copy = folder / "utf8.json"
        try:
            with (
                path.open(encoding=encoding, newline="") as source,
                copy.open("w", encoding="utf-8", newline="") as out,
            ):
                shutil.copyfileobj(source, out, CHUNK)
        except UnicodeError:
            continue
        return copy
    raise NotRendered(f"is JSON, but neither {' nor '.join(encodings)} all through; export it as UTF-8")


def _first_character(path):
    with path.open(encoding="utf-8") as file:
        return file.read(1 << 16).lstrip()[:1]


def _last_character(path):
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - (1 << 16), 0))
        return file.read().decode("utf-8", "replace").rstrip()[-1:]


def _is_lines(path):
    """Whether a file that begins with { has a record a line: its first line is an object, or most of its first lines are.

    A single line is an object by itself.
    """
    whole = total = is_first = 0
    with path.open(encoding="utf-8") as file:
        for _ in range(LINES_LOOKED_AT):
            line = file.readline(MAX_RECORD_BYTES).strip()
            if line:
                total += 1
                is_whole = line.startswith("{") and line.endswith("}") and _is_json(line)
                whole += is_whole
                is_first += is_whole and total == 1
            elif not line and file.tell() >= path.stat().st_size:
                break
    return total > 1 and (is_first or 2 * whole > total)


def _is_json(line):
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read_objects(con, path, form, size):
    con.execute(
        "create table records as select json, null::varchar as text"
        f" from (select {_exact('json')} as json from"
        f" read_json_objects({literal(path)}, format = '{form}', maximum_object_size = {size}))"
    )


def _read_lines(con, path):
    """records: one row a line; json is null where it is no object, text where it is blank."""
    con.execute(
        "create table records as select"
        f" case when json_valid(text) and json_type(text::json) = 'OBJECT' then {_exact('text')} end as json, text"
        # what no line holds between its cells, so that a line is one cell
        f" from (select nullif(trim(text, chr(13) || ' '), '') as text from read_csv({literal(path)},"
        " delim = chr(1) || chr(2) || chr(3), quote = '', escape = '', header = false, columns = {'text': 'varchar'},"
        f" auto_detect = false, max_line_size = {MAX_RECORD_BYTES}))"
    )


def _exact(column):
    """SQL for a record as JSON text, in which numbers that a double would not give back as written are texts."""
    return (
        f"case when regexp_matches({column}, {literal(AT_RISK)}) then array_to_string(list_transform("
        f"regexp_extract_all({column}, {literal(TOKENS)}),"
        " lambda token: case when regexp_matches(token, '^-?[0-9]') then '\"' || token || '\"' else token end), '')::json"
        f" else {column}::json end"
    )


def _tables_within(con):
    """([(label, table)], notes): the arrays of records nearest to the top of a single object; none where it is a record."""
    if value(con, "select count(*) from records") != 1:
        return [], []
    structure = json.loads(value(con, "select json_structure(json)::varchar from records"))
    level = {(): structure}
    for _ in range(MAX_DEPTH):
        inner = {
            (*path, key): found for path, one in level.items() if isinstance(one, dict) for key, found in one.items()
        }
        arrays = [path for path, one in inner.items() if isinstance(one, list) and one and isinstance(one[0], dict)]
        if arrays:
            break
        level = inner
    else:
        return [], []
    tables = []
    for position, path in enumerate(arrays):
        con.execute(
            f"create table records_{position} as select json, null::varchar as text from"
            f" (select unnest(from_json(json_extract(json, {literal(_pointer(path))}), '[\"JSON\"]')) as json from records)"
        )
        tables.append((".".join(path) if len(arrays) > 1 else "", f"records_{position}"))
    beside = sorted(".".join(path) for path in inner if path not in arrays)
    note = f"the records are {', '.join('.'.join(path) for path in arrays)}"
    return tables, [f"{note}; not read: {', '.join(beside)[:200]}" if beside else note]


def write_table(con, table: str, target: Path) -> list[tuple[str, str]]:
    """Records (json, text) as a text table, in their order. A line that is no object stands as one with too many cells.

    Returns warnings. Raises NotRendered where there is no record, or too many columns.
    """
    is_object = "json is not null and json_type(json) = 'OBJECT'"
    fields = _fields(con, f"{table} where {is_object}")
    paths = _leaves(fields)
    if len(paths) > MAX_COLUMNS:
        # ids as names of fields, most likely: they stay JSON text
        paths = [(key,) for key in fields]
    if len(paths) > MAX_COLUMNS:
        raise NotRendered(f"its records have {len(paths)} different fields; at most {MAX_COLUMNS} are read")
    pointers = "[" + ", ".join(literal(_pointer(path)) for path in paths) + "]"
    opened = "".join(
        # an object whose fields are columns is not told again as text
        f" when place = {place} and json_type(json, {literal(_pointer(path))}) = 'OBJECT' then ''"
        for place, path in enumerate(paths, start=1)
        if path[-1] is None
    )
    cells = (
        f"list_transform(json_extract_string(json, {pointers}), lambda cell, place:"
        f" case when cell is null then ''{opened} else '\"' || replace(cell, '\"', '\"\"') || '\"' end)"
    )
    broken = f"repeat(',', {len(paths)}) || '\"' || replace(coalesce(text, json::varchar), '\"', '\"\"') || '\"'"
    with target.open("w", encoding="utf-8", newline="") as out:
        out.write(",".join(quoted(_column_name(path)) for path in paths) + "\n")
        found = con.execute(
            f"select case when {is_object} then array_to_string({cells}, ',') else coalesce({broken}, '') end"
            # one thread reads a table in the order in which it was written; sorting it would take its memory over again
            f" from {table}"
        )
        while rows := found.fetchmany(BATCH):
            out.write("".join(f"{line}\n" for (line,) in rows))
    warnings = _repeated_keys(con, f"{table} where {is_object}")
    lines = con.execute(
        f"select rowid + 1 from {table} where not coalesce({is_object}, false) and coalesce(text, json::varchar) is not null"
        " order by rowid"
    ).fetchall()
    if not lines:
        return warnings
    places = ", ".join(str(line) for (line,) in lines[:10])
    return [
        *warnings,
        (
            f"{len(lines)} lines are no JSON object and are rejected: {places}{' ...' if len(lines) > 10 else ''}"
            " (ops.rejects lists them as too_many_columns, a line further down, as it counts the header of the table made of them)",
            f"{len(lines)} 行不是 JSON 对象，已拒收：第 {places} 行{' 等' if len(lines) > 10 else ''}"
            "（ops.rejects 中列为 too_many_columns，因计入所生成表格的表头，行号大 1）",
        ),
    ]


def _repeated_keys(con, records):
    """A warning on records in which a name stands twice: JSON leaves open which of them is meant."""
    count = value(con, f"select count(*) from {records} and len(json_keys(json)) > list_unique(json_keys(json))")
    if not count:
        return []
    return [
        (
            f"{count} records have a field twice; the first is read: export them with a name of its own for each field",
            f"{count} 条记录中有重复的字段名，已读取第一个；请为每个字段使用不同名称后重新导出",
        )
    ]


def _fields(con, records):
    """The fields of all records together: name -> fields within, or a word for anything else. In the order of their appearance.

    DuckDB's own json_group_structure keeps the structure of every single record in memory.
    """
    found = con.execute(
        f"select structure from (select json_structure(json)::varchar as structure, min(rowid) as place from {records}"
        " group by structure) order by place"
    )
    fields = None
    while rows := found.fetchmany(BATCH):
        for (structure,) in rows:
            fields = _merged(fields, json.loads(structure))
    if fields is None:
        raise NotRendered("it holds no record that is a JSON object; export it again")
    if not isinstance(fields, dict):
        raise NotRendered("its records have no field; export it again")
    return fields


def _merged(one, other):
    """Two structures as one. What is null or {} (written JSON) in one record is what it is in the other.

    What is an object in one and none in the other is an object with a field None, which is what is no object.
    """
    if one in (None, "NULL", "JSON"):
        return other
    if other in ("NULL", "JSON"):
        return one
    if not isinstance(one, dict) and not isinstance(other, dict):
        return one
    one, other = (structure if isinstance(structure, dict) else {None: structure} for structure in (one, other))
    return one | {key: _merged(one.get(key), inner) for key, inner in other.items()}


def _leaves(structure, path=()):
    """Paths of the fields of a record, objects within it opened, in the order of their first appearance.

    The path of what is an object in some records only ends in None.
    """
    found = []
    for key, inner in structure.items():
        found += _leaves(inner, (*path, key)) if isinstance(inner, dict) and inner else [(*path, key)]
    return found


def _column_name(path):
    return ".".join(key for key in path if key is not None)


def _pointer(path):
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path if key is not None)
