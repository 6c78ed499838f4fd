"""Landed files -> two views an entity: stg_<entity> (each record as last known) and stg_<entity>_versions (all it ever was).

The views differ between entities by nothing but the contract's columns and key, so they are made from the contracts.
"""

from pipeline.ingest.contracts import Contract, load_contracts
from pipeline.warehouse import identifier, literal, value


def read_landed(con, paths: dict[str, list]) -> None:
    """Temporary views landed_<entity>, every row of its files, and the table delivered: a boolean column an entity.

    paths: landed Parquet files by entity; an entity without any gets an empty view, so that all SQL runs.
    """
    # identity writes it anew once it knows which identifiers name nobody
    con.execute("create or replace temp macro customer_key_of(customer_key, email, phone) as customer_key")
    for entity, contract in load_contracts().items():
        _read(con, contract, paths.get(entity, []))
    _settle_filing(con)
    flags = ", ".join(f"{bool(paths.get(entity))} as {entity}" for entity in load_contracts())
    con.execute(f"create or replace temp table delivered as select {flags}")


def stage_entities(con) -> None:
    """Temporary views stg_<entity> and stg_<entity>_versions over what read_landed made.

    con has a database named work for tables of this night alone, on its search path.
    """
    for contract in load_contracts().values():
        _stage(con, contract)


def _read(con, contract: Contract, paths):
    landed = contract.landed_columns()
    if paths:
        # a file that stands as it landed under an earlier contract may lack a column, or have another type
        files = f"read_parquet([{', '.join(literal(path) for path in paths)}], union_by_name = true)"
        there = {name for name, *_ in con.execute(f"describe from {files}").fetchall()}
        typed = ", ".join(
            f"try_cast({identifier(name) if name in there else 'null'} as {kind}) as {identifier(name)}"
            for name, kind in landed.items()
        )
        rows = f"select {typed} from {files}"
    else:
        rows = f"select {', '.join(f'null::{kind} as {identifier(name)}' for name, kind in landed.items())} where false"
    if "exchange_rate" in landed and not contract.follows_order:
        # what landed before there were rates is in the reporting currency: the rest was rejected
        rows = f"select * replace (coalesce(exchange_rate, 1) as exchange_rate) from ({rows})"
    if {"email", "phone"} <= set(contract.columns):
        rows = f"select * replace (customer_key_of(customer_key, email, phone) as customer_key) from ({rows})"
    con.execute(f"create or replace temp view landed_{contract.entity} as {rows}")


def _settle_filing(con):
    """What is filed under any record is a customer's or a company's only where a file describes one of that id.

    Without this a note on a deal would make a customer of the deal.
    """
    if value(con, "select count(*) from landed_interactions where filed_under = 'any_record'") == 0:
        return
    for entity, column in (("customers", "customer_key"), ("companies", "source_company_id")):
        con.execute(
            f"""
            create or replace temp table filed_{entity} as
            select distinct source, {column} as record_id
            from landed_{entity}
            where
                (source, {column}) in (
                    select (source, customer_key) from landed_interactions where filed_under = 'any_record'
                )
            """
        )
    con.execute("drop view if exists filed_interactions")
    con.execute("alter view landed_interactions rename to filed_interactions")
    con.execute(
        """
        create or replace temp view landed_interactions as
        select
            filed.* replace (
                case
                    when filed.filed_under is distinct from 'any_record' or customers.record_id is not null
                        then filed.customer_key
                end as customer_key,
                coalesce(
                    filed.source_company_id,
                    case when filed.filed_under = 'any_record' then companies.record_id end
                ) as source_company_id
            )
        from filed_interactions as filed
        left join filed_customers as customers
            on filed.source = customers.source and filed.customer_key = customers.record_id
        left join filed_companies as companies
            on filed.source = companies.source and filed.customer_key = companies.record_id
        """
    )


def _stage(con, contract: Contract):
    key = ", ".join(["source", *map(identifier, contract.key)])
    known_at = "coalesce(updated_at, observed_at)" if "updated_at" in contract.columns else "observed_at"
    entity = contract.entity
    con.execute(
        f"create or replace table work.repeated_{entity} as"
        f" select hash({key}) as key_hash from landed_{entity} group by key_hash having count(*) > 1"
    )
    if value(con, f"select count(*) from repeated_{entity}") == 0:
        columns = f"*, {known_at} as known_at, null::timestamp as valid_from"
        con.execute(f"create or replace temp view stg_{entity} as select {columns} from landed_{entity}")
        con.execute(
            f"create or replace temp view stg_{entity}_versions as select *, null::timestamp as valid_to from stg_{entity}"
        )
        return
    # a record's first known version extends backwards (valid_from is null); the next begins when it became known
    con.execute(
        f"""
        create or replace table work.versions_{entity} as
        select
            *,
            {known_at} as known_at,
            lag({known_at}) over versions as previous_known_at,
            lead({known_at}) over versions as valid_to
        from landed_{entity}
        where hash({key}) in (select key_hash from repeated_{entity})
        window versions as (partition by {key} order by {known_at}, observed_at, file_record)
        """
    )
    con.execute(
        f"""
        create or replace temp view stg_{entity} as
        select *, {known_at} as known_at, null::timestamp as valid_from
        from landed_{entity}
        where hash({key}) not in (select key_hash from repeated_{entity})
        union all by name
        select
            * exclude (previous_known_at, valid_to),
            case when previous_known_at is not null then known_at end as valid_from
        from versions_{entity}
        where valid_to is null
        """
    )
    con.execute(
        f"""
        create or replace temp view stg_{entity}_versions as
        select *, null::timestamp as valid_to from stg_{entity}
        union all by name
        select
            * exclude (previous_known_at),
            case when previous_known_at is not null then known_at end as valid_from
        from versions_{entity}
        where valid_to is not null
        """
    )
