"""Schema drift: what changed in an export's columns since its source last sent them. Information; it fails nothing itself."""

import csv
import difflib
import io
import json
import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.kinds import kind_of
from pipeline.ingest.layouts import Layout
from pipeline.ingest.read import Profile, first_text
from pipeline.ingest.recognition import fitted, header_key, missing_signature
from pipeline.ingest.text_form import TextForm

SAMPLE_ROWS = 200
NEAR = 0.6
# kinds that one column can show in two samples without having changed
ALIKE = (
    {"integer", "decimal", "money", "boolean"},
    {"integer", "id", "phone"},
    {"id", "category", "text", "boolean"},
    {"date", "timestamp"},
)
# what the values of a contract's type look like, where they look like anything
KINDS_OF_TYPE = {
    "money": {"money", "decimal", "integer"},
    "decimal": {"decimal", "integer", "money"},
    "integer": {"integer"},
    "timestamp": {"timestamp", "date"},
    "date": {"date", "timestamp"},
    "email": {"email"},
    "phone": {"phone", "id"},
    "id": {"id", "integer", "text", "category"},
}


@dataclass(frozen=True)
class Change:
    """What changed in the columns: names as they are written. renamed: old -> new; retyped: name -> (kind before, now).

    is_other_edition: most columns go by other names that the layout knows, as in another language; the rest is not compared.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: dict = field(default_factory=dict)
    retyped: dict = field(default_factory=dict)
    is_reordered: bool = False
    is_other_edition: bool = False

    def words(self) -> tuple[str, str]:
        """In English and Chinese, '' where nothing changed."""
        renamed = [f"{old} -> {new}" for old, new in self.renamed.items()]
        retyped = [f"{name} ({before} -> {now})" for name, (before, now) in self.retyped.items()]
        said = (
            ("added", "新增列", self.added),
            ("removed", "缺少列", self.removed),
            ("looks renamed", "疑似改名", renamed),
            ("retyped", "类型变化", retyped),
        )
        english = [f"{word}: {', '.join(names)}" for word, _, names in said if names]
        chinese = [f"{word}：{'、'.join(names)}" for _, word, names in said if names]
        if self.is_other_edition:
            english.append(
                "its columns go by other names that the layout knows (another language); the rest was not compared"
            )
            chinese.append("列使用来源映射已知的另一套名称（如另一种语言），其余未作比较")
        if self.is_reordered:
            english, chinese = [*english, "columns in another order"], [*chinese, "列的顺序有变"]
        return "; ".join(english), "；".join(chinese)


def kinds_of(profile: Profile, form: TextForm) -> dict[str, str]:
    """The kind of each column of a readable file, by name, from its first rows: no more than 64 KiB of it are looked at."""
    text = first_text(profile)
    lines = text.split("\n", form.header_line)[-1]
    if form.dialect.delimiter == "whitespace":
        rows = [line.split() for line in islice(lines.splitlines(), SAMPLE_ROWS)]
    else:
        quoting = {"quotechar": form.dialect.quote} if form.dialect.quote else {"quoting": csv.QUOTE_NONE}
        reader = csv.reader(io.StringIO(lines, newline=""), delimiter=form.dialect.delimiter, **quoting)
        try:
            rows = list(islice(reader, SAMPLE_ROWS))
        except csv.Error:
            return {}
    if len(rows) < SAMPLE_ROWS and len(text.encode()) >= 1 << 16:
        # the text ends within its last row
        rows = rows[:-1]
    cells = zip(*(row for row in rows if len(row) == len(form.header)), strict=True)
    return {name: kind_of(list(column)) for name, column in zip(form.header, cells, strict=False)}


def last_sent(ledger, layout: str, content_hash: str, header=()) -> dict | None:
    """The columns of an earlier file of a layout, but for one content: file_name, header and kinds.

    The file that has most columns in common with a header, of several the newest: views and languages that come in turn
    are each compared with their own.
    """
    rows = ledger.rows(
        "select file_name, header, kinds, max(observed_at) as observed_at from contents"
        " where layout = ? and content_hash <> ? and header is not null group by header order by observed_at desc",
        (layout, content_hash),
    )
    held = {header_key(name) for name in header}

    def likeness(before):
        names = {header_key(name) for name in before["header"]}
        return len(names & held) / max(len(names | held), 1)

    return max(map(_read, rows), key=likeness, default=None)


def _read(row):
    return row | {"header": json.loads(row["header"]), "kinds": json.loads(row["kinds"] or "{}")}


def changes(before: dict, header, kinds: dict, layout: Layout) -> Change:
    """What changed from the columns last sent (header and kinds) to these. Names are compared in normal form."""
    if _is_other_edition(before["header"], header, layout):
        return Change(is_other_edition=True)
    held, old = {header_key(name): name for name in header}, {header_key(name): name for name in before["header"]}
    added = [name for key, name in held.items() if key not in old]
    removed = [name for key, name in old.items() if key not in held]
    renamed = {}
    for name in removed:
        new = _new_name(name, before, header, kinds, [one for one in added if one not in renamed.values()], layout)
        if new:
            renamed[name] = new
    common = [key for key in old if key in held]
    retyped = {
        held[key]: (was, now)
        for key in common
        if not _are_alike(was := before["kinds"].get(old[key], "empty"), now := kinds.get(held[key], "empty"))
    }
    return Change(
        tuple(name for name in added if name not in renamed.values()),
        tuple(name for name in removed if name not in renamed),
        renamed,
        retyped,
        common != [key for key in held if key in old],
    )


def _is_other_edition(before, header, layout):
    """Whether more of the columns that the layout knows in both headers go by another of their names than by the same."""
    known = {
        header_key(other): name
        for entity in layout.entities.values()
        for name in entity.source_columns()
        for other in (name, *layout.also_called.get(name, ()))
    }
    old, now = ({known[key]: key for key in map(header_key, names) if key in known} for names in (before, header))
    common = old.keys() & now.keys()
    others = sum(old[name] != now[name] for name in common)
    return others > 1 and 2 * others > len(common)


def _are_alike(one, other):
    return one == other or "empty" in (one, other) or any({one, other} <= group for group in ALIKE)


def _new_name(name, before, header, kinds, candidates, layout):
    """The column that a removed one has become: a known other name, else one that is near and holds values of such a kind."""
    others = {header_key(other) for other in layout.also_called.get(name, ())}
    for new in candidates:
        if header_key(new) in others:
            return new
    kind = before["kinds"].get(name, "empty")
    near = {new: _nearness(name, new) for new in candidates if _are_alike(kind, kinds.get(new, "empty"))}
    best = max(near, key=near.get, default=None)
    if best and near[best] >= NEAR:
        return best
    # another word in the same place, between the same columns, with values of the same kind
    for new in candidates:
        if kind == kinds.get(new) != "empty" and _neighbours(before["header"], name) == _neighbours(header, new):
            return new
    return None


def _nearness(one, other):
    one, other = (re.sub(r"[\W_]+", "", header_key(name)) for name in (one, other))
    if min(len(one), len(other)) >= 2 and (one in other or other in one):
        return 1.0
    return difflib.SequenceMatcher(None, one, other).ratio()


def _neighbours(header, name):
    """The columns before and after one, '' at either end."""
    cells = ["", *(header_key(cell) for cell in header), ""]
    place = list(header).index(name) + 1
    return cells[place - 1], cells[place + 1]


def predecessor(ledger, layouts: dict[str, Layout], file_name: str, header) -> tuple[Layout, dict] | None:
    """The earlier delivery that a file which no layout recognises plainly follows, and its layout.

    It has the same name but for digits, or most of its columns are in this file. The newest of several.
    """
    held = {header_key(cell) for cell in header}
    rows = ledger.rows(
        "select file_name, layout, header, kinds from contents where header is not null order by observed_at desc"
    )
    seen = set()
    for row in rows:
        layout = layouts.get(row["layout"])
        pattern = _name_pattern(row["file_name"])
        schema = (row["layout"], pattern, row["header"])
        if layout is None or layout.entry or schema in seen:
            continue
        seen.add(schema)
        before = _read(row)
        common = [cell for cell in before["header"] if header_key(cell) in held]
        is_same_name = pattern != "" and pattern == _name_pattern(file_name)
        if is_same_name or len(common) > len(before["header"]) / 2:
            return layout, before
    return None


def _name_pattern(file_name):
    """A name without digits and marks, '' where it tells nothing."""
    parts = [Path(part) for part in Path(file_name.casefold()).parts]
    words = [re.sub(r"[\d\W_]+", " ", part.stem).strip() for part in parts]
    # a sheet goes by its workbook: every other one is called Sheet1
    is_sheet = len(parts) > 1 and not parts[-1].suffix
    return "/".join(words) if any(words[:-1] if is_sheet else words) else ""


def mend_of(layout: Layout, before: dict, header, kinds: dict) -> str:
    """Which columns a layout misses in a file that follows one it knew, what they are probably called now, and the mend."""
    change = changes(before, header, kinds, layout)
    missing = missing_signature(layout, header)
    likely = {name: change.renamed[name] for name in missing if name in change.renamed}
    why = f"it has no column {', '.join(missing)}"
    if not likely:
        return f"{why}; write its new name {_where(layout)}"
    looks = ", ".join(f"{new} looks like {old}" for old, new in likely.items())
    lines = ", ".join(f"{old}: [{new}]" for old, new in likely.items())
    return f"{why}, but {looks}; write {lines} {_where(layout)}"


def _where(layout):
    if layout.entry:
        return f"under also_called: in its layout, or rename it by a query, for {layout.written_in}"
    return f"under also_called: in {layout.written_in}"


def likely_names(layout: Layout, entity: str, missing: list[str], header, kinds: dict) -> str:
    """For required columns of a contract that a file does not have: which unmapped columns may be they, '' where none may."""
    layout, contract, used = fitted(layout, header), load_contracts()[entity], set()
    for mapping in layout.entities.values():
        used |= {header_key(name) for name in mapping.source_columns()}
    free = [name for name in header if header_key(name) not in used]
    found = []
    for name in missing:
        wanted = KINDS_OF_TYPE.get(contract.columns[name].type, set())
        for old in layout.entities[entity].columns[name].columns():
            fitting = [new for new in free if kinds.get(new) in wanted]
            near = max(fitting, key=lambda new: _nearness(old, new), default=None)
            if near and (_nearness(old, near) >= NEAR or len(fitting) == 1):
                found.append(f"{near} looks like {old}: write {old}: [{near}] {_where(layout)}")
    return "; ".join(found)
