"""Tables of a company's databases -> delivery files that land like an export: what changed since the last pull, night by night."""

import difflib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pipeline.ingest.contents import drift_told, land_content, report_drift
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.database_servers import (
    EntryMisset,
    PullFailed,
    count_blank,
    no_cursor,
    reading_session,
    select_statement,
    write_rows,
)
from pipeline.ingest.drift import last_sent, mend_of
from pipeline.ingest.landings import content_row, landing_rows, take_repeated, word_rows
from pipeline.ingest.layouts import EntityMap, Field, Layout
from pipeline.ingest.outcomes import ORDER_DATA, OrderDataStopped, Outcome, discard
from pipeline.ingest.read import UnreadableFile, profile_file
from pipeline.ingest.scan import unique_names
from pipeline.ingest.sources import load_layouts
from pipeline.settings import SettingsError
from pipeline.warehouse import identifier, literal, replace_file, value

# as servers write moments: with a fraction, with an offset
MOMENTS = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S.%f %z")
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?"
ENDLESS = "|-?infinity"
# rows without a cursor are told apart from those of before by their content, up to this many
MAX_BLANK = 10_000
# kind of a cursor -> (what each of its values looks like, the type in which they are compared, how Python reads one)
CURSOR_KINDS = {
    "integer": (r"[+-]?\d+", "hugeint", int),
    "decimal": (r"[+-]?\d+(\.\d+)?", "decimal(38, 10)", Decimal),
    "date": (rf"\d{{4}}-\d\d-\d\d{ENDLESS}", "date", date.fromisoformat),
    "timestamp": (MOMENT + ENDLESS, "timestamp", datetime.fromisoformat),
    "moment": (
        rf"{MOMENT} \+00:00{ENDLESS}",
        "timestamptz",
        lambda text: datetime.fromisoformat(text.replace(" +", "+")),
    ),
}


@dataclass(frozen=True)
class Entry:
    """One [[database]] entry of the settings. url: the environment variable that holds the SQLAlchemy URL."""

    name: str
    url: str
    table: str | None = None
    schema: str | None = None
    query: str | None = None
    layout: str | None = None
    entity: str | None = None
    source: str | None = None
    timezone: str | None = None
    cursor: str | None = None
    timeout_minutes: int = 30
    pull: bool = True

    @property
    def statement_hash(self):
        """Changes with what is asked for: a cursor of another question is worth nothing."""
        asked = (self.url, self.schema, self.table, self.query, self.cursor)
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Pulled:
    """What a pull brought: a delivery of row_count rows at path (none: nothing changed), its columns and the cursor after it.

    warnings: what is not seen from now on, in English and Chinese.
    """

    path: Path
    columns: tuple[str, ...]
    row_count: int
    cursor: dict
    notes: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


def entries_of(settings) -> list[Entry]:
    """The [[database]] entries in the order of the settings, which are checked already."""
    return [Entry(**given) for given in settings.database]


def all_layouts(settings) -> dict[str, Layout]:
    """Every layout by name: those of files, and one for each database entry. Raises ContractError and SettingsError."""
    layouts = load_layouts(settings.data_dir / "sources")
    return layouts | {layout_name(entry): _entry_layout(entry, layouts) for entry in entries_of(settings)}


def layout_name(entry: Entry) -> str:
    """The name of an entry's own layout, as the ledger and ops know it."""
    return f"database:{entry.name}"


def _entry_layout(entry, layouts):
    """The layout by which an entry's deliveries are read: written by ourselves, so its columns are all there is to recognise."""
    where = f"[[database]] {entry.name}"
    if entry.layout:
        if entry.layout not in layouts:
            near = difflib.get_close_matches(entry.layout, layouts, n=1)
            hint = f'did you mean "{near[0]}"?' if near else "write it in data/sources"
            raise SettingsError(f'{where}: there is no layout "{entry.layout}"; {hint}')
        layout = layouts[entry.layout]
        if not layout.match_columns:
            raise SettingsError(
                f"{where}: layout {entry.layout} names no match: columns:, by which a table can be known"
            )
    else:
        layout = _contract_layout(where, entry)
    delivery = "delta" if entry.cursor and layout.delivery == "full" else layout.delivery
    mapped = {name: _with_moments(load_contracts()[name], mapping) for name, mapping in layout.entities.items()}
    return replace(
        layout,
        name=layout_name(entry),
        entry=entry.name,
        entities=mapped,
        match_file=None,
        fingerprint=hashlib.sha256(f"{layout.fingerprint} {delivery} {MOMENTS}".encode()).hexdigest()[:12],
        delivery=delivery,
    )


