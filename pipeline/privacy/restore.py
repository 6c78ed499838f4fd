"""A backup becomes a data folder again: checked whole beside the present one, then put in its place by renaming."""

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path, PurePosixPath

import duckdb

from pipeline.ledger import Ledger
from pipeline.privacy.audit import audit
from pipeline.privacy.backup import CHECKSUMS, FORMAT, LEDGER, MANIFEST, OURS, THE_USERS, BackupError, key_fingerprint
from pipeline.settings import SettingsError
from pipeline.warehouse import Busy, attach, has_table, lock, value

BLOCK = 1 << 20
STAGING, ASIDE = ".restoring", ".before-restore-"
VAULT = Path("vault/vault.duckdb")
LAST_NUMBERS = ("last_customer_number", "last_company_number")


def restore(settings, source: Path, replace: bool, restored_at: str, progress) -> dict:
    """Restore a backup into a data folder that is empty or absent or, with replace, in place of the present one.

    The present folder is moved aside whole; what no backup holds (the inbox and the user's other files) is in the new one
    too. Until the archive is checked to its last byte nothing is touched, and a restore that is killed can be begun again.
    progress(bytes done, bytes in all) is called now and then. Returns {"files", "as_of", "aside", "pending",
    "is_numbering_kept"}: the last is False where the present vault cannot be read, so that ids of since the backup may come again.
    Raises SettingsError for a folder in use without replace, BackupError for an archive or a key that is not right.
    """
    data_dir = settings.data_dir
    in_use = [name for name in (*OURS, *THE_USERS) if (data_dir / name).exists()]
    if in_use and not replace:
        raise SettingsError(
            f"--data-dir {data_dir.name}: it holds data ({', '.join(in_use)}); restore into another folder, or add"
            " --replace, which moves this one aside"
        )
    staging = data_dir.with_name(data_dir.name + STAGING)
    with ExitStack() as stack:
        stack.enter_context(_only_restore(data_dir.parent))
        if (data_dir / "warehouse").is_dir():
            stack.enter_context(lock(data_dir / "warehouse" / "lock", {"restore": source.name, "process": os.getpid()}))
        shutil.rmtree(staging, ignore_errors=True)
        try:
            manifest = _unpack(settings, Path(source), staging, progress)
            pending = _carry_over(settings, staging, Path(source), len(manifest["files"]))
            is_numbering_kept = _carry_numbers(settings.vault / VAULT.name, staging / VAULT)
            os.sync()
            aside = _swap(data_dir, staging, in_use, restored_at)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return {
        "files": len(manifest["files"]),
        "as_of": manifest["as_of"],
        "aside": aside,
        "pending": pending,
        "is_numbering_kept": is_numbering_kept,
    }


def left_beside(settings) -> list[str]:
    """The folders beside the data folder that a restore left there, with the data of all whom they were of; their names."""
    data_dir = settings.data_dir.resolve()
    begins = (data_dir.name + STAGING, data_dir.name + ASIDE)
    return sorted(path.name for path in data_dir.parent.iterdir() if path.name.startswith(begins) and path.is_dir())


