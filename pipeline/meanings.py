"""A COMMENT on every published table and column: what it means, in English and Chinese, from meanings.yaml and the contracts."""

from functools import cache
from pathlib import Path

import yaml

from pipeline.ingest.contracts import load_contracts
from pipeline.warehouse import identifier, literal


@cache
def load_meanings() -> dict:
    """tables: {schema.table: {en, zh}}; columns: {name or schema.table.name: {en, zh}}."""
    return yaml.safe_load((Path(__file__).parent / "meanings.yaml").read_text(encoding="utf-8"))


def column_meaning(schema: str, table: str, column: str) -> dict | None:
    """The meaning of a column: of this very column, else of its contract, else of every column of that name."""
    meanings = load_meanings()["columns"]
    if table == "customer_attribute_sources" and column.endswith("_source"):
        return _source_meaning(column.removesuffix("_source"))
    own = meanings.get(f"{schema}.{table}.{column}")
    if own:
        return own
    versions_of = {"customer_versions": "customers", "company_versions": "companies"}
    contract = load_contracts().get(versions_of.get(table, table.removesuffix("_history")))
    if schema == "core" and contract and column in contract.columns:
        return {"en": contract.columns[column].en, "zh": contract.columns[column].zh}
    return meanings.get(column)


def _source_meaning(attribute):
    """Of a column that names the source of an attribute; a place is several columns of the contract."""
    of = load_contracts()["customers"].columns.get(attribute)
    en, zh = (of.en, of.zh) if of else ("province, city, district, address and postal code", "省、市、区、地址、邮编")
    return {"en": f"source that says the {en}; null where none does", "zh": f"{zh}取自的来源；均未填写时为空"}


def uncommented(con) -> list[str]:
    """Tables and columns of the default database that have no meaning."""
    meanings = load_meanings()["tables"]
    columns = _columns(con)
    tables = sorted({f"{schema}.{table}" for schema, table, _ in columns} - set(meanings))
    return tables + [".".join(column) for column in columns if column_meaning(*column) is None]


def comment_all(con) -> None:
    """Write every comment. A table or column without a meaning keeps none; a test holds that there is no such."""
    meanings = load_meanings()["tables"]
    columns = _columns(con)
    for schema, table in sorted({(schema, table) for schema, table, _ in columns}):
        meaning = meanings.get(f"{schema}.{table}")
        if meaning:
            con.execute(f"comment on table {schema}.{table} is {literal(_both(meaning))}")
    for schema, table, column in columns:
        meaning = column_meaning(schema, table, column)
        if meaning:
            con.execute(f"comment on column {schema}.{table}.{identifier(column)} is {literal(_both(meaning))}")


def _both(meaning):
    return f"{meaning['en']} / {meaning['zh']}"


def _columns(con):
    return con.execute(
        "select schema_name, table_name, column_name from duckdb_columns()"
        " where database_name = current_database() and not internal and schema_name <> 'main'"
        " order by schema_name, table_name, column_index"
    ).fetchall()
