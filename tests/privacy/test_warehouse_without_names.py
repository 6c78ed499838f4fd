"""The analysts' file holds no direct identifier: no column of that meaning, and no value under whatever name."""

import pytest

from pipeline.ingest.contracts import load_contracts
from pipeline.privacy.role_files import write_role
from pipeline.privacy.roles import Role
from tests.privacy.landed_night import add_tags, build_night

CANARY_DATE = "1987-06-05"


def canary(entity, column):
    """A value that stands nowhere else: what a personal column of an entity is filled with."""
    return CANARY_DATE if column.type == "date" else f"canary-{entity}-{column.name}"


def landed_row(contract):
    """One valid row whose personal columns are canaries, all of one customer."""
    filled = {"timestamp": "2026-01-02", "date": "2026-01-02", "boolean": "false", "currency": "CNY"}
    row = {}
    for name, column in contract.columns.items():
        plain = column.values[0] if column.values else filled.get(column.type, "1")
        plain = "true" if name.endswith("_allowed") else plain
        row[name] = canary(contract.entity, column) if column.personal else plain
    return row | {"deleted": "false"} if "deleted" in row else row


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    landed = {entity: [landed_row(contract)] for entity, contract in load_contracts().items()}
    con = build_night(tmp_path_factory.mktemp("landed"), landed)
    add_tags(con)
    yield con
    con.close()


def cells(con, database):
    """Every (schema, table, column, cell as text) of a database."""
    columns = con.execute(
        "select schema_name, table_name, column_name from duckdb_columns() where database_name = ?"
        " and not internal and (schema_name <> 'main' or database_name = 'vault')",
        (database,),
    ).fetchall()
    for schema, table, column in columns:
        text = f'select distinct "{column}"::varchar from {database}.{schema}.{table} where "{column}" is not null'
        for (cell,) in con.execute(text).fetchall():
            yield schema, table, column, cell


def test_the_rows_landed_and_their_canaries_reach_the_vault(con):
    counts = {
        entity: con.execute(f"select count(*) from core.{entity}").fetchall()[0][0] for entity in load_contracts()
    }
    # and a consent for each flag on the customer's record
    flags = sum(name.endswith("_allowed") for name in load_contracts()["customers"].columns)
    assert counts == dict.fromkeys(load_contracts(), 1) | {"consents": 1 + flags}
    found = {cell for _, _, _, cell in cells(con, "vault")}
    assert {CANARY_DATE, "canary-customers-name", "canary-customers-phone"} <= found


def test_no_personal_value_is_in_the_warehouse_under_any_name(con):
    found = [place for *place, cell in cells(con, "memory") if "canary" in cell or CANARY_DATE in cell]
    assert found == []


def test_no_personal_column_is_in_its_table(con):
    for entity, contract in load_contracts().items():
        published = con.execute(
            "select distinct column_name from duckdb_columns() where schema_name = 'core'"
            " and table_name in (?, ? || '_history', replace(?, 'customers', 'customer_versions'))",
            (entity, entity, entity),
        ).fetchall()
        personal = {name for name, column in contract.columns.items() if column.personal}
        assert published and not personal & {name for (name,) in published}, entity


@pytest.mark.parametrize("identifiers", ["none", "pseudonym"])
def test_a_role_without_contact_data_holds_none(con, tmp_path, identifiers):
    tables = con.execute(
        "select schema_name || '.' || table_name from duckdb_tables()"
        " where database_name = 'memory' and schema_name in ('core', 'marts', 'scores', 'tags')"
    ).fetchall()
    role = Role("all", "profiling", identifiers, tuple(table for (table,) in tables), {}, {})
    customers, _ = write_role(con, role, tmp_path / "all.duckdb", "v1.2.0", "key")
    assert customers == 1
    con.execute(f"attach '{tmp_path / 'all.duckdb'}' as role_of_all (read_only)")
    found = [place for *place, cell in cells(con, "role_of_all") if "canary" in cell or CANARY_DATE in cell]
    con.execute("detach role_of_all")
    assert found == []