@contextmanager
def _only_restore(folder):
    """Two restores side by side would share their staging folder."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Busy(f"another restore works in {folder.name}; wait for it") from error
    finally:
        os.close(descriptor)


def _unpack(settings, source, staging, progress):
    """Every file of the archive in the staging folder, checked against its checksum. Returns the manifest."""
    damaged = f"{source.name}: it is damaged or no backup"
    try:
        with source.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            first = archive.next()
            if first is None or first.name != MANIFEST:
                raise BackupError(f"{damaged}: it does not begin with {MANIFEST}; take another one")
            text = archive.extractfile(first).read()
            manifest = json.loads(text)
            _check_manifest(settings, manifest, source, staging.parent)
            checksums, stated = {MANIFEST: hashlib.sha256(text).hexdigest()}, None
            staging.mkdir(mode=0o700)
            done, total = 0, sum(manifest["files"].values())
            while member := archive.next():
                if member.name == CHECKSUMS:
                    stated = json.loads(archive.extractfile(member).read())
                    continue
                _check_member(member, manifest, staging, damaged)
                checksums[member.name] = _extract(archive, member, staging)
                done += member.size
                progress(done, total)
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError, FileExistsError) as error:
        raise BackupError(f"{damaged} ({type(error).__name__}); nothing was touched, take another one") from error
    if not isinstance(stated, dict):
        raise BackupError(f"{damaged}: its end is missing; nothing was touched, take another one")
    wrong = sorted(
        name
        for name in {MANIFEST, *manifest["files"], *stated}
        if name not in checksums or stated.get(name) != checksums[name]
    )
    if wrong:
        raise BackupError(
            f"{damaged}: {len(wrong)} of its files are not as they were written, such as {wrong[0]};"
            " nothing was touched, take another one"
        )
    for name, mode in manifest["folders"].items():
        (staging / name).chmod(mode)
    return manifest


def _check_manifest(settings, manifest, source, folder):
    if manifest["format"] > FORMAT:
        raise BackupError(f"{source.name}: written by a newer version (format {manifest['format']}); update first")
    key, ours = manifest["key_fingerprint"], key_fingerprint(settings)
    if key and ours != key:
        name = settings.pseudonym_key_file.name
        raise BackupError(
            f"{source.name}: made with the key {key}, but {name} beside the data folder is"
            f" {f'another one ({ours})' if ours else 'not there'}; put the key of then there, without it ids would change"
        )
    needed, free = sum(manifest["files"].values()), shutil.disk_usage(folder).free
    if needed > free:
        raise BackupError(f"{source.name}: it needs {needed:,} bytes beside the data folder, {free:,} are free")


def _check_member(member, manifest, staging, damaged):
    """Only what the manifest lists, only files, only inside: whatever somebody put into the archive."""
    parts = PurePosixPath(member.name).parts
    inside = parts and parts[0] in (*OURS, *THE_USERS) and ".." not in parts
    if not inside or not member.isreg() or manifest["files"].get(member.name) != member.size:
        raise BackupError(f"{damaged}: {member.name!r} is nothing that a backup writes; nothing was touched")
    tarfile.data_filter(member, str(staging))


def _extract(archive, member, staging):
    target = staging / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    found = hashlib.sha256()
    source = archive.extractfile(member)
    with target.open("xb") as file:
        while block := source.read(BLOCK):
            found.update(block)
            file.write(block)
    target.chmod(member.mode & 0o777)
    os.utime(target, (member.mtime, member.mtime))
    return found.hexdigest()


def _carry_over(settings, staging, source, files):
    """What the present folder knows and the backup cannot: who was forgotten and what was done since; and other files.

    An erasure that the backup does not have as done becomes pending: the next night carries it out before it builds.
    Returns how many.
    """
    restored = Ledger(staging / LEDGER)
    pending = _carry_ledger(settings.ledger, staging / LEDGER) if settings.ledger.exists() else 0
    audit(restored, "restore", source.name, files)
    # certificates that the backup does not have; of the others its own are the same
    if (settings.vault / "certificates").is_dir():
        shutil.copytree(settings.vault / "certificates", staging / "vault" / "certificates", dirs_exist_ok=True)
    for path in settings.data_dir.iterdir() if settings.data_dir.is_dir() else ():
        if path.name not in (*OURS, *THE_USERS):
            target = staging / path.name
            shutil.copytree(path, target, symlinks=True) if path.is_dir() else shutil.copy2(path, target)
            target.chmod(path.stat().st_mode & 0o777)
    return pending


def _carry_ledger(present, restored):
    pending = 0
    with closing(sqlite3.connect(restored)) as db, db:
        db.execute("attach ? as present", (str(present),))
        for table in ("suppressions", "erasures", "removals", "audit"):
            made = db.execute(
                "select sql from present.sqlite_master where type = 'table' and name = ?", (table,)
            ).fetchall()
            if not made:
                continue
            if not db.execute("select 1 from main.sqlite_master where name = ?", (table,)).fetchall():
                db.execute(made[0][0])
            columns = [column[1] for column in db.execute(f"pragma present.table_info({table})").fetchall()]
            before = [column[1] for column in db.execute(f"pragma main.table_info({table})").fetchall()]
            shared = ", ".join(f'"{name}"' for name in columns if name in before)
            new = db.execute(
                f"select {shared} from present.{table} except select {shared} from main.{table}"
            ).fetchall()
            marks = ", ".join("?" for _ in shared.split(", "))
            db.executemany(f"insert or replace into main.{table} ({shared}) values ({marks})", new)
            if table == "erasures":
                place = shared.split(", ").index('"request_id"')
                db.executemany(
                    "update main.erasures set status = 'pending' where request_id = ?", [(row[place],) for row in new]
                )
                pending = len(new)
    return pending


def _carry_numbers(present, restored):
    """Ids given since the backup are never given to somebody else: the last numbers stay. False where they are not known."""
    if not present.exists() or not restored.exists():
        return not present.exists()
    with duckdb.connect(str(restored)) as con:
        try:
            attach(con, present, "present")
            for table in LAST_NUMBERS:
                if has_table(con, "present", "main", table):
                    given = value(con, f"select max(number) from present.{table}") or 0
                    con.execute(f"create table if not exists {table} (number bigint)")
                    if given > (value(con, f"select max(number) from {table}") or 0):
                        con.execute(f"create or replace table {table} as select $1::bigint as number", (given,))
        except duckdb.Error:
            # a broken vault may be why this restore is made
            return False
    return True


def _swap(data_dir, staging, in_use, restored_at):
    """The staging folder becomes the data folder; the present one stands aside whole. Returns where, None if it was empty."""
    aside = None
    staging.chmod(data_dir.stat().st_mode & 0o777 if data_dir.exists() else 0o755)
    if data_dir.exists():
        stamp = restored_at[:19].replace("-", "").replace(":", "").replace(" ", "T")
        aside = data_dir.with_name(f"{data_dir.name}{ASIDE}{stamp}")
        os.rename(data_dir, aside)
    try:
        os.rename(staging, data_dir)
    except OSError:
        if aside:
            os.rename(aside, data_dir)
        raise
    if aside and not in_use:
        # what it held is in the new one
        shutil.rmtree(aside)
        aside = None
    return aside
