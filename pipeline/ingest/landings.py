"""What landed, on record in the ledger: contents, landings, repeats, and those that a night builds on."""

import json

from pipeline.ingest.contents import fingerprint
from pipeline.ingest.layouts import Layout
from pipeline.ingest.outcomes import Outcome
from pipeline.ingest.rates import rates_version


def current_landings(settings, layouts, ledger) -> list[dict]:
    """The landings that a night builds on, oldest file first.

    Every file by its present layout's mapping; where that could not be applied, as the file last landed.
    """
    rows = ledger.rows(
        "select landings.*, contents.file_id, contents.file_name, contents.layout, contents.observed_at"
        " from landings inner join contents using (content_hash) order by landings.rowid"
    )
    files = {}
    for row in rows:
        files.setdefault((row["observed_at"], row["content_hash"]), []).append(row)
    found = []
    for _, landings in sorted(files.items()):
        layout = layouts.get(landings[0]["layout"])
        if layout:
            chosen = newest_whole(landings, settings, fingerprint(layout, settings))
            found += sorted(chosen, key=lambda landing: landing["entity"])
    return found


def newest_whole(landings, settings, version=None):
    """Of one file's landings, oldest first: those by a version of its mapping, else the newest whose files are there."""
    versions = [version, *dict.fromkeys(landing["fingerprint"] for landing in reversed(landings))]
    for version in versions:
        chosen = [landing for landing in landings if landing["fingerprint"] == version]
        if chosen and all((settings.vault / landing["path"]).exists() for landing in chosen):
            return chosen
    return []


def take_repeated(name, content, ledger, run_id):
    """The same content again: every line is a duplicate; the copy in the inbox is not needed."""
    lines = ledger.rows(
        "select max(lines_read) as lines from landings where content_hash = ?", (content["content_hash"],)
    )
    lines_read = lines[0]["lines"] or 0
    ledger.insert("repeats", run_id=run_id, content_hash=content["content_hash"], file_name=name, lines_read=lines_read)
    return Outcome(
        name,
        "repeated",
        f"the same content as {content['file_name']}: {lines_read} lines are duplicates",
        content["file_id"],
        content["layout"],
        size_bytes=content["size_bytes"],
        line_count=content["line_count"],
        observed_at=content["observed_at"],
    )


def record_content(outcome, name, profile, raw_path, settings, layout, ledger, container=None, is_rendition=False):
    """A landed content on record, with its landings."""
    ledger.insert("contents", **content_row(outcome, name, profile, raw_path, layout, container, is_rendition))
    record_landings(outcome, profile.content_hash, layout, settings, ledger)


def content_row(outcome, name, profile, raw_path, layout, container=None, is_rendition=False) -> dict:
    """The ledger's row of a landed content."""
    return {
        "content_hash": profile.content_hash,
        "file_id": outcome.file_id,
        "file_name": name,
        "size_bytes": profile.size_bytes,
        "line_count": outcome.line_count,
        "observed_at": outcome.observed_at,
        "raw_path": str(raw_path),
        "layout": layout.name,
        "header": json.dumps(outcome.header) if layout.header else None,
        "raw_hash": outcome.kept_hash,
        "container": container,
        "is_rendition": int(is_rendition),
        "kinds": json.dumps(outcome.kinds, ensure_ascii=False),
    }


def record_landings(outcome: Outcome, content_hash: str, layout: Layout, settings, ledger) -> None:
    """All landings of a file at once: one that is on record with some of its entities would be taken for whole."""
    landed_as = {"content_hash": content_hash, "fingerprint": fingerprint(layout, settings)}
    ledger.change("delete from unmapped_words where content_hash = ? and fingerprint = ?", tuple(landed_as.values()))
    ledger.insert_all("unmapped_words", word_rows(outcome, content_hash, layout, settings))
    ledger.insert_all("landings", landing_rows(outcome, content_hash, layout, settings))


def word_rows(outcome: Outcome, content_hash: str, layout: Layout, settings) -> list[dict]:
    """The ledger's rows of the words of a file that no value map knows."""
    landed_as = {"content_hash": content_hash, "fingerprint": fingerprint(layout, settings)}
    return [landed_as | {"entity": landing.entity} | word for landing in outcome.landings for word in landing.words]


def landing_rows(outcome: Outcome, content_hash: str, layout: Layout, settings) -> list[dict]:
    """The ledger's rows of what a file landed, one an entity."""
    return [
        {
            "content_hash": content_hash,
            "fingerprint": fingerprint(layout, settings),
            "entity": landing.entity,
            "lines_read": landing.lines_read,
            "landed": landing.landed,
            "rejected": landing.rejected,
            "duplicates": landing.duplicates,
            "record_count": landing.record_count,
            "path": str(landing.path.relative_to(settings.vault)),
            "rejects_path": str(landing.rejects_path.relative_to(settings.vault)) if landing.rejects_path else None,
            "notes": "; ".join(landing.notes),
            # by which rates rows were rejected for want of one: other rates may let them land
            "rates_version": rates_version(settings) if _lacks_rates(landing) else None,
        }
        for landing in outcome.landings
    ]


def _lacks_rates(landing):
    return landing.rejects is not None and (landing.rejects["rule"] == "no_exchange_rate").any()
