"""What would land of a file by a layout: the landing itself, of the file's beginning, into a folder that is thrown away."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from pipeline.ingest.contents import land_content
from pipeline.ingest.inspect.tables import TextTable
from pipeline.ingest.layouts import Layout
from pipeline.ingest.read import UnreadableFile, profile_file

TRIAL_BYTES = 64 << 20


@dataclass(frozen=True)
class Trial:
    """What became of the lines. rules: (entity, column, rule, action, count), the commonest first. failed: why nothing did."""

    landings: tuple
    rules: tuple
    failed: str | None
    is_of_the_beginning: bool


def try_landing(con, table: TextTable, layout: Layout, settings, scratch: Path, observed_at: datetime) -> Trial:
    """Land (the first 64 MB of) a table by a layout, into scratch."""
    folder = scratch / f"trial_{layout.name}"
    folder.mkdir(exist_ok=True)
    con.execute("drop schema if exists scratch cascade")
    con.execute("create schema scratch")
    profile = table.original
    is_beginning = profile.size_bytes > TRIAL_BYTES
    if is_beginning:
        # of the readable copy: a piece of another encoding could end inside a character
        profile, layout = _beginning(table.readable, folder), replace(layout, encoding=None)
    try:
        outcome = land_content(
            con,
            profile,
            table.written.file_name,
            settings,
            {layout.name: layout},
            folder,
            observed_at,
            folder,
            False,
            is_rendition=table.part.is_rendition,
        )
    except UnreadableFile as error:
        return Trial((), (), str(error), is_beginning)
    frames = [
        landing.rejects.with_columns(entity=pl.lit(landing.entity))
        for landing in outcome.landings
        if landing.rejects is not None and len(landing.rejects)
    ]
    rules = ()
    if frames:
        counted = pl.concat(frames).group_by("entity", "column_name", "rule", "action").len()
        rules = tuple(
            counted.sort("len", "entity", "column_name", "rule", descending=[True, False, False, False]).rows()
        )
    failed = outcome.message if outcome.status != "landed" else None
    return Trial(outcome.landings, rules, failed, is_beginning)


def _beginning(profile, folder):
    """A copy of a readable file's first bytes, up to a line end."""
    path = folder / "beginning"
    with profile.path.open("rb") as source, path.open("wb") as out:
        out.write(source.read(TRIAL_BYTES))
        out.write(source.readline())
    return profile_file(path)
