"""Probable links between people without a shared identifier: Splink's Fellegi-Sunter model (the extra `splink`).

Off unless the rules of identity switch it on. It looks only at what exact identifiers left apart, and of what it finds
it accepts what contradicts nothing: see "Probable links" in DECISIONS.md.
"""

from contextlib import closing
from importlib.util import find_spec

from pipeline.transform.clusters import accept_links
from pipeline.transform.matching_model import LEVELS, fit_model, levels_of, score_pairs
from pipeline.warehouse import identifier, literal, value

# fewer people give no shares of values worth the name
NEEDS_PEOPLE = 100
# options of a comparison that name a second column
OTHER_COLUMNS = ("swapped_with", "only_without")
KEYS = ("threshold", "comparisons", "one_each", "blocking", "max_pairs")

RUN = """
    create or replace table work.probable_run (
        status varchar,
        message varchar,
        people bigint,
        pairs_compared bigint,
        pairs_left_out bigint,
        links_refused bigint,
        links bigint,
        prior double,
        threshold double,
        model varchar
    )
"""
LINKS = """
    create or replace table work.probable_links (
        node bigint,
        other_node bigint,
        weight double,
        probability double,
        explanation varchar
    )
"""


class MatchingError(Exception):
    """The rules of probable matching cannot be; the message names the rule and the mend."""


def probable_links(con, people: str, rules: dict, seed: int, never: str | None = None) -> int:
    """Make work.probable_links (node, other_node, weight, probability, explanation) and return how many there are.

    people: a table with node, component (who is already one) and the columns that the rules name, normalised, null where
    unknown. rules["probable"]: enabled, threshold, comparisons, blocking, max_pairs. never: a table (node, other_node) of
    who must stay apart. weight is in bits: +10 makes a match 1,024 times as likely. Links join different components only,
    at most one two components, and connecting all of them joins nobody who contradicts another.

    Also makes work.probable_run, one row unless it is off: status (used, not enough data), what was compared, and the model as JSON.
    Raises MatchingError where the rules cannot be. Same people and seed, same links.
    """
    spec = rules["probable"]
    con.execute(LINKS)
    con.execute(RUN)
    if not spec["enabled"]:
        return 0
    _check(con, people, spec)
    if find_spec("splink") is None:
        raise MatchingError(
            "probable: enabled: true needs Splink, which is not installed; run pip install '.[splink]', or write false"
        )
    con.execute("drop schema if exists work.probable cascade")
    con.execute("create schema work.probable")
    threads = value(con, "select current_setting('threads')")
    try:
        # one thread keeps rows in order and sums of doubles the same to the last bit
        con.execute("set threads = 1")
        return _match(con, people, spec, seed, never, threads)
    finally:
        con.execute(f"set threads = {threads}")
        con.execute("drop schema work.probable cascade")


def _match(con, people, spec, seed, never, threads):
    comparisons = _copy_people(con, people, spec)
    people_count = value(con, "select count(*) from work.probable.keyed")
    compared, left_out = _make_blocks(con, spec)
    counts = {"people": people_count, "pairs_compared": compared, "pairs_left_out": left_out}
    if people_count < NEEDS_PEOPLE:
        _record(con, "not enough data", f"{people_count} people, {NEEDS_PEOPLE} needed", spec, counts)
        return 0
    # Splink's tables go to a schema of their own, whatever the search path of the night
    with closing(con.cursor()) as cursor:
        cursor.execute("use work.probable")
        model = fit_model(cursor, "people_to_match", comparisons, spec["blocking"], seed)
        if model is None:
            _record(con, "not enough data", "too few pairs of like people to learn from", spec, counts)
            return 0
        con.execute(f"set threads = {threads}")
        prior = score_pairs(cursor, "people_to_match", model, spec["threshold"])
    accepted, refused = accept_links(con, comparisons, spec["one_each"], never)
    con.execute(
        f"""
        insert into work.probable_links
        select
            unique_id_l as node,
            unique_id_r as other_node,
            round(weight, 2) as weight,
            round(probability, 6) as probability,
            {_explanation(comparisons)} as explanation
        from work.probable.scored
        inner join {accepted} as accepted on unique_id_l = accepted.node and unique_id_r = accepted.other_node
        order by node, other_node
        """
    )
    links = value(con, "select count(*) from work.probable_links")
    counts |= {"links": links, "links_refused": refused, "prior": prior, "model": model.as_json}
    _record(con, "used", "", spec, counts)
    return links


