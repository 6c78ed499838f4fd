"""Erase persons everywhere and keep them out. First the suppression, then the purge by it; a crash is finished later."""

import csv
import io
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from datetime import datetime

import duckdb
import polars as pl

from pipeline.ingest.clean import clean_vault_files
from pipeline.ingest.connection import define_keyed
from pipeline.ingest.databases import all_layouts
from pipeline.ingest.suppressions import find_matches, load_suppressions, shown
from pipeline.privacy.certificate import write_certificate
from pipeline.privacy.databases import clean_database
from pipeline.privacy.outputs import clean_outputs
from pipeline.privacy.persons import find_persons
from pipeline.warehouse import connect, replace_file

# written again by the next night, from what is clean by then
ROLE_FOLDERS = ("warehouse/roles", "vault/roles")


class ErasureUnfinished(Exception):
    """An erasure stopped midway; the message says where, and that it goes on by itself."""


def forget(settings, ledger, request_id, now: datetime, customer_ids=(), emails=(), phones=(), blocked=None):
    """Erase the persons meant; the caller holds the data folder's lock. Returns (certificate or None, options passed over).

    Options that name somebody forgotten already are passed over; where that is all of them, there is no certificate.
    blocked: kind -> regular expressions of identifiers that are nobody's. Raises UnknownPerson before anything is changed.
    """
    with _connection(settings, ledger, request_id) as (con, scratch):
        persons = find_persons(con, settings, ledger, customer_ids, emails, phones, blocked or {})
    if not persons.persons:
        finish_erasures(settings, ledger, now)
        return None, persons.known
    ledger.insert_new(
        {
            "erasures": [
                {
                    "request_id": request_id,
                    "requested_at": str(now),
                    "status": "pending",
                    "persons": persons.persons,
                    "shared_identifiers": persons.shared,
                }
            ],
            "suppressions": [
                row | {"request_id": request_id, "suppressed_on": str(now.date())} for row in persons.suppressions
            ],
        }
    )
    return finish_erasures(settings, ledger, now)[-1], persons.known


def finish_erasures(settings, ledger, now: datetime) -> list[dict]:
    """Purge every store of all who are suppressed, if an erasure is pending. Returns the certificates now written.

    Repeating it is harmless: it looks for what is suppressed, not for what was done, so a restored backup can be purged
    by setting its erasures to pending again.
    """
    pending = ledger.rows("select * from erasures where status = 'pending' order by requested_at, request_id")
    if not pending:
        return []
    latest = pending[-1]["request_id"]
    # a backup was restored since: what is removed now was there once more
    again = " (again)" if ledger.rows("select 1 from removals where request_id = ? limit 1", (latest,)) else ""
    with _connection(settings, ledger, f"purge {latest}") as (con, scratch):
        try:
            for name, work in (
                ("the vault's files", _purge_files),
                ("the databases", _purge_databases),
                ("exports and reports", _purge_outputs),
            ):
                stage = name
                for (place, kind), count in sorted(work(con, settings, ledger, scratch, latest, now.date()).items()):
                    if count:
                        ledger.insert("removals", request_id=latest, place=place, what=kind + again, count=count)
        except (OSError, duckdb.Error) as error:
            reason = re.sub(r"\"[^\"]*\"|'[^']*'", "…", str(error).splitlines()[0])
            raise ErasureUnfinished(
                f"erasing stopped at {stage} ({type(error).__name__}: {reason}); the persons are kept out already,"
                " and the next forget or nightly goes on with it"
            ) from None
    certificates = []
    for erasure in pending:
        certificates.append(write_certificate(settings, ledger, erasure))
        ledger.change("update erasures set status = 'done' where request_id = ?", (erasure["request_id"],))
    return certificates


def keep_derived(con, ledger, request_id, today) -> int:
    """Put on record what landing found out of the suppressed: new orders, and ids under which they came back. How many."""
    rows = con.execute("select distinct kind, sieve, hash from scratch.derived").fetchall()
    named = [dict(zip(("kind", "sieve", "hash"), row, strict=True)) for row in rows]
    ledger.insert_new(
        {"suppressions": [row | {"request_id": request_id, "suppressed_on": str(today)} for row in named]}
    )
    con.execute("delete from scratch.derived")
    return len(rows)


def clean_vault(con, settings, ledger, layouts, scratch, request_id, today) -> Counter:
    """The vault's files without the suppressed, and without what only cleaning them shows to be theirs."""
    found = clean_vault_files(con, settings, layouts, ledger, scratch)
    while keep_derived(con, ledger, request_id, today):
        found.update(clean_vault_files(con, settings, layouts, ledger, scratch))
    return found


@contextmanager
def _connection(settings, ledger, name):
    """A connection with the key and the suppressions, on a scratch file in the vault."""
    scratch = settings.vault / "scratch" / re.sub(r"\W", "_", name)
    scratch.mkdir(parents=True, exist_ok=True)
    con = connect(settings, scratch)
    try:
        con.execute("attach ? as scratch_file", (str(scratch / "erasure.duckdb"),))
        con.execute("use scratch_file")
        define_keyed(con, settings)
        if not load_suppressions(con, ledger):
            con.execute("create table scratch.suppressions (sieve varchar, hash varchar)")
            con.execute("create table scratch.derived (kind varchar, sieve varchar, hash varchar)")
        yield con, scratch
    finally:
        con.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _purge_files(con, settings, ledger, scratch, request_id, today):
    layouts = all_layouts(settings)
    return clean_vault(con, settings, ledger, layouts, scratch, request_id, today)


def _purge_databases(con, settings, ledger, scratch, request_id, today):
    found = Counter()
    for path in [settings.vault / "vault.duckdb", settings.warehouse, *sorted(settings.snapshots.glob("*.duckdb"))]:
        if path.exists():
            for table, count in clean_database(con, path, settings.storage_version, scratch).items():
                found[f"{path.relative_to(settings.data_dir)} {table}", "rows"] += count
    for folder in ROLE_FOLDERS:
        for path in sorted((settings.data_dir / folder).rglob("*")):
            if path.is_file():
                path.unlink()
                found[f"{folder}", "files removed; the next night writes them again"] += 1
    return found


def _purge_outputs(con, settings, ledger, scratch, request_id, today):
    found = clean_outputs(con, settings, scratch)
    decisions = settings.identity / "decisions.csv"
    if decisions.exists():
        count = _clean_decisions(con, decisions, scratch)
        if count:
            found["identity/decisions.csv", "lines"] += count
    return found


def _clean_decisions(con, path, scratch):
    """The user's decisions on identity without those that name a record or an id of the suppressed."""
    content = path.read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    named = [
        {"place": place, "source": row.get(f"{side}source") or "", "id": row.get(f"{side}source_customer_id") or ""}
        for place, row in enumerate(rows)
        for side in ("", "other_")
    ]
    con.register("decided", pl.DataFrame(named, {"place": pl.Int64, "source": pl.String, "id": pl.String}))
    shows = [
        shown("customer", "source", "id"),
        shown("customer", "source", "'h:' || keyed(id)"),
        shown("customer_id", "id"),
    ]
    gone = find_matches(
        con, "select place, trim(source) as source, trim(id) as id from decided", "place", shows, "scratch.gone"
    )
    con.unregister("decided")
    if gone:
        places = {place for (place,) in con.execute("select place from scratch.gone").fetchall()}
        part = scratch / path.name
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row for place, row in enumerate(rows) if place not in places)
        replace_file(part, path)
    return gone
