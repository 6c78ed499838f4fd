"""Ids that last: each source record gets a number once, a customer has the smallest number of its records.

State, all in the vault: source_records (source, customer_key, number, first_number, component), last_customer_number, customer_map
(the newest night's), identity_changes, and the probable_links that were accepted.
"""

from pipeline.warehouse import value

STATE = ("source_records", "last_customer_number", "customer_map", "identity_changes", "probable_links")


def number_records(con) -> None:
    """work.nodes (node, source, customer_key, first_evidence_at, number): tonight's records; new ones by first evidence.

    A record that no file holds any more keeps its number in vault.source_records: nobody else gets it.
    """
    con.execute(
        "create table if not exists vault.source_records"
        " (source varchar, customer_key varchar, number bigint, first_number bigint, component bigint)"
    )
    con.execute("create table if not exists vault.last_customer_number as select 0::bigint as number")
    con.execute(
        "create table if not exists vault.customer_map (source varchar, customer_key varchar, customer_id varchar)"
    )
    _number_as_before(con)
    con.execute(
        "create table if not exists vault.identity_changes (changed_on date, customer_id varchar, change varchar,"
        " other_customer_id varchar, record_count bigint, reason varchar, run_id varchar)"
    )
    con.execute(
        """
        create or replace table work.seen_records as
        select
            source,
            customer_key,
            case when not bool_or(seen_at is null) then min(seen_at) end as first_evidence_at
        from customer_references
        group by source, customer_key
        """
    )
    con.execute(
        """
        insert into vault.source_records
        with added as (
            select
                source,
                customer_key,
                row_number() over (order by first_evidence_at nulls last, source, customer_key)
                + (select number from vault.last_customer_number) as number
            from seen_records
            anti join vault.source_records as known using (source, customer_key)
        )

        select source, customer_key, number, number as first_number, null as component
        from added
        """
    )
    con.execute(
        "update vault.last_customer_number set number = greatest(number, (select max(number) from vault.source_records))"
    )
    con.execute(
        """
        create or replace table work.nodes as
        select known.number as node, seen.source, seen.customer_key, seen.first_evidence_at, known.number, known.first_number
        from seen_records as seen
        inner join vault.source_records as known using (source, customer_key)
        """
    )


def _number_as_before(con):
    """A vault of release 0.1 has ids without numbers: of each customer one record takes the id's, the others fresh ones."""
    numbered, mapped = (value(con, f"select count(*) from vault.{name}") for name in ("source_records", "customer_map"))
    if numbered or not mapped:
        return
    con.execute(
        """
        insert into vault.source_records
        with placed as (
            select
                *,
                substr(customer_id, 2)::bigint as component,
                row_number() over (partition by customer_id order by source, customer_key) as place
            from vault.customer_map
        ),

        -- the first record of each customer, and the others in a row after the last number
        numbered as (
            select
                *,
                case
                    when place = 1 then component
                    else row_number() over (partition by place = 1 order by component, place)
                        + greatest((select number from vault.last_customer_number), (select max(component) from placed))
                end as number
            from placed
        )

        select source, customer_key, number, number as first_number, component
        from numbered
        """
    )
    con.execute(
        "update vault.last_customer_number set number = greatest(number, (select max(number) from vault.source_records))"
    )


