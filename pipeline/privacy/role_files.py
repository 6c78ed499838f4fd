"""The file of a role, written fresh every night: its tables and columns, of its customers alone, under the ids it may see."""

import re
from pathlib import Path

from pipeline.ingest.contracts import load_contracts
from pipeline.privacy.roles import CONTACTS, Role, near_or_all, tables_of
from pipeline.warehouse import attach, identifier, literal, value

# the customers whom a purpose covers: THE place that says whose consent counts for what
COVERED = """
    select customer_id from marts.customer_facts as facts semi join (
        select customer_id from work.consents_held where purpose = {purpose} and is_allowed
    ) as agreed using (customer_id) where not is_deleted"""


class RoleError(Exception):
    """Tonight's tables do not have what a role names; the message says which role, what, and the mend."""


def write_role(con, role: Role, target: Path, storage_version: str, key: str) -> tuple[int, list[tuple[str, str]]]:
    """Write a role's fresh file: its tables and columns, of its customers alone, with their comments.

    con: a night's connection, the warehouse its default database, with the database work, whose consents_held is
    tonight's, and, for a role with contact data, the database vault. key: of the pseudonyms, which differ from role to
    role. Returns how many customers, and remarks (en, zh) on values of `rows` that nobody has. Raises RoleError for a
    column that a table does not have.
    """
    columns = {table: _chosen_columns(con, role, table) for table in tables_of(role)}
    remarks = _choose_customers(con, role, key)
    target.parent.mkdir(parents=True, exist_ok=True)
    attach(con, target, "role_file", storage_version)
    try:
        for table, chosen in columns.items():
            _write_table(con, role, table, chosen)
        con.execute("checkpoint role_file")
    finally:
        con.execute("detach role_file")
        con.execute("reset variable role_key")
    if role.identifiers == "contact":
        target.chmod(0o600)
    customers = value(con, "select count(*) from role_customers")
    if not customers:
        remarks.append((f"role {role.name}: it holds no customer", f"角色 {role.name}：其中没有任何客户"))
    return customers, remarks


def _columns_of(con, table):
    """Column -> comment of a published table, or of the contacts, whose meanings are the contract's."""
    schema, name = table.split(".")
    database = "vault" if table == CONTACTS else value(con, "select current_database()")
    rows = con.execute(
        "select column_name, comment from duckdb_columns() where database_name = ? and table_name = ?"
        " and (schema_name = ? or database_name = 'vault') order by column_index",
        (database, name, schema),
    ).fetchall()
    if table != CONTACTS:
        return dict(rows)
    contract = load_contracts()["customers"].columns
    return {name: f"{contract[name].en} / {contract[name].zh}" if name in contract else None for name, _ in rows}


def _chosen_columns(con, role, table):
    """Column -> comment of what the role sees of a table. Raises RoleError."""
    comments = _columns_of(con, table)
    named = role.columns.get(table)
    where = f"settings.toml, [roles.{role.name}]"
    for column in named or ():
        if column not in comments:
            raise RoleError(f'{where}: {table} has no column "{column}"; {near_or_all(column, comments)}')
        if role.identifiers == "pseudonym" and _is_source_id(column):
            raise RoleError(
                f"{where}: {table}.{column} is an id of a source, which a role with pseudonyms does not see"
            )
        if role.identifiers == "pseudonym" and _names_company(table, column):
            raise RoleError(f"{where}: {table}.{column} names a company, which a role with pseudonyms does not see")
    chosen = {column: comments[column] for column in named or comments}
    if role.identifiers == "pseudonym":
        chosen = {
            column: comment
            for column, comment in chosen.items()
            if not (_is_source_id(column) or _names_company(table, column))
        }
    return chosen


def _is_source_id(column):
    """Whether a column holds a customer's or company's id in a source, or names the file that a row came from."""
    return column == "file_id" or re.search(r"(^|_)(source_(customer|company)_id|key)$", column) is not None


def _is_company_id(column):
    return re.search(r"(^|_)company_id$", column) is not None and not _is_source_id(column)


def _names_company(table, column):
    """Whether a column tells anybody which company is meant."""
    return table in ("core.companies", "core.company_versions") and column in ("name", "registration_id", "domain")


def _record_ids():
    """The ids of what customers did: orders, tickets and so on, by which two receivers could join their files."""
    return {
        name
        for contract in load_contracts().values()
        if contract.has_customer or "order_id" in contract.columns
        for name in contract.key
        if name.endswith("_id")
    }


