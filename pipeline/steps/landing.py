"""What the inbox brings, and again what a corrected mapping changed."""

from contextlib import closing

import polars as pl

from pipeline import ops
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.intake import (
    OrderDataStopped,
    current_landings,
    define_keyed,
    inbox_files,
    land_again,
    observation_times,
    take_in,
)
from pipeline.ingest.suppressions import is_suppressing, load_suppressions
from pipeline.privacy.forget import clean_vault, keep_derived
from pipeline.privacy.restore import left_beside
from pipeline.warehouse import connect

STATUS_ZH = {
    "outdated": "沿用此前的入库结果",
    "unknown": "无法识别",
    "unreadable": "无法读取",
    "changing": "读取时发生变化",
    "failed": "未入库",
}


def ingest(night, report):
    """Land what the inbox brings, and again what a corrected mapping changed."""
    settings, ledger = night.settings, night.ledger
    _warn_of_left_folders(night)
    ingest_con = connect(settings, night.scratch)
    ingest_con.execute("attach ? as scratch_file", (str(night.scratch / "ingest.duckdb"),))
    ingest_con.execute("use scratch_file")
    define_keyed(ingest_con, settings)
    load_suppressions(ingest_con, ledger)
    landed = 0
    with closing(ingest_con):
        earlier = ledger.rows("select * from contents order by observed_at, content_hash")
        outcomes = [
            land_again(ingest_con, content, settings, night.layouts, ledger, night.scratch, night.full)
            for content in earlier
        ]
        for outcome in outcomes:
            if outcome.status in ("unknown", "unreadable", "failed") and ledger.has_orders(outcome.file_id):
                raise OrderDataStopped(
                    f"{outcome.file_name} (kept in the vault): {outcome.status}: {outcome.message};"
                    " mend its layout in data/sources"
                )
        files = inbox_files(settings)
        for path, observed_at in zip(files, observation_times(night.started_at, len(files)), strict=True):
            outcome = take_in(
                ingest_con, path, settings, night.layouts, ledger, night.scratch, observed_at, night.run_id
            )
            outcomes.append(outcome)
            landed += sum(landing.landed for landing in outcome.landings)
            report(f"{outcome.file_name}: {outcome.status}", sum(landing.landed for landing in outcome.landings))
            _warn_of_unknown_words(night, outcome)
        if is_suppressing(ingest_con) and keep_derived(ingest_con, ledger, night.run_id, night.as_of):
            # files that landed before the one that showed whose they are
            clean_vault(ingest_con, settings, ledger, night.layouts, night.scratch, night.run_id, night.as_of)
    _warn_of_outdated(night, outcomes)
    for outcome in outcomes:
        if outcome.status in STATUS_ZH:
            night.warn(
                f"{outcome.file_name}: {outcome.status}: {outcome.message}",
                f"{outcome.file_name}：{STATUS_ZH[outcome.status]}：{outcome.message}",
            )
        ledger.insert(
            "files",
            run_id=night.run_id,
            file_id=outcome.file_id,
            file_name=outcome.file_name,
            layout=outcome.layout,
            source=outcome.source,
            status=outcome.status,
            message=outcome.message,
            size_bytes=outcome.size_bytes,
            line_count=outcome.line_count,
            observed_at=outcome.observed_at,
        )
    night.landings = current_landings(settings, night.layouts, ledger)
    if not any(landing["entity"] == "orders" for landing in night.landings):
        raise OrderDataStopped(
            f"no order data: the inbox {settings.inbox.name}/ has no file that a layout with orders recognises"
        )
    absent = ops.absent_entities(night.landings)
    if absent:
        night.warn(
            f"no source delivers {', '.join(absent)}: what needs them is left out",
            f"没有来源提供{'、'.join(load_contracts()[entity].meaning['zh'] for entity in absent)}：依赖它们的内容已省略",
        )
    return landed


def _warn_of_left_folders(night):
    """What a restore moved aside holds people who may be forgotten since; no erasure reaches it."""
    names = left_beside(night.settings)
    if names:
        night.warn(
            f"{', '.join(names)}: a restore left it beside the data folder, with personal data that no erasure reaches;"
            " delete it when all is well",
            f"{'、'.join(names)}：恢复操作留在数据目录旁的文件夹，其中的个人数据不会随删除请求清除；确认无误后请删除",
        )


def _warn_of_outdated(night, outcomes):
    """One warning a reason: where raw files are kept for some days only, many files stand as they landed."""
    for message in sorted({outcome.message for outcome in outcomes if outcome.status == "outdated"}):
        names = [
            outcome.file_name for outcome in outcomes if (outcome.status, outcome.message) == ("outdated", message)
        ]
        listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        night.warn(f"{listed}: {message}", f"{listed}：沿用此前的入库结果：{message}")


def _warn_of_unknown_words(night, outcome):
    """A word that no value map knows was emptied: said aloud, since nobody would miss it."""
    for landing in outcome.landings:
        words = landing.rejects.filter(pl.col("rule") == "unknown_value") if landing.rejects is not None else []
        if len(words):
            columns = ", ".join(words["column_name"].unique().sort())
            night.warn(
                f"{outcome.file_name}: {len(words)} unknown words in {columns}; add them to the layout's value map",
                f"{outcome.file_name}：{columns} 中有 {len(words)} 个无法识别的取值，请补充到来源映射中",
            )