def _contract_layout(where, entry):
    """A layout of one entity whose columns are called as in its contract."""
    contracts = load_contracts()
    if entry.entity not in contracts:
        near = difflib.get_close_matches(entry.entity, contracts, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"one of {', '.join(contracts)}"
        raise SettingsError(f'{where}: there is no entity "{entry.entity}"; {hint}')
    contract = contracts[entry.entity]
    columns = {name: Field(column=(name,)) for name in contract.columns}
    return Layout(
        name=entry.name,
        source=entry.source or entry.name,
        entities={entry.entity: EntityMap(columns)},
        match_columns=frozenset(name for name, column in contract.columns.items() if column.required),
        match_file=None,
        fingerprint=hashlib.sha256(repr((contract, entry.source, entry.timezone)).encode()).hexdigest()[:12],
        timezone=entry.timezone,
        delivery="delta" if entry.cursor else "full",
    )


def _with_moments(contract, mapping):
    """A mapping whose stated dates and times are also read as a server writes them."""
    columns = {
        name: replace(field, formats=(*field.formats, *MOMENTS))
        if field.formats and contract.columns[name].type in ("date", "timestamp")
        else field
        for name, field in mapping.columns.items()
    }
    return replace(mapping, columns=columns)


def take_in_entry(
    con,
    entry: Entry,
    settings,
    layouts,
    ledger,
    scratch: Path,
    observed_at: datetime,
    run_id: str,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Outcome, ...]:
    """One entry: pulled, landed, kept in the vault, and its cursor advanced; all of it or nothing.

    Status unchanged where there is nothing new, unreached where the database could not be read, misset where the entry is
    wrong: what landed before stays.
    Raises OrderDataStopped when pulled order data has a required column missing or too many rejected rows.
    """
    return (_take(con, entry, settings, layouts, ledger, scratch, observed_at, run_id, environment),)


def _take(con, entry, settings, layouts, ledger, scratch, observed_at, run_id, environment):
    name = f"{entry.name}-{observed_at:%Y%m%dT%H%M%S}.csv"
    layout = layouts[layout_name(entry)]
    common = {"layout": layout.name, "source": layout.source, "observed_at": observed_at.isoformat()}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            pulled = pull(con, entry, ledger, Path(folder) / name, observed_at, environment)
        except PullFailed as error:
            status = "misset" if isinstance(error, EntryMisset) else "unreached"
            return Outcome(name, status, f"{error}; {_what_stands(layout, ledger)}", **common)
        common["warnings"] = pulled.warnings
        if pulled.row_count == 0:
            what = "nothing new since the last pull" if pulled.cursor["last"] else "it has no rows"
            return Outcome(name, "unchanged", "; ".join((what, *pulled.notes)), **common)
        profile = profile_file(pulled.path)
        bytes_hash = profile.content_hash
        before = _same_as_before(entry, layout, bytes_hash, ledger)
        if before and (settings.vault / before["raw_path"]).exists():
            outcome = take_repeated(name, before, ledger, run_id)
            ledger.insert("cursors", **pulled.cursor | {"content_hash": before["content_hash"]})
            return replace(outcome, warnings=pulled.warnings)
        if before:
            # its raw file is gone, but it was seen first when it was seen first
            observed_at = datetime.fromisoformat(before["observed_at"])
        content_hash = before["content_hash"] if before else _content_key(entry, observed_at.isoformat(), bytes_hash)
        profile, cursor = replace(profile, content_hash=content_hash), pulled.cursor | {"content_hash": content_hash}
        try:
            only = {layout.name: _narrowed(layout, pulled) if entry.entity else layout}
            with drift_told(layouts, ledger):
                outcome = land_content(con, profile, name, settings, only, Path(folder), observed_at, is_rendition=True)
        except UnreadableFile as error:
            return Outcome(name, error.status, str(error), size_bytes=profile.size_bytes, **common)
        if outcome.status == "landed":
            raw_path = Path("raw") / outcome.file_id / name
            raw = content_row(outcome, name, profile, raw_path, layout, is_rendition=True)
            raw["raw_hash"] = outcome.kept_hash or bytes_hash
            # the file first, then all that is known of it at once: a crash in between leaves the cursor where it was
            target = settings.vault / raw_path
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(outcome.kept or pulled.path, target)
            outcome = report_drift(outcome, layouts, ledger)
            landings, words = (
                rows_of(outcome, profile.content_hash, layout, settings) for rows_of in (landing_rows, word_rows)
            )
            ledger.insert_together(
                {"contents": [raw], "landings": landings, "unmapped_words": words, "cursors": [cursor]}
            )
            message = "; ".join(filter(None, (*pulled.notes, outcome.message)))
            return replace(outcome, message=message, warnings=(*pulled.warnings, *outcome.warnings))
        discard(outcome)
    if outcome.status == "unknown":
        return _unmapped(entry, layout, replace(outcome, **common), ledger)
    return outcome


def _content_key(entry, observed_at, bytes_hash):
    """What a delivery is known by: the same rows of another entry, or of this one after others, are another delivery."""
    return hashlib.sha256(f"{entry.name}\n{observed_at}\n{bytes_hash}".encode()).hexdigest()


def _same_as_before(entry, layout, bytes_hash, ledger):
    """The entry's last delivery, where its bytes are the same; None elsewhere."""
    last = ledger.rows("select * from contents where layout = ? order by observed_at desc limit 1", (layout.name,))
    # ledgers of before know a delivery by its bytes alone
    keys = [bytes_hash, *(_content_key(entry, row["observed_at"], bytes_hash) for row in last)]
    return last[0] if last and last[0]["content_hash"] in keys else None


def _narrowed(layout, pulled):
    """The columns of a contract that the table has: that it has not every one is worth no remark."""
    there = {name.casefold() for name in pulled.columns}
    entities = {
        entity: EntityMap({name: field for name, field in mapping.columns.items() if name.casefold() in there})
        for entity, mapping in layout.entities.items()
    }
    return replace(layout, entities=entities)


def _unmapped(entry, layout, outcome, ledger):
    """A table that lacks what its mapping is known by. Order data that cannot be mapped stops the night."""
    before = last_sent(ledger, layout.name, "") or {"header": [], "kinds": {}}
    why = mend_of(layout, before, outcome.header, outcome.kinds)
    if set(layout.entities) & set(ORDER_DATA):
        raise OrderDataStopped(f"[[database]] {entry.name}: {why}; its columns: {', '.join(outcome.header)}")
    return replace(outcome, message=f"{why}; {_what_stands(layout, ledger)}")


def _what_stands(layout, ledger):
    last = ledger.rows("select max(observed_at) as last from contents where layout = ?", (layout.name,))[0]["last"]
    return (
        f"what it delivered last, at {last[:16].replace('T', ' ')} UTC, stands"
        if last
        else "it never delivered anything"
    )


def pull(
    con, entry: Entry, ledger, target: Path, observed_at: datetime, environment: Mapping[str, str] = os.environ
) -> Pulled:
    """Write the rows of an entry that were not pulled before to a UTF-8 CSV file. Raises PullFailed.

    Rows from the last cursor value on are asked for, that value included: a row of the same moment may have been
    committed after the last pull. Those pulled already are known by the keyed hashes of their whole content. So are rows
    without a cursor, which each pull asks for unless they are more than MAX_BLANK: then their count is warned of.
    """
    states = ledger.rows("select * from cursors where entry = ? and statement = ?", (entry.name, entry.statement_hash))
    state = states[0] if states else {"kind": None, "last": None, "boundary": ""}
    if entry.url not in environment:
        raise EntryMisset(f"the environment variable {entry.url} is not set")
    last = CURSOR_KINDS[state["kind"]][2](state["last"]) if state["last"] else None
    parts = target.with_suffix(".parts")
    parts.mkdir()
    try:
        with reading_session(environment[entry.url], entry.timeout_minutes) as connection:
            blank = count_blank(connection, entry) if last is not None else 0
            statement = select_statement(entry, last, 0 < blank <= MAX_BLANK)
            names = write_rows(connection, statement, parts, entry.cursor)
    except PullFailed as error:
        raise type(error)(f"{entry.url}: {error}") from None
    columns = tuple(unique_names([name.strip() for name in names]))
    source = f"read_parquet({literal(parts / '*.parquet')})"
    after, notes, is_known, blank_pulled = _cursor_after(con, entry, state, names, source, observed_at)
    listed = ", ".join(f"c{place} as {identifier(name)}" for place, name in enumerate(columns))
    # sorted, so that an unchanged table makes the same file whatever order the server sends it in
    (row_count,) = con.execute(
        f"copy (select {listed} from {source} where not ({is_known}) order by all) to {literal(target)}"
        " (format csv, header true, delimiter ',', quote '\"', escape '\"', nullstr '')"
    ).fetchall()[0]
    return Pulled(target, columns, row_count, after, notes, _unseen(entry, max(blank, blank_pulled)))


def _unseen(entry, blank):
    if blank <= MAX_BLANK:
        return ()
    english = (
        f"{blank} rows without a {entry.cursor}, more than {MAX_BLANK}: they came with the first pull alone, and no later"
        " change of them is seen; fill the column, or give the entry no cursor"
    )
    chinese = (
        f"{blank} 行没有 {entry.cursor}（超过 {MAX_BLANK} 行）：仅首次读取时取入，其后的变化无法发现；"
        "请补全该列，或在该项设置中去掉 cursor"
    )
    return ((english, chinese),)


def _cursor_after(con, entry, state, names, source, observed_at):
    """(the ledger's row of the cursor after a pull, what to say of it, SQL that tells a row that was pulled before, how
    many rows have no cursor)."""
    after = {"entry": entry.name, "statement": entry.statement_hash, "kind": state["kind"], "last": state["last"]}
    after |= {"boundary": state["boundary"], "content_hash": None}
    if not entry.cursor:
        return after, (), "false", 0
    if entry.cursor not in names:
        found = [name for name in names if name.casefold() == entry.cursor.casefold()]
        hint = f'did you mean "{found[0]}"?' if found else f"its columns: {', '.join(names)}"
        raise EntryMisset(f"there is no column {entry.cursor} to be the cursor; {hint}")
    cell = f"c{names.index(entry.cursor)}"
    kind = _kind_of(con, cell, source)
    if kind is None and state["last"] is None:
        return after, (), "false", 0
    if kind not in (*CURSOR_KINDS, None):
        raise EntryMisset(no_cursor(entry.cursor))
    # nothing but rows without a cursor are new
    kind = kind or state["kind"]
    typed = _typed(cell, kind)
    notes = []
    is_moment = kind in ("date", "timestamp", "moment")
    without = [f"{typed} is null", *([f"{typed} = '-infinity'"] if is_moment else [])]
    has_none = f"({' or '.join(without)})"
    blank, odd = con.execute(
        f"select count(*) - count({cell}), count({cell}) from {source} where {has_none}"
    ).fetchall()[0]
    if 0 < blank <= MAX_BLANK:
        notes.append(f"{blank} rows without a {entry.cursor}: told apart by their content")
    if odd:
        notes.append(f"{odd} rows whose {entry.cursor} is no time or number: they come with the first pull alone")
    latest = f"timestamp '{(observed_at + timedelta(days=1)).isoformat(sep=' ')}'"
    past = f"{typed} <= {latest}" if is_moment else "true"
    ahead = value(con, f"select count(*) from {source} where not ({past})")
    if ahead:
        # a date such as 9999-12-31 as the last one pulled would hide every change from then on
        notes.append(f"{ahead} rows whose {entry.cursor} is in the future: the cursor stops before them")
    newest = value(con, f"select arg_max({cell}, {typed}) from {source} where {past} and not {has_none}")
    row_hash = f"keyed(to_json([{', '.join(f'c{place}' for place in range(len(names)))}])::varchar)"
    con.execute("create schema if not exists scratch")
    con.execute(
        "create or replace table scratch.pulled_before as select unnest(string_split(?, ' ')) as row_hash",
        (state["boundary"],),
    )
    is_known = "false"
    if state["last"]:
        is_known = f"{row_hash} in (select row_hash from scratch.pulled_before)"
    if newest is None and state["last"] is None:
        # nothing but dates of the future: pulled whole again until one has come
        return after, tuple(notes), is_known, blank
    if newest is not None:
        after |= {"kind": kind, "last": newest}
    compared = _typed(literal(after["last"]), after["kind"])
    after["boundary"] = value(
        con,
        f"select coalesce(string_agg({row_hash}, ' '), '') from {source}"
        f" where {typed} >= {compared}{f' or {has_none}' if blank <= MAX_BLANK else ''}",
    )
    return after, tuple(notes), is_known, blank


def _kind_of(con, cell, source):
    """The kind of a cursor by what all its values look like: a key of CURSOR_KINDS, text, or None where all are null."""
    tests = ", ".join(f"bool_and(regexp_full_match({cell}, {literal(shape)}))" for shape, _, _ in CURSOR_KINDS.values())
    count, *fits = con.execute(f"select count({cell}), {tests} from {source}").fetchall()[0]
    if count == 0:
        return None
    return next((kind for kind, fit in zip(CURSOR_KINDS, fits, strict=True) if fit), "text")


def _typed(cell, kind):
    """SQL for a cursor's value as its kind compares it. DuckDB reads an offset only where no space is before it."""
    return f"try_cast(replace({cell}, ' +', '+') as {CURSOR_KINDS[kind][1]})"
