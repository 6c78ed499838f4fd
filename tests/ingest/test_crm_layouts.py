"""Exports of CRM and support systems, from file to landed rows: fixtures/crm_rows.yaml holds them, each checked against its line."""

import csv
import io
import json
import random
from decimal import Decimal
from pathlib import Path

import pytest
import xlsxwriter
import yaml

from pipeline.ingest.contracts import load_contracts
from tests.builders import Intake, our_layouts

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = yaml.load((FIXTURES / "crm_rows.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 (all is text)
KEYED = {"fxiaoke_records.csv": "interaction_id"}


@pytest.fixture
def intake(tmp_path):
    return Intake(tmp_path)


def grid(name):
    with (FIXTURES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def written(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def as_text(given):
    if isinstance(given, bool):
        return str(given).lower()
    return f"{given.normalize():f}" if isinstance(given, Decimal) else str(given)


def landed(intake, layout, content, name="export.csv", table=None):
    """Entity -> lines and rows, as crm_rows.yaml says them, of one file under a name that tells nothing."""
    intake.drop(name, content)
    outcome = intake.night()[table or name]
    assert outcome.layout == layout, outcome.message
    found = {}
    for landing in outcome.landings:
        columns = load_contracts()[landing.entity].columns
        rows = intake.landed(landing) if landing.path else []
        found[landing.entity] = {
            "lines": [str(n) for n in (landing.lines_read, landing.landed, landing.rejected, landing.duplicates)],
            "rows": [{k: as_text(v) for k, v in row.items() if k in columns and v is not None} for row in rows],
        }
    return found


def expected(name, found):
    """What crm_rows.yaml says; a keyed hash, which nobody works out by hand, must only be there."""
    for entity in found.values() if name in KEYED else ():
        assert len({row.pop(KEYED[name]) for row in entity["rows"]}) == len(entity["rows"])
    return EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_lands_as_worked_out(intake, name):
    found = landed(intake, name.split(".")[0], (FIXTURES / name).read_bytes())
    assert found == expected(name, found)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_order_of_columns_and_columns_of_ones_own_change_nothing(intake, name):
    rows = [[*row, "own" if place else f"Own {name}"] for place, row in enumerate(grid(name))]
    order = random.Random(1).sample(range(len(rows[0])), len(rows[0]))
    found = landed(intake, name.split(".")[0], written([[row[place] for place in order] for row in rows]))
    assert found == expected(name, found)


@pytest.mark.parametrize("name", [name for name in EXPECTED if our_layouts()[name.split(".")[0]].also_called])
def test_another_language_lands_the_same(intake, name):
    layout = our_layouts()[name.split(".")[0]]
    (header, *rows) = grid(name)
    others = [layout.also_called.get(cell, (cell,))[-1] for cell in header]
    assert others != header
    if name.startswith("fxiaoke"):
        # its interface names are everyday words; one of its own stands in every object
        others, rows = [*others, "record_type"], [[*row, ""] for row in rows]
    found = landed(intake, layout.name, written([others, *rows]))
    assert {k: v["lines"] for k, v in found.items()} == {k: v["lines"] for k, v in EXPECTED[name].items()}
    if not name.startswith("fxiaoke"):
        assert found == expected(name, found)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_of_what_must_be_there_alone_lands(intake, name):
    layout = our_layouts()[name.split(".")[0]]
    needed = layout.match_columns | layout.match_any
    for entity, mapping in layout.entities.items():
        needed = needed.union(mapping.needs, mapping.unless)
        for column, field in mapping.columns.items():
            if load_contracts()[entity].columns[column].required:
                needed = needed.union(field.columns())
    header = grid(name)[0]
    places = [
        place for place, cell in enumerate(header) if cell in needed or cell.casefold() in map(str.casefold, needed)
    ]
    found = landed(intake, layout.name, written([[row[place] for place in places] for row in grid(name)]))
    ((entity, first), *_) = found.items()
    assert first["lines"][:3] == EXPECTED[name][entity]["lines"][:3]


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith("fxiaoke_")])
def test_a_list_export_lands_from_the_workbook_that_it_is(intake, name):
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet("数据")
        for place, row in enumerate(grid(name)):
            sheet.write_row(place, 0, row)
    found = landed(intake, name.split(".")[0], content.getvalue(), "导出.xlsx", "导出.xlsx/数据")
    assert found == expected(name, found)


def test_tickets_land_from_json_lines(intake):
    header, *rows = grid("zendesk_tickets_json.csv")
    lines = []
    for row in rows:
        ticket = {}
        for path, cell in zip((name.split(".") for name in header), row, strict=True):
            *objects, last = path
            place = ticket
            for part in objects:
                place = place.setdefault(part, {})
            place[last] = json.loads(cell) if cell.startswith("[") else cell or None
        lines.append(json.dumps(ticket, ensure_ascii=False))
    found = landed(intake, "zendesk_tickets_json", "\n".join(lines) + "\n", "tickets.jsonl")
    assert found == expected("zendesk_tickets_json.csv", found)
