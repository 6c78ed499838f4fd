"""The audit: a row for every opening of the vault and every file that data goes out in, and rows that stay."""

import os
import pwd
import sqlite3

import duckdb
import pytest

import flows
from pipeline.ledger import Ledger
from pipeline.privacy.audit import audit
from pipeline.privacy.forget import ErasureUnfinished
from pipeline.settings import read_settings

WHOM = pwd.getpwuid(os.getuid()).pw_name


def rows(settings, what):
    sql = "select object_name, row_count, purpose, run_id, who from audit where what = ? order by rowid"
    return [tuple(row.values()) for row in Ledger(settings.ledger).rows(sql, (what,))]


def test_a_night_puts_on_record_what_it_opened_and_wrote(shop_night):
    settings = read_settings(shop_night / "shop")
    run_id = Ledger(settings.ledger).rows("select run_id from runs")[0]["run_id"]
    assert rows(settings, "vault opened") == [("vault/vault.duckdb", 0, "identity", run_id, WHOM)]
    exports = {path.relative_to(settings.data_dir).as_posix() for path in (settings.data_dir / "exports").rglob("*.*")}
    audited = {row[0]: row for row in (*rows(settings, "export written"), *rows(settings, "audience written"))}
    assert set(audited) == exports
    for name in exports:
        if name.endswith(".csv"):
            lines = (settings.data_dir / name).read_text(encoding="utf-8").count("\n") - 1
            assert audited[name][1] == lines, name
    roles = [row[:3] for row in rows(settings, "role file written")]
    with duckdb.connect(str(settings.vault / "roles" / "desk.duckdb"), read_only=True) as con:
        people = con.execute("select count(*) from vault.contacts").fetchall()[0][0]
    assert ("vault/roles/desk.duckdb", people, "service") in roles and len(roles) == 2


def test_a_role_that_cannot_be_written_has_no_file_and_the_night_says_so(data_dir):
    settings = read_settings(data_dir)
    folders = [settings.warehouse.parent / "roles", settings.vault / "roles"]
    assert sorted(path.name for folder in folders for path in folder.iterdir()) == ["agency.duckdb", "desk.duckdb"]
    message = Ledger(settings.ledger).rows("select message from runs")[0]["message"]
    assert '[roles.hopeless]: core.tickets has no column "order_count"' in message


def test_the_file_of_a_role_that_left_the_settings_goes(data_dir):
    text = (data_dir / "settings.toml").read_text(encoding="utf-8")
    (data_dir / "settings.toml").write_text(
        text.replace('"contact"', '"none"').replace("agency", "press"), encoding="utf-8"
    )
    settings = read_settings(data_dir)
    # a night of an earlier date leaves the newest night's role files
    flows.nightly_flow(str(data_dir), "2026-10-01")
    assert (settings.vault / "roles" / "desk.duckdb").exists()
    flows.nightly_flow(str(data_dir), "2026-11-01")
    assert not list((settings.vault / "roles").iterdir())
    names = sorted(path.name for path in (settings.warehouse.parent / "roles").iterdir())
    assert names == ["desk.duckdb", "press.duckdb"]
    # what came before tonight's own exports is in the warehouse too
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        published = con.execute("select count(*) from ops.audit where what = 'export written'").fetchall()[0][0]
    assert published == 8  # four files a night
    opened = [row[1] for row in rows(settings, "vault opened")]
    assert opened[0] == 0 and opened[1] == opened[2] > 300


def test_the_audience_command_is_on_record(data_dir):
    assert flows.main(["audience", "--data-dir", str(data_dir), "second_order"]) == 0
    name, count, purpose, run_id, who = rows(read_settings(data_dir), "audience written")[-1]
    assert (name, purpose, run_id, who) == ("exports/2026-11-01/audiences/second_order.csv", "marketing", None, WHOM)
    assert count == (data_dir / name).read_text(encoding="utf-8").count("\n") - 1


@pytest.mark.parametrize("stops", [None, ErasureUnfinished("midway")])
def test_a_forget_that_finds_nobody_or_stops_has_opened_the_vault_too(tmp_path, monkeypatch, stops):
    def stop(*given):
        raise stops

    if stops:
        monkeypatch.setattr(flows, "forget", stop)
    arguments = ["forget", "--data-dir", str(tmp_path / "shop"), "--email", "nobody@example.com"]
    (tmp_path / "shop").mkdir()
    assert flows.main(arguments) == (1 if stops else 2)
    assert rows(read_settings(tmp_path / "shop"), "vault opened") == [
        ("vault/vault.duckdb", None, "forget", None, WHOM)
    ]


@pytest.mark.parametrize("change", ["delete from audit", "update audit set who = 'nobody'"])
def test_rows_of_the_audit_stay(tmp_path, change):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    audit(ledger, "backup", "b.tar", 3)
    with sqlite3.connect(ledger.path) as db, pytest.raises(sqlite3.IntegrityError, match="audit rows are not"):
        db.execute(change)
    assert ledger.rows("select who, row_count from audit") == [{"who": WHOM, "row_count": 3}]


def test_the_user_is_not_what_the_environment_says(monkeypatch):
    from pipeline.privacy.audit import os_user

    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody else")
    assert os_user() == WHOM
