"""Which source records are one customer: links by shared identifiers, made to whole components, under lasting ids.

A link counts from the moment when both records showed what they share. All tables of the way there are in work.
"""

from datetime import datetime

from pipeline.transform.components import connect_components
from pipeline.transform.identity_decisions import decide, keep_apart
from pipeline.transform.lasting_ids import keep_ids, log_changes, number_records
from pipeline.transform.probable import link_probable
from pipeline.transform.references import SHOWN_ANYWHERE
from pipeline.warehouse import identifier, literal, value


def resolve_customers(
    con, rules: dict, decisions, max_records: int, as_of_utc: datetime, is_newest: bool, run: tuple, seed: int = 0
) -> dict[str, int]:
    """Tonight's customers, from what collect_references made.

    Makes work.customer_map (source, customer_key, customer_id, number, first_evidence_at, linked_by, linked_at),
    work.links (node, other_node, linked_by, linked_at, weight, explanation) and work.nodes (node, source, customer_key,
    number, label). vault.source_records keeps the numbers that ids are made of; for the newest night, is_newest,
    vault.customer_map and vault.identity_changes follow. run: (as_of, run_id) for that log. seed: of probable links, where
    the rules enable them. Returns counts.
    """
    number_records(con)
    _show_identifiers(con, rules, as_of_utc)
    _link(con, rules, max_records, as_of_utc)
    decide(con, decisions, as_of_utc)
    connect_components(con, "work.nodes", "work.links", "work.labels")
    if rules["probable"]["enabled"]:
        link_probable(con, rules, as_of_utc, seed, is_newest)
    refused = keep_apart(con, [rule.name for rule in rules["identifiers"]])
    if is_newest:
        keep_ids(con)
    _map_customers(con)
    changes = log_changes(con, *run) if is_newest else 0
    counts = con.execute("select count(*), count(distinct customer_id) from customer_map").fetchall()[0]
    return {
        "source_records": counts[0],
        "customers": counts[1],
        "links": value(con, "select count(*) from links"),
        "links_refused": refused,
        "ids_merged_or_split": changes,
    }


def _show_identifiers(con, rules, as_of_utc):
    """work.shown_identifiers (node, kind, identifier, seen_at): since when each record shows what, before as_of."""
    parts = []
    for rule in rules["identifiers"]:
        if rule.columns in (("email",), ("phone",)):
            table, shown = "customer_references", identifier(rule.columns[0])
        else:
            plain = ", ".join(
                rf"regexp_replace(lower(strip_accents({identifier(name)}::varchar)), '[^\p{{L}}\p{{N}}]', '', 'g')"
                for name in rule.columns
            )
            values = f"list_sort([{plain}])" if rule.in_any_order else f"[{plain}]"
            # a list, not one text: (ab, c) and (a, bc) are not the same
            whole = f"not list_contains({values}, '') and list_count({values}) = {len(rule.columns)}"
            shown = f"case when {whole} then array_to_string({values}, '|') end"
            table = "described"
        blocked, column = "", rule.columns[0]
        if len(rule.columns) == 1 and column in SHOWN_ANYWHERE:
            blocked = f" and {shown} not in (select identifier from work.blocked_identifiers where kind = '{column}')"
        elif len(rule.columns) == 1 and rules["blocked"].get(column):
            blocked = f" and not regexp_full_match({shown}, {literal('|'.join(rules['blocked'][column]))})"
        parts.append(
            f"select source, customer_key, '{rule.name}' as kind, {shown} as identifier, min(seen_at) as seen_at,"
            " bool_or(seen_at is null) as is_always"
            f" from {table} where {shown} is not null{blocked} group by all"
        )
    con.execute(
        f"""
        create or replace table work.shown_identifiers as
        select
            nodes.node,
            shown.kind,
            shown.identifier,
            case when not shown.is_always then shown.seen_at end as seen_at
        from ({" union all ".join(parts)}) as shown
        inner join nodes using (source, customer_key)
        where shown.is_always or shown.seen_at < {literal(as_of_utc)}::timestamp
        """
    )


def _link(con, rules, max_records, as_of_utc):
    """work.links: each record to the first that showed the same identifier."""
    con.execute(
        "create or replace table work.links (node bigint, other_node bigint, linked_by varchar, linked_at timestamp,"
        " weight double, explanation varchar)"
    )
    parted = [rule for rule in rules["identifiers"] if rule.unless_differs]
    _link_sharers(
        con, f"kind not in ({', '.join(literal(rule.name) for rule in parted)})" if parted else "true", max_records
    )
    for rule in parted:
        # what the other identifiers link already tells more of each sharer
        connect_components(con, "work.nodes", "work.links", "work.labels")
        _part_families(con, rule, as_of_utc)
        _link_sharers(con, f"kind = {literal(rule.name)}", max_records)


