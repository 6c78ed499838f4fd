"""What becomes of a file: the outcome that a night reports, and what stops it."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.land import Landing

ORDER_DATA = ("orders", "order_items")


class OrderDataStopped(Exception):
    """Order data cannot be believed: the night stops; the message names the file, the reason and the mend."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. status: landed, repeated, kept (nothing new), outdated, unknown, changing, unreadable, failed,
    fault (the program failed over it).

    kept: the file without the lines of the suppressed, where there are any, with the hash of its content. warnings: what a
    person should know of how it was read, in English and Chinese.
    """

    file_name: str
    status: str
    message: str = ""
    file_id: str = ""
    layout: str = ""
    source: str = ""
    size_bytes: int = 0
    line_count: int = 0
    observed_at: str = ""
    header: tuple[str, ...] = ()
    landings: tuple[Landing, ...] = ()
    kept: Path | None = None
    kept_hash: str | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    content_hash: str = ""
    kinds: dict = field(default_factory=dict)
    schema_change: str = ""


def discard(outcome: Outcome) -> None:
    """Delete what an outcome wrote."""
    if outcome.kept:
        outcome.kept.unlink()
    for landing in outcome.landings:
        for path in (landing.path, landing.rejects_path):
            if path:
                path.unlink(missing_ok=True)
