"""Which source records are one customer: links by shared identifiers, made to whole components, under lasting ids.

A link counts from the moment when both records showed what they share. All tables of the way there are in work.
"""

from datetime import datetime

from pipeline.transform.components import connect_components
from pipeline.transform.identity_rules import IdentityError
from pipeline.transform.lasting_ids import keep_ids, log_changes, number_records
from pipeline.transform.probable import link_probable
from pipeline.warehouse import identifier, literal, value

# when a record of the entity shows its customer; a customer's own record: see _collect_descriptions
EVIDENCE = {
    "consents": "captured_at",
    "orders": "ordered_at",
    "subscriptions": "started_at",
    "tickets": "opened_at",
    "interactions": "occurred_at",
    "feedback": "created_at",
    "opportunities": "created_at",
}
# what any record can show, beside a customer's own
SHOWN_ANYWHERE = ("email", "phone")


def collect_references(con, contracts: dict, rules: dict, max_records: int, as_of_utc: datetime) -> int:
    """What every record shows of its customer, and which identifiers are nobody's. To be called before staging.

    Makes work.described (customers' own records, a row a version), work.customer_references (source, customer_key, email,
    phone, seen_at; seen_at null: always), work.blocked_identifiers (kind, identifier, why), and the macro customer_key_of
    by which the staged views keep a blocked identifier from naming a customer. con knows the macro keyed.
    Returns the number of blocked identifiers.
    """
    _collect_descriptions(con, rules)
    _collect_references(con, contracts)
    _block_identifiers(con, rules, max_records, as_of_utc)
    blocked = value(con, "select count(*) from blocked_identifiers")
    if blocked:
        # an order that shows only a blocked identifier names nobody; its second identifier may
        con.execute(
            """
            create or replace temp macro customer_key_of(customer_key, email, phone) as
            case
                when starts_with(customer_key, 'e:')
                    and email in (select identifier from work.blocked_identifiers where kind = 'email')
                    then case
                        when phone not in (select identifier from work.blocked_identifiers where kind = 'phone')
                            then 'p:' || keyed(phone)
                    end
                when starts_with(customer_key, 'p:')
                    and phone in (select identifier from work.blocked_identifiers where kind = 'phone')
                    then null
                else customer_key
            end
            """
        )
        con.execute(
            """
            create or replace table work.customer_references as
            select source, customer_key_of(customer_key, email, phone) as customer_key, email, phone, seen_at
            from customer_references
            where customer_key_of(customer_key, email, phone) is not null
            """
        )
    return blocked


def _collect_descriptions(con, rules):
    """A record's first version counts from its registration, a later one from when it became known."""
    used = {column for rule in rules["identifiers"] for column in (*rule.columns, rule.unless_differs) if column}
    columns = ", ".join(identifier(name) for name in sorted(used | set(SHOWN_ANYWHERE)))
    con.execute(
        f"""
        create or replace table work.described as
        select
            source,
            customer_key,
            {columns},
            coalesce(updated_at, observed_at) as known_at,
            case
                when row_number() over versions = 1 then coalesce(registered_at, updated_at)
                else coalesce(updated_at, observed_at)
            end as seen_at
        from landed_customers
        window versions as (
            partition by source, customer_key order by coalesce(updated_at, observed_at), observed_at, file_record
        )
        """
    )


def _collect_references(con, contracts):
    parts = ["select source, customer_key, email, phone, min(seen_at) as seen_at from described group by all"]
    for entity, seen_at in EVIDENCE.items():
        columns = contracts[entity].columns
        shown = ", ".join(name if name in columns else f"null::varchar as {name}" for name in SHOWN_ANYWHERE)
        parts.append(
            f"select source, customer_key, {shown}, min({seen_at}) as seen_at"
            f" from landed_{entity} where customer_key is not null group by all"
        )
    con.execute(f"create or replace table work.customer_references as {' union all '.join(parts)}")


def _block_identifiers(con, rules, max_records, as_of_utc):
    """Placeholders and role addresses by pattern, and what more records share than one person has."""
    known = f"(seen_at is null or seen_at < {literal(as_of_utc)}::timestamp)"
    parts = []
    for kind in SHOWN_ANYWHERE:
        parts += [
            f"select '{kind}' as kind, {kind} as identifier, 'listed' as why from customer_references"
            f" where regexp_full_match({kind}, {literal('|'.join(patterns))}) group by {kind}"
            for patterns in [rules["blocked"].get(kind)]
            if patterns
        ]
        parts.append(
            f"select '{kind}' as kind, {kind} as identifier, 'shared' as why from customer_references"
            f" where {kind} is not null and {known} group by {kind}"
            f" having count(distinct (source, customer_key)) > {int(max_records)}"
        )
    # one guest's address with many telephones is an office's, not a person's
    parts.append(
        "select 'email' as kind, email as identifier, 'shared' as why from customer_references"
        f" where starts_with(customer_key, 'e:') and {known} group by email"
        f" having count(distinct phone) > {int(max_records)}"
    )
    con.execute(
        "create or replace table work.blocked_identifiers as"
        f" select kind, identifier, min(why) as why from ({' union all '.join(parts)}) group by kind, identifier"
    )


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
    _link(con, rules, max_records)
    _decide(con, decisions, as_of_utc)
    connect_components(con, "work.nodes", "work.links", "work.labels")
    if rules["probable"]["enabled"]:
        link_probable(con, rules, as_of_utc, seed, is_newest)
    refused = _keep_apart(con, [rule.name for rule in rules["identifiers"]])
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
        blocked = ""
        if rules["blocked"].get(rule.name):
            blocked = f" and not regexp_full_match({shown}, {literal('|'.join(rules['blocked'][rule.name]))})"
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
        anti join work.blocked_identifiers as blocked on shown.kind = blocked.kind and shown.identifier = blocked.identifier
        where shown.is_always or shown.seen_at < {literal(as_of_utc)}::timestamp
        """
    )


def _link(con, rules, max_records):
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
        _part_families(con, rule)
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

        select node, first_node, kind, seen_at, null, null
        from ranked
        where node <> first_node and record_count <= {int(max_records)}
        """
    )