def _link_sharers(con, kinds, max_records):
    con.execute(
        f"""
        insert into work.links
        with ranked as (
            select
                node,
                kind,
                seen_at,
                first_value(node) over members as first_node,
                count(*) over (partition by kind, identifier) as record_count
            from shown_identifiers
            where {kinds}
            window members as (partition by kind, identifier order by seen_at nulls first, node)
        )

        -- two records may share two addresses: that is one link, by the earlier
        select node, first_node, kind, case when not bool_or(seen_at is null) then min(seen_at) end, null, null
        from ranked
        where node <> first_node and record_count <= {int(max_records)}
        group by node, first_node, kind
        """
    )


def _part_families(con, rule, as_of_utc):
    """Where sharers of an identifier differ in another column, it counts only together with that column."""
    differs, kind = identifier(rule.unless_differs), literal(rule.name)
    con.execute(
        f"""
        create or replace table work.told as
        with told_of_component as (
            -- the last told; of several on one moment the greatest, so that no order of rows decides
            select labels.label, max({{'known_at': described.known_at, 'told': described.{differs}}}).told::varchar as told
            from described
            inner join nodes using (source, customer_key)
            inner join labels using (node)
            where described.{differs} is not null
                and (described.seen_at is null or described.seen_at < {literal(as_of_utc)}::timestamp)
            group by labels.label
        )

        select labels.node, told_of_component.told
        from told_of_component
        inner join labels using (label)
        """
    )
    con.execute(
        f"""
        create or replace table work.families as
        select shown.identifier
        from shown_identifiers as shown
        inner join told on shown.node = told.node
        where shown.kind = {kind}
        group by shown.identifier
        having count(distinct told.told) > 1
        """
    )
    con.execute(
        f"""
        create or replace table work.of_families as
        select shown.node, shown.kind, shown.identifier || '|' || told.told as identifier, shown.seen_at
        from shown_identifiers as shown
        semi join families on shown.identifier = families.identifier
        inner join told on shown.node = told.node
        where shown.kind = {kind}
        """
    )
    con.execute(
        f"delete from shown_identifiers where kind = {kind} and identifier in (select identifier from families)"
    )
    con.execute("insert into shown_identifiers select * from of_families")


def _map_customers(con):
    con.execute(
        """
        create or replace table work.customer_map as
        with sides as (
            select node, linked_by, linked_at from links
            union all
            select other_node, linked_by, linked_at from links
        ),

        linked as (
            select
                node,
                array_to_string(list_sort(list(distinct linked_by)), '+') as linked_by,
                min(linked_at) as linked_at
            from sides
            group by node
        ),

        owners as (
            select labels.label, min(nodes.number) as number
            from nodes
            inner join labels using (node)
            group by labels.label
        )

        select
            nodes.source,
            nodes.customer_key,
            'C' || lpad(owners.number::varchar, 9, '0') as customer_id,
            nodes.number,
            nodes.first_evidence_at,
            coalesce(linked.linked_by, 'own id') as linked_by,
            linked.linked_at
        from nodes
        inner join labels using (node)
        inner join owners using (label)
        left join linked using (node)
        """
    )


def customers_then(con, cut_off_utc: datetime) -> int:
    """work.moved_customers (source, customer_key, customer_id): tonight's cohort's records whose customer was another then.

    A customer whom a link made one at or after cut_off_utc was several before. Returns the number of records.
    """
    late = f"{literal(cut_off_utc)}::timestamp"
    con.execute(
        f"""
        create or replace table work.late_labels as
        select distinct labels.label
        from links
        inner join labels using (node)
        inner join nodes using (node)
        inner join customer_map using (source, customer_key)
        semi join cohort on customer_map.customer_id = cohort.customer_id
        where links.linked_at >= {late}
        """
    )
    con.execute(
        """
        create or replace table work.late_nodes as
        select nodes.* from nodes inner join labels using (node) semi join late_labels using (label)
        """
    )
    con.execute(
        f"""
        create or replace table work.early_links as
        select links.node, links.other_node
        from links
        semi join late_nodes using (node)
        where links.linked_at is null or links.linked_at < {late}
        """
    )
    connect_components(con, "work.late_nodes", "work.early_links", "work.labels_then")
    con.execute(
        """
        create or replace table work.moved_customers as
        with owners as (
            select labels_then.label, min(late_nodes.number) as number
            from late_nodes
            inner join labels_then using (node)
            group by labels_then.label
        ),

        mapped as (
            select
                late_nodes.source,
                late_nodes.customer_key,
                'C' || lpad(owners.number::varchar, 9, '0') as customer_id
            from late_nodes
            inner join labels_then using (node)
            inner join owners using (label)
        )

        select mapped.*
        from mapped
        inner join customer_map using (source, customer_key)
        where mapped.customer_id <> customer_map.customer_id
        """
    )
    return value(con, "select count(*) from moved_customers")