def _choose_customers(con, role, key):
    """work.role_customers (customer_id, shown_id): whom the role sees, and under which id. Returns remarks.

    And work.role_companies (company_id): the companies of these customers, which a role held to some rows sees alone.
    """
    known, remarks = _columns_of(con, "marts.customer_facts"), []
    conditions = []
    for column, values in role.rows.items():
        where = f"settings.toml, [roles.{role.name}], rows"
        if column not in known:
            raise RoleError(f'{where}: marts.customer_facts has no column "{column}"; {near_or_all(column, known)}')
        text = f"{identifier(column)}::varchar"
        listed = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
        held = con.execute(f"select distinct {text} from marts.customer_facts where {text} is not null").fetchall()
        held = [one for (one,) in held]
        for one in sorted(set(listed) - set(held)):
            hint = near_or_all(one, held)
            remarks.append(
                (
                    f'role {role.name}: no customer has {column} "{one}"; {hint}',
                    f"角色 {role.name}：没有客户的 {column} 为“{one}”；{hint}",
                )
            )
        conditions.append(f"{text} in ({', '.join(map(literal, listed))})")
    con.execute("set variable role_key = ?", (key,))
    covered = COVERED.format(purpose=literal(role.purpose))
    shown = _pseudonym(role, "customer_id", "customer_id") if role.identifiers == "pseudonym" else "customer_id"
    con.execute(
        f"create or replace table work.role_customers as select customer_id, {shown} as shown_id"
        f" from marts.customer_facts semi join ({covered}) as covered using (customer_id)"
        f" where {' and '.join(conditions) or 'true'}"
    )
    con.execute(
        "create or replace table work.role_companies as select distinct company_id from marts.customer_facts"
        " semi join role_customers using (customer_id) where company_id is not null"
    )
    return remarks


def _pseudonym(role, kind, column):
    """SQL for the keyed hash of an id; a role's own, so that who receives two roles' files cannot join them."""
    text = f"getvariable('role_key') || {literal(f':role:{role.name}:{kind}:')} || {column}"
    return f"'P' || sha256(getvariable('role_key') || sha256({text}))[:31]"


def _write_table(con, role, table, columns):
    schema, name = table.split(".")
    source = "vault.main.contacts" if table == CONTACTS else table
    known = _columns_of(con, table)
    outputs = []
    for column in columns:
        quoted = f"rows_of_table.{identifier(column)}"
        if column == "customer_id":
            quoted = "role_customers.shown_id"
        elif column.endswith("_customer_id") and not _is_source_id(column):
            # another customer, whom the role may not see
            quoted = f"(select others.shown_id from role_customers as others where others.customer_id = {quoted})"
        elif _is_company_id(column):
            if role.rows and column == "other_company_id":
                # another company, which the role may not see
                seen = "select role_companies.company_id from role_companies"
                quoted = f"case when {quoted} in ({seen}) then {quoted} end"
            if role.identifiers == "pseudonym":
                quoted = _pseudonym(role, "company_id", f"({quoted})")
        elif role.identifiers == "pseudonym" and column in _record_ids():
            quoted = _pseudonym(role, column, quoted)
        outputs.append(f"{quoted} as {identifier(column)}")
    # rows of nobody, such as anonymous orders, are for roles that are not held to some customers
    nobody = "false" if role.rows else "{}.customer_id is null"
    if "customer_id" in known:
        of_customer = "left join role_customers on rows_of_table.customer_id = role_customers.customer_id"
        where = f"role_customers.customer_id is not null or {nobody.format('rows_of_table')}"
    elif {"source", "order_id"} <= set(known):
        of_customer = (
            "semi join (select source, order_id from core.orders left join role_customers"
            " on orders.customer_id = role_customers.customer_id"
            f" where role_customers.customer_id is not null or {nobody.format('orders')}) as seen"
            " on rows_of_table.source = seen.source and rows_of_table.order_id = seen.order_id"
        )
        where = "true"
    elif role.rows and "company_id" in known:
        # a retired id is of the company that it means now
        company = "current_company_id" if "current_company_id" in known else "company_id"
        of_customer = f"semi join role_companies on rows_of_table.{company} = role_companies.company_id"
        where = "true"
    else:
        of_customer, where = "", "true"
    con.execute(f"create schema if not exists role_file.{schema}")
    con.execute(
        f"create table role_file.{schema}.{name} as"
        f" select {', '.join(outputs)} from {source} as rows_of_table {of_customer} where {where}"
    )
    _write_comments(con, role, table, columns)


def _write_comments(con, role, table, columns):
    what = con.execute(
        "select comment from duckdb_tables() where database_name = current_database()"
        " and schema_name || '.' || table_name = ?",
        (table,),
    ).fetchall()
    if what and what[0][0]:
        con.execute(f"comment on table role_file.{table} is {literal(what[0][0])}")
    for column, comment in columns.items():
        if role.identifiers == "pseudonym" and (
            column.endswith(("customer_id", "company_id")) or column in _record_ids()
        ):
            comment = f"pseudonym for role {role.name} alone / 仅用于角色 {role.name} 的假名"
        if comment:
            con.execute(f"comment on column role_file.{table}.{identifier(column)} is {literal(comment)}")
