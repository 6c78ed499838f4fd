"""Kept files of earlier nights: landed again where their mapping, their contract or the rates changed."""

import json
import os
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipeline.ingest.archives import is_gzip, unpack_gzip
from pipeline.ingest.contents import fingerprint, land_content
from pipeline.ingest.landings import newest_whole, record_landings
from pipeline.ingest.layouts import Layout
from pipeline.ingest.originals import drop_original
from pipeline.ingest.outcomes import Outcome
from pipeline.ingest.rates import rates_version
from pipeline.ingest.read import UnreadableFile, profile_file
from pipeline.ingest.recognition import recognise
from pipeline.warehouse import replace_file


def land_again(con, content: dict, settings, layouts, ledger, scratch: Path, full: bool) -> Outcome:
    """A raw file of an earlier night: kept as it landed, unless its mapping or contract changed, or everything is derived anew.

    A file whose raw copy is gone stands as it last landed (status outdated), until it is put into the inbox again.
    """
    name, layout = content["file_name"], layout_of(content, layouts)
    if layout is None:
        why = f"its layout {content['layout']} is gone; what it landed is left out; {_mend_of_gone(content['layout'])}"
        return Outcome(name, "unknown", why, content["file_id"], layout=content["layout"], is_layout_gone=True)
    raw = settings.vault / content["raw_path"]
    landed = ledger.rows(
        "select * from landings where content_hash = ? and fingerprint = ?",
        (content["content_hash"], fingerprint(layout, settings)),
    )
    common = {
        "file_id": content["file_id"],
        "layout": layout.name,
        "source": layout.source,
        "size_bytes": content["size_bytes"],
        "line_count": content["line_count"],
        "observed_at": content["observed_at"],
    }
    is_as_it_should = landed and all((settings.vault / row["path"]).exists() for row in landed)
    lacking = [row["rates_version"] for row in landed if row["rates_version"] is not None]
    has_new_rates = bool(lacking) and set(lacking) != {rates_version(settings)}
    if is_as_it_should and not full and not (has_new_rates and raw.exists()):
        _set(ledger, content, layout=layout.name)
        return Outcome(name, "kept", **common)
    if not raw.exists():
        if is_as_it_should:
            return Outcome(name, "outdated", "kept as it landed, since its raw file is no longer there", **common)
        every = "select * from landings where content_hash = ? order by rowid"
        if newest_whole(ledger.rows(every, (content["content_hash"],)), settings):
            why = "kept as it landed under an earlier mapping; put the export into the inbox again to apply the new one"
            return Outcome(name, "outdated", why, **common)
        why = "its raw file is not in the vault; put the export into the inbox again"
        return Outcome(name, "unreadable", why, **common)
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            # beside the vault first: a file that cannot land again leaves what stands
            outcome = adopt(land_raw(con, content, layout, settings, Path(folder)), settings)
    except UnreadableFile as error:
        return Outcome(name, error.status, str(error), **common)
    if outcome.kept:
        drop_original(content, settings, ledger)
        replace_file(outcome.kept, raw)
        _set(ledger, content, raw_hash=outcome.kept_hash)
    if outcome.status == "landed":
        record_landings(outcome, content["content_hash"], layout, settings, ledger)
        _set(ledger, content, layout=layout.name)
    return outcome


def _mend_of_gone(layout):
    entry = layout.removeprefix("database:")
    if entry == layout:
        return "put it back into data/sources"
    return (
        f'put [[database]] name = "{entry}" back into settings.toml, with pull = false if it shall no longer be pulled,'
        " to keep what it landed"
    )


def _set(ledger, content, **changed):
    """Only what changed: the row may be another by now, where another part gave up the original of both."""
    for name, now in changed.items():
        ledger.change(f"update contents set {name} = ? where content_hash = ?", (now, content["content_hash"]))


def layout_of(content: dict, layouts) -> Layout | None:
    """The layout that a kept file has now: the one that fits its header best, else the one by which it landed."""
    layout = layouts.get(content["layout"])
    if content["header"] and not (layout and layout.entry):
        name, header = Path(content["file_name"]).name, json.loads(content["header"])
        layout = recognise(name, header, file_layouts(layouts)) or layout
    return layout


def file_layouts(layouts: dict[str, Layout]) -> dict[str, Layout]:
    """The layouts by which a file of the inbox can be recognised: all but those of databases."""
    return {name: layout for name, layout in layouts.items() if not layout.entry}


def land_raw(con, content: dict, layout, settings, scratch: Path, is_strict=True) -> Outcome:
    """A kept file landed by a layout, into the scratch folder. Raises UnreadableFile when it is not as it was."""
    raw = settings.vault / content["raw_path"]
    profile = profile_file(unpack_gzip(raw, scratch))
    if profile.content_hash != (content["raw_hash"] or content["content_hash"]):
        raise UnreadableFile("its raw file in the vault is not as it was; put the export into the inbox again")
    profile = replace(profile, content_hash=content["content_hash"])
    observed_at = datetime.fromisoformat(content["observed_at"])
    return land_content(
        con,
        profile,
        content["file_name"],
        settings,
        {layout.name: layout},
        scratch,
        observed_at,
        scratch,
        is_strict,
        is_packed=is_gzip(raw),
        is_rendition=bool(content["is_rendition"]),
    )


def adopt(outcome: Outcome, settings) -> Outcome:
    """The landed and rejected files of an outcome, moved from the scratch folder into the vault."""
    landings = []
    for landing in outcome.landings:
        moved = {}
        for name, kind in (("path", "landed"), ("rejects_path", "rejected")):
            source = getattr(landing, name)
            if source and source.exists():
                moved[name] = settings.vault / kind / landing.entity / source.name
                moved[name].parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, moved[name])
        landings.append(replace(landing, **moved))
    return replace(outcome, landings=tuple(landings))
