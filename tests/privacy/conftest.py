"""One small shop's night for all tests of this folder; who writes to it takes a copy."""

import shutil
from datetime import date

import pytest

import flows
from pipeline.ingest.demo import write_demo

AS_OF = date(2026, 11, 1)
ROLES = """
[roles.agency]
purpose = "sharing"
identifiers = "pseudonym"
tables = ["marts.customer_facts"]

[roles.desk]
purpose = "service"
identifiers = "contact"
tables = ["core.tickets"]

[roles.hopeless]
purpose = "service"
tables = ["core.tickets"]
columns = {"core.tickets" = ["order_count"]}
"""


@pytest.fixture(scope="session")
def shop_night(tmp_path_factory, prefect_harness):
    """The parent of a data folder named shop and of its key, after one night with three roles."""
    folder = tmp_path_factory.mktemp("shop_night")
    data_dir = folder / "shop"
    write_demo(data_dir / "inbox", folder / "truth", 300, 7, AS_OF)
    (data_dir / "settings.toml").write_text(ROLES, encoding="utf-8")
    flows.nightly_flow(str(data_dir), str(AS_OF))
    return folder


@pytest.fixture
def data_dir(shop_night, tmp_path):
    """A copy of the shop's data folder, with its key beside it."""
    shutil.copytree(shop_night / "shop", tmp_path / "shop")
    shutil.copy2(shop_night / "shop.key", tmp_path / "shop.key")
    return tmp_path / "shop"