def _part_families(con, rule):
    """Where sharers of an identifier differ in another column, it counts only together with that column."""
    differs, kind = identifier(rule.unless_differs), literal(rule.name)
    con.execute(
        f"""
        create or replace table work.told as
        with told_of_component as (
            select labels.label, arg_max(described.{differs}, described.known_at)::varchar as told
            from described
            inner join nodes using (source, customer_key)
            inner join labels using (node)
            where described.{differs} is not null
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


def _decide(con, decisions, as_of_utc):
    """decisions.csv: `same` as links from the day of the decision, `different` as work.kept_apart (node, other_node)."""
    con.execute("create or replace table work.kept_apart (node bigint, other_node bigint)")
    for decision in decisions:
        pair = tuple(_record_node(con, decision.line, *record) for record in (decision.record, decision.other))
        if not decision.is_same:
            con.execute("insert into kept_apart values (?, ?)", pair)
        elif datetime.combine(decision.decided_on, datetime.min.time()) < as_of_utc:
            con.execute(
                "insert into links values (?, ?, 'decision', ?, null, ?)",
                (*pair, decision.decided_on, f"decisions.csv line {decision.line}"),
            )


def _record_node(con, line, source, record):
    if source:
        found = con.execute(
            "select node from nodes where source = ? and customer_key in (?, 'h:' || keyed(?))",
            (source, record, record),
        ).fetchall()
    else:
        found = con.execute(
            "select node from nodes where 'C' || lpad(number::varchar, 9, '0') = ?", (record,)
        ).fetchall()
    if not found:
        raise IdentityError(
            f"decisions.csv line {line}: no record of this source and id has landed"
            " (or no such customer_id was ever given); mend the line or take it out"
        )
    return found[0][0]


def _keep_apart(con, kinds):
    """Take back links, weakest first, until no component holds a pair that was decided to be different. Their count."""
    con.execute(
        """
        create or replace table work.torn as
        select distinct labels.label
        from kept_apart
        inner join labels on kept_apart.node = labels.node
        inner join labels as others on kept_apart.other_node = others.node and labels.label = others.label
        """
    )
    apart = con.execute("select node, other_node from kept_apart").fetchall()
    # every pair of sharers, since without the first of them the others still hang together
    pairs = con.execute(
        """
        select distinct on (node, other_node, linked_by) node, other_node, linked_by, linked_at
        from (
            select links.node, links.other_node, links.linked_by, links.linked_at
            from links inner join labels on links.node = labels.node semi join torn on labels.label = torn.label
            union all
            select links.node, others.node, links.linked_by, greatest(links.linked_at, others.linked_at)
            from links
            inner join labels on links.node = labels.node
            semi join torn on labels.label = torn.label
            inner join links as others
                on links.other_node = others.other_node and links.linked_by = others.linked_by and links.node > others.node
            inner join shown_identifiers as shown on links.node = shown.node and links.linked_by = shown.kind
            inner join shown_identifiers as theirs
                on others.node = theirs.node and shown.kind = theirs.kind and shown.identifier = theirs.identifier
        )
        order by node, other_node, linked_by
        """
    ).fetchall()
    if not pairs:
        return 0
    strength = {kind: place for place, kind in enumerate(["decision", *kinds])}
    pairs.sort(key=lambda pair: (strength.get(pair[2], len(strength)), pair[3] or datetime.min, pair[0], pair[1]))
    group, members, kept, refused = {}, {}, [], 0
    for node in {node for pair in (*pairs, *apart) for node in pair[:2]}:
        group[node], members[node] = node, {node}
    enemies = {node: set() for node in group}
    for one, other in apart:
        enemies[one].add(other)
        enemies[other].add(one)
    for node, other, kind, linked_at in pairs:
        mine, theirs = group[node], group[other]
        if mine == theirs:
            continue
        if any(enemies[member] & members[theirs] for member in members[mine]):
            refused += 1
            continue
        kept.append((node, other, kind, linked_at))
        members[mine] |= members.pop(theirs)
        group |= dict.fromkeys(members[mine], mine)
    con.execute(
        "create or replace table work.kept_pairs (node bigint, other_node bigint, linked_by varchar, linked_at timestamp)"
    )
    if kept:
        con.executemany("insert into kept_pairs values (?, ?, ?, ?)", kept)
    con.execute(
        """
        create or replace table work.links as
        select links.*
        from links inner join labels on links.node = labels.node anti join torn on labels.label = torn.label
        union all
        select kept_pairs.*, links.weight, links.explanation
        from kept_pairs left join links using (node, other_node, linked_by)
        """
    )
    connect_components(con, "work.nodes", "work.links", "work.labels")
    return refused


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
