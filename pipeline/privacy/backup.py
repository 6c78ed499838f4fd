"""One archive of everything that a data folder knows, of one moment, also while a night runs.

Published files are written anew and renamed, never changed in place: hard links made under the publication lock hold that
moment still, and the archive is written from them at leisure. Not in it: the inbox, whose files no night has taken in yet;
scratch; and the key beside the data folder, of which the manifest holds a fingerprint.
"""

import errno
import hashlib
import io
import json
import os
import platform
import shutil
import sqlite3
import tarfile
from contextlib import closing, suppress
from pathlib import Path

import duckdb

from pipeline.warehouse import Busy, lock, publication_lock, value

FORMAT = 1
MANIFEST, CHECKSUMS = "manifest.json", "checksums.json"
# what a night writes, and what the user does, who may change a file in place: those are copied
OURS = ("warehouse", "vault", "models", "exports", "reports", "certificates")
THE_USERS = ("settings.toml", "sources", "tags", "audiences", "identity")
LEDGER = "warehouse/ledger.sqlite"
LEFT_OUT = {"vault/scratch", "vault/backup", "vault/backup.lock", "warehouse/lock", "warehouse/publication.lock"}
LEFT_OUT |= {"warehouse/publication.json", LEDGER}
NAMED_BY_LEDGER = ("vault/raw", "vault/landed", "vault/rejected")
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)


class BackupError(Exception):
    """No backup can be made, or this one not restored; nothing was touched. The message says why, and the mend."""


def back_up(settings, target: Path, made_at: str, progress) -> dict:
    """Write a backup to target, a file or an existing folder. progress(bytes done, bytes in all) is called now and then.

    Returns {"path", "files", "bytes", "as_of", "missing"}: missing are files that the ledger names and that are not there.
    Raises BackupError where there is nothing to back up, and Busy while another backup of the folder runs.
    """
    if not settings.ledger.exists():
        raise BackupError(f"{settings.data_dir.name}: no night has run here; there is nothing to back up yet")
    target = Path(target).resolve()
    if target.is_dir():
        target = (
            target / f"{settings.data_dir.name}-{made_at[:19].replace(':', '').replace('-', '').replace(' ', 'T')}.tar"
        )
    if target.is_relative_to(settings.data_dir):
        raise BackupError("--to is in the data folder itself; a backup holds personal data, keep it elsewhere")
    frozen = settings.vault / "backup"
    with lock(settings.vault / "backup.lock", {"backup": target.name, "process": os.getpid()}):
        shutil.rmtree(frozen, ignore_errors=True)
        try:
            missing = freeze(settings, frozen)
            manifest = _manifest(settings, frozen, made_at)
            _write_archive(frozen, target, manifest, progress)
        finally:
            shutil.rmtree(frozen, ignore_errors=True)
    return {
        "path": target,
        "files": len(manifest["files"]),
        "bytes": target.stat().st_size,
        "as_of": manifest["as_of"],
        "missing": missing,
    }


def remove_stale_freeze(settings) -> None:
    """What a killed backup left in the vault: links to files that are meant to go otherwise."""
    if (settings.vault / "backup").exists():
        with suppress(Busy), lock(settings.vault / "backup.lock", {"process": os.getpid()}):
            shutil.rmtree(settings.vault / "backup")


def freeze(settings, frozen: Path) -> list[str]:
    """One moment of the data folder as links and copies in a folder of the vault. Returns files named but not there."""
    frozen.mkdir(mode=0o700)
    waiting = {path.name for path in settings.inbox.rglob("*")}
    raw_before = {path.relative_to(settings.vault).as_posix() for path in _files(settings.vault / "raw")}
    with publication_lock(settings.warehouse.parent):
        copy_ledger(settings.ledger, frozen / LEDGER)
        named, originals = _named_by_ledger(frozen / LEDGER, waiting, raw_before)
        for top in (*OURS, *THE_USERS):
            for path in _files(settings.data_dir / top):
                name = path.relative_to(settings.data_dir).as_posix()
                if _belongs(name, named | originals):
                    # gone since it was listed: if the ledger names it, it is reported below
                    with suppress(FileNotFoundError):
                        _hold(path, frozen / name, top in OURS)
    return sorted(name for name in named if not (frozen / name).exists())


