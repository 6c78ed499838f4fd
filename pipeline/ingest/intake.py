"""The inbox -> landed files: which files are new, what each is, and what became of it."""

import errno
import json
import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.land import Landing, land_file
from pipeline.ingest.read import (
    UnreadableFile,
    first_text,
    header_of,
    profile_file,
    readable_copy,
    unpack_gzip,
)
from pipeline.ingest.rules import Reading
from pipeline.ingest.sources import Layout, nearest_layout, recognise

ORDER_DATA = ("orders", "order_items")


class OrderDataStopped(Exception):
    """Order data cannot be believed: the night stops; the message names the file, the reason and the mend."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. status: landed, repeated, kept (nothing new), unknown, changing, unreadable, failed."""

    file_name: str
    status: str
    message: str = ""
    file_id: str = ""
    layout: str = ""
    source: str = ""
    size_bytes: int = 0
    line_count: int = 0
    observed_at: str = ""
    header: tuple[str, ...] = ()
    landings: tuple[Landing, ...] = ()


def secure_folders(settings) -> None:
    """Inbox and vault, readable by their owner alone."""
    for folder in (settings.inbox, settings.vault):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(stat.S_IRWXU)


def pseudonym_key(settings) -> str:
    """The key of the keyed hashes, made on first use, in a file beside the data folder that its owner alone can read."""
    path = settings.pseudonym_key_file
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text().strip()


def define_keyed(con, settings) -> None:
    """The macro keyed(text): 32 hex digits that only who has the pseudonym key can make."""
    con.execute("set variable pseudonym_key = ?", (pseudonym_key(settings),))
    con.execute(
        "create or replace temp macro keyed(v) as"
        " sha256(getvariable('pseudonym_key') || sha256(getvariable('pseudonym_key') || v))[:32]"
    )


def inbox_files(settings) -> list[Path]:
    """The files of the inbox by name; hidden ones and unfinished copies (.part, .tmp) are not looked at."""
    return sorted(
        path
        for path in settings.inbox.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not any(part.startswith(".") for part in path.relative_to(settings.inbox).parts)
        and path.suffix.lower() not in (".part", ".tmp")
    )


def take_in(con, path: Path, settings, layouts, ledger, scratch: Path, observed_at: datetime, run_id: str) -> Outcome:
    """One file of the inbox: recognised, landed, and moved to the vault's raw folder; otherwise left where it is.

    Raises OrderDataStopped when order data has a required column missing or too many rejected rows.
    """
    name = str(path.relative_to(settings.inbox))
    printable = name.encode("utf-8", "replace").decode()
    if printable != name:
        return Outcome(printable, "unreadable", "its name is not UTF-8; rename the file")
    try:
        before = _state(path)
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            profile = profile_file(unpack_gzip(path, Path(folder)))
            known = ledger.rows("select * from contents where content_hash = ?", (profile.content_hash,))
            is_repeated = known and (settings.vault / known[0]["raw_path"]).exists()
            if not is_repeated:
                outcome = _land(con, profile, name, settings, layouts, Path(folder), observed_at)
    except (FileNotFoundError, PermissionError) as error:
        if str(error.filename) != str(path):
            raise
        return Outcome(name, "unreadable", f"{error.strerror}; mend its rights, or put it there again")
    except (UnreadableFile, OrderDataStopped) as error:
        if _state(path) != before:
            return _changing(name, before)
        if isinstance(error, OrderDataStopped):
            raise
        return Outcome(name, "unreadable", str(error), size_bytes=before[0])
    if _state(path) != before:
        if not is_repeated:
            _discard(outcome)
        return _changing(name, before)
    if is_repeated:
        return _repeated(path, name, known[0], ledger, run_id)
    if outcome.status == "landed":
        _keep_raw(path, name, profile, outcome, settings, layouts[outcome.layout], ledger)
    return outcome


def _state(path):
    """Size and modified time of a file, by which a change while it is read shows; None when it is gone."""
    if not path.exists():
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _changing(name, before):
    return Outcome(name, "changing", "it changed while it was read; left for the next night", size_bytes=before[0])


