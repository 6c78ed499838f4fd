"""Shared by all tests: one Prefect server for the session, and a small night to look at."""

import atexit
import os
from pathlib import Path

import pytest

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

# see flows.py: DuckDB's binding prints a page about its own types at the interpreter's very end
atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))

REALDATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("realdata") and not REALDATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the real data is not beside the repository (../shared/data)"))


@pytest.fixture(scope="session")
def prefect_harness():
    """A temporary Prefect database and server, once for the session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
