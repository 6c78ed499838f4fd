"""The inbox -> landed files: which files are new, what each is, and what became of it."""

import hashlib
import stat
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.ingest.archives import is_gzip
from pipeline.ingest.containers import open_file
from pipeline.ingest.contents import drift_told, fingerprint, land_content, with_drift
from pipeline.ingest.faults import told_as_fault
from pipeline.ingest.landings import record_content, take_repeated
from pipeline.ingest.originals import keep_original, move_file, original_path, remember, remembered, state_of
from pipeline.ingest.outcomes import OrderDataStopped, Outcome, discard
from pipeline.ingest.rates import rates_version
from pipeline.ingest.read import UnreadableFile, profile_file
from pipeline.warehouse import replace_file


def secure_folders(settings) -> None:
    """Inbox and vault, readable by their owner alone."""
    for folder in (settings.inbox, settings.vault):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(stat.S_IRWXU)


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


def passed_over(settings) -> list[str]:
    """What lies in the inbox and is never read: links, and files that are none, such as pipes."""
    return sorted(
        str(path.relative_to(settings.inbox)).encode("utf-8", "replace").decode()
        for path in settings.inbox.rglob("*")
        if path.is_symlink() or not (path.is_file() or path.is_dir())
    )


def take_in(
    con, path: Path, settings, layouts, ledger, scratch: Path, observed_at: datetime, run_id: str
) -> tuple[Outcome, ...]:
    """One file of the inbox: each table in it recognised and landed, and the file moved to the vault's raw folder.

    A plain file has one outcome; one that holds tables an outcome a table, and stays in the inbox until every one of them
    has landed. A file left there is not read again before it, a layout or a setting changes. Raises OrderDataStopped when
    order data has a required column missing or too many rejected rows.
    """
    name = str(path.relative_to(settings.inbox))
    printable = name.encode("utf-8", "replace").decode()
    if printable != name:
        return (Outcome(printable, "unreadable", "its name is not UTF-8; rename the file"),)
    before, version = state_of(path), _version(layouts, settings, ledger)
    if before and (found := remembered(ledger, name, before, version)):
        return tuple(Outcome(**outcome) for outcome in found)
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            with told_as_fault():
                opened = open_file(path, Path(folder), settings)
            take = _take_parts if opened.is_container else _take_file
            outcomes = take(con, opened, path, before, settings, layouts, ledger, Path(folder), observed_at, run_id)
    except (FileNotFoundError, PermissionError) as error:
        if str(error.filename) != str(path):
            raise
        return (Outcome(name, "unreadable", f"{error.strerror}; mend its rights, or put it there again"),)
    except (UnreadableFile, OrderDataStopped) as error:
        if state_of(path) != before:
            return _changing(name, before)
        if isinstance(error, OrderDataStopped):
            raise
        outcomes = (Outcome(name, error.status, str(error), size_bytes=before[0]),)
    # a mended program must read again what an earlier one failed over
    if path.exists() and not any(outcome.status in ("changing", "fault") for outcome in outcomes):
        waiting = [
            {key: getattr(outcome, key) for key in ("file_name", "status", "message", "size_bytes")}
            for outcome in outcomes
            if outcome.status not in ("landed", "repeated")
        ]
        remember(ledger, name, before, version, waiting)
    return outcomes


def _version(layouts, settings, ledger):
    """What decides beside a file itself what becomes of it."""
    parts = sorted(f"{name} {fingerprint(layout, settings)}" for name, layout in layouts.items())
    suppressed = ledger.rows("select count(*) as count from suppressions")[0]["count"]
    also = (settings.memory_limit, str(suppressed), rates_version(settings))
    return hashlib.sha256("\n".join([*parts, *also]).encode()).hexdigest()[:16]


def _changing(name, before):
    size = before[0] if before else 0
    return (Outcome(name, "changing", "it changed while it was read; left for the next night", size_bytes=size),)


def _take_file(con, opened, path, before, settings, layouts, ledger, folder, observed_at, run_id):
    """A file that is one table: kept itself."""
    name = str(path.relative_to(settings.inbox))
    profile = profile_file(opened.parts[0].path)
    known = _known(profile, ledger)
    is_repeated = known and (settings.vault / known["raw_path"]).exists()
    if is_repeated:
        if state_of(path) != before:
            return _changing(name, before)
        outcome = take_repeated(name, known, ledger, run_id)
        path.unlink()
        return (outcome,)
    observed_at = _first_seen(known, observed_at)
    with drift_told(layouts, ledger):
        outcome = land_content(con, profile, name, settings, layouts, folder, observed_at, is_packed=is_gzip(path))
    outcome = with_drift(outcome, layouts, ledger)
    if state_of(path) != before:
        discard(outcome)
        return _changing(name, before)
    if outcome.status == "landed":
        raw_path = Path("raw") / outcome.file_id / _raw_name(path)
        # on record first: what is in the vault and not on record would be missing from the inbox too
        record_content(outcome, name, profile, raw_path, settings, layouts[outcome.layout], ledger)
        if outcome.kept:
            _replace_raw(outcome.kept, settings.vault / raw_path)
            path.unlink()
        else:
            move_file(path, settings.vault / raw_path)
    elif outcome.kept:
        outcome.kept.unlink()
    return (outcome,)


