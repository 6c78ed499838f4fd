"""An error that nobody foresaw, while one file is read: named with that file, and told without a cell of it."""

import sqlite3
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.read import UnreadableFile

# of the machine, not of the file: the disk, the memory, the ledger
NOT_OF_THE_FILE = (OSError, MemoryError, duckdb.OperationalError, sqlite3.Error)


class FileFault(UnreadableFile):
    """The program failed over a file. What can be read is read; the message says where it failed, for its makers."""

    status = "fault"


@contextmanager
def told_as_fault():
    """Raises FileFault for any error within that nobody foresaw; its traceback goes to the log, without its message."""
    why = None
    try:
        yield
    except (UnreadableFile, OrderDataStopped, *NOT_OF_THE_FILE):
        raise
    except Exception as error:
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr)
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
    # raised outside the except block: the new error must not carry the old one, whose message may hold a cell
    if why:
        raise FileFault(f"the program failed over it: {why}; tell its makers, and take the file out of the inbox")
