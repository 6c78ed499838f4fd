"""Which probable links hold: a household is not a person, and a chain must not join two people who contradict each other."""

import polars as pl

from pipeline.transform.components import connect_components
from pipeline.transform.matching_model import AGREEING, levels_of
from pipeline.warehouse import frame, identifier, value, write_frame

# what tells a person from another of the same household; surname, address and telephone do not
TELLING = ("given_name", "name", "birth_date", "national_id", "email", "social_account", "wechat")
# more components than this that no identifier joins are a placeholder or a household, not a person
MOST_COMPONENTS = 20
# where links as they come would join more than this, something is wrong with the data, and none of them is taken
MOST_TENTATIVE = 200


def accept_links(con, comparisons: list[dict], one_each: list[str], never: str | None = None) -> tuple[str, int]:
    """The table of accepted links (node, other_node), and how many were refused.

    Reads work.probable.scored (unique_id_l, unique_id_r, weight) and work.probable.keyed (unique_id, component, columns).
    Of several links between two components the heaviest stands for all. It needs more telling columns that agree than
    contradict. Heaviest first, a link is refused if it would bring two components together that contradict each
    other in as many telling columns as they agree in, or that stand in `never`, or more than MOST_COMPONENTS.
    """
    con.execute(
        """
        create table work.probable.candidates as
        select
            least(one.component, other.component) as component,
            greatest(one.component, other.component) as other_component,
            scored.unique_id_l as node,
            scored.unique_id_r as other_node,
            round(scored.weight, 6) as weight
        from work.probable.scored as scored
        inner join work.probable.keyed as one on scored.unique_id_l = one.unique_id
        inner join work.probable.keyed as other on scored.unique_id_r = other.unique_id
        qualify row_number() over (
            partition by least(one.component, other.component), greatest(one.component, other.component)
            order by round(scored.weight, 6) desc, node, other_node
        ) = 1
        """
    )
    barred = set(_never(con, never).rows())
    con.execute(
        _votes(
            "work.probable.judged",
            "select component, other_component from work.probable.candidates",
            comparisons,
            one_each,
        )
    )
    con.execute(
        """
        create table work.probable.plausible as
        select candidates.*
        from work.probable.candidates as candidates
        inner join work.probable.judged as judged using (component, other_component)
        where judged.agreeing > judged.contradicting
        """
    )
    con.execute("create table work.probable.nodes as select distinct component as node from work.probable.keyed")
    con.execute(
        "create table work.probable.links as"
        " select component as node, other_component as other_node from work.probable.plausible"
    )
    connect_components(con, "work.probable.nodes", "work.probable.links", "work.probable.labels")
    con.execute(
        f"""
        create table work.probable.tentative as
        select node as component, label
        from work.probable.labels
        where label in (select label from work.probable.labels group by label having count(*) between 2 and {MOST_TENTATIVE})
        """
    )
    within = (
        "select one.component, other.component as other_component from work.probable.tentative as one"
        " inner join work.probable.tentative as other on one.label = other.label and one.component < other.component"
        " where one.label in (select label from work.probable.tentative group by label having count(*) > 2)"
    )
    con.execute(_votes("work.probable.chained", within, comparisons, one_each))
    barred |= set(
        con.execute(
            "select component, other_component from work.probable.chained"
            " where contradicting > 0 and agreeing <= contradicting"
        ).fetchall()
    )
    links = frame(
        con,
        "select plausible.* from work.probable.plausible as plausible semi join work.probable.tentative using (component)"
        " order by weight desc, node, other_node",
    )
    write_frame(con, "work.probable.accepted", _join_heaviest_first(links, barred))
    candidates = value(con, "select count(*) from work.probable.candidates")
    return "work.probable.accepted", candidates - value(con, "select count(*) from work.probable.accepted")


def _join_heaviest_first(links: pl.DataFrame, barred: set) -> pl.DataFrame:
    """The links (node, other_node) that join no two barred components and no more than MOST_COMPONENTS."""
    clusters, kept = {}, []
    for component, other_component, node, other_node, _ in links.rows():
        left = clusters.setdefault(component, [component])
        right = clusters.setdefault(other_component, [other_component])
        if left is not right:
            pairs = ((min(one, other), max(one, other)) for one in left for other in right)
            if len(left) + len(right) > MOST_COMPONENTS or any(pair in barred for pair in pairs):
                continue
            left.extend(right)
            clusters.update(dict.fromkeys(right, left))
        kept.append((node, other_node))
    return pl.DataFrame(kept, {"node": pl.Int64, "other_node": pl.Int64}, orient="row")


def _votes(table, pairs, comparisons, one_each):
    """SQL for a table: pairs of components, in how many telling columns they agree, and in how many they contradict.

    Components agree in a column if some of their records do, and contradict if all that know it do.
    """
    agreeing, contradicting = ["0"], ["0"]
    for comparison in comparisons:
        name = comparison["column"]
        if name not in TELLING:
            continue
        known = f"l.{identifier(name)} is not null and r.{identifier(name)} is not null"
        levels = levels_of(comparison)
        close = " or ".join(sql for level, sql in levels if level in AGREEING)
        alike = " or ".join(sql for _, sql in levels)
        agreeing.append(f"coalesce(bool_or({close}) filter ({known}), false)::integer")
        if name in one_each:
            contradicting.append(f"coalesce(not bool_or({alike}) filter ({known}), false)::integer")
    return f"""
        create table {table} as
        select
            pairs.component,
            pairs.other_component,
            {" + ".join(agreeing)} as agreeing,
            {" + ".join(contradicting)} as contradicting
        from ({pairs}) as pairs
        inner join work.probable.keyed as l on pairs.component = l.component
        inner join work.probable.keyed as r on pairs.other_component = r.component
        group by pairs.component, pairs.other_component
    """


def _never(con, never):
    """Pairs of components that must stay apart, the smaller first."""
    if never is None:
        return pl.DataFrame(schema={"component": pl.Int64, "other_component": pl.Int64})
    return frame(
        con,
        "select least(one.component, other.component) as component, greatest(one.component, other.component) as other_component"
        f" from {never} as never_one"
        " inner join work.probable.keyed as one on never_one.node = one.unique_id"
        " inner join work.probable.keyed as other on never_one.other_node = other.unique_id",
    )
