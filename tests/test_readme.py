"""Both READMEs say the same, name every command and option, and their worked example is a layout that loads."""

import argparse
import csv
import re
from pathlib import Path

import pytest

import flows
from pipeline.ingest.recognition import recognise
from pipeline.ingest.sources import read_layout

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")


def text_of(readme):
    return (ROOT / readme).read_text(encoding="utf-8")


def blocks(readme):
    """(language, code) of each fenced block, without its comments: those are translated."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(readme), re.M | re.S)
    return [(language, re.sub(r"\s*(?:#|--) .*", "", code)) for language, code in found]


def block(readme, language):
    return next(code for kind, code in blocks(readme) if kind == language)


def commands(monkeypatch):
    """Command -> its options, from the parser of flows.py."""
    parsers = []
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self, arguments=None: parsers.append(self))
    flows.parse([])
    choices = next(action.choices for action in parsers[0]._actions if action.choices)
    return {name: [action for action in parser._actions if action.dest != "help"] for name, parser in choices.items()}


@pytest.mark.parametrize("readme", READMES)
def test_every_command_and_option_is_documented(readme, monkeypatch):
    rows = {row.split()[0]: row for row in re.findall(r"^\| `([^`]+)` \|", text_of(readme), re.M)}
    for name, actions in commands(monkeypatch).items():
        assert name in rows, f"{readme}: no row for {name} in the table of commands"
        for action in actions:
            known = action.option_strings or [action.metavar]
            where = text_of(readme) if "--data-dir" in known else rows[name]
            assert any(option in where for option in known), f"{readme}: {name} has {known[0]}"


@pytest.mark.parametrize("readme", READMES)
def test_no_command_is_documented_that_is_not_there(readme, monkeypatch):
    known = commands(monkeypatch)
    used = re.findall(r"python flows\.py (\w+)", text_of(readme))
    assert used
    assert set(used) <= set(known)


def test_both_have_the_same_headings_and_blocks():
    headings = [re.findall(r"^#+ ", text_of(readme), re.M) for readme in READMES]
    assert headings[0] == headings[1]
    assert blocks(READMES[0]) == blocks(READMES[1])


@pytest.mark.parametrize("readme", READMES)
def test_the_worked_example_is_a_layout_that_recognises_its_file(readme, tmp_path):
    path = tmp_path / "webshop.yaml"
    path.write_text(block(readme, "yaml"), encoding="utf-8")
    layout = read_layout(path)
    header = next(csv.reader(block(readme, "csv").splitlines()))
    assert recognise("webshop.csv", header, {layout.name: layout}) == layout
    assert all(set(field.columns()) <= set(header) for field in layout.entities["orders"].columns.values())


@pytest.mark.parametrize("readme", READMES)
def test_links_and_make_targets_exist(readme):
    text = text_of(readme)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert all((ROOT / link).exists() for link in links), links
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.M))
    assert targets == set(re.findall(r"\bmake (\w+)", text)) & targets


@pytest.mark.parametrize("picture", ["flow.svg", "flow.zh-CN.svg"])
def test_pictures_stand_alone(picture):
    text = (ROOT / "docs" / picture).read_text(encoding="utf-8")
    assert "xlink" not in text and "href" not in text and "@import" not in text
    assert set(re.findall(r"https?://[^\s\"]+", text)) == {"http://www.w3.org/2000/svg"}
