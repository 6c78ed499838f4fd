"""Backup and restore: one moment of a folder that changes, whole or refused, and the old folder left whole."""

import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

import flows
from pipeline.ingest.connection import pseudonym_key
from pipeline.ingest.intake import secure_folders
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ledger import Ledger
from pipeline.night import Night
from pipeline.privacy import backup
from pipeline.privacy.backup import BackupError, back_up
from pipeline.privacy.restore import restore
from pipeline.settings import SettingsError, read_settings
from pipeline.steps import landing
from pipeline.warehouse import lock, publish
from tests.test_flows import contents

NOW = "2026-11-02 01:02:03.456"


def quiet(done, total):
    pass


def all_files(folder):
    """Every file's bytes, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_database(path, sql):
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("create schema ops")
        con.execute(sql)


def publish_number(settings, number):
    """A night of nothing but its number, in all that a night publishes, the raw file and the ledger too."""
    scratch = settings.vault / "scratch" / str(number)
    scratch.mkdir(parents=True)
    ledger, run_id = Ledger(settings.ledger), f"run {number}"
    ledger.insert("runs", run_id=run_id, as_of="2026-05-01", status="running", started_at=f"2026-05-01 {number:08}")
    raw = f"raw/{number}/orders.csv"
    (settings.inbox / "orders.csv").write_text(run_id)
    ledger.insert("contents", content_hash=str(number), raw_path=raw, observed_at=f"2026-05-01T{number:08}")
    (settings.vault / raw).parent.mkdir(parents=True)
    (settings.inbox / "orders.csv").rename(settings.vault / raw)
    for name in ("warehouse", "vault"):
        write_database(
            scratch / f"{name}.duckdb", f"create table ops.night as select date '2026-05-01' as as_of, {number} as n"
        )
    (scratch / "exports").mkdir()
    (scratch / "exports" / "tags.csv").write_text(str(number))
    publish(
        settings.warehouse.parent / "publication.json",
        [(scratch / "vault.duckdb", settings.vault / "vault.duckdb")],
        (scratch / "warehouse.duckdb", settings.warehouse),
        [(scratch / "exports", settings.data_dir / "exports" / "2026-05-01")],
        {"as_of": "2026-05-01", "run_id": run_id},
        lambda night: ledger.publish_night(night["as_of"], night["run_id"]),
    )


def numbers(settings):
    """Which night each published part is of."""
    found = {}
    for name, path in {"warehouse": settings.warehouse, "vault": settings.vault / "vault.duckdb"}.items():
        with duckdb.connect(str(path), read_only=True) as con:
            found[name] = con.execute("select n from ops.night").fetchall()[0][0]
    found["exports"] = int((settings.data_dir / "exports" / "2026-05-01" / "tags.csv").read_text())
    found["ledger"] = int(Ledger(settings.ledger).rows("select run_id from nights")[0]["run_id"].split()[1])
    return found


def test_a_backup_is_of_one_moment_while_nights_are_published(tmp_path):
    settings = read_settings(tmp_path / "data", {})
    secure_folders(settings)
    pseudonym_key(settings)
    publish_number(settings, 0)
    done, published = threading.Event(), [0]

    def nights():
        while not done.is_set():
            published.append(len(published))
            publish_number(settings, published[-1])

    night = threading.Thread(target=nights)
    night.start()
    try:
        made = [back_up(settings, tmp_path / f"{number}.tar", NOW, quiet) for number in range(12)]
    finally:
        done.set()
        night.join()
    seen = []
    shutil.copy2(settings.pseudonym_key_file, tmp_path / "again.key")
    again = read_settings(tmp_path / "again", {})
    for one in made:
        assert one["missing"] == []
        restore(again, one["path"], True, NOW, quiet)
        found = numbers(again)
        assert len(set(found.values())) == 1, found
        seen.append(found["ledger"])
        for row in Ledger(again.ledger).rows("select raw_path, content_hash from contents"):
            assert (again.vault / row["raw_path"]).read_text() == f"run {row['content_hash']}"
        shutil.rmtree(again.data_dir)
    # nights did go on between the first backup and the last
    assert seen == sorted(seen) and seen[-1] > seen[0]
    assert not (settings.vault / "backup").exists()


def test_a_file_that_is_just_being_taken_in_counts_as_not_taken_in(tmp_path):
    settings = read_settings(tmp_path / "data", {})
    secure_folders(settings)
    publish_number(settings, 1)
    ledger = Ledger(settings.ledger)
    ledger.insert("contents", content_hash="2", raw_path="raw/2/new.csv", observed_at="2026-05-01T00000001")
    ledger.insert("landings", content_hash="2", fingerprint="f", entity="orders", path="landed/orders/2.parquet")
    (settings.inbox / "new.csv").write_text("new")
    # its raw file went by a retention rule; what landed of it stays
    ledger.insert("contents", content_hash="0", raw_path="raw/0/new.csv", observed_at="2026-04-01T00000001")
    made = back_up(settings, tmp_path / "b.tar", NOW, quiet)
    restored = read_settings(tmp_path / "again", {})
    shutil.copy2(settings.data_dir / "exports" / "2026-05-01" / "tags.csv", tmp_path / "unrelated")
    restore(restored, made["path"], False, NOW, quiet)
    rows = Ledger(restored.ledger).rows("select content_hash from contents order by 1")
    assert [row["content_hash"] for row in rows] == ["0", "1"]
    assert Ledger(restored.ledger).rows("select * from landings") == []
    assert made["missing"] == ["vault/raw/0/new.csv"]
    assert len(ledger.rows("select * from contents")) == 3


def test_restored_elsewhere_the_tables_are_the_same_and_the_next_night_works(data_dir, tmp_path):
    archive = tmp_path / "backup.tar"
    assert flows.main(["backup", "--data-dir", str(data_dir), "--to", str(archive)]) == 0
    assert archive.stat().st_mode & 0o777 == 0o600
    again = tmp_path / "elsewhere"
    shutil.copy2(tmp_path / "shop.key", tmp_path / "elsewhere.key")
    assert flows.main(["restore", "--data-dir", str(again), "--from", str(archive)]) == 0
    before, after = read_settings(data_dir), read_settings(again)
    kept = {name for name in all_files(data_dir) if not name.startswith(("inbox/", "warehouse/l", "warehouse/p"))}
    assert {name: all_files(data_dir)[name] for name in kept if not name.startswith("vault/backup")} == {
        name: content for name, content in all_files(again).items() if not name.startswith("warehouse/ledger")
    }
    assert contents(after.warehouse) == contents(before.warehouse)
    assert after.vault.stat().st_mode & 0o777 == 0o700
    for settings in (before, after):
        flows.nightly_flow(str(settings.data_dir), "2026-11-02")
    assert contents(after.warehouse) == contents(before.warehouse)
    whats = [row["what"] for row in Ledger(after.ledger).rows("select what from audit order by rowid")]
    assert "restore" in whats and whats[-1] == "audience written"


def make_backup(data_dir):
    return back_up(read_settings(data_dir), data_dir.parent / "backup.tar", NOW, quiet)["path"]


def test_a_folder_in_use_is_replaced_only_when_told(data_dir, capsys):
    archive = make_backup(data_dir)
    (data_dir / "exports" / "later.txt").write_text("made since")
    (data_dir / "inbox" / "waiting.csv").write_text("not yet taken in")
    before = all_files(data_dir)
    arguments = ["restore", "--data-dir", str(data_dir), "--from", str(archive)]
    assert flows.main(arguments) == 2
    assert "--replace" in capsys.readouterr().err
    assert all_files(data_dir) == before
    assert flows.main([*arguments, "--replace"]) == 0
    assert not (data_dir / "exports" / "later.txt").exists()
    assert (data_dir / "inbox" / "waiting.csv").read_text() == "not yet taken in"
    (aside,) = data_dir.parent.glob("shop.before-restore-*")
    assert {name: content for name, content in all_files(aside).items() if name != "warehouse/lock"} == {
        name: content for name, content in before.items() if name != "warehouse/lock"
    }


@pytest.mark.parametrize(("language", "begins"), [("en", "a restore left it"), ("zh", "恢复操作留在")])
def test_a_night_warns_of_what_a_restore_left_beside_once(tmp_path, language, begins):
    data_dir = tmp_path / "data"
    (data_dir / "inbox").mkdir(parents=True)
    (data_dir / "settings.toml").write_text(f'language = "{language}"\n')
    settings = read_settings(data_dir, {})
    secure_folders(settings)
    pseudonym_key(settings)
    warnings = []
    for names in ((), ("data.before-restore-20261102T010203", "data.restoring")):
        for name in names:
            (tmp_path / name).mkdir()
        night = Night(settings, date(2026, 11, 1), f"run{len(names)}", datetime(2026, 11, 1), False)
        with pytest.raises(OrderDataStopped), closing(night.con):
            landing.ingest(night, quiet)
        warnings.append([text for text in night.warnings if begins in text])
    assert warnings[0] == [] and len(warnings[1]) == 1
    assert "data.before-restore-20261102T010203" in warnings[1][0] and "data.restoring" in warnings[1][0]


def test_a_fresh_clone_counts_as_empty(data_dir, tmp_path):
    archive = make_backup(data_dir)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "README.md").write_text("what lies here")
    shutil.copy2(tmp_path / "shop.key", tmp_path / "fresh.key")
    assert restore(read_settings(fresh, {}), archive, False, NOW, quiet)["aside"] is None
    assert (fresh / "README.md").read_text() == "what lies here"
    assert (fresh / "warehouse" / "warehouse.duckdb").exists()
    assert not list(tmp_path.glob("fresh.*-*")) and not (tmp_path / "fresh.restoring").exists()


def rewrite(archive, change):
    """The archive with each (name, bytes) of it as change(name, bytes) gives it; None leaves it out."""
    with tarfile.open(archive) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old]
    with tarfile.open(archive, "w") as new:
        for name, content in members:
            content = change(name, content)
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))


def with_escape(archive, name):
    """An archive whose manifest and checksums name one file more, with its true checksum."""
    content = b"mine"

    def change(member, old):
        if member not in (backup.MANIFEST, backup.CHECKSUMS):
            return old
        listed = json.loads(old)
        if member == backup.MANIFEST:
            listed["files"][name] = len(content)
            change.manifest = json.dumps(listed).encode()
            return change.manifest
        listed |= {
            name: hashlib.sha256(content).hexdigest(),
            backup.MANIFEST: hashlib.sha256(change.manifest).hexdigest(),
        }
        return json.dumps(listed).encode()

    rewrite(archive, change)
    with tarfile.open(archive, "a") as more:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        more.addfile(member, io.BytesIO(content))


def flip(archive, place):
    with archive.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


def cut(archive, share):
    with archive.open("r+b") as file:
        file.truncate(int(archive.stat().st_size * share))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda archive: flip(archive, archive.stat().st_size // 2), "not as they were written"),
        (lambda archive: flip(archive, 600), "damaged or no backup"),
        (lambda archive: cut(archive, 0.6), "damaged or no backup"),
        (lambda archive: cut(archive, 0), "damaged or no backup"),
        (lambda archive: archive.write_bytes(b"hello" * 1000), "damaged or no backup"),
        (
            lambda archive: rewrite(archive, lambda name, old: None if name == backup.LEDGER else old),
            "not as they were",
        ),
        (
            lambda archive: rewrite(archive, lambda name, old: None if name == backup.CHECKSUMS else old),
            "its end is missing",
        ),
        (lambda archive: with_escape(archive, "../evil.txt"), "is nothing that a backup writes"),
        (lambda archive: with_escape(archive, "vault/../../evil.txt"), "is nothing that a backup writes"),
        (lambda archive: with_escape(archive, "/tmp/evil.txt"), "is nothing that a backup writes"),
        (lambda archive: with_escape(archive, "evil.txt"), "is nothing that a backup writes"),
    ],
)
def test_a_damaged_or_forged_archive_is_refused_and_nothing_touched(data_dir, damage, message):
    archive = make_backup(data_dir)
    damage(archive)
    beside, before = sorted(data_dir.parent.iterdir()), all_files(data_dir)
    with pytest.raises(BackupError) as error:
        restore(read_settings(data_dir), archive, True, NOW, quiet)
    assert message in str(error.value)
    assert all_files(data_dir) == before
    assert sorted(data_dir.parent.iterdir()) == beside


def test_the_honest_twin_of_a_forged_archive_is_taken(data_dir):
    archive = make_backup(data_dir)
    with_escape(archive, "sources/mine.yaml")
    restore(read_settings(data_dir), archive, True, NOW, quiet)
    assert (data_dir / "sources" / "mine.yaml").read_text() == "mine"


def test_a_link_in_an_archive_is_refused(data_dir):
    archive = make_backup(data_dir)
    with tarfile.open(archive, "a") as more:
        member = tarfile.TarInfo("vault/link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        more.addfile(member)
    with pytest.raises(BackupError, match="nothing that a backup writes"):
        restore(read_settings(data_dir), archive, True, NOW, quiet)


def test_another_key_or_none_is_refused(data_dir, tmp_path, capsys):
    archive = make_backup(data_dir)
    arguments = ["restore", "--data-dir", str(tmp_path / "other"), "--from", str(archive)]
    assert flows.main(arguments) == 1
    assert "other.key beside the data folder is not there" in capsys.readouterr().err
    (tmp_path / "other.key").write_text("0" * 64)
    assert flows.main(arguments) == 1
    assert "other.key beside the data folder is another one" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert (tmp_path / "shop.key").read_bytes().strip() not in archive.read_bytes()


def test_the_inbox_scratch_and_unfinished_files_are_not_in_it(data_dir):
    settings = read_settings(data_dir)
    for name in ("inbox/new.csv", "vault/scratch/x/w.duckdb", "vault/raw/orphan/a.csv", "exports/a.csv.part"):
        (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (data_dir / name).write_text("x")
    (data_dir / "identity").mkdir()
    (data_dir / "identity" / "decisions.csv").write_text("x")
    with tarfile.open(make_backup(data_dir)) as archive:
        names = archive.getnames()
    assert not [name for name in names if name.startswith(("inbox", "vault/scratch", "vault/raw/orphan"))]
    assert not [name for name in names if name.endswith((".part", "lock", "publication.json"))]
    assert {"settings.toml", "identity/decisions.csv", "vault/vault.duckdb", "vault/roles/desk.duckdb"} <= set(names)
    assert "warehouse/snapshots/2026-11-01.duckdb" in names
    for row in Ledger(settings.ledger).rows("select raw_path from contents"):
        assert f"vault/{row['raw_path']}" in names


def test_people_forgotten_since_the_backup_are_forgotten_again(data_dir):
    settings = read_settings(data_dir)
    with closing(sqlite3.connect(settings.ledger)) as db, db:
        db.execute("insert into suppressions values ('email', 's1', 'h1', 'r1', '2026-11-01')")
        db.execute("insert into erasures values ('r1', '2026-11-01', 'done', 1, 0)")
    archive = make_backup(data_dir)
    with closing(sqlite3.connect(settings.ledger)) as db, db:
        db.execute("insert into suppressions values ('email', 's2', 'h2', 'r2', '2026-11-03')")
        db.execute("insert into erasures values ('r2', '2026-11-03', 'done', 1, 0)")
    audited = Ledger(settings.ledger).rows("select * from audit")
    assert restore(settings, archive, True, NOW, quiet)["pending"] == 1
    ledger = Ledger(settings.ledger)
    rows = ledger.rows("select hash from suppressions order by hash")
    assert [row["hash"] for row in rows] == ["h1", "h2"]
    rows = ledger.rows("select request_id, status from erasures order by request_id")
    assert [tuple(row.values()) for row in rows] == [("r1", "done"), ("r2", "pending")]
    kept = ledger.rows("select * from audit")
    assert kept[:-1] == audited and kept[-1]["what"] == "restore"


def set_last_numbers(settings, **given):
    with duckdb.connect(str(settings.vault / "vault.duckdb")) as con:
        for table, number in given.items():
            con.execute(f"create or replace table {table} as select {number}::bigint as number")


def last_numbers(settings):
    with duckdb.connect(str(settings.vault / "vault.duckdb"), read_only=True) as con:
        tables = ("last_customer_number", "last_company_number")
        return [con.execute(f"select number from {table}").fetchall() for table in tables]


def test_ids_given_since_the_backup_are_not_given_again(tmp_path):
    settings = read_settings(tmp_path / "data", {})
    secure_folders(settings)
    publish_number(settings, 1)
    set_last_numbers(settings, last_customer_number=7, last_company_number=3)
    made = back_up(settings, tmp_path / "b.tar", NOW, quiet)
    (settings.vault / "vault.duckdb").chmod(0o600)
    made_private = back_up(settings, tmp_path / "private.tar", NOW, quiet)
    # one went on since; the other is of a later state in the backup
    set_last_numbers(settings, last_customer_number=9, last_company_number=2)
    assert restore(settings, made["path"], True, NOW, quiet)["is_numbering_kept"]
    assert last_numbers(settings) == [[(9,)], [(3,)]]
    assert restore(settings, made_private["path"], True, NOW.replace("01:02", "01:03"), quiet)["is_numbering_kept"]
    assert last_numbers(settings) == [[(9,)], [(3,)]]
    assert (settings.vault / "vault.duckdb").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in settings.vault.glob("vault*")) == ["vault.duckdb"]


def test_a_restore_over_a_broken_vault_says_that_ids_may_come_again(tmp_path):
    settings = read_settings(tmp_path / "data", {})
    secure_folders(settings)
    publish_number(settings, 1)
    set_last_numbers(settings, last_customer_number=7, last_company_number=3)
    made = back_up(settings, tmp_path / "b.tar", NOW, quiet)
    (settings.vault / "vault.duckdb").write_text("broken")
    assert not restore(settings, made["path"], True, NOW, quiet)["is_numbering_kept"]
    assert last_numbers(settings) == [[(7,)], [(3,)]]


@pytest.mark.parametrize("killed_at", ["extracting", "before the swap", "within the swap"])
def test_a_restore_that_is_killed_leaves_the_old_folder_whole(data_dir, killed_at):
    archive = make_backup(data_dir)
    before = all_files(data_dir)
    script = """
