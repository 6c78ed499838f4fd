"""Which source records are one customer: connected components over exact normalised e-mail and phone.

Ids are kept from night to night in the vault: a component keeps the oldest id that one of its records had.
"""

from pipeline.ingest.contracts import load_contracts
from pipeline.warehouse import value

# when a record of the entity first shows its customer
EVIDENCE = {
    "customers": "coalesce(registered_at, updated_at)",
    "consents": "captured_at",
    "orders": "ordered_at",
    "subscriptions": "started_at",
    "tickets": "opened_at",
    "interactions": "occurred_at",
    "feedback": "created_at",
    "opportunities": "created_at",
}


def resolve_customers(con, max_customers_per_identifier: int) -> dict[str, int]:
    """Fill vault.customer_map (source, customer_key, customer_id), carrying the ids that it holds already.

    Makes the table work.customer_map of tonight: source, customer_key, customer_id, first_evidence_at, linked_by.
    An identifier shared by more than max_customers_per_identifier records links none of them. Returns counts.
    """
    _collect_references(con)
    con.execute(
        """
        create or replace table work.nodes as
        select
            row_number() over (order by min(seen_at) nulls last, source, customer_key) as node,
            source,
            customer_key,
            min(seen_at) as first_evidence_at
        from customer_references
        group by source, customer_key
        """
    )
    con.execute(
        """
        create or replace table work.shown_identifiers as
        select distinct nodes.node, shown.kind, shown.identifier
        from (
            select source, customer_key, 'email' as kind, email as identifier from customer_references
            where email is not null
            union all
            select source, customer_key, 'phone' as kind, phone as identifier from customer_references
            where phone is not null
        ) as shown
        inner join nodes using (source, customer_key)
        """
    )
    con.execute(
        f"""
        create or replace table work.linking_identifiers as
        select kind, identifier, list(node order by node) as members
        from shown_identifiers
        group by kind, identifier
        having count(*) between 2 and {int(max_customers_per_identifier)}
        """
    )
    blocked = value(
        con,
        "select count(*) from (select 1 from shown_identifiers group by kind, identifier"
        f" having count(*) > {int(max_customers_per_identifier)})",
    )
    rounds = _connect(con)
    _assign_ids(con)
    counts = con.execute("select count(*), count(distinct customer_id) from customer_map").fetchall()[0]
    return {"source_records": counts[0], "customers": counts[1], "blocked_identifiers": blocked, "rounds": rounds}


def _collect_references(con):
    parts = []
    for entity, seen_at in EVIDENCE.items():
        columns = load_contracts()[entity].columns
        email = "email" if "email" in columns else "null::varchar"
        phone = "phone" if "phone" in columns else "null::varchar"
        parts.append(
            f"select source, customer_key, {email} as email, {phone} as phone, min({seen_at}) as seen_at"
            f" from landed_{entity} where customer_key is not null group by all"
        )
    con.execute(f"create or replace table work.customer_references as {' union all '.join(parts)}")


def _connect(con):
    """work.labels (node, label): each node's label is the smallest node of its component."""
    con.execute(
        """
        create or replace table work.edges as
        select distinct unnest(members) as node, members[1] as neighbour from linking_identifiers
        """
    )
    con.execute("create or replace table work.labels as select node, node as label from nodes")
    rounds, changed = 0, 1
    while changed:
        rounds += 1
        # a hub takes the smallest label around it, then every node the smallest of its hubs, and labels jump to their label's
        con.execute(
            """
            create or replace table work.hubs as
            select edges.neighbour as hub, min(labels.label) as label
            from edges inner join labels using (node) group by hub
            """
        )
        con.execute(
            """
            create or replace table work.closer as
            select edges.node, min(hubs.label) as label
            from edges inner join hubs on edges.neighbour = hubs.hub group by edges.node
            """
        )
        changed = value(
            con, "select count(*) from closer inner join labels using (node) where closer.label < labels.label"
        )
        con.execute(
            "update labels set label = closer.label from closer where closer.node = labels.node and closer.label < labels.label"
        )
        con.execute(
            "update labels set label = parent.label from labels as parent where parent.node = labels.label and parent.label < labels.label"
        )
    return rounds


def _assign_ids(con):
    con.execute(
        "create table if not exists vault.customer_map (source varchar, customer_key varchar, customer_id varchar)"
    )
    # an id that a merge retired stands in older tags and exports: its number is never given again
    con.execute("create table if not exists vault.last_customer_number as select 0::bigint as number")
    con.execute(
        """
        create or replace table work.components as
        with claims as (
            select carried.customer_id, labels.label, count(*) as record_count
            from vault.customer_map as carried
            inner join nodes using (source, customer_key)
            inner join labels using (node)
            group by carried.customer_id, labels.label
        ),

        -- after a split the id stays with the larger part
        owners as (
            select customer_id, label
            from claims
            qualify row_number() over (partition by customer_id order by record_count desc, label) = 1
        ),

        known as (
            select label, min(customer_id) as customer_id from owners group by label
        ),

        minted as (
            select
                label,
                'C' || lpad((
                    row_number() over (order by label)
                    + (select number from vault.last_customer_number)
                )::varchar, 9, '0') as customer_id
            from (select distinct label from labels)
            where label not in (select label from known)
        )

        select * from known
        union all
        select * from minted
        """
    )
    con.execute(
        "update vault.last_customer_number set number = greatest("
        " number, (select max(substr(customer_id, 2)::bigint) from components))"
    )
    con.execute(
        """
        create or replace table work.customer_map as
        with linked as (
            select
                node,
                case when bool_and(kind = 'email') then 'email' when bool_and(kind = 'phone') then 'phone' else 'email+phone' end
                    as linked_by
            from (select unnest(members) as node, kind from linking_identifiers) as links
            group by node
        )

        select
            nodes.source,
            nodes.customer_key,
            components.customer_id,
            nodes.first_evidence_at,
            coalesce(linked.linked_by, 'own id') as linked_by
        from nodes
        inner join labels using (node)
        inner join components using (label)
        left join linked using (node)
        """
    )
    con.execute(
        """
        create or replace table vault.customer_map as
        select source, customer_key, customer_id from customer_map
        union all
        select carried.source, carried.customer_key, carried.customer_id
        from vault.customer_map as carried
        anti join customer_map as tonight using (source, customer_key)
        order by customer_id, source, customer_key
        """
    )
