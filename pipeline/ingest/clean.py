"""Landed, rejected and raw files that hold somebody suppressed, written again without them."""

import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from pipeline.ingest.archives import unpack_gzip
from pipeline.ingest.contents import fingerprint, reading_of
from pipeline.ingest.landings import record_landings
from pipeline.ingest.originals import drop_original
from pipeline.ingest.read import UnreadableFile, profile_file
from pipeline.ingest.relanding import adopt, land_raw, layout_of
from pipeline.ingest.rules import Reading
from pipeline.ingest.suppressions import find_lines, find_matches, record_shows, shown
from pipeline.warehouse import literal, replace_file, value


def clean_vault_files(con, settings, layouts, ledger, scratch: Path) -> Counter:
    """Every landed, rejected and raw file without the suppressed. Returns (place, what) -> count; nothing where none is held.

    con: with scratch.suppressions and the key. What no export of the ledger accounts for is deleted whole: it is what a
    crash or a file that did not land left behind.
    """
    found = _delete_strays(settings, ledger)
    for content in ledger.rows("select * from contents order by observed_at, content_hash"):
        landings = ledger.rows("select * from landings where content_hash = ?", (content["content_hash"],))
        layout = layout_of(content, layouts)
        reading = reading_of(layout, settings) if layout else Reading("UTC", "", "", settings.phone_country_code)
        held = [_held(con, landing, settings, reading) for landing in landings]
        if any(rows or lines for rows, lines in held):
            # read anew: an original that another of its parts gave up is named no longer
            (content,) = ledger.rows("select * from contents where content_hash = ?", (content["content_hash"],))
            found["vault/raw", "archives and workbooks deleted whole; their tables stay"] += drop_original(
                content, settings, ledger
            )
            for landing, (rows, lines) in zip(landings, held, strict=True):
                found[f"vault/landed/{landing['entity']}", "rows"] += rows
                found[f"vault/rejected/{landing['entity']}", "lines"] += lines
            found.update(_clean(con, content, landings, layout, reading, settings, ledger, scratch))
    return found


def _delete_strays(settings, ledger):
    """Files of the vault that the ledger does not know: left by a crash, or by a file that could not land."""
    known = {path for row in ledger.rows("select raw_path, container from contents") for path in row.values()}
    for row in ledger.rows("select path, rejects_path from landings"):
        known |= set(row.values())
    found = Counter()
    for kind in ("raw", "landed", "rejected"):
        for path in sorted((settings.vault / kind).rglob("*")):
            if path.is_file() and str(path.relative_to(settings.vault)) not in known:
                path.unlink()
                found[f"vault/{kind}", "files of exports that did not land"] += 1
    return found


def _held(con, landing, settings, reading):
    """(rows, lines) of a landed and a rejected file that show somebody suppressed; both stay as tables in scratch."""
    rows, lines = 0, 0
    path = settings.vault / landing["path"]
    if path.exists():
        rows = _find_rows(con, path)
    rejects = landing["rejects_path"] and settings.vault / landing["rejects_path"]
    if rejects and rejects.exists() and path.exists():
        lines = _find_rejects(con, rejects, path, reading)
    return rows, lines


def _find_rows(con, path):
    source = f"read_parquet({literal(path)})"
    columns = [name for name, *_ in con.execute(f"describe from {source}").fetchall()]
    shows = record_shows(columns, "source", "customer_key" if "source_customer_id" in columns else None)
    if "referred_by" in columns:
        shows.append(shown("customer", "source", "referred_by"))
    return find_matches(con, f"from {source}", "file_record", shows, "scratch.held_rows")


def _find_rejects(con, rejects, path, reading):
    source = value(con, f"select max(source) from read_parquet({literal(path)})")
    lines = f"select line as place, raw_line as text from read_parquet({literal(rejects)}) where raw_line is not null"
    return find_lines(con, lines, source, reading, "scratch.held_lines")


