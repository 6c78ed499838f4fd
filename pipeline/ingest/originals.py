"""Files that hold tables: the original in the vault beside its parts, and what is remembered of a file left in the inbox."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path


def move_file(source: Path, target: Path) -> None:
    """A file into its place, complete there before it goes here, also where they lie on different disks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(target.name + ".part")
        shutil.copy2(source, part)
        os.replace(part, target)
        source.unlink()


def original_path(path: Path) -> str:
    """Where in the vault the original of an inbox file is kept, by its content."""
    with path.open("rb") as file:
        return f"raw/{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}/{path.name}"


def keep_original(path: Path, container: str, is_all_its_own: bool, settings, ledger) -> None:
    """The inbox file moves beside its parts; but goes where a part of it is kept without some of its lines.

    is_all_its_own: no part stood in another file before. Of two originals that hold a part, the ledger names one only.
    """
    edited = "select 1 from contents where container = ? and raw_hash is not null limit 1"
    if is_all_its_own and not ledger.rows(edited, (container,)):
        move_file(path, settings.vault / container)
    else:
        path.unlink()


def drop_original(content: dict, settings, ledger) -> int:
    """Delete the original of a part that is about to lose lines: it cannot be edited. Its parts stay. How many went, 0 or 1.

    Called before the part is changed: what a crash leaves half done is found again by the part.
    """
    container = content["container"]
    if not container or not (settings.vault / container).exists():
        # it waits in the inbox for another of its parts, or is gone
        return 0
    (settings.vault / container).unlink()
    ledger.change("update contents set container = null where container = ?", (container,))
    content["container"] = None
    return 1


def state_of(path: Path) -> tuple[int, int] | None:
    """Size and modified time of a file, by which a change while it is read shows; None when it is gone."""
    if not path.exists():
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def remembered(ledger, name: str, state, version: str) -> list[dict] | None:
    """What became of a file of the inbox that is as it was, under the same layouts and settings; None where anything changed."""
    rows = ledger.rows(
        "select outcomes from waiting where file_name = ? and size_bytes = ? and modified_ns = ? and version = ?",
        (name, *state, version),
    )
    return json.loads(rows[0]["outcomes"]) if rows else None


def remember(ledger, name: str, state, version: str, outcomes: list[dict]) -> None:
    """Keep what became of a file that stays in the inbox, so that it need not be read again before something changes."""
    ledger.insert(
        "waiting",
        file_name=name,
        size_bytes=state[0],
        modified_ns=state[1],
        version=version,
        outcomes=json.dumps(outcomes, ensure_ascii=False),
    )


def forget_waiting(ledger, names: list[str]) -> None:
    """Only files that are still in the inbox are remembered. names: those that are."""
    for row in ledger.rows("select file_name from waiting"):
        if row["file_name"] not in names:
            ledger.change("delete from waiting where file_name = ?", (row["file_name"],))
