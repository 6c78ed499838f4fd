"""Which layout a header belongs to, and what a layout's columns are called in it."""

import fnmatch
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from pipeline.ingest.layouts import Layout

SEVERAL_COLUMNS = ("column", "join", "add", "subtract", "multiply", "optional")
REQUIRED_MARK = re.compile(r"\s*(\(必填\)|\*)$")


def header_key(cell: str) -> str:
    """A header cell in the form in which names are compared: full width as half, no case, no mark of a required column."""
    return REQUIRED_MARK.sub("", unicodedata.normalize("NFKC", cell).strip()).casefold()


def fitted(layout: Layout, names: Sequence[str]) -> Layout:
    """The layout with the names that its columns have in a file: as written, in normal form, or as also called.

    A sum goes without those of its optional parts that the file does not have.
    """
    held = {}
    for name in names:
        held.setdefault(header_key(name), name)
    called = {}
    for entity in layout.entities.values():
        for name in (*entity.source_columns(), *([entity.carry_by] if entity.carry_by else [])):
            others = [held.get(header_key(other)) for other in (name, *layout.also_called.get(name, ()))]
            called[name] = name if name in names else next(filter(None, others), name)
    entities = {name: _renamed_entity(entity, called, names) for name, entity in layout.entities.items()}
    return replace(layout, entities=entities)


def _renamed_entity(entity, called, names):
    columns = {}
    for name, one in entity.columns.items():
        gone = {part for part in one.optional if called[part] not in names}
        one = replace(
            one,
            add=tuple(part for part in one.add if part not in gone),
            subtract=tuple(part for part in one.subtract if part not in gone),
        )
        renamed = {part: tuple(called[column] for column in getattr(one, part)) for part in SEVERAL_COLUMNS}
        when = {called[column]: words for column, words in one.when.items()}
        columns[name] = replace(one, **renamed, plus_minutes=called.get(one.plus_minutes), when=when)
    return replace(
        entity,
        columns=columns,
        carry_by=called.get(entity.carry_by),
        carry=tuple(called.get(name, name) for name in entity.carry),
        needs=tuple(called[name] for name in entity.needs),
        unless={called[name]: words for name, words in entity.unless.items()},
        keep=tuple(called[name] for name in entity.keep),
    )


def recognise(file_name: str, header: list[str], layouts: dict[str, Layout]) -> Layout | None:
    """The layout of a file from its name and first line: the one with most signature columns in the header.

    A headerless layout needs its name pattern and as many columns as it names.
    """
    found = [layout for layout in layouts.values() if _matches(layout, file_name, header)]
    return max(found, key=lambda layout: (len(layout.match_columns), layout.match_file is not None), default=None)


def nearest_layout(header: list[str], layouts: dict[str, Layout]) -> tuple[str, list[str]] | None:
    """The layout that shares most of its signature with the header, and the columns that it misses."""
    shares = {
        layout.name: 1 - len(missing_signature(layout, header)) / len(layout.match_columns)
        for layout in layouts.values()
        if layout.match_columns
    }
    best = max(shares, key=shares.get, default=None)
    if best is None or shares[best] < 0.5:
        return None
    return best, missing_signature(layouts[best], header)


def missing_signature(layout, header):
    """The columns of a layout's signature that a header has under none of their names, and whether it lacks all of any_of."""
    held = {header_key(cell) for cell in header}
    missing = sorted(
        name
        for name in layout.match_columns
        if not any(header_key(other) in held for other in (name, *layout.also_called.get(name, ())))
    )
    if layout.match_any and held.isdisjoint(map(header_key, layout.match_any)):
        missing.append(f"one of {', '.join(sorted(layout.match_any))}")
    return missing


def _matches(layout, file_name, header):
    bare = file_name.lower().removesuffix(".gz")
    if layout.match_file and not fnmatch.fnmatch(bare, layout.match_file.lower().removesuffix(".gz")):
        return False
    if not layout.header:
        return layout.delimiter == "whitespace" or len(header) == len(layout.column_names)
    return not missing_signature(layout, header)