def _take_parts(con, opened, path, before, settings, layouts, ledger, folder, observed_at, run_id):
    """A file that holds tables: each kept by itself, and the file beside them once all have landed."""
    name, container = str(path.relative_to(settings.inbox)), original_path(path)
    if state_of(path) != before:
        return _changing(name, before)
    outcomes, now, is_all_its_own = [], set(), True
    for position, part in enumerate(opened.parts):
        scratch = folder / f"part-{position}"
        scratch.mkdir()
        known = None
        part_name = f"{name}/{part.label}" if part.label else name
        try:
            if part.failure:
                raise UnreadableFile(part.failure)
            profile = profile_file(part.path)
            known = _known(profile, ledger)
            if known and (settings.vault / known["raw_path"]).exists():
                is_its_own = known["container"] == container and not (settings.vault / container).exists()
                if is_its_own and known["content_hash"] not in now:
                    # it landed on an earlier night, while the file waits for another of its tables
                    continue
                is_all_its_own &= is_its_own
                outcomes.append(take_repeated(part_name, known, ledger, run_id))
                continue
            seen = _first_seen(known, observed_at + timedelta(microseconds=position))
            with drift_told(layouts, ledger):
                outcome = land_content(
                    con, profile, part_name, settings, layouts, scratch, seen, is_rendition=part.is_rendition
                )
            outcome = with_drift(outcome, layouts, ledger)
        except UnreadableFile as error:
            outcomes.append(Outcome(part_name, error.status, str(error)))
            continue
        if outcome.status == "landed":
            now.add(profile.content_hash)
            raw_path = Path("raw") / outcome.file_id / "part.csv"
            # in its place first: the file that holds it is still in the inbox
            if outcome.kept:
                _replace_raw(outcome.kept, settings.vault / raw_path)
            else:
                move_file(part.path, settings.vault / raw_path)
            layout = layouts[outcome.layout]
            record_content(
                outcome, part_name, profile, raw_path, settings, layout, ledger, container, part.is_rendition
            )
            remarks = [*opened.notes[:5], *filter(None, [outcome.message])] if position == 0 else [outcome.message]
            warnings = (*part.warnings, *outcome.warnings)
            outcome = replace(outcome, message="; ".join(filter(None, remarks)), warnings=warnings)
        elif outcome.kept:
            outcome.kept.unlink()
        outcomes.append(outcome)
    done = ("landed", "repeated", "empty")
    if len(outcomes) < len(opened.parts) or not all(outcome.is_bare for outcome in outcomes):
        outcomes = [_passed_over(outcome) if outcome.is_bare else outcome for outcome in outcomes]
    if any(outcome.status not in done for outcome in outcomes):
        return tuple(
            outcome
            if outcome.status in done
            else replace(outcome, message=f"{outcome.message}; until then {path.name} stays in the inbox")
            for outcome in outcomes
        )
    if state_of(path) == before:
        keep_original(path, container, is_all_its_own, settings, ledger)
    return tuple(outcomes)


def _passed_over(outcome):
    """A sheet of notes, or one that nobody filled: it holds nobody back, and needs no layout."""
    return replace(outcome, status="empty", message="no records stand below its first line")


def _known(profile, ledger):
    found = ledger.rows("select * from contents where content_hash = ?", (profile.content_hash,))
    return found[0] if found else None


def _first_seen(known, observed_at):
    """Content whose raw file is gone was seen first when it was seen first."""
    return datetime.fromisoformat(known["observed_at"]) if known else observed_at


def _raw_name(path):
    """A gzip file is kept under a name that says so."""
    return f"{path.name}.gz" if is_gzip(path) and path.suffix.lower() != ".gz" else path.name


def _replace_raw(kept, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(kept, target)


def observation_times(started_at: datetime, count: int) -> list[datetime]:
    """A distinct time for each file of a run, in the order of their names: later files are later versions."""
    return [started_at + timedelta(milliseconds=position) for position in range(count)]
