"""Facts and scores -> dated tags: who carries which tag at as_of, and since when.

The work is done tag by tag in the engine: a tag reads only the score tables it names, memory holds one tag's customers,
and rows of one tag stand together in the published tables.
"""

import duckdb

from pipeline.tags.catalogue import CatalogueError
from pipeline.tags.expressions import quote_text
from pipeline.tags.rules import tagged_rows

COLUMNS = {
    "catalogue": {
        "tag": ("varchar", "stable code of the tag; key"),
        "category": ("varchar", "one of the nine categories"),
        "name": ("varchar", "English name"),
        "name_zh": ("varchar", "Chinese name"),
        "meaning": ("varchar", "what the tag says, in English"),
        "meaning_zh": ("varchar", "what the tag says, in Chinese"),
        "rule": ("varchar", "the rule as written in the catalogue"),
        "kind": ("varchar", "fact, rule, model or manual"),
        "is_multi_valued": ("boolean", "whether a customer may carry several values"),
        "is_open_valued": ("boolean", "whether values come from the data rather than from a list"),
        "rule_version": ("varchar", "version of the rule"),
        "position": ("integer", "order of the tags for display"),
    },
    "catalogue_values": {
        "tag": ("varchar", "code of the tag; key with value"),
        "value": ("varchar", "stable code of the value"),
        "name": ("varchar", "English name"),
        "name_zh": ("varchar", "Chinese name"),
        "meaning": ("varchar", "what the value says, in English, or its rule"),
        "meaning_zh": ("varchar", "what the value says, in Chinese, or its rule"),
        "position": ("integer", "order of the values within the tag"),
    },
    "customer_tags": {
        "customer_id": ("varchar", "customer; key with tag and value"),
        "as_of": ("date", "the night the tag holds at"),
        "category": ("varchar", "category of the tag"),
        "tag": ("varchar", "code of the tag"),
        "value": ("varchar", "code of the value"),
        "value_name": ("varchar", "English name of the value"),
        "value_name_zh": ("varchar", "Chinese name of the value"),
        "confidence": ("double", "0..1: 1 for facts, a probability for models"),
        "rule_version": ("varchar", "version of the rule that gave the tag"),
        "evidence": ("varchar", "the numbers behind the tag"),
        "valid_from": ("date", "first night of the interval that still holds"),
    },
    "tag_history": {
        "customer_id": ("varchar", "customer; key with tag, value and valid_from"),
        "category": ("varchar", "category of the tag"),
        "tag": ("varchar", "code of the tag"),
        "value": ("varchar", "code of the value"),
        "valid_from": ("date", "first night the tag held"),
        "valid_to": ("date", "first night it no longer held; null while it holds: [valid_from, valid_to)"),
    },
}
TABLE_MEANINGS = {
    "catalogue": "One row per tag. Key: tag.",
    "catalogue_values": "One row per value a tag can take or, for open-valued tags, took. Key: (tag, value).",
    "customer_tags": "One row per customer, tag and value that holds at as_of. Key: (customer_id, tag, value).",
    "tag_history": "One row per interval in which a customer carried a tag value. Key: (customer_id, tag, value, valid_from).",
}


def build_tags(con, catalogue, as_of, previous_history=None, report=None):
    """Build tags.catalogue, catalogue_values, customer_tags and tag_history for one night; existing ones are replaced.

    con: DuckDB connection, no transaction open, whose default database holds marts.customer_facts (of as_of only) and the
    scores tables, empty where a model gave none. catalogue: from load_catalogue. as_of: date. previous_history: name of a
    table or view with the columns of tags.tag_history as an earlier (or this) night left it, or None; not
    tags.tag_history itself.

    The state before as_of is the intervals begun before it, those ended at or after it reopened; so a night run again gives
    the same tables. Customers and tags that are gone end their intervals. Confidence and evidence open no interval.
    report(name, count), when given, is called after every tenth tag.
    Returns counts: tags, customer_tags, opened, ended, kept, history. Raises CatalogueError for a rule the warehouse
    cannot evaluate, ValueError for facts of another date.
    """
    _check_facts(con, as_of)
    if previous_history and previous_history.lower() in ("tags.tag_history", "tag_history"):
        raise ValueError("build_tags: previous_history is the table to be replaced; copy it to another name first")
    _check_rules(con, catalogue)
    _create_tables(con)
    _write_catalogue(con, catalogue)
    _stage_previous(con, as_of, previous_history)
    for place, tag in enumerate(catalogue.tags, start=1):
        # One commit a tag: a commit per statement triples the time on disk, one for all keeps every staged tag in memory.
        # And one insert a table: DuckDB 2.0.0 loses sight of a transaction's rows when a second insert there gives none.
        con.begin()
        _build_one_tag(con, tag, as_of)
        con.commit()
        if report and place % 10 == 0:
            report(f"{place} of {len(catalogue.tags)} tags", place)
    _end_retired_tags(con, catalogue, as_of)
    counts = _count(con, catalogue, as_of)
    con.execute("drop table if exists temp.tag_current")
    con.execute("drop view if exists temp.tag_before")
    return counts


