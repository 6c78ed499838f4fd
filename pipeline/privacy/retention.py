"""Raw files and rejected lines are kept for some days only, where the settings say so."""

from datetime import datetime, timedelta

import polars as pl

from pipeline.ingest.originals import drop_original
from pipeline.warehouse import replace_file


def delete_old_raw(settings, ledger, now: datetime) -> int:
    """Delete raw files that landed keep_raw_days ago or earlier, and the texts of their rejected lines. Returns how many files.

    What landed stays, and so does the listing of which line broke which rule. Before `now` a night has succeeded.
    """
    if not settings.keep_raw_days:
        return 0
    deleted = 0
    oldest = (now - timedelta(days=settings.keep_raw_days)).isoformat()
    for content in ledger.rows("select * from contents where observed_at <= ?", (oldest,)):
        raw = settings.vault / content["raw_path"]
        if not raw.exists():
            continue
        for row in ledger.rows(
            "select rejects_path from landings where content_hash = ? and rejects_path is not null",
            (content["content_hash"],),
        ):
            _drop_texts(settings.vault / row["rejects_path"])
        (content,) = ledger.rows("select * from contents where content_hash = ?", (content["content_hash"],))
        drop_original(content, settings, ledger)
        # last: what a crash interrupts is done by the next night
        raw.unlink()
        deleted += 1
    return deleted


def _drop_texts(path):
    if not path.exists():
        return
    rejects = pl.read_parquet(path)
    if rejects["raw_line"].null_count() < len(rejects):
        part = path.with_name(path.name + ".part")
        rejects.with_columns(raw_line=pl.lit(None, pl.String)).write_parquet(part)
        replace_file(part, path)
