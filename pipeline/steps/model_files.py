"""Model files: <version>.json with plain numbers and <version>.md, its card, in data/models. A version is the digest of its file.

A file is never changed, only written and, when no published night uses it, deleted. Nothing in it can run: it is read as
JSON, checked against its own name, and evaluated by this pipeline's code.
"""

import hashlib
import json
import math
import re

import duckdb

from pipeline.models.cards import card_text
from pipeline.models.records import to_json
from pipeline.warehouse import publication_lock, published_nights

FORMAT = 1
MAX_BYTES = 64 << 20
VERSION = re.compile(r"[a-z_]+-[0-9a-f]{16}")
# what a file holds, and of which type
CONTENT = {
    "format": int,
    "model": str,
    "trained_on": str,
    "status": str,
    "message": str,
    "row_count": int,
    "params": dict,
    "metrics": dict,
    "backtests": list,
    "training": dict,
}


class ModelFileError(Exception):
    """A model file cannot be used; the message says which, why, and the mend."""


def write_model(folder, content):
    """Write a model's file and card into a folder; content: a dict of CONTENT. Returns the version."""
    text = to_json(content).encode()
    version = f"{content['model']}-{_digest(text)}"
    if len(text) > MAX_BYTES:
        raise ModelFileError(
            f"models/{version}.json: {len(text):,} bytes are more than {MAX_BYTES:,}; fit a smaller model"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.json").write_bytes(text)
    (folder / f"{version}.md").write_text(card_text(version, json.loads(text)), encoding="utf-8")
    return version


def has_model(folder, version):
    """Whether a version's file is there."""
    return (folder / f"{version}.json").is_file()


def read_model(folder, version):
    """The content of a version's file. Raises ModelFileError for anything but the very file that was written."""
    path = folder / f"{version}.json"
    if not VERSION.fullmatch(version):
        raise ModelFileError(f"{version!r} is no version of a model; run nightly --as-of an earlier date again")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            _refuse(path, f"{size:,} bytes are more than {MAX_BYTES:,}")
        text = path.read_bytes()
        # before anything is parsed: a cut or changed file has another digest
        if _digest(text) != version.rpartition("-")[2]:
            _refuse(path, "its content is not what its name says, it was cut or changed")
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except OSError as error:
        _refuse(path, error.strerror or type(error).__name__)
    except (ValueError, RecursionError):
        _refuse(path, "it is no JSON of plain numbers")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        _refuse(path, f"it is not of format {FORMAT}, another version of this pipeline wrote it")
    wrong = [name for name, kind in CONTENT.items() if type(content.get(name)) is not kind]
    if wrong or content["model"] != version.rpartition("-")[0]:
        _refuse(path, f"it lacks {', '.join(wrong)}" if wrong else f"it is a model of {content['model']}")
    return content


def refuse_model(version, why):
    """A ModelFileError for a file that its model cannot be made from."""
    return ModelFileError(f"models/{version}.json: {why}; delete it, and the next night trains again")


def prune_models(settings):
    """Delete the files that no published night used. Returns the deleted paths.

    A night that is run again reads the model of the published night before it, so those of all snapshots stay.
    """
    used = set()
    try:
        for path in published_nights(settings).values():
            with duckdb.connect(str(path), read_only=True) as con:
                used |= _used_on_its_night(con)
    except duckdb.Error:
        # what a snapshot that cannot be read used is not known: nothing goes
        return []
    with publication_lock(settings.warehouse.parent):
        dropped = [
            path
            for path in sorted(settings.models.glob("*"))
            if path.suffix in (".json", ".md") and VERSION.fullmatch(path.stem) and path.stem not in used
        ]
        for path in dropped:
            path.unlink()
    return dropped


def _used_on_its_night(con):
    known = con.execute(
        "select count(*) from duckdb_columns() where schema_name = 'ops' and table_name = 'model_runs'"
        " and column_name = 'model_file'"
    ).fetchall()
    if known == [(0,)]:
        return set()
    rows = con.execute(
        "select version from ops.model_runs where model_file is not null and as_of = (select max(as_of) from ops.night)"
    ).fetchall()
    return {version for (version,) in rows}


def _digest(text):
    return hashlib.sha256(text).hexdigest()[:16]


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(path, why):
    raise refuse_model(path.stem, why)
