"""What the inbox brings, and again what a corrected mapping changed."""

from contextlib import closing, contextmanager

import polars as pl

from pipeline import ops
from pipeline.ingest.connection import define_keyed
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.databases import entries_of, take_in_entry
from pipeline.ingest.intake import inbox_files, observation_times, passed_over, take_in
from pipeline.ingest.land import lacks_currency
from pipeline.ingest.landings import current_landings
from pipeline.ingest.originals import forget_waiting
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.reasons import in_chinese
from pipeline.ingest.relanding import file_layouts, land_again
from pipeline.ingest.suppressions import is_suppressing, load_suppressions
from pipeline.privacy.forget import clean_vault, keep_derived
from pipeline.privacy.restore import left_beside
from pipeline.warehouse import connect

# of a column's values: with fewer emptied, ops.rejects says enough
EMPTIED_SHARE = 0.2
STATUS_ZH = {
    "outdated": "沿用此前的入库结果",
    "unknown": "无法识别",
    "unreadable": "无法读取",
    "fault": "程序出错",
    "changing": "读取时发生变化",
    "failed": "未入库",
    "unreached": "无法读取数据库",
    "misset": "数据库设置有误",
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
    landed, outcomes = 0, []
    with closing(ingest_con), _on_record(night, outcomes):
        earlier = ledger.rows("select * from contents order by observed_at, content_hash")
        outcomes += [
            land_again(ingest_con, content, settings, night.layouts, ledger, night.scratch, night.full)
            for content in earlier
        ]
        for outcome in outcomes:
            if outcome.status in ("unknown", "unreadable", "fault", "failed") and ledger.has_orders(outcome.file_id):
                mend = "" if outcome.is_layout_gone else "; mend its layout in data/sources"
                raise OrderDataStopped(
                    f"{outcome.file_name} (kept in the vault): {outcome.status}: {outcome.message}{mend}"
                )
        entries = [entry for entry in entries_of(settings) if entry.pull]
        files = inbox_files(settings)
        # a night that derives everything anew also reads anew what waits in the inbox
        waiting = [] if night.full else [str(path.relative_to(settings.inbox)) for path in files]
        forget_waiting(ledger, waiting)
        times = observation_times(night.started_at, len(entries) + len(files))
        for arrival, observed_at in zip([*entries, *files], times, strict=True):
            take, layouts = take_in, file_layouts(night.layouts)
            if arrival in entries:
                take, layouts = take_in_entry, night.layouts
            for outcome in take(
                ingest_con, arrival, settings, layouts, ledger, night.scratch, observed_at, night.run_id
            ):
                outcomes.append(outcome)
                rows = sum(landing.landed for landing in outcome.landings)
                landed += rows
                report(f"{outcome.file_name}: {outcome.status}", rows)
                _warn_of_unknown_words(night, outcome)
                _warn_of_emptied(night, outcome)
                for english, chinese in outcome.warnings:
                    night.warn(f"{outcome.file_name}: {english}", f"{outcome.file_name}：{chinese}")
        if is_suppressing(ingest_con) and keep_derived(ingest_con, ledger, night.run_id, night.as_of):
            # files that landed before the one that showed whose they are
            clean_vault(ingest_con, settings, ledger, night.layouts, night.scratch, night.run_id, night.as_of)
    _warn_of_left_standing(night, outcomes)
    _warn_of_assumed_currency(night, outcomes)
    _warn_of_passed_over(night)
    for outcome in outcomes:
        if outcome.status in STATUS_ZH and outcome.status != "outdated" and not outcome.is_layout_gone:
            night.warn(
                f"{outcome.file_name}: {outcome.status}: {outcome.message}",
                f"{outcome.file_name}：{STATUS_ZH[outcome.status]}：{in_chinese(outcome.message)}",
            )
    _record(night, outcomes)
    night.landings = current_landings(settings, night.layouts, ledger)
    if not any(landing["entity"] == "orders" for landing in night.landings):
        unreached = [outcome for outcome in outcomes if outcome.status in ("unreached", "misset")]
        why = "".join(f"; {outcome.layout}: {outcome.message}" for outcome in unreached)
        raise OrderDataStopped(
            f"no order data: the inbox {settings.inbox.name}/ has no file that a layout with orders recognises{why}"
        )
    absent = ops.absent_entities(night.landings)
    if absent:
        night.warn(
            f"no file delivers {', '.join(absent).replace('_', ' ')}: what needs them is left out",
            f"没有文件提供{'、'.join(load_contracts()[entity].meaning['zh'] for entity in absent)}：依赖它们的内容已省略",
        )
    return landed


@contextmanager
def _on_record(night, outcomes):
    """What became of the files before the one that stops a night is on record, as the night is."""
    try:
        yield
    except OrderDataStopped:
        _record(night, outcomes)
        raise


def _record(night, outcomes):
    """What became of each file, in the ledger."""
    for outcome in outcomes:
        night.ledger.insert(
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
            schema_change=outcome.schema_change,
        )


def _warn_of_left_folders(night):
    """What a restore moved aside holds people who may be forgotten since; no erasure reaches it."""
    names = left_beside(night.settings)
    if names:
        night.warn(
            f"{', '.join(names)}: a restore left it beside the data folder, with personal data that no erasure reaches;"
            " delete it when all is well",
            f"{'、'.join(names)}：恢复操作留在数据目录旁的文件夹，其中的个人数据不会随删除请求清除；确认无误后请删除",
        )


def _warn_of_left_standing(night, outcomes):
    """One warning a reason: where raw files are kept for some days only, or a database entry is gone, it is that of many."""
    reasons = {}
    for outcome in outcomes:
        if outcome.status == "outdated" or outcome.is_layout_gone:
            reasons.setdefault((outcome.status, outcome.message), []).append(outcome.file_name)
    for (status, message), names in sorted(reasons.items()):
        night.warn(
            f"{_listed(names)}: {status}: {message}", f"{_listed(names)}：{STATUS_ZH[status]}：{in_chinese(message)}"
        )


def _warn_of_assumed_currency(night, outcomes):
    """One warning a layout: amounts in dollars that count as yuan make every sum wrong, and look like any other."""
    names = {}
    for outcome in outcomes:
        for landing in outcome.landings if outcome.status == "landed" else ():
            if landing.landed and lacks_currency(night.layouts[outcome.layout], landing.entity, outcome.header):
                names.setdefault(outcome.layout, []).append(outcome.file_name)
    currency = night.settings.reporting_currency
    for layout, files in names.items():
        night.warn(
            f"{_listed(files)}: no currency is stated, so amounts are taken as {currency}; `currency:` in {layout}.yaml"
            " in data/sources says otherwise",
            f"{_listed(files)}：文件未注明币种，金额按 {currency} 计；如非如此，请在 data/sources 的 {layout}.yaml 中写明 `currency:`",
        )


def _listed(names):
    """Ten names, and how many more."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _warn_of_passed_over(night):
    """Links and the like, which a user may take for files."""
    names = passed_over(night.settings)
    if names:
        night.warn(
            f"{_listed(names)}: a link or special file in the inbox is not read; put the file itself there",
            f"{_listed(names)}：收件夹中的链接或特殊文件不会读取，请放入文件本身",
        )


def _warn_of_emptied(night, outcome):
    """Where a column lost many of its values, the file or its layout is probably at fault."""
    for landing in outcome.landings:
        if landing.rejects is None:
            continue
        emptied = landing.rejects.filter(pl.col("action") == "emptied", pl.col("rule") != "unknown_value")
        counted = (
            emptied.group_by("column_name", "rule")
            .len()
            .sort("len", "column_name", "rule", descending=[True, False, False])
        )
        for column, rule, count in counted.iter_rows():
            if count >= EMPTIED_SHARE * landing.record_count:
                night.warn(
                    f"{outcome.file_name}: {landing.entity}: {count} of {landing.record_count} values of {column} emptied"
                    f" ({rule}); see ops.rejects",
                    f"{outcome.file_name}：{landing.entity} 的 {column} 有 {count}/{landing.record_count} 个值置空（{rule}），"
                    "见 ops.rejects",
                )


def _warn_of_unknown_words(night, outcome):
    """A word that no value map knows: said aloud, since nobody would miss it."""
    for landing in outcome.landings:
        for column in dict.fromkeys(word["column_name"] for word in landing.words):
            words = [word for word in landing.words if word["column_name"] == column]
            count = sum(word["row_count"] for word in words)
            listed = {
                language: mark.join(f"{word['word'] or rest} ({word['row_count']})" for word in words)
                for language, mark, rest in (("en", ", ", "others"), ("zh", "、", "其他"))
            }
            night.warn(
                f"{outcome.file_name}: {count} rows have words in {column} that the layout does not map: {listed['en']};"
                f" add them to values: in {outcome.layout}.yaml",
                f"{outcome.file_name}：{column} 有 {count} 行取值未在来源映射中：{listed['zh']}；请补充到"
                f" {outcome.layout}.yaml 的 values",
            )