def land_again(con, content: dict, settings, layouts, ledger, scratch: Path, full: bool) -> Outcome:
    """A raw file of an earlier night: kept as it landed, unless its mapping or contract changed, or everything is derived anew."""
    name = content["file_name"]
    layout = layouts.get(content["layout"])
    if content["header"]:
        layout = recognise(Path(name).name, json.loads(content["header"]), layouts) or layout
    if layout is None:
        return Outcome(
            name, "unknown", f"its layout {content['layout']} is gone; what it landed is left out", content["file_id"]
        )
    raw = settings.vault / content["raw_path"]
    landed = ledger.rows(
        "select * from landings where content_hash = ? and fingerprint = ?",
        (content["content_hash"], fingerprint(layout, settings)),
    )
    common = {
        "file_id": content["file_id"],
        "layout": layout.name,
        "source": layout.source,
        "size_bytes": content["size_bytes"],
        "line_count": content["line_count"],
        "observed_at": content["observed_at"],
    }
    if landed and not full and all((settings.vault / row["path"]).exists() for row in landed):
        ledger.insert("contents", **content | {"layout": layout.name})
        return Outcome(name, "kept", **common)
    if not raw.exists():
        why = "its raw file is not in the vault; put the export into the inbox again"
        return Outcome(name, "unreadable", why, **common)
    observed_at = datetime.fromisoformat(content["observed_at"])
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            profile = profile_file(unpack_gzip(raw, Path(folder)))
            if profile.content_hash != content["content_hash"]:
                raise UnreadableFile("its raw file in the vault is not as it was; put the export into the inbox again")
            outcome = _land(con, profile, name, settings, {layout.name: layout}, Path(folder), observed_at)
    except UnreadableFile as error:
        return Outcome(name, "unreadable", str(error), **common)
    if outcome.status == "landed":
        _record_landings(outcome, content["content_hash"], layout, settings, ledger)
        ledger.insert("contents", **content | {"layout": layout.name})
    return outcome


def current_landings(settings, layouts, ledger) -> list[dict]:
    """The landings that a night builds on: every file by its present layout's mapping, oldest first."""
    rows = ledger.rows(
        "select landings.*, contents.file_id, contents.file_name, contents.layout, contents.observed_at"
        " from landings inner join contents using (content_hash)"
        " order by contents.observed_at, contents.content_hash, landings.entity"
    )
    return [
        row
        for row in rows
        if row["layout"] in layouts and row["fingerprint"] == fingerprint(layouts[row["layout"]], settings)
    ]


def fingerprint(layout: Layout, settings) -> str:
    """What a landing depends on beside the file: the mapping, the contracts, and the settings that read values."""
    zone = layout.timezone or settings.business_timezone
    return f"{layout.fingerprint}-{zone}-{settings.reporting_currency}-{settings.phone_country_code}".replace("/", "_")


def _land(con, profile, name, settings, layouts, scratch, observed_at):
    layout, delimiter, header = _recognised(profile, Path(name).name, layouts)
    if layout is None:
        return Outcome(name, "unknown", _not_recognised(name, header, layouts), size_bytes=profile.size_bytes)
    if layout.delimiter is None:
        layout = replace(layout, delimiter=delimiter)
    file_id = profile.content_hash[:16]
    readable, notes = readable_copy(profile, scratch, layout.encoding)
    common = {
        "file_id": file_id,
        "layout": layout.name,
        "source": layout.source,
        "size_bytes": profile.size_bytes,
        "line_count": readable.line_count,
        "observed_at": observed_at.isoformat(),
        "header": tuple(header),
    }
    con.execute(f"set variable file_id = '{file_id}'")
    con.execute(f"set variable observed_at = timestamp '{observed_at.isoformat(sep=' ')}'")
    version = fingerprint(layout, settings)

    def target(kind, entity):
        return settings.vault / kind / entity / f"{file_id}-{version}.parquet"

    landings = land_file(con, readable, layout, _reading(layout, settings), target, scratch)
    outcome = Outcome(name, "landed", "; ".join(notes), landings=landings, **common)
    for landing in landings:
        why = landing.failed or _too_many(landing)
        if why:
            for one in landings:
                if one.path:
                    one.path.unlink(missing_ok=True)
            if landing.entity in ORDER_DATA:
                raise OrderDataStopped(
                    f"{name}: {landing.entity}: {why}. Mend the file, or its layout {layout.name}.yaml, or take it out of the inbox"
                )
            return replace(outcome, status="failed", message=f"{landing.entity}: {why}")
    nothing = ["it has a header and no rows"] if all(landing.lines_read == 0 for landing in landings) else []
    remarks = [*nothing, *notes, *dict.fromkeys(note for landing in landings for note in landing.notes)]
    return replace(outcome, message="; ".join(remarks))


def _too_many(landing):
    limit = load_contracts()[landing.entity].max_rejected_share
    # a single bad row beside good ones stops nothing, however short its file
    several = landing.rejected > 1 or landing.landed == 0
    if several and landing.rejected > limit * landing.lines_read:
        rule, column = (
            landing.rejects.filter(pl.col("action") == "rejected")
            .group_by("rule", "column_name")
            .len()
            .sort(pl.col("len"), "rule", descending=[True, False])
            .row(0)[:2]
        )
        return (
            f"{landing.rejected} of {landing.lines_read} rows are rejected, more than max_rejected_share {limit},"
            f" most for {' '.join(filter(None, (column, rule)))}; "
            f"the reasons stand in vault/{landing.rejects_path.parent.parent.name}/{landing.entity}"
        )
    return None


