"""Who may be one: identity.yaml, the user's data/identity/rules.yaml over it, and data/identity/decisions.csv."""

import csv
import difflib
import re
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb
import yaml

from pipeline.ingest.contracts import load_contracts

SHIPPED = Path(__file__).parent / "identity.yaml"
OPTIONS = {"columns", "in_any_order", "unless_differs"}
DECISION_COLUMNS = (
    "decision",
    "source",
    "source_customer_id",
    "other_source",
    "other_source_customer_id",
    "decided_on",
    "note",
)


class IdentityError(Exception):
    """Identity rules or decisions cannot be used; the message names the file, the place and the mend."""


@dataclass(frozen=True)
class Identifier:
    """What links two records that show the same of it: the values of one or more columns together."""

    name: str
    columns: tuple[str, ...]
    in_any_order: bool = False
    unless_differs: str | None = None


@dataclass(frozen=True)
class Decision:
    """A line of decisions.csv: two records are the same person, or different ones, whatever the rules find.

    A record is (source, id there); ("", id) is the customer of that id, which only `same` may name.
    """

    line: int
    is_same: bool
    record: tuple[str, str]
    other: tuple[str, str]
    decided_on: date


def load_rules(user_folder: Path | None = None) -> dict:
    """The keys of identity.yaml, replaced by those of <user_folder>/rules.yaml; identifiers as a tuple of Identifier.

    Raises IdentityError.
    """
    rules = dict(_read(SHIPPED))
    path = user_folder / "rules.yaml" if user_folder else None
    where = SHIPPED.name
    if path and path.exists():
        where = path.name
        given = _read(path)
        _known(where, "", given, rules)
        rules |= given
        if "probable" in given:
            _check_probable(where, given["probable"], _read(SHIPPED)["probable"])
    _dictionary(where, "identifiers", rules["identifiers"])
    rules["identifiers"] = tuple(_identifier(where, name, spec) for name, spec in rules["identifiers"].items())
    single = {rule.columns[0] for rule in rules["identifiers"] if len(rule.columns) == 1} | {"email", "phone"}
    for name, patterns in _dictionary(where, "blocked", rules["blocked"]).items():
        _known(where, "blocked: ", [name], single)
        if not isinstance(patterns, list):
            raise IdentityError(f"{where}: blocked: {name}: write a list of regular expressions")
        for pattern in patterns:
            try:
                with duckdb.connect() as con:
                    con.execute("select regexp_full_match('', ?)", (str(pattern),)).fetchall()
            except duckdb.Error as error:
                why = str(error).splitlines()[0].removeprefix("Invalid Input Error: ")
                raise IdentityError(
                    f'{where}: blocked: {name}: "{pattern}" is no regular expression that DuckDB (RE2) knows: {why}'
                ) from None
    return rules


def _read(path):
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise IdentityError(f"{path.name}: not readable as YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise IdentityError(f"{path.name}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    return _dictionary(path.name, "the file", content or {})


def _check_probable(where, given, shipped):
    """The block of probable links is replaced whole: its keys are all there, and no others."""
    _known(where, "probable: ", _dictionary(where, "probable", given), shipped)
    lacking = sorted(set(shipped) - set(given))
    if lacking:
        raise IdentityError(f"{where}: probable: {lacking[0]}: is missing; copy the whole block of {SHIPPED.name}")
    if not isinstance(given["enabled"], bool):
        raise IdentityError(f"{where}: probable: enabled: write true or false")
    if given["enabled"] and find_spec("splink") is None:
        raise IdentityError(f"{where}: probable: needs Splink: pip install '.[splink]', or write enabled: false")


def _identifier(where, name, spec):
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
        raise IdentityError(f"{where}: identifiers: {name}: use small letters, digits and _")
    _known(where, f"identifiers: {name}: ", _dictionary(where, name, spec), OPTIONS)
    columns = spec.get("columns")
    if not isinstance(columns, list) or not columns or not all(isinstance(column, str) for column in columns):
        raise IdentityError(f"{where}: identifiers: {name}: columns: write a list, such as [surname, birth_date]")
    if not isinstance(spec.get("unless_differs", ""), str):
        raise IdentityError(f"{where}: identifiers: {name}: unless_differs: write one column, such as birth_date")
    if not isinstance(spec.get("in_any_order", False), bool):
        raise IdentityError(f"{where}: identifiers: {name}: in_any_order: write true or false")
    described = load_contracts()["customers"].columns
    for column in [*columns, *filter(None, [spec.get("unless_differs")])]:
        _known(where, f"identifiers: {name}: ", [column], described)
    return Identifier(
        name=name,
        columns=tuple(columns),
        in_any_order=spec.get("in_any_order", False),
        unless_differs=spec.get("unless_differs"),
    )


def load_decisions(user_folder: Path) -> tuple[Decision, ...]:
    """The lines of <user_folder>/decisions.csv, none where there is no such file. Raises IdentityError."""
    path = user_folder / "decisions.csv"
    if not path.exists():
        return ()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = set(DECISION_COLUMNS) - {"note"} - set(reader.fieldnames or ())
            if lacking:
                raise IdentityError(
                    f"{path.name} line 1: no column {', '.join(sorted(lacking))}; it needs {', '.join(DECISION_COLUMNS)}"
                )
            return tuple(_decision(path.name, reader.line_num, row) for row in reader)
    except UnicodeDecodeError as error:
        raise IdentityError(f"{path.name}: not UTF-8 (byte {error.start}); save it as CSV UTF-8") from None


def _decision(where, line, row):
    row = {name: (row[name] or "").strip() for name in DECISION_COLUMNS if name in row}
    if row["decision"] not in ("same", "different"):
        raise IdentityError(f'{where} line {line}: decision is "{row["decision"]}"; write same or different')
    try:
        decided_on = date.fromisoformat(row["decided_on"])
    except ValueError:
        raise IdentityError(
            f'{where} line {line}: decided_on "{row["decided_on"]}" is no date; write for example 2026-11-01'
        ) from None
    record, other = ((row[f"{prefix}source"], row[f"{prefix}source_customer_id"]) for prefix in ("", "other_"))
    if row["decision"] == "different" and not (record[0] and other[0]):
        raise IdentityError(
            f"{where} line {line}: different must name two records by source and source_customer_id (core.customer_sources)"
        )
    if not record[1] or not other[1] or record == other:
        raise IdentityError(
            f"{where} line {line}: name two records by source and source_customer_id, or by customer_id with source empty"
        )
    return Decision(line, row["decision"] == "same", record, other, decided_on)


def _dictionary(where, path, given):
    if not isinstance(given, dict):
        raise IdentityError(f"{where}: {path}: must hold `name: value` lines")
    return given


def _known(where, path, given, known):
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(sorted(known))}"
            raise IdentityError(f'{where}: {path}unknown "{name}"; {hint}')
