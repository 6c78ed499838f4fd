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
from pipeline.ingest.keys import set_key
from pipeline.ingest.land import EDITED, Landing, land_file
from pipeline.ingest.read import (
    UnreadableFile,
    first_text,
    header_of,
    profile_file,
    readable_copy,
    unpack_gzip,
    write_kept,
)
from pipeline.ingest.rules import Reading
from pipeline.ingest.sources import Layout, nearest_layout, recognise
from pipeline.warehouse import replace_file

ORDER_DATA = ("orders", "order_items")


class OrderDataStopped(Exception):
    """Order data cannot be believed: the night stops; the message names the file, the reason and the mend."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. status: landed, repeated, kept (nothing new), outdated, unknown, changing, unreadable, failed.

    kept: the file without the lines of the suppressed, where there are any, with the hash of its content.
    """

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
    kept: Path | None = None
    kept_hash: str | None = None


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
    """The macros of keyed hashes, with this data folder's key."""
    set_key(con, pseudonym_key(settings))


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
                if known:
                    # its raw file is gone, but it was seen first when it was seen first
                    observed_at = datetime.fromisoformat(known[0]["observed_at"])
                outcome = land_content(con, profile, name, settings, layouts, Path(folder), observed_at)
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
    if outcome.kept and outcome.status != "landed":
        outcome.kept.unlink()
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
    """A raw file of an earlier night: kept as it landed, unless its mapping or contract changed, or everything is derived anew.

    A file whose raw copy is gone stands as it last landed (status outdated), until it is put into the inbox again.
    """
    name, layout = content["file_name"], layout_of(content, layouts)
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
    is_as_it_should = landed and all((settings.vault / row["path"]).exists() for row in landed)
    if is_as_it_should and not full:
        ledger.insert("contents", **content | {"layout": layout.name})
        return Outcome(name, "kept", **common)
    if not raw.exists():
        if is_as_it_should:
            return Outcome(name, "outdated", "kept as it landed, since its raw file is no longer there", **common)
        every = "select * from landings where content_hash = ? order by rowid"
        if _newest_whole(ledger.rows(every, (content["content_hash"],)), settings):
            why = "kept as it landed under an earlier mapping; put the export into the inbox again to apply the new one"
            return Outcome(name, "outdated", why, **common)
        why = "its raw file is not in the vault; put the export into the inbox again"
        return Outcome(name, "unreadable", why, **common)
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            # beside the vault first: a file that cannot land again leaves what stands
            outcome = adopt(land_raw(con, content, layout, settings, Path(folder)), settings)
    except UnreadableFile as error:
        return Outcome(name, "unreadable", str(error), **common)
    if outcome.kept:
        replace_file(outcome.kept, raw)
        content = content | {"raw_hash": outcome.kept_hash}
    if outcome.status == "landed":
        record_landings(outcome, content["content_hash"], layout, settings, ledger)
        ledger.insert("contents", **content | {"layout": layout.name})
    return outcome


def layout_of(content: dict, layouts) -> Layout | None:
    """The layout that a kept file has now: the one that fits its header best, else the one by which it landed."""
    layout = layouts.get(content["layout"])
    if content["header"]:
        layout = recognise(Path(content["file_name"]).name, json.loads(content["header"]), layouts) or layout
    return layout


def land_raw(con, content: dict, layout, settings, scratch: Path, is_strict=True) -> Outcome:
    """A kept file landed by a layout, into the scratch folder. Raises UnreadableFile when it is not as it was."""
    profile = profile_file(unpack_gzip(settings.vault / content["raw_path"], scratch))
    if profile.content_hash != (content["raw_hash"] or content["content_hash"]):
        raise UnreadableFile("its raw file in the vault is not as it was; put the export into the inbox again")
    profile = replace(profile, content_hash=content["content_hash"])
    observed_at = datetime.fromisoformat(content["observed_at"])
    return land_content(
        con, profile, content["file_name"], settings, {layout.name: layout}, scratch, observed_at, scratch, is_strict
    )


def adopt(outcome: Outcome, settings) -> Outcome:
    """The landed and rejected files of an outcome, moved from the scratch folder into the vault."""
    landings = []
    for landing in outcome.landings:
        moved = {}
        for name, kind in (("path", "landed"), ("rejects_path", "rejected")):
            source = getattr(landing, name)
            if source and source.exists():
                moved[name] = settings.vault / kind / landing.entity / source.name
                moved[name].parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, moved[name])
        landings.append(replace(landing, **moved))
    return replace(outcome, landings=tuple(landings))


