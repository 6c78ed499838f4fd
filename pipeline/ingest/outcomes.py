"""What becomes of a file: the outcome that a night reports, and what stops it."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.land import Landing

ORDER_DATA = ("orders", "order_items")


class OrderDataStopped(Exception):
    """Order data cannot be believed: the night stops; the message names the file, the reason and the mend.

    outcome: what was read of the file, where its layout is known.
    """

    def __init__(self, message, outcome=None):
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True)
class Outcome:
    """What became of one file. status: landed, repeated, kept (nothing new), outdated, unknown, changing, unreadable, failed,
    empty, fault (the program failed over it).

    kept: the file without the lines of the suppressed, where there are any, with the hash of its content. warnings: what a
    person should know of how it was read, in English and Chinese. is_bare: of an unknown table, that nothing stands below
    its first line. is_layout_gone: of a kept file, that no layout of data/sources and no [[database]] bears its layout's name.
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
    is_bare: bool = False
    is_layout_gone: bool = False


def discard(outcome: Outcome) -> None:
    """Delete what an outcome wrote."""
    if outcome.kept:
        outcome.kept.unlink()
    for landing in outcome.landings:
        for path in (landing.path, landing.rejects_path):
            if path:
                path.unlink(missing_ok=True)