def _recognised(profile, file_name, layouts):
    """(layout or None, delimiter, header): as the file shows them, else as the layouts say that they are written."""
    delimiter, header = header_of(first_text(profile))
    layout = recognise(file_name, header, layouts)
    if layout:
        return layout, delimiter, header
    ways = {(one.encoding or "", one.delimiter or "") for one in layouts.values() if one.delimiter != "whitespace"}
    for encoding, mark in sorted(ways - {("", "")}):
        alike = {
            key: one for key, one in layouts.items() if (one.encoding or "", one.delimiter or "") == (encoding, mark)
        }
        text = first_text(profile, encoding or None)
        mark, cells = header_of(text, (mark,)) if mark else header_of(text)
        layout = recognise(file_name, cells, alike)
        if layout:
            return layout, mark, cells
    return None, delimiter, header


def _not_recognised(name, header, layouts):
    if Path(name).suffix.lower() in (".xlsx", ".xls", ".zip"):
        return "a workbook or archive is not read; save the export as CSV (UTF-8)"
    if not any(header):
        return "its first line is blank; let the file begin with its header"
    near = nearest_layout(header, layouts)
    if near:
        return f"no layout fits; the nearest, {near[0]}, also needs {', '.join(near[1])}"
    return "no layout fits its first line; write one in data/sources (README: your own exports in five minutes)"


def _reading(layout, settings):
    return Reading(
        timezone=layout.timezone or settings.business_timezone,
        currency=layout.currency or settings.reporting_currency,
        reporting_currency=settings.reporting_currency,
        phone_country_code=settings.phone_country_code,
    )


def _repeated(path, name, content, ledger, run_id):
    """The same content again: every line is a duplicate; the copy in the inbox is not needed."""
    lines = ledger.rows(
        "select max(lines_read) as lines from landings where content_hash = ?", (content["content_hash"],)
    )
    lines_read = lines[0]["lines"] or 0
    ledger.insert("repeats", run_id=run_id, content_hash=content["content_hash"], file_name=name, lines_read=lines_read)
    path.unlink()
    return Outcome(
        name,
        "repeated",
        f"the same content as {content['file_name']}: {lines_read} lines are duplicates",
        content["file_id"],
        content["layout"],
        size_bytes=content["size_bytes"],
        line_count=content["line_count"],
        observed_at=content["observed_at"],
    )


def _keep_raw(path, name, profile, outcome, settings, layout, ledger):
    raw_path = Path("raw") / outcome.file_id / path.name
    target = settings.vault / raw_path
    target.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps(outcome.header) if layout.header else None
    ledger.insert(
        "contents",
        content_hash=profile.content_hash,
        file_id=outcome.file_id,
        file_name=name,
        size_bytes=profile.size_bytes,
        line_count=outcome.line_count,
        observed_at=outcome.observed_at,
        raw_path=str(raw_path),
        layout=layout.name,
        header=header,
    )
    _record_landings(outcome, profile.content_hash, layout, settings, ledger)
    try:
        os.replace(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # the inbox lies on another disk: the copy is complete before the original goes
        part = target.with_name(target.name + ".part")
        shutil.copy2(path, part)
        os.replace(part, target)
        path.unlink()


def _record_landings(outcome, content_hash, layout, settings, ledger):
    """All landings of a file at once: one that is on record with some of its entities would be taken for whole."""
    ledger.insert_all(
        "landings",
        [
            {
                "content_hash": content_hash,
                "fingerprint": fingerprint(layout, settings),
                "entity": landing.entity,
                "lines_read": landing.lines_read,
                "landed": landing.landed,
                "rejected": landing.rejected,
                "duplicates": landing.duplicates,
                "record_count": landing.record_count,
                "path": str(landing.path.relative_to(settings.vault)),
                "rejects_path": str(landing.rejects_path.relative_to(settings.vault)) if landing.rejects_path else None,
                "notes": "; ".join(landing.notes),
            }
            for landing in outcome.landings
        ],
    )


def _discard(outcome):
    for landing in outcome.landings:
        for path in (landing.path, landing.rejects_path):
            if path:
                path.unlink(missing_ok=True)


def observation_times(started_at: datetime, count: int) -> list[datetime]:
    """A distinct time for each file of a run, in the order of their names: later files are later versions."""
    return [started_at + timedelta(milliseconds=position) for position in range(count)]