def current_landings(settings, layouts, ledger) -> list[dict]:
    """The landings that a night builds on, oldest file first.

    Every file by its present layout's mapping; where that could not be applied, as the file last landed.
    """
    rows = ledger.rows(
        "select landings.*, contents.file_id, contents.file_name, contents.layout, contents.observed_at"
        " from landings inner join contents using (content_hash) order by landings.rowid"
    )
    files = {}
    for row in rows:
        files.setdefault((row["observed_at"], row["content_hash"]), []).append(row)
    found = []
    for _, landings in sorted(files.items()):
        layout = layouts.get(landings[0]["layout"])
        if layout:
            chosen = _newest_whole(landings, settings, fingerprint(layout, settings))
            found += sorted(chosen, key=lambda landing: landing["entity"])
    return found


def _newest_whole(landings, settings, version=None):
    """Of one file's landings, oldest first: those by a version of its mapping, else the newest whose files are there."""
    versions = [version, *dict.fromkeys(landing["fingerprint"] for landing in reversed(landings))]
    for version in versions:
        chosen = [landing for landing in landings if landing["fingerprint"] == version]
        if chosen and all((settings.vault / landing["path"]).exists() for landing in chosen):
            return chosen
    return []


def fingerprint(layout: Layout, settings) -> str:
    """What a landing depends on beside the file: the mapping, the contracts, and the settings that read values."""
    zone = layout.timezone or settings.business_timezone
    return f"{layout.fingerprint}-{zone}-{settings.reporting_currency}-{settings.phone_country_code}".replace("/", "_")


def land_content(con, profile, name, settings, layouts, scratch, observed_at, folder=None, is_strict=True) -> Outcome:
    """A file's content landed into the vault (or another folder) by the layout that recognises it.

    Raises UnreadableFile, and where is_strict OrderDataStopped when order data cannot be believed.
    """
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
        return (folder or settings.vault) / kind / entity / f"{file_id}-{version}.parquet"

    landings = land_file(con, readable, layout, reading_of(layout, settings), target, scratch)
    outcome = Outcome(name, "landed", "; ".join(notes), landings=landings, **common)
    if (scratch / EDITED).exists():
        # beside the scratch folder of this file, which is gone before the copy is put into its place
        kept = scratch.with_name(f"{file_id}.kept")
        kept_hash = write_kept(scratch / EDITED, readable.copied_from, Path(name).suffix.lower() == ".gz", kept)
        outcome = replace(outcome, kept=kept, kept_hash=kept_hash)
    for landing in landings:
        why = landing.failed or _too_many(landing)
        if why:
            for one in landings:
                if one.path:
                    one.path.unlink(missing_ok=True)
            if landing.entity in ORDER_DATA and is_strict:
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
    rejected = landing.rejected - landing.suppressed
    several = rejected > 1 or landing.landed == 0
    if several and rejected > limit * (landing.lines_read - landing.suppressed):
        rule, column = (
            landing.rejects.filter(pl.col("action") == "rejected", pl.col("rule") != "suppressed")
            .group_by("rule", "column_name")
            .len()
            .sort(pl.col("len"), "rule", descending=[True, False])
            .row(0)[:2]
        )
        return (
            f"{rejected} of {landing.lines_read} rows are rejected, more than max_rejected_share {limit},"
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


def reading_of(layout: Layout, settings) -> Reading:
    """What the cells of a layout's files mean beyond their columns."""
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
        raw_hash=outcome.kept_hash,
    )
    record_landings(outcome, profile.content_hash, layout, settings, ledger)
    if outcome.kept:
        replace_file(outcome.kept, target)
        path.unlink()
        return
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


def record_landings(outcome: Outcome, content_hash: str, layout: Layout, settings, ledger) -> None:
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
    if outcome.kept:
        outcome.kept.unlink()
    for landing in outcome.landings:
        for path in (landing.path, landing.rejects_path):
            if path:
                path.unlink(missing_ok=True)


def observation_times(started_at: datetime, count: int) -> list[datetime]:
    """A distinct time for each file of a run, in the order of their names: later files are later versions."""
    return [started_at + timedelta(milliseconds=position) for position in range(count)]
