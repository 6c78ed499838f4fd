"""Contracts: what a row of each entity must be. Read from contracts/*.yaml, THE source for types, rules and meanings."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "contracts"

# contract type -> type in DuckDB
SQL_TYPES = {
    "id": "varchar",
    "text": "varchar",
    "category": "varchar",
    "email": "varchar",
    "phone": "varchar",
    "currency": "varchar",
    "integer": "bigint",
    "decimal": "decimal(18, 4)",
    "money": "decimal(18, 4)",
    "date": "date",
    "timestamp": "timestamp",
    "boolean": "boolean",
}

# landed with every row beside the contract's columns
LANDED_COLUMNS = {
    "source": "varchar",
    "customer_key": "varchar",
    "file_id": "varchar",
    "file_record": "bigint",
    "observed_at": "timestamp",
    "delivery": "varchar",
    "custom": "varchar",
}


class ContractError(Exception):
    """A contract or a source layout cannot be; the message names file, field and the mend."""


@dataclass(frozen=True)
class Column:
    """One column of a contract. A bad value rejects the row (on_error "reject") or is emptied ("empty").

    words: lower-case word -> the value that it means in any export, '' where it says nothing.
    """

    name: str
    type: str
    en: str
    zh: str
    required: bool = False
    personal: bool = False
    values: tuple[str, ...] = ()
    words: dict = field(default_factory=dict)
    min: object = None
    max: object = None
    not_in_future: bool = False
    on_error: str = "empty"

    @property
    def sql_type(self):
        return SQL_TYPES[self.type]


@dataclass(frozen=True)
class Contract:
    """One entity: its columns, key, whole-row rules and the share of rejected rows it bears."""

    entity: str
    meaning: dict
    key: tuple[str, ...]
    columns: dict[str, Column]
    max_rejected_share: float
    event_time: str | None = None
    rules: dict = field(default_factory=dict)

    @property
    def follows_order(self):
        """Whether its amounts are in the currency of an order, unless the file says otherwise."""
        return "currency" in self.columns and "order_id" in self.columns and self.entity != "orders"

    @property
    def has_customer(self):
        return "source_customer_id" in self.columns

    def landed_columns(self):
        """Name -> DuckDB type of every column of a landed file of this entity."""
        rate = {"exchange_rate": "decimal(18, 8)"} if "currency" in self.columns else {}
        return {name: column.sql_type for name, column in self.columns.items()} | rate | LANDED_COLUMNS


@cache
def load_contracts() -> dict[str, Contract]:
    """Every contract by entity. Raises ContractError on an unknown field or type."""
    contracts = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        contract = _contract(path.name, yaml.safe_load(path.read_text(encoding="utf-8")))
        if contract.entity != path.stem:
            raise ContractError(f'{path.name}: entity is "{contract.entity}"; it must be named as the file')
        contracts[contract.entity] = contract
    return contracts


def _contract(where, document):
    columns = {}
    for name, spec in document.pop("columns").items():
        if spec.get("type") not in SQL_TYPES:
            raise ContractError(f'{where}: {name}: unknown type "{spec.get("type")}"; one of {", ".join(SQL_TYPES)}')
        if spec.get("required"):
            spec["on_error"] = "reject"
        spec["values"] = tuple(spec.get("values", ()))
        spec["words"] = {word: value for value, words in spec.get("words", {}).items() for word in words}
        try:
            columns[name] = Column(name=name, **spec)
        except TypeError as error:
            raise ContractError(f"{where}: {name}: {error}") from error
    for name in document["key"]:
        if name not in columns or not columns[name].required:
            raise ContractError(f"{where}: key column {name} must be among the columns, with required: true")
    if document["meaning"].keys() != {"en", "zh"}:
        # a comma in a text without quotes ends it
        raise ContractError(f"{where}: meaning must have en and zh alone; put texts with a comma into quotes")
    document["key"] = tuple(document["key"])
    try:
        return Contract(columns=columns, **document)
    except TypeError as error:
        raise ContractError(f"{where}: {error}") from error