def _check(con, people, spec):
    for name in KEYS:
        if name not in spec:
            raise MatchingError(
                f"probable: {name}: is missing; copy the whole block of pipeline/transform/identity.yaml"
            )
    known = {row[0] for row in con.execute(f"describe {people}").fetchall()}
    named = [(comparison["column"], "comparisons") for comparison in spec["comparisons"]]
    named += [(each[other], "comparisons") for each in spec["comparisons"] for other in OTHER_COLUMNS if other in each]
    named += [(column, "one_each") for column in spec["one_each"]]
    named += [(column, "blocking") for columns in spec["blocking"] for column in columns]
    for column, where in named:
        if column not in known:
            raise MatchingError(f'probable: {where}: no column "{column}" of people; one of {", ".join(sorted(known))}')
    for comparison in spec["comparisons"]:
        if comparison["how"] not in LEVELS:
            raise MatchingError(
                f'probable: comparisons: {comparison["column"]}: how: "{comparison["how"]}"; one of {", ".join(LEVELS)}'
            )
    if len({comparison["column"] for comparison in spec["comparisons"]}) < max(2, len(spec["comparisons"])):
        raise MatchingError("probable: comparisons: name two columns or more, each once")
    if not spec["blocking"]:
        raise MatchingError("probable: blocking: name at least one list of columns, such as [birth_date]")
    if not 0.5 <= spec["threshold"] < 1:
        raise MatchingError(f"probable: threshold: {spec['threshold']}; write a probability from 0.5 to below 1")
    if spec["max_pairs"] < 1:
        raise MatchingError(f"probable: max_pairs: {spec['max_pairs']}; write how many pairs a night may compare")


def _copy_people(con, people, spec):
    """work.probable.keyed: what is compared, and a key for each list of blocking. Returns comparisons that two people know."""
    hows = {comparison["column"]: comparison["how"] for comparison in spec["comparisons"]}
    needed = hows.keys() | {column for columns in spec["blocking"] for column in columns}
    needed |= {each[other] for each in spec["comparisons"] for other in OTHER_COLUMNS if other in each}
    columns = [
        f"try_cast({identifier(name)} as {'date' if hows.get(name) == 'date' else 'varchar'}) as {identifier(name)}"
        for name in sorted(needed)
    ]
    keys = [
        f"case when {' and '.join(f'{identifier(name)} is not null' for name in names)}"
        f" then hash({', '.join(map(identifier, names))}) end as key_{place}"
        for place, names in enumerate(spec["blocking"], 1)
    ]
    con.execute(
        f"create table work.probable.keyed as"
        f" select node as unique_id, component, {', '.join(columns + keys)} from {people} order by unique_id"
    )
    return [
        comparison
        for comparison in spec["comparisons"]
        if value(con, f"select count({identifier(comparison['column'])}) from work.probable.keyed") >= 2
    ]


def _make_blocks(con, spec):
    """work.probable.people_to_match: keyed, and block_<n>, the key where its block is small enough to be compared.

    Blocks are taken from the smallest up, over all lists at once, until max_pairs is used: a rare name says more than a
    frequent one. Returns the pairs taken and left out.
    """
    places = range(1, len(spec["blocking"]) + 1)
    keys = " union all ".join(
        f"select {place} as place, key_{place} as key from work.probable.keyed" for place in places
    )
    con.execute(
        f"create table work.probable.blocks as select place, key, count(*) as size, size * (size - 1) // 2 as pairs"
        f" from ({keys}) where key is not null group by place, key having size > 1"
    )
    largest = value(
        con,
        "select coalesce(max(size), 0) from ("
        " select size, sum(sum(pairs)) over (order by size) as pairs_so_far from work.probable.blocks group by size"
        f") where pairs_so_far <= {int(spec['max_pairs'])}",
    )
    joins = " ".join(
        f"left join work.probable.blocks as blocks_{place} on blocks_{place}.place = {place}"
        f" and blocks_{place}.key = keyed.key_{place} and blocks_{place}.size <= {largest}"
        for place in places
    )
    taken = ", ".join(f"blocks_{place}.key as block_{place}" for place in places)
    con.execute(
        f"create table work.probable.people_to_match as"
        f" select keyed.*, {taken} from work.probable.keyed {joins} order by unique_id"
    )
    return con.execute(
        f"select coalesce(sum(pairs) filter (size <= {largest}), 0)::bigint,"
        f" coalesce(sum(pairs) filter (size > {largest}), 0)::bigint from work.probable.blocks"
    ).fetchall()[0]


def _explanation(comparisons):
    """SQL text: which comparisons agreed, how, and what each adds in bits. It holds no value of anybody."""
    parts = []
    for comparison in comparisons:
        name = comparison["column"]
        words = [level for level, _ in levels_of(comparison)] + ["differs"]
        # Splink counts levels from the last one, 0, upwards; -1 is unknown
        cases = " ".join(
            f"when {len(words) - 1 - place} then {literal(name.replace('_', ' ') + ' ' + word)}"
            for place, word in enumerate(words)
        )
        bits = f"{identifier(f'mw_{name}')} + {identifier(f'mw_tf_adj_{name}')}"
        parts.append(f"case {identifier(f'gamma_{name}')} {cases} end || format(' ({{:+.1f}})', {bits})")
    return f"concat_ws(', ', {', '.join(parts)})"


def _record(con, status, message, spec, counts):
    names = ["people", "pairs_compared", "pairs_left_out", "links_refused", "links", "prior"]
    con.execute(
        "insert into work.probable_run values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            status,
            message,
            *(counts.get(name, 0) for name in names),
            spec["threshold"],
            counts.get("model", "{}"),
        ),
    )
