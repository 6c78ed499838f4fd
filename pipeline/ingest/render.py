"""The child process that turns a workbook, JSON, Parquet or HTML file into text tables, within limits of its own.

python -m pipeline.ingest.render KIND PATH FOLDER MEMORY_BYTES FILE_BYTES writes FOLDER/report.json: failure (one line or
null), notes, and parts (label, file, warnings in English and Chinese). It is run by containers.render alone.
"""

import importlib
import json
import re
import resource
import sys
from pathlib import Path

MODULES = {"workbook": "workbooks", "json": "documents", "parquet": "parquet", "markup": "markup"}


class NotRendered(Exception):
    """The file has no tables that can be read; the message says why, and the mend."""


def quoted(text: str) -> str:
    """A cell as it stands in a rendition."""
    return '"' + text.replace('"', '""') + '"'


def main(kind, path, folder, memory, file_bytes):
    """Render one file. What goes wrong inside a library is told by its kind alone: its words may quote a cell."""
    for limit, value in (
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_FSIZE, int(file_bytes)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    report = {"failure": None, "notes": [], "parts": []}
    try:
        module = importlib.import_module(f"pipeline.ingest.{MODULES[kind]}")
        report["parts"], report["notes"] = module.render(Path(path), Path(folder), int(memory))
    except MemoryError:
        raise
    except Exception as error:
        words = f"is no {kind} that can be read ({type(error).__name__}); save it again, or export it as CSV"
        if isinstance(error, NotRendered):
            words = str(error)
        report["failure"] = _limit_met(error, int(file_bytes)) or words
    (Path(folder) / "report.json").write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")


def _limit_met(error, file_bytes):
    """What to say where a limit of this process is why a file was not read; None where it is not."""
    for one in (error, error.__context__):
        if re.search("File too large|ould not write|write failed", str(one)):
            return f"its tables take more than {file_bytes:,} bytes as text, of which a file of its size has no need; split it"
        if type(one).__name__ == "OutOfMemoryException":
            return "reading it needs more than half of memory_limit; raise that, or export it as JSON lines or CSV"
    return None


if __name__ == "__main__":
    # in a module of that name, so that NotRendered is one class
    importlib.import_module("pipeline.ingest.render").main(*sys.argv[1:])
