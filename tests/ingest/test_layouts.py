"""Every export that a layout of ours reads is told from every other by its header, whatever the file is called.

tests/ingest/fixtures/<layout>.csv, and <layout>.2.csv for another edition of the same export.
"""

import csv
from pathlib import Path

import pytest

from pipeline.ingest.recognition import recognise
from tests.builders import our_layouts

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.csv"))


def header_of_fixture(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_an_export_is_recognised_by_its_header_alone(path):
    header = header_of_fixture(path)
    expected = path.name.split(".")[0]
    for one in (header, header[::-1], [cell.upper() for cell in header], [*header, "一列", "Another column"]):
        assert recognise("anything.csv", one, our_layouts()).name == expected


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_no_two_signatures_fit_an_export_equally(path):
    header = header_of_fixture(path)
    fitting = [one for one in our_layouts().values() if recognise("anything.csv", header, {one.name: one})]
    sizes = sorted((len(one.match_columns) for one in fitting), reverse=True)
    assert len(sizes) == 1 or sizes[0] > sizes[1]


def test_every_layout_has_a_fixture():
    ours = {name for name in our_layouts() if not name.startswith("demo_")}
    assert ours == {path.name.split(".")[0] for path in FIXTURES}
