"""Facts and scores -> dated tags: who carries which tag at as_of, and since when.

The work is done tag by tag in the engine: a tag reads only the score tables it names, memory holds one tag's customers,
and rows of one tag stand together in the published tables.
"""

import duckdb

from pipeline.tags.catalogue import CatalogueError
from pipeline.tags.expressions import quote_text
from pipeline.tags.rules import tagged_rows
from pipeline.tags.tables import CARRIED, create_tables, write_catalogue

FACTS = {"customer": "marts.customer_facts", "company": "marts.company_facts"}


def build_tags(con, catalogue, as_of, previous_history=None, report=None, previous_company_history=None):
    """Build tags.catalogue, catalogue_values, customer_tags, tag_history, company_tags and company_tag_history for one night.

    con: DuckDB connection, no transaction open, whose default database holds marts.customer_facts and company_facts (of
    as_of only) and the scores tables, empty where a model gave none. catalogue: from load_catalogue. as_of: date.
    previous_history, previous_company_history: names of tables or views with the columns of tags.tag_history and
    tags.company_tag_history as an earlier (or this) night left them, or None; not those tables themselves, since existing
    tables are replaced.

    The state before as_of is the intervals begun before it, those ended at or after it reopened; so a night run again gives
    the same tables. Customers, companies and tags that are gone end their intervals. Confidence and evidence open no
    interval. report(name, count), when given, is called after every tenth tag.
    Returns counts: tags, customer_tags, company_tags, and over both opened, ended, kept, history. Raises CatalogueError for
    a rule the warehouse cannot evaluate, ValueError for facts of another date.
    """
    _check_facts(con, as_of)
    previous = {"customer": previous_history, "company": previous_company_history}
    for level, name in previous.items():
        if name and name.lower().removeprefix("tags.") == CARRIED[level][1]:
            raise ValueError(f"build_tags: {name} is a table to be replaced; copy it to another name first")
    _check_rules(con, catalogue)
    create_tables(con)
    write_catalogue(con, catalogue)
    for level, name in previous.items():
        _stage_previous(con, level, as_of, name)
    for place, tag in enumerate(catalogue.tags, start=1):
        # One commit a tag: a commit per statement triples the time on disk, one for all keeps every staged tag in memory.
        # And one insert a table: DuckDB 2.0.0 loses sight of a transaction's rows when a second insert there gives none.
        con.begin()
        _build_one_tag(con, tag, as_of)
        con.commit()
        if report and place % 10 == 0:
            report(f"{place} of {len(catalogue.tags)} tags", place)
    counts = {"tags": len(catalogue.tags)}
    for level in CARRIED:
        _end_retired_tags(con, catalogue, level, as_of)
        for name, count in _count(con, level, as_of).items():
            counts[name] = counts.get(name, 0) + count
        con.execute(f"drop view if exists temp.{level}_tag_before")
    con.execute("drop table if exists temp.tag_current")
    return counts


def _check_facts(con, as_of):
    for facts in FACTS.values():
        dates = con.execute(f"select min(as_of), max(as_of) from {facts}").fetchone()
        if any(date not in (None, as_of) for date in dates):
            raise ValueError(
                f"{facts} holds as_of {dates[0]} to {dates[1]}, not {as_of}; build the facts of that night first"
            )


def _check_rules(con, catalogue):
    """Bind every rule against the real columns, so that a typing error names its tag and not a line of ours."""
    for tag in catalogue.tags:
        try:
            con.execute(f"select * from ({tagged_rows(tag)}) limit 0")
        except duckdb.Error as fault:
            reason = str(fault).splitlines()[0]
            raise CatalogueError(
                f"{tag.file_name}, tag {tag.code}: {reason}; correct the column or the expression"
            ) from fault


def _stage_previous(con, level, as_of, previous_history):
    """temp.<level>_tag_before: a view of the intervals as they stood before as_of, so that memory holds one tag at a time."""
    source = previous_history or f"tags.{CARRIED[level][1]}"
    con.execute(
        f"""
        create or replace temp view {level}_tag_before as
        select
            {level}_id,
            category,
            tag,
            value,
            valid_from,
            case when valid_to < date '{as_of}' then valid_to end as valid_to
        from {source}
        where valid_from < date '{as_of}'
        """
    )


def _build_one_tag(con, tag, as_of):
    """Insert one tag's rows into the tables of its level: those that hold by who carries them, then those that ended."""
    key, (carried, history) = f"{tag.level}_id", CARRIED[tag.level]
    once = f"distinct on (held.{key}, held.value)" if len(tag.value_from) > 1 else ""
    con.execute(
        f"""
        create or replace temp table tag_current as
        select {once}
            held.*,
            coalesce(opened.valid_from, date '{as_of}') as valid_from
        from ({tagged_rows(tag)}) as held
        left join (
            select * from temp.{tag.level}_tag_before where tag = {quote_text(tag.code)} and valid_to is null
        ) as opened
            on held.{key} = opened.{key}
            and held.value = opened.value
        order by held.{key}, held.value
        """
    )
    category, code, version = quote_text(tag.category), quote_text(tag.code), quote_text(tag.rule_version)
    con.execute(
        f"""
        insert into tags.{carried}
        select
            {key},
            date '{as_of}',
            {category},
            {code},
            value,
            value_name,
            value_name_zh,
            case when confidence is not null then least(greatest(confidence, 0), 1) end,
            {version},
            evidence,
            valid_from
        from temp.tag_current
        """
    )
    con.execute(
        f"""
        insert into tags.{history}
        select {key}, {category}, {code}, value, valid_from, null
        from temp.tag_current
        union all
        (
            select {key}, {category}, {code}, value, valid_from, coalesce(valid_to, date '{as_of}')
            from temp.{tag.level}_tag_before as before
            where
                tag = {code}
                and (
                    valid_to is not null
                    or not exists (
                        select 1
                        from temp.tag_current as held
                        where held.{key} = before.{key} and held.value = before.value
                    )
                )
            order by {key}, value, valid_from
        )
        """
    )
    if tag.value_from:
        con.execute(
            f"""
            insert into tags.catalogue_values
            select {code}, value, min(value_name), min(value_name_zh), null, null,
                {len(tag.values)} + row_number() over (order by value) - 1
            from temp.tag_current
            anti join (select value from tags.catalogue_values where tag = {code}) as known using (value)
            group by value
            order by value
            """
        )


def _end_retired_tags(con, catalogue, level, as_of):
    """Tags that left the catalogue, or this level, keep their past and end at as_of."""
    known = ", ".join(quote_text(tag.code) for tag in catalogue.tags if tag.level == level) or "''"
    con.execute(
        f"""
        insert into tags.{CARRIED[level][1]}
        select {level}_id, category, tag, value, valid_from, coalesce(valid_to, date '{as_of}')
        from temp.{level}_tag_before
        where tag not in ({known})
        order by tag, {level}_id, value, valid_from
        """
    )


def _count(con, level, as_of):
    carried, history = CARRIED[level]
    held, kept = con.execute(
        f"select count(*), count(*) filter (valid_from < date '{as_of}') from tags.{carried}"
    ).fetchone()
    intervals, ended, holding = con.execute(
        f"""
        select count(tag), count(*) filter (valid_to = date '{as_of}'), count(*) filter (valid_to is null)
        from tags.{history}
        """
    ).fetchone()
    if holding != held:
        raise RuntimeError(
            f"tags.{history} holds {holding} open intervals for {held} rows of tags.{carried};"
            " the night must not be published: CHECKPOINT the file and build the tags again"
        )
    return {carried: held, "opened": held - kept, "ended": ended, "kept": kept, "history": intervals}