def _clean(con, content, landings, layout, reading, settings, ledger, scratch):
    """One export: landed again from its raw file through the filter, or, where that cannot be, row by row."""
    raw, found = settings.vault / content["raw_path"], Counter()
    outcome = None
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        if raw.exists() and layout:
            # a crash may have come between the raw file and the ledger: what lies there is what counts
            with suppress(UnreadableFile):
                current = profile_file(unpack_gzip(raw, Path(folder))).content_hash
                outcome = land_raw(con, content | {"raw_hash": current}, layout, settings, Path(folder), False)
        if outcome and outcome.kept:
            replace_file(outcome.kept, raw)
            found["vault/raw", "lines"] += max((landing.suppressed for landing in outcome.landings), default=0)
        elif raw.exists() and not outcome:
            # which of its lines are whose cannot be told any more
            raw.unlink()
            found["vault/raw", "files that could no longer be read, deleted whole"] += 1
        if outcome and outcome.status == "landed":
            outcome = adopt(outcome, settings)
            version = fingerprint(layout, settings)
            for landing in landings:
                if landing["fingerprint"] != version:
                    _forget_landing(landing, settings, ledger)
            record_landings(outcome, content["content_hash"], layout, settings, ledger)
        else:
            for landing in landings:
                _clean_rows(con, landing, settings, ledger, reading)
            # which of them were theirs cannot be told without the file
            ledger.change("delete from unmapped_words where content_hash = ?", (content["content_hash"],))
    kept_hash = outcome.kept_hash if outcome and outcome.kept else content["raw_hash"]
    ledger.insert("contents", **content | {"raw_hash": kept_hash})
    return found


def _forget_landing(landing, settings, ledger):
    """A landing by an earlier mapping; should that come back, the raw file lands again."""
    for name in ("path", "rejects_path"):
        if landing[name]:
            (settings.vault / landing[name]).unlink(missing_ok=True)
    for table in ("landings", "unmapped_words"):
        ledger.change(
            f"delete from {table} where content_hash = ? and fingerprint = ? and entity = ?",
            (landing["content_hash"], landing["fingerprint"], landing["entity"]),
        )


def _clean_rows(con, landing, settings, ledger, reading):
    """A landed file and its listing of rejects without the suppressed; its lines still add up."""
    rows, lines = _held(con, landing, settings, reading)
    path = settings.vault / landing["path"]
    if lines:
        rejects = settings.vault / landing["rejects_path"]
        held = "line in (select place from scratch.held_lines)"
        rewrite(
            con,
            f"select distinct line, case when not ({held}) then column_name end as column_name,"
            f" case when {held} then 'suppressed' else rule end as rule, action,"
            f" case when not ({held}) then raw_line end as raw_line from read_parquet({literal(rejects)}) order by line",
            rejects,
        )
    if rows:
        columns = [name for name, *_ in con.execute(f"describe from read_parquet({literal(path)})").fetchall()]
        shows = record_shows(columns, "source", "customer_key" if "source_customer_id" in columns else None)
        gone = find_matches(con, f"from read_parquet({literal(path)})", "file_record", shows, "scratch.gone_rows")
        replaced = "*"
        if "referred_by" in columns:
            own = "file_record in (select place from scratch.referring_rows)"
            find_matches(
                con,
                f"from read_parquet({literal(path)})",
                "file_record",
                [shown("customer", "source", "referred_by")],
                "scratch.referring_rows",
            )
            replaced = f"* replace (case when not ({own}) then referred_by end as referred_by)"
        rewrite(
            con,
            f"select {replaced} from read_parquet({literal(path)})"
            " where file_record not in (select place from scratch.gone_rows)",
            path,
        )
        counts = {name: landing[name] for name in ("landed", "rejected", "record_count")}
        ledger.insert(
            "landings",
            **landing
            | {
                "landed": counts["landed"] - gone,
                "rejected": counts["rejected"] + gone,
                "record_count": counts["record_count"] - gone,
            },
        )


def rewrite(con, sql: str, path: Path) -> None:
    """A query as a Parquet file in place of the one it reads."""
    part = path.with_name(path.name + ".part")
    con.execute(f"copy ({sql}) to {literal(part)} (format parquet)")
    replace_file(part, path)
