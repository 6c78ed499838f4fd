"""What people decided about records, over what the rules find: same, and never the same."""

import re
from datetime import datetime

from pipeline.ingest.emails import read_email
from pipeline.ingest.phones import read_phone
from pipeline.transform.components import connect_components
from pipeline.transform.identity_rules import IdentityError
from pipeline.warehouse import value


def decide(con, decisions, as_of_utc):
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
        # an id that is an address or phone is keyed in normal form, however somebody writes it here
        region = value(con, "select getvariable('phone_region')")
        normal = read_email(record) or read_phone(record, region, None) or record
        found = con.execute(
            "select node from nodes where source = $1"
            " and customer_key in ($2, $3, 'h:' || keyed($2), 'h:' || keyed($3)) order by customer_key = $2 desc limit 1",
            (source, record, normal),
        ).fetchall()
    else:
        # of an id that no record carries any more: the record that it was first given to
        number = int(record[1:]) if re.fullmatch(r"C\d{9,18}", record) else -1
        found = con.execute(
            "select node from nodes where number = $1 or first_number = $1 order by number = $1 desc limit 1", (number,)
        ).fetchall()
    if not found:
        raise IdentityError(
            f"decisions.csv line {line}: no record of this source and id has landed"
            " (or no such customer_id was ever given); mend the line or take it out"
        )
    return found[0][0]


def keep_apart(con, kinds):
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
