"""Company ids that last: each record of a company gets a number once, a company has the smallest number of its records.

State, all in the vault: company_records (source, source_company_id, number, first_evidence_at, component: the number of its
company in the newest night), company_map (the newest night's), last_company_number and company_changes.
"""

from pipeline.warehouse import has_table

STATE = {
    "company_records": "source varchar, source_company_id varchar, number bigint, first_evidence_at timestamp, component bigint",
    "company_map": "source varchar, source_company_id varchar, company_id varchar",
    "company_changes": "changed_on date, company_id varchar, change varchar, other_company_id varchar, record_count bigint",
    "last_company_number": "number bigint",
}


def carry_companies(con, previous: str) -> None:
    """Take over the state in the vault attached as `previous`; a vault from before companies has none."""
    for table in STATE:
        if has_table(con, previous, "main", table):
            con.execute(f"create table vault.{table} as select * from {previous}.{table}")


def number_companies(con) -> None:
    """work.company_records of tonight: source, source_company_id, first_evidence_at, number and node, which is the number.

    Needs work.named_companies (source, source_company_id, first_evidence_at); new records are numbered by first evidence.
    A record that no file holds any more keeps its number in the vault: nobody else gets it.
    """
    for table, columns in STATE.items():
        con.execute(f"create table if not exists vault.{table} ({columns})")
    con.execute(
        """
        create or replace table vault.company_records as
        with numbered as (
            select
                named.*,
                known.number,
                known.component,
                row_number() over (
                    partition by known.number is null
                    order by named.first_evidence_at nulls last, named.source, named.source_company_id
                ) as place
            from named_companies as named
            left join vault.company_records as known using (source, source_company_id)
        )

        select
            source,
            source_company_id,
            coalesce(number, place + coalesce((select max(number) from vault.last_company_number), 0)) as number,
            first_evidence_at,
            component
        from numbered
        union all
        select known.*
        from vault.company_records as known
        anti join named_companies using (source, source_company_id)
        order by number
        """
    )
    con.execute(
        """
        create or replace table work.company_records as
        select known.source, known.source_company_id, known.first_evidence_at, known.number, known.number as node
        from vault.company_records as known
        semi join named_companies using (source, source_company_id)
        """
    )
    _keep_last_number(con)


def _keep_last_number(con):
    """A number that a merge used up stands in older exports: it is never given again."""
    con.execute(
        """
        create or replace table vault.last_company_number as
        select max(number) as number
        from (
            select number from vault.last_company_number
            union all
            select number from vault.company_records
        ) as numbers
        """
    )


def keep_company_ids(con) -> None:
    """Where records that were one company no longer are, the larger part keeps the number; then note tonight's components.

    The record that the number was given to, if it is in a smaller part or gone, gets a new one, and the larger part's first
    record the old one. Needs work.company_labels (node, label). For the newest night only.
    """
    con.execute(
        """
        create or replace table work.company_keepers as
        with parts as (
            select
                known.component,
                labels.label,
                count(*) as record_count,
                min(known.number) as number,
                bool_or(known.number = known.component) as is_owner
            from vault.company_records as known
            inner join company_labels as labels on known.number = labels.node
            where known.component is not null
            group by known.component, labels.label
        ),

        keepers as (
            select *
            from parts
            qualify row_number() over (partition by component order by record_count desc, is_owner desc, label) = 1
        )

        select
            component,
            number as keeper_number,
            row_number() over (order by component) + (select number from vault.last_company_number) as fresh_number
        from keepers
        where not is_owner
        """
    )
    for table in ("work.company_records", "vault.company_records"):
        con.execute(
            f"""
            create or replace table {table} as
            select
                records.* replace (
                    coalesce(owners.fresh_number, keepers.component, records.number) as number
                )
            from {table} as records
            left join company_keepers as owners on records.number = owners.component
            left join company_keepers as keepers on records.number = keepers.keeper_number
            """
        )
    con.execute(
        """
        create or replace table vault.company_records as
        with components as (
            select
                records.source,
                records.source_company_id,
                min(records.number) over (partition by labels.label) as component
            from company_records as records
            inner join company_labels as labels using (node)
        )

        select known.* replace (coalesce(components.component, known.component) as component)
        from vault.company_records as known
        left join components using (source, source_company_id)
        order by known.number
        """
    )
    _keep_last_number(con)


def log_company_changes(con) -> None:
    """Add to vault.company_changes what became of the last newest night's ids, and keep tonight's map."""
    con.execute(
        """
        insert into vault.company_changes
        with moves as (
            select earlier.company_id, tonight.company_id as other_company_id, count(*) as record_count
            from vault.company_map as earlier
            inner join company_map as tonight using (source, source_company_id)
            where earlier.company_id <> tonight.company_id
            group by earlier.company_id, tonight.company_id
        )

        select
            night.as_of,
            moves.company_id,
            case when moves.company_id in (select company_id from company_map) then 'split' else 'merged' end as change,
            moves.other_company_id,
            moves.record_count
        from moves
        cross join night
        -- a night run again may find the same once more
        anti join vault.company_changes as known
            on night.as_of = known.changed_on
            and moves.company_id = known.company_id
            and moves.other_company_id = known.other_company_id
        order by moves.company_id, moves.other_company_id
        """
    )
    con.execute(
        """
        create or replace table vault.company_map as
        select source, source_company_id, company_id from company_map
        order by company_id, source, source_company_id
        """
    )
