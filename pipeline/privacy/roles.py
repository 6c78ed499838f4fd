"""Roles: who may see less, or more, than the warehouse holds, and the file that each gets. A table of settings.toml each:

[roles.jiangsu]
purpose = "marketing"        # service, marketing, profiling or sharing: who did not agree to it is left out
identifiers = "none"         # none: ids as in the warehouse; pseudonym: ids of this file alone; contact: vault.contacts too
tables = ["marts.customer_facts", "tags.customer_tags"]
columns = {"marts.customer_facts" = ["customer_id", "order_count"]}    # all columns of a table not named here
rows = {province = ["江苏省"], owner = ["E012"]}    # values of columns of marts.customer_facts; each of them must hold
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.ingest.contracts import load_contracts
from pipeline.meanings import column_meaning, load_meanings
from pipeline.settings import PURPOSES, SettingsError

FIELDS = ("purpose", "identifiers", "tables", "columns", "rows")
IDENTIFIERS = ("none", "pseudonym", "contact")
CONTACTS = "vault.contacts"
# a file is attached under its own name, which must not be one that a query may mean as a schema
TAKEN = {"core", "marts", "scores", "tags", "ops", "vault", "main", "temp", "system", "warehouse", "work"}


@dataclass(frozen=True)
class Role:
    """One role, as its table in settings.toml says it."""

    name: str
    purpose: str
    identifiers: str
    tables: tuple[str, ...]
    columns: dict[str, list[str]]
    rows: dict[str, list]


def load_roles(settings) -> tuple[Role, ...]:
    """The roles of the settings, by name.

    Raises SettingsError for what no night could write: an unknown field, purpose or table, or a column that no table has.
    """
    return tuple(_read_role(name, settings.roles[name]) for name in sorted(settings.roles))


def _read_role(name, given):
    where = f"settings.toml, [roles.{name}]"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in TAKEN:
        raise SettingsError(f"{where}: the name becomes a file; use small letters, digits and _, and no schema's name")
    if not isinstance(given, dict):
        raise SettingsError(f"{where}: must be a table with {', '.join(FIELDS)}")
    for field in given:
        _known(field, FIELDS, f"{where}: unknown field")
    for field in ("purpose", "tables"):
        if not given.get(field):
            raise SettingsError(f"{where}: {field} is missing; a role says what it is for and which tables it sees")
    role = Role(
        name,
        given["purpose"],
        given.get("identifiers", "none"),
        tuple(_texts(given["tables"], f"{where}, tables")),
        given.get("columns", {}),
        given.get("rows", {}),
    )
    _known(role.purpose, PURPOSES, f"{where}: unknown purpose")
    _known(role.identifiers, IDENTIFIERS, f"{where}: unknown identifiers")
    for table in role.tables:
        _known(table, load_meanings()["tables"], f"{where}: unknown table")
    for field in ("columns", "rows"):
        if not isinstance(getattr(role, field), dict):
            raise SettingsError(f"{where}, {field}: must be a table of lists")
    for table, names in role.columns.items():
        _known(table, tables_of(role), f"{where}, columns: no table of this role is")
        for column in _texts(names, f"{where}, columns of {table}"):
            _check_column(table, column, where)
    for column, values in role.rows.items():
        _check_column("marts.customer_facts", column, f"{where}, rows")
        if not isinstance(values, list) or not values or not all(isinstance(one, str | int) for one in values):
            raise SettingsError(f'{where}, rows: {column} must be a list of values, such as ["江苏省"]')
    return role


def tables_of(role: Role) -> tuple[str, ...]:
    """What a role's file holds; the contacts are added for who may see them."""
    return (*role.tables, CONTACTS) if role.identifiers == "contact" else role.tables


def _texts(given, where):
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise SettingsError(f"{where}: must be a list of names")
    return given


def _known(name, names, what):
    if name not in names:
        raise SettingsError(f'{what} "{name}"; {near_or_all(name, names)}')


def near_or_all(name, names) -> str:
    """The mend of a misspelt name."""
    near = difflib.get_close_matches(str(name), [str(one) for one in names], n=1)
    return f'did you mean "{near[0]}"?' if near else f"there is {', '.join(sorted(map(str, names))[:12])}"


def _check_column(table, column, where):
    """A column without a meaning is in no published table; whether it is in this one, the night knows."""
    if table == CONTACTS:
        _known(column, ["customer_id", *load_contracts()["customers"].columns], f"{where}: {CONTACTS} has no column")
    elif column_meaning(*table.split("."), column) is None:
        contract = load_contracts().get(table.removeprefix("core."))
        known = [*contract.columns] if contract else [name.split(".")[-1] for name in load_meanings()["columns"]]
        _known(column, known, f"{where}: {table} has no column")


def role_path(settings, role: Role) -> Path:
    """Where a role's file is published: one with contact data in the vault, any other beside the warehouse."""
    folder = settings.vault if role.identifiers == "contact" else settings.warehouse.parent
    return folder / "roles" / f"{role.name}.duckdb"


def role_files(settings) -> list[Path]:
    """Every role file that stands published."""
    folders = (settings.warehouse.parent / "roles", settings.vault / "roles")
    return sorted(path for folder in folders for path in folder.glob("*.duckdb"))