def keep_ids(con) -> None:
    """Where records that were one customer no longer are, the larger part keeps the number; then note tonight's components.

    The record that the number was given to, if it is in a smaller part or gone, gets a new one.
    """
    con.execute(
        """
        create or replace table work.parts as
        select
            known.component,
            labels.label,
            count(*) as record_count,
            min(nodes.number) as number,
            bool_or(nodes.number = known.component) as is_owner
        from vault.source_records as known
        inner join nodes on known.number = nodes.number
        inner join labels on nodes.node = labels.node
        where known.component is not null
        group by known.component, labels.label
        """
    )
    con.execute(
        """
        create or replace table work.renumbered as
        with keepers as (
            select *
            from parts
            qualify row_number() over (partition by component order by record_count desc, is_owner desc, label) = 1
        )

        select
            component,
            number as keeper_number,
            row_number() over (order by component)
            + (select number from vault.last_customer_number) as fresh_number
        from keepers
        where not is_owner
        """
    )
    if value(con, "select count(*) from renumbered"):
        con.execute(
            """
            create or replace table work.changed_numbers as
            select component as number_before, fresh_number as number from renumbered
            union all
            select keeper_number as number_before, component as number from renumbered
            """
        )
        for table in ("work.nodes", "vault.source_records"):
            con.execute(
                f"update {table} as records set number = changed.number from changed_numbers as changed"
                " where records.number = changed.number_before"
            )
        con.execute(
            "update vault.last_customer_number set number = greatest(number, (select max(fresh_number) from renumbered))"
        )
    con.execute(
        """
        create or replace table vault.source_records as
        with owners as (
            select labels.label, min(nodes.number) as number
            from nodes
            inner join labels using (node)
            group by labels.label
        )

        select
            known.source,
            known.customer_key,
            known.number,
            known.first_number,
            coalesce(owners.number, known.component) as component
        from vault.source_records as known
        left join nodes on known.number = nodes.number
        left join labels on nodes.node = labels.node
        left join owners on labels.label = owners.label
        """
    )


def log_changes(con, as_of, run_id: str) -> int:
    """Add to vault.identity_changes what became of the last newest night's ids, and keep tonight's map. Rows added."""
    con.execute(
        """
        create or replace table work.moves as
        select
            earlier.customer_id,
            tonight.customer_id as other_customer_id,
            count(*) as record_count
        from vault.customer_map as earlier
        inner join customer_map as tonight using (source, customer_key)
        where earlier.customer_id <> tonight.customer_id
        group by earlier.customer_id, tonight.customer_id
        """
    )
    con.execute(
        """
        create or replace table work.changes as
        with described as (
            select
                moves.*,
                moves.customer_id not in (select customer_id from customer_map) as is_merged,
                row_number() over (partition by moves.customer_id order by record_count desc, other_customer_id) as place
            from moves
        ),

        -- by what records that were not one before are one now
        concerned as (
            select nodes.node, customer_map.customer_id, earlier.customer_id as earlier_id
            from customer_map
            semi join moves on customer_map.customer_id = moves.other_customer_id
            inner join nodes using (source, customer_key)
            left join vault.customer_map as earlier using (source, customer_key)
        ),

        joined_by as (
            select
                concerned.customer_id,
                array_to_string(list_sort(list(distinct links.linked_by)), '+') as linked_by
            from links
            inner join concerned on links.node = concerned.node
            inner join concerned as others on links.other_node = others.node
            where (concerned.earlier_id = others.earlier_id) is not true
            group by concerned.customer_id
        ),

        decided as (
            select distinct customer_map.customer_id
            from (select node from kept_apart union all select other_node from kept_apart) as sides
            inner join nodes using (node)
            inner join customer_map using (source, customer_key)
        ),

        -- no record of the customer is left
        ended as (
            select earlier.customer_id, count(*) as record_count
            from vault.customer_map as earlier
            group by earlier.customer_id
            having earlier.customer_id not in (select customer_id from customer_map)
                and earlier.customer_id not in (select customer_id from moves)
        )

        select
            described.customer_id,
            case when described.is_merged and described.place = 1 then 'merged' else 'split' end as change,
            described.other_customer_id,
            described.record_count,
            case
                when described.is_merged and described.place = 1 then coalesce(joined_by.linked_by, 'rules')
                when described.other_customer_id in (select customer_id from decided) then 'decision'
                else 'what linked them is gone or blocked'
            end as reason
        from described
        left join joined_by on described.other_customer_id = joined_by.customer_id
        union all
        select customer_id, 'ended', null, record_count, 'no source shows it any more'
        from ended
        """
    )
    con.execute(
        "insert into vault.identity_changes select ?, customer_id, change, other_customer_id, record_count, reason, ?"
        " from changes order by customer_id, other_customer_id",
        (as_of, run_id),
    )
    con.execute(
        "create or replace table vault.customer_map as select source, customer_key, customer_id from customer_map"
        " order by customer_id, source, customer_key"
    )
    return value(con, "select count(*) from changes")