import os, signal, sys
import flows
from pipeline.privacy import restore

rename, sync, extract, done = os.rename, os.sync, restore._extract, []

def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)

def rename_then_die(source, target):
    rename(source, target)
    die()

def extract_then_die(*given):
    done.append(given)
    if len(done) == 20:
        die()
    return extract(*given)

if sys.argv[1] == "extracting":
    restore._extract = extract_then_die
elif sys.argv[1] == "before the swap":
    os.sync = die
else:
    os.rename = rename_then_die
flows.main(["restore", "--data-dir", sys.argv[2], "--from", sys.argv[3], "--replace"])
"""
    root = Path(flows.__file__).parent
    command = [sys.executable, "-c", script, killed_at, str(data_dir), str(archive)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    old = data_dir
    if killed_at == "within the swap":
        (old,) = data_dir.parent.glob("shop.before-restore-*")
        assert not data_dir.exists()
    left = all_files(old)
    left.pop("warehouse/lock"), before.pop("warehouse/lock")
    assert left == before
    # and it can be begun again
    restore(read_settings(data_dir, {}), archive, True, NOW, quiet)
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        assert con.execute("select as_of from ops.night").fetchall() == [(date(2026, 11, 1),)]
    assert not (data_dir.parent / "shop.restoring").exists()


def test_a_killed_backup_leaves_nothing_that_the_next_night_keeps(data_dir):
    settings = read_settings(data_dir)
    (settings.vault / "backup" / "vault").mkdir(parents=True)
    (settings.vault / "backup" / "vault" / "vault.duckdb").write_text("somebody's name")
    flows.nightly_flow(str(data_dir), "2026-11-01")
    assert not (settings.vault / "backup").exists()


def test_a_backup_goes_on_while_a_night_holds_the_folder_and_a_restore_does_not(data_dir, capsys):
    with lock(data_dir / "warehouse" / "lock", {"run": "tonight"}):
        archive = make_backup(data_dir)
        assert flows.main(["restore", "--data-dir", str(data_dir), "--from", str(archive), "--replace"]) == 1
    assert "tonight" in capsys.readouterr().err


def test_wrong_usage_is_said_with_its_mend(tmp_path, data_dir, capsys):
    assert flows.main(["backup", "--data-dir", str(tmp_path / "none"), "--to", str(tmp_path)]) == 1
    assert "nothing to back up yet" in capsys.readouterr().err
    assert flows.main(["backup", "--data-dir", str(data_dir), "--to", str(data_dir / "b.tar")]) == 1
    assert "in the data folder itself" in capsys.readouterr().err
    assert flows.main(["backup", "--data-dir", str(data_dir), "--to", str(tmp_path / "no" / "such" / "b.tar")]) == 2
    assert f"there is no folder {tmp_path / 'no' / 'such'}; make it" in capsys.readouterr().err
    assert flows.main(["restore", "--data-dir", str(data_dir), "--from", str(tmp_path / "none.tar")]) == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="add --replace"):
        restore(read_settings(data_dir), make_backup(data_dir), False, NOW, quiet)


def test_a_restore_keeps_certificates_and_an_erasure_done_again_has_its_own(data_dir):
    settings = read_settings(data_dir)
    archive = make_backup(data_dir)
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        who = con.execute("select min(customer_id) from marts.customer_facts").fetchall()[0][0]
    assert flows.main(["forget", "--customer-id", who, "--data-dir", str(data_dir)]) == 0
    (first,) = (settings.vault / "certificates").glob("*.json")
    text = first.read_text(encoding="utf-8")
    assert flows.main(["restore", "--from", str(archive), "--replace", "--data-dir", str(data_dir)]) == 0
    assert first.read_text(encoding="utf-8") == text and json.loads(text)["removed"]
    (again,) = (settings.vault / "certificates").glob("*-again-*.json")
    assert {row["what"] for row in json.loads(again.read_text(encoding="utf-8"))["removed"]} >= {"rows", "rows (again)"}
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        assert con.execute("select count(*) from marts.customer_facts where customer_id = ?", (who,)).fetchall() == [
            (0,)
        ]
