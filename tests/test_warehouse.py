"""Publication, snapshots and the lock: what readers see whatever happens."""

from dataclasses import replace
from datetime import date, timedelta

import duckdb
import pytest

from pipeline import warehouse
from pipeline.settings import read_settings

NIGHT = {"as_of": "2026-05-02", "run_id": "r"}


@pytest.fixture
def settings(tmp_path):
    return read_settings(tmp_path / "data", {})


def make_night(path, as_of):
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("create schema ops")
        con.execute(f"create table ops.night as select date '{as_of}' as as_of")
    return path


def plan_of(settings, tmp_path):
    """A scratch night of 2 May over a published 1 May: (journal, before, commit, after)."""
    make_night(settings.warehouse, date(2026, 5, 1))
    (settings.vault).mkdir(parents=True)
    (settings.vault / "vault.duckdb").write_text("old")
    old = settings.data_dir / "exports" / "2026-05-02"
    old.mkdir(parents=True)
    (old / "tags.csv").write_text("old")
    scratch = tmp_path / "scratch"
    commit = (make_night(scratch / "warehouse.duckdb", date(2026, 5, 2)), settings.warehouse)
    (scratch / "vault.duckdb").write_text("new")
    (scratch / "exports").mkdir()
    (scratch / "exports" / "tags.csv").write_text("new")
    journal = settings.warehouse.parent / "publication.json"
    before = [(scratch / "vault.duckdb", settings.vault / "vault.duckdb")]
    return journal, before, commit, [(scratch / "exports", old)]


def test_publication_moves_everything_and_leaves_no_journal(settings, tmp_path):
    journal, before, commit, after = plan_of(settings, tmp_path)
    settings.warehouse.with_name("warehouse.duckdb.wal").write_text("stray")
    warehouse.publish(journal, before, commit, after, NIGHT)
    assert warehouse.newest_as_of(settings) == date(2026, 5, 2)
    assert (settings.vault / "vault.duckdb").read_text() == "new"
    assert (settings.data_dir / "exports" / "2026-05-02" / "tags.csv").read_text() == "new"
    assert not journal.exists()
    assert not settings.warehouse.with_name("warehouse.duckdb.wal").exists()


@pytest.mark.parametrize("moves_done", range(4))
def test_a_crash_at_any_move_is_completed_or_undone(settings, tmp_path, monkeypatch, moves_done):
    journal, before, commit, after = plan_of(settings, tmp_path)
    move, done = warehouse._move, []

    def crash_after(source, target):
        if len(done) == moves_done:
            raise KeyboardInterrupt
        done.append(target)
        move(source, target)

    monkeypatch.setattr(warehouse, "_move", crash_after)
    if moves_done < 3:
        with pytest.raises(KeyboardInterrupt):
            warehouse.publish(journal, before, commit, after, NIGHT)
    else:
        warehouse.publish(journal, before, commit, after, NIGHT)
    monkeypatch.undo()
    said = warehouse.finish_publication(journal)
    committed = moves_done >= 2
    assert warehouse.newest_as_of(settings) == date(2026, 5, 2 if committed else 1)
    exported = (settings.data_dir / "exports" / "2026-05-02" / "tags.csv").read_text()
    assert exported == ("new" if committed else "old")
    assert said == (None if moves_done == 3 else ("completed" if committed else "undone", NIGHT))
    assert not journal.exists()
    assert warehouse.finish_publication(journal) is None


def test_a_crash_while_a_folder_is_replaced_is_completed(settings, tmp_path, monkeypatch):
    journal, before, commit, after = plan_of(settings, tmp_path)
    rename, renamed = warehouse.os.rename, []

    def crash_on_the_second(source, target):
        renamed.append(target)
        if len(renamed) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(warehouse.os, "rename", crash_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        warehouse.publish(journal, before, commit, after, NIGHT)
    monkeypatch.undo()
    warehouse.finish_publication(journal)
    assert (settings.data_dir / "exports" / "2026-05-02" / "tags.csv").read_text() == "new"


def test_snapshots_kept_are_the_newest_days_and_the_last_of_each_month(settings):
    settings.snapshots.mkdir(parents=True)
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(100)]
    for day in days:
        (settings.snapshots / f"{day}.duckdb").write_text("")
    warehouse.prune_snapshots(replace(settings, daily_snapshots=3, monthly_snapshots=2), date(2026, 1, 7))
    kept = sorted(path.stem for path in settings.snapshots.iterdir())
    assert kept == ["2026-01-07", "2026-03-31", "2026-04-08", "2026-04-09", "2026-04-10"]


def test_state_comes_from_the_newest_night_before_else_from_the_oldest(settings):
    assert warehouse.state_before(settings, date(2026, 5, 1)) is None
    make_night(settings.warehouse, date(2026, 5, 10))
    for day in (3, 5, 10):
        make_night(settings.snapshots / f"2026-05-{day:02}.duckdb", date(2026, 5, day))
    state = {day: warehouse.state_before(settings, date(2026, 5, day)) for day in (1, 3, 4, 9, 10, 11)}
    assert {day: path.stem for day, path in state.items()} == {
        1: "2026-05-03",
        3: "2026-05-03",
        4: "2026-05-03",
        9: "2026-05-05",
        10: "2026-05-05",
        11: "warehouse",
    }


def test_a_query_binds_its_values_and_names_are_quoted():
    with duckdb.connect() as con:
        hostile = 'a"b; drop table x'
        con.execute(f"create table {warehouse.identifier(hostile)} as select 7 as x")
        assert warehouse.value(con, f"select x from {warehouse.identifier(hostile)}") == 7
        assert warehouse.literal("it's; --") == "'it''s; --'"
        assert warehouse.value(con, f"select {warehouse.literal(chr(39) + '; drop')}") == "'; drop"