def copy_ledger(source: Path, target: Path) -> None:
    """The ledger as of one moment, whoever writes to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(source, timeout=30)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def key_fingerprint(settings) -> str | None:
    """By which a restore knows the key again; None where no key was made yet."""
    path = settings.pseudonym_key_file
    if not path.exists():
        return None
    return hashlib.sha256(b"fingerprint of the key: " + path.read_bytes().strip()).hexdigest()[:16]


def _files(path):
    if path.is_file():
        return [path]
    return sorted(found for found in path.rglob("*") if found.is_file())


def _named_by_ledger(ledger, waiting, raw_before):
    """(the raw, landed and rejected files that a copied ledger names, the originals that may stand beside them), by their
    paths in the data folder.

    The run that is under way may be taking a file in just now: on record, and still in the inbox. It counts as not taken
    in, so its rows leave the copy.
    """
    with closing(sqlite3.connect(ledger)) as db, db:
        latest = db.execute("select max(started_at) from runs").fetchall()[0][0] or ""
        for content_hash, raw_path, observed_at in db.execute(
            "select content_hash, raw_path, observed_at from contents"
        ).fetchall():
            under_way = observed_at.replace("T", " ") >= latest and Path(raw_path).name in waiting
            if under_way and raw_path not in raw_before:
                for table in ("contents", "landings"):
                    db.execute(f"delete from {table} where content_hash = ?", (content_hash,))
        rows = db.execute(
            "select raw_path from contents union select path from landings"
            " union select rejects_path from landings where rejects_path is not null"
        ).fetchall()
        originals = db.execute("select distinct container from contents where container is not null").fetchall()
    return {f"vault/{name}" for (name,) in rows if name}, {f"vault/{name}" for (name,) in originals}


def _belongs(name, named):
    if any(name == left_out or name.startswith(f"{left_out}/") for left_out in LEFT_OUT):
        return False
    if any(part.startswith(".") for part in name.split("/")) or name.endswith((".part", ".tmp", ".wal", "-journal")):
        return False
    return name in named or not name.startswith(tuple(f"{folder}/" for folder in NAMED_BY_LEDGER))


def _hold(path, target, may_link):
    target.parent.mkdir(parents=True, exist_ok=True)
    if may_link:
        try:
            os.link(path, target)
            return
        except OSError as error:
            # the vault lies on a disk of its own, or on one that knows no links
            if error.errno not in NO_LINKS:
                raise
    shutil.copy2(path, target)


def _manifest(settings, frozen, made_at):
    names = [path.relative_to(frozen).as_posix() for path in _files(frozen)]
    folders = sorted({folder.as_posix() for name in names for folder in Path(name).parents} - {"."})
    as_of = None
    if "warehouse/warehouse.duckdb" in names:
        with duckdb.connect(str(frozen / "warehouse" / "warehouse.duckdb"), read_only=True) as con:
            as_of = str(value(con, "select max(as_of) from ops.night"))
    return {
        "format": FORMAT,
        "made_at": made_at,
        "as_of": as_of,
        "key_fingerprint": key_fingerprint(settings),
        "duckdb": duckdb.__version__,
        "python": platform.python_version(),
        "storage_version": settings.storage_version,
        "files": {name: (frozen / name).stat().st_size for name in names},
        "folders": {name: (settings.data_dir / name).stat().st_mode & 0o777 for name in folders},
    }


def _write_archive(frozen, target, manifest, progress):
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    total, done, checksums = sum(manifest["files"].values()), 0, {}
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                checksums[MANIFEST] = _add_json(archive, MANIFEST, manifest)
                for name in manifest["files"]:
                    checksums[name] = _add_file(archive, name, frozen / name)
                    done += manifest["files"][name]
                    progress(done, total)
                _add_json(archive, CHECKSUMS, checksums)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    descriptor = os.open(target.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _add_json(archive, name, content):
    text = json.dumps(content, indent=1, ensure_ascii=False).encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text), 0o600
    archive.addfile(member, io.BytesIO(text))
    return hashlib.sha256(text).hexdigest()


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file):
        self.file, self.hash = file, hashlib.sha256()

    def read(self, size):
        block = self.file.read(size)
        self.hash.update(block)
        return block


def _add_file(archive, name, path):
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = found.st_size, found.st_mode & 0o777, int(found.st_mtime)
        source = _Hashed(file)
        archive.addfile(member, source)
    return source.hash.hexdigest()
