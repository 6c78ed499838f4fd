"""A Parquet file -> one text table, whatever its types, without loss. Runs in the child.

Structs become columns named with a dot; lists and maps stay JSON text in one cell, their values as texts.
"""

from pathlib import Path

import duckdb

from pipeline.ingest.render import NotRendered
from pipeline.warehouse import identifier, literal


def render(path: Path, folder: Path, memory: int) -> tuple[list[dict], list[str]]:
    """Write folder/0.csv, out of core. Returns (parts, notes). Raises NotRendered."""
    con = duckdb.connect(
        config={"memory_limit": f"{memory // 2 >> 20}MiB", "threads": 1, "temp_directory": str(folder)}
    )
    con.execute("set timezone = 'UTC'")
    source = f"read_parquet({literal(path)}, hive_partitioning = false)"
    try:
        relation = con.sql(f"from {source}")
        cells = []
        for name, kind in zip(relation.columns, relation.types, strict=True):
            cells += _cells(name, identifier(name), kind)
        # all of a column's names are known before a row is read
        listed = ", ".join(f"{cell} as {identifier(name)}" for name, cell in _with_own_names(cells))
        con.execute(
            f"copy (select {listed} from {source}) to {literal(folder / '0.csv')}"
            " (format csv, header true, delimiter ',', quote '\"', escape '\"', force_quote *, nullstr '', new_line '\\n')"
        )
    except duckdb.Error as error:
        raise NotRendered(f"is no whole Parquet file ({type(error).__name__}); export it again") from None
    return [{"label": "", "file": "0.csv", "warnings": []}], []


def _cells(name, column, kind):
    """[(name, SQL text)] of a column: several where it is a struct."""
    if kind.id == "struct":
        found = []
        for inner, inner_kind in kind.children:
            found += _cells(f"{name}.{inner}", f"struct_extract({column}, {literal(inner)})", inner_kind)
        return found
    return [(name, _text(column, kind))]


def _text(column, kind):
    match kind.id:
        case "timestamp with time zone":
            return f"({column} at time zone 'UTC')::varchar || ' +00:00'"
        case "double" | "float":
            # a column of whole numbers that has a gap is one of doubles in many tools
            whole = f"{column} = trunc({column}) and abs({column}) < 9007199254740993"
            return f"case when {whole} then {column}::bigint::varchar else {column}::varchar end"
        case "blob":
            return f"coalesce(try(decode({column})), {column}::varchar)"
        case "list" | "array" | "map" | "union":
            return f"to_json({column}::{_of_texts(kind)})::varchar"
    return f"{column}::varchar"


def _of_texts(kind):
    """A nested type with texts in place of its values, which JSON would round."""
    match kind.id:
        case "list":
            return f"{_of_texts(kind.children[0][1])}[]"
        case "array":
            return f"{_of_texts(kind.children[0][1])}[{kind.children[1][1]}]"
        case "map":
            return f"map(varchar, {_of_texts(kind.children[1][1])})"
        case "struct":
            return (
                "struct(" + ", ".join(f"{identifier(name)} {_of_texts(inner)}" for name, inner in kind.children) + ")"
            )
    return "varchar"


def _with_own_names(cells):
    """The reader of the table makes equal names different; here they must be already."""
    taken, found = set(), []
    for name, cell in cells:
        unique, number = name, 2
        while unique.lower() in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique.lower())
        found.append((unique, cell))
    return found