def _check_facts(con, as_of):
    dates = con.execute("select min(as_of), max(as_of) from marts.customer_facts").fetchone()
    if any(date not in (None, as_of) for date in dates):
        raise ValueError(
            f"marts.customer_facts holds as_of {dates[0]} to {dates[1]}, not {as_of}; build the facts of that night first"
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


def _create_tables(con):
    con.execute("create schema if not exists tags")
    for table, columns in COLUMNS.items():
        body = ", ".join(f'"{name}" {kind}' for name, (kind, _) in columns.items())
        con.execute(f"create or replace table tags.{table} ({body})")
        con.execute(f"comment on table tags.{table} is {quote_text(TABLE_MEANINGS[table])}")
        for name, (_, meaning) in columns.items():
            con.execute(f'comment on column tags.{table}."{name}" is {quote_text(meaning)}')


def _write_catalogue(con, catalogue):
    con.executemany(
        "insert into tags.catalogue values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (tag.code, tag.category, tag.name, tag.name_zh, tag.meaning, tag.meaning_zh, tag.rule, tag.kind)
            + (tag.is_multi_valued, bool(tag.value_from), tag.rule_version, position)
            for position, tag in enumerate(catalogue.tags)
        ],
    )
    values = [
        (
            tag.code,
            value.code,
            value.name,
            value.name_zh,
            value.meaning or value.when,
            value.meaning_zh or value.when,
            position,
        )
        for tag in catalogue.tags
        for position, value in enumerate(tag.values)
    ]
    if values:
        con.executemany("insert into tags.catalogue_values values (?, ?, ?, ?, ?, ?, ?)", values)


def _stage_previous(con, as_of, previous_history):
    """temp.tag_before: a view of the intervals as they stood before as_of. A view, so that memory holds one tag at a time."""
    source = previous_history or "tags.tag_history"
    con.execute(
        f"""
        create or replace temp view tag_before as
        select
            customer_id,
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
    """Insert one tag's rows into customer_tags and tag_history: those that hold by customer_id, then those that ended."""
    once = "distinct on (held.customer_id, held.value)" if len(tag.value_from) > 1 else ""
    con.execute(
        f"""
        create or replace temp table tag_current as
        select {once}
            held.*,
            coalesce(opened.valid_from, date '{as_of}') as valid_from
        from ({tagged_rows(tag)}) as held
        left join (
            select * from temp.tag_before where tag = {quote_text(tag.code)} and valid_to is null
        ) as opened
            on held.customer_id = opened.customer_id
            and held.value = opened.value
        order by held.customer_id, held.value
        """
    )
    category, code, version = quote_text(tag.category), quote_text(tag.code), quote_text(tag.rule_version)
    con.execute(
        f"""
        insert into tags.customer_tags
        select
            customer_id,
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
        insert into tags.tag_history
        select customer_id, {category}, {code}, value, valid_from, null
        from temp.tag_current
        union all
        (
            select customer_id, {category}, {code}, value, valid_from, coalesce(valid_to, date '{as_of}')
            from temp.tag_before as before
            where
                tag = {code}
                and (
                    valid_to is not null
                    or not exists (
                        select 1
                        from temp.tag_current as held
                        where held.customer_id = before.customer_id and held.value = before.value
                    )
                )
            order by customer_id, value, valid_from
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


def _end_retired_tags(con, catalogue, as_of):
    """Tags that left the catalogue keep their past and end at as_of."""
    known = ", ".join(quote_text(tag.code) for tag in catalogue.tags)
    con.execute(
        f"""
        insert into tags.tag_history
        select customer_id, category, tag, value, valid_from, coalesce(valid_to, date '{as_of}')
        from temp.tag_before
        where tag not in ({known})
        order by tag, customer_id, value, valid_from
        """
    )


def _count(con, catalogue, as_of):
    customer_tags, kept = con.execute(
        f"select count(*), count(*) filter (valid_from < date '{as_of}') from tags.customer_tags"
    ).fetchone()
    history, ended, holding = con.execute(
        f"""
        select count(tag), count(*) filter (valid_to = date '{as_of}'), count(*) filter (valid_to is null)
        from tags.tag_history
        """
    ).fetchone()
    if holding != customer_tags:
        raise RuntimeError(
            f"tags.tag_history holds {holding} open intervals for {customer_tags} rows of tags.customer_tags;"
            " the night must not be published: CHECKPOINT the file and build the tags again"
        )
    return {
        "tags": len(catalogue.tags),
        "customer_tags": customer_tags,
        "opened": customer_tags - kept,
        "ended": ended,
        "kept": kept,
        "history": history,
    }
