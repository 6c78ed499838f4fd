"""The content of one file, recognised and landed, judged against its contract and against what was sent before."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from pipeline.ingest.asides import OUTSIDE
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.dialect import looks_like_data
from pipeline.ingest.drift import changes, kinds_of, last_sent, likely_names, mend_of, predecessor
from pipeline.ingest.faults import FileFault, told_as_fault
from pipeline.ingest.land import EDITED, land_file
from pipeline.ingest.layouts import Layout
from pipeline.ingest.outcomes import ORDER_DATA, OrderDataStopped, Outcome
from pipeline.ingest.read import UnreadableFile, first_text, write_kept
from pipeline.ingest.recognition import nearest_layout
from pipeline.ingest.rules import Reading
from pipeline.ingest.text_form import is_bare, open_text

# rule -> what helps, where no look at the rows does
MENDS = {
    "no_exchange_rate": "; put the missing rates into rates.csv beside settings.toml (date,currency,rate)",
    "damaged_number": "; a spreadsheet has rounded them (2.10812E+18): export again, with the column as text",
    "order_of_date_not_stated": '; state the order of day and month in the layout, such as format: "%d/%m/%Y"',
}


def with_drift(outcome, layouts, ledger):
    """An outcome that says what changed in the columns. Raises OrderDataStopped where drift hides order data.

    A file that no layout recognises any more, but that plainly follows one that landed orders, would leave them missing.
    """
    if outcome.status == "unknown":
        # a first line that looks like data is no header: nothing may be said of its cells
        header = () if looks_like_data(outcome.header) else outcome.header
        found = predecessor(ledger, layouts, outcome.file_name, header)
        if found is None:
            return outcome
        layout, before = found
        why = (
            f"no layout fits, though it follows {before['file_name']}: {mend_of(layout, before, header, outcome.kinds)}"
        )
        if set(layout.entities) & set(ORDER_DATA):
            raise OrderDataStopped(f"{outcome.file_name}: {why}")
        return replace(outcome, message=f"{why}; what landed before stands")
    return report_drift(outcome, layouts, ledger)


@contextmanager
def drift_told(layouts, ledger):
    """Where order data stops the night, what changed in its columns since the last file is said too: it may be why."""
    try:
        yield
    except OrderDataStopped as stopped:
        changed = report_drift(stopped.outcome, layouts, ledger).warnings if stopped.outcome else ()
        raise OrderDataStopped("; ".join([str(stopped), *(english for english, _ in changed)])) from None


def report_drift(outcome: Outcome, layouts, ledger) -> Outcome:
    """A landed outcome with what changed in its columns since the file of its layout that is most like it, also as a warning."""
    before = last_sent(ledger, outcome.layout, outcome.content_hash, outcome.header)
    if outcome.status != "landed" or before is None:
        return outcome
    english, chinese = changes(before, outcome.header, outcome.kinds, layouts[outcome.layout]).words()
    if not english:
        return outcome
    warning = (
        f"its columns changed since {before['file_name']}: {english}",
        f"与 {before['file_name']} 相比，列有变化：{chinese}",
    )
    return replace(outcome, schema_change=english, warnings=(*outcome.warnings, warning))


def fingerprint(layout: Layout, settings) -> str:
    """What a landing depends on beside the file: the mapping, the contracts, and the settings that read values."""
    zone = layout.timezone or settings.business_timezone
    return f"{layout.fingerprint}-{zone}-{settings.reporting_currency}-{settings.phone_country_code}".replace("/", "_")


def land_content(
    con,
    profile,
    name,
    settings,
    layouts,
    scratch,
    observed_at,
    folder=None,
    is_strict=True,
    is_packed=False,
    is_rendition=False,
) -> Outcome:
    """A file's content landed into the vault (or another folder) by the layout that recognises it.

    is_packed: what is kept of it is to be gzip. is_rendition: it is a text table of ours, however the layout's files are
    written. Raises UnreadableFile, and where is_strict OrderDataStopped when order data cannot be believed.
    """
    if is_rendition:
        ours = {"delimiter": ",", "quote": '"', "escape": '"', "encoding": None}
        layouts = {key: replace(layout, **ours) for key, layout in layouts.items()}
    with told_as_fault():
        readable, form = open_text(profile, Path(name).name, layouts, scratch)
        layout, kinds = form.layout, kinds_of(readable, form)
    if layout is None:
        why = _not_recognised(form, layouts)
        unknown = Outcome(name, "unknown", why, size_bytes=profile.size_bytes, header=form.header, kinds=kinds)
        return replace(unknown, is_bare=is_bare(first_text(readable), form.header_line))
    guess = form.encoding if form.encoding.is_guess else None
    if guess and guess.rivals and folder is None:
        # what is in the vault already is not taken away again
        raise UnreadableFile(
            f"its encoding cannot be told: {guess.name} reads it about as well as {', '.join(guess.rivals)};"
            f" state read.encoding in {layout.name}.yaml in data/sources (extends: {layout.name})"
        )
    file_id = profile.content_hash[:16]
    common = {
        "file_id": file_id,
        "layout": layout.name,
        "source": layout.source,
        "size_bytes": profile.size_bytes,
        "line_count": readable.line_count,
        "observed_at": observed_at.isoformat(),
        "header": form.header,
        "content_hash": profile.content_hash,
        "kinds": kinds,
        "warnings": (_guessed(guess, layout),) if guess else (),
    }
    con.execute(f"set variable file_id = '{file_id}'")
    con.execute(f"set variable observed_at = timestamp '{observed_at.isoformat(sep=' ')}'")
    version = fingerprint(layout, settings)

    def target(kind, entity):
        return (folder or settings.vault) / kind / entity / f"{file_id}-{version}.parquet"

    try:
        with told_as_fault():
            reading = reading_of(layout, settings)
            landings = land_file(con, readable, form, layout, reading, target, scratch, is_rendition)
    except FileFault as fault:
        for entity in layout.entities:
            for kind in ("landed", "rejected"):
                target(kind, entity).unlink(missing_ok=True)
        if is_strict and set(layout.entities) & set(ORDER_DATA):
            raise OrderDataStopped(f"{name}: {fault}") from None
        raise
    outcome = Outcome(name, "landed", "; ".join(form.notes), landings=landings, **common)
    if (scratch / EDITED).exists():
        # beside the scratch folder of this file, which is gone before the copy is put into its place
        kept = scratch.with_name(f"{file_id}.kept")
        kept_hash = write_kept(scratch / EDITED, readable.copied_from, is_packed, kept)
        outcome = replace(outcome, kept=kept, kept_hash=kept_hash)
    for landing in landings:
        why = landing.failed or _too_many(landing)
        if why:
            for one in landings:
                if one.path:
                    one.path.unlink(missing_ok=True)
            likely = likely_names(layout, landing.entity, landing.absent, form.header, kinds)
            why = "; ".join(filter(None, (why, likely)))
            if landing.entity in ORDER_DATA and is_strict:
                raise OrderDataStopped(
                    f"{name}: {landing.entity}: {why}. Mend the file, or its layout {layout.written_in}, or take it out of the inbox",
                    outcome,
                )
            return replace(outcome, status="failed", message=f"{landing.entity}: {why}")
    is_empty = all(landing.lines_read == landing.outside and not landing.elsewhere for landing in landings)
    nothing = ["it has a header and no rows"] if is_empty else []
    warnings = tuple(dict.fromkeys(warning for landing in landings for warning in landing.warnings))
    remarks = [*nothing, *form.notes, *dict.fromkeys(note for landing in landings for note in landing.notes)]
    return replace(outcome, message="; ".join(remarks), warnings=(*outcome.warnings, *warnings))


def _guessed(encoding, layout):
    """That nothing but likelihood tells in which encoding a file is, in English and Chinese."""
    if encoding.name == "utf-8":
        return encoding.evidence, "编码无法判断，非 UTF-8 的行已拒收；请在来源映射中写明 read.encoding"
    return (
        f"its encoding is a guess: {encoding.evidence.removeprefix('guessed ').replace('in the layout', f'in {layout.name}.yaml')}",
        f"编码是推测的：{encoding.name}；如有误，请在 {layout.name}.yaml 中写明 read.encoding",
    )


def _too_many(landing):
    limit = load_contracts()[landing.entity].max_rejected_share
    # a single bad row beside good ones stops nothing, however short its file
    set_apart = landing.suppressed + landing.outside
    rejected = landing.rejected - set_apart
    several = rejected > 1 or landing.landed == 0
    # a line that is no record may be of anything: it counts against the whole file, not against the few lines of an entity
    own, broken = rejected - landing.broken, landing.broken
    lines = landing.lines_read - set_apart
    is_own = own > limit * (lines - broken) and (own > 1 or landing.landed == 0)
    if several and (is_own or rejected > limit * (lines + landing.elsewhere)):
        rule, column = (
            landing.rejects.filter(pl.col("action") == "rejected", ~pl.col("rule").is_in(["suppressed", *OUTSIDE]))
            .group_by("rule", "column_name")
            .len()
            .sort(pl.col("len"), "rule", descending=[True, False])
            .row(0)[:2]
        )
        return (
            f"{rejected} of {landing.lines_read} rows are rejected, more than max_rejected_share {limit},"
            f" most for {' '.join(filter(None, (column, rule)))}; "
            f"the reasons stand in vault/{landing.rejects_path.parent.parent.name}/{landing.entity}"
            + MENDS.get(rule, "")
            + (f" (there is none for {landing.unrated})" if rule == "no_exchange_rate" and landing.unrated else "")
        )
    return None


def _not_recognised(form, layouts):
    if not any(form.header):
        return "it holds no text but blanks; export it again"
    read = f" (read as {form.encoding.name}, delimiter {form.dialect.delimiter!r}, header on line {form.header_line})"
    near = nearest_layout(list(form.header), layouts)
    if near:
        return f"no layout fits{read}; the nearest, {near[0]}, also needs {', '.join(near[1])}"
    return f"no layout fits its header{read}; write one in data/sources (README: your own exports in five minutes)"


def reading_of(layout: Layout, settings) -> Reading:
    """What the cells of a layout's files mean beyond their columns."""
    return Reading(
        timezone=layout.timezone or settings.business_timezone,
        currency=layout.currency or settings.reporting_currency,
        reporting_currency=settings.reporting_currency,
        phone_country_code=settings.phone_country_code,
        decimal=layout.decimal,
        # beside orders the currency is that of their bare amounts, and each order says its own
        states_currency=layout.currency is not None and "orders" not in layout.entities,
    )
