"""Probable links in the night: what matching accepted once stays, so that a weight that moves a little moves no id."""

from datetime import datetime

from pipeline.transform.components import connect_components
from pipeline.transform.matching import probable_links
from pipeline.transform.people import describe_people
from pipeline.warehouse import literal


def link_probable(con, rules: dict, as_of_utc: datetime, seed: int, is_newest: bool) -> None:
    """Add probable links to work.links and make work.labels anew; for the newest night keep them in vault.probable_links.

    A link counts from when both records were there. Only a decision parts what was accepted. Raises MatchingError.
    """
    con.execute(
        "create table if not exists vault.probable_links (source varchar, customer_key varchar, other_source varchar,"
        " other_customer_key varchar, linked_at timestamp, weight double, explanation varchar)"
    )
    con.execute(
        f"""
        insert into work.links
        select nodes.node, others.node, 'probable', kept.linked_at, kept.weight, kept.explanation
        from vault.probable_links as kept
        inner join nodes on kept.source = nodes.source and kept.customer_key = nodes.customer_key
        inner join nodes as others on kept.other_source = others.source and kept.other_customer_key = others.customer_key
        where kept.linked_at is null or kept.linked_at < {literal(as_of_utc)}::timestamp
        """
    )
    connect_components(con, "work.nodes", "work.links", "work.labels")
    describe_people(con, as_of_utc)
    probable_links(con, "work.people", rules, seed, "work.kept_apart")
    con.execute(
        """
        create or replace table work.probable_found as
        select
            found.node,
            found.other_node,
            greatest(people.seen_at, others.seen_at) as linked_at,
            found.weight,
            found.explanation
        from probable_links as found
        inner join people on found.node = people.node
        inner join people as others on found.other_node = others.node
        """
    )
    con.execute(
        "insert into work.links select node, other_node, 'probable', linked_at, weight, explanation from probable_found"
    )
    connect_components(con, "work.nodes", "work.links", "work.labels")
    if is_newest:
        con.execute(
            """
            insert into vault.probable_links
            select nodes.source, nodes.customer_key, others.source, others.customer_key, linked_at, weight, explanation
            from probable_found
            inner join nodes on probable_found.node = nodes.node
            inner join nodes as others on probable_found.other_node = others.node
            """
        )
