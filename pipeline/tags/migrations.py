"""Who went where: of the customers that carried a value on an earlier night, how many carry which tonight.

Read from tags.tag_history, which knows the state of any past night, also of nights that keep no snapshot.
"""

from datetime import timedelta

from pipeline.tags.expressions import quote_text

# tags of which each customer carries at most one value
MIGRATED = ("rfm_segment", "value_class", "customer_grade", "abc_class")
# period -> least days back; the newest night that is so long ago is compared
PERIODS = {"last_night": 1, "30_days": 30, "90_days": 90}


def build_migrations(con, as_of, nights):
    """Fill tags.tag_migrations from tonight's tags.tag_history. Returns its rows.

    con: DuckDB connection whose default database holds the tags of as_of, and core.identity_changes. nights: dates on which
    a night ran, in any order. A period without a night so long ago, or with nobody carrying the tag then, has no rows.
    """
    periods = find_periods(as_of, nights)
    con.execute("delete from tags.tag_migrations")
    for tag in MIGRATED if periods else ():
        con.execute(_count_states(tag, periods))
        for place, (period, night) in enumerate(periods.items()):
            con.execute(_insert_migrations(tag, as_of, place, period, night))
    con.execute("drop table if exists temp.tag_states")
    return con.execute("select count(*) from tags.tag_migrations").fetchall()[0][0]


def find_periods(as_of, nights):
    """{period: the newest night at least so many days before as_of}, of those that there are."""
    found = {}
    for period, days in PERIODS.items():
        earlier = [night for night in nights if night <= as_of - timedelta(days=days)]
        if earlier:
            found[period] = max(earlier)
    return found


def _count_states(tag, periods):
    """temp.tag_states: customers by their value now and on each earlier night; one pass over the tag's history for all."""
    then = ", ".join(
        f"max(value) filter (valid_from <= date '{night}' and (valid_to is null or valid_to > date '{night}')) as then_{place}"
        for place, night in enumerate(periods.values())
    )
    values = ", ".join(f"states.then_{place}" for place in range(len(periods)))
    return f"""
        create or replace temp table tag_states as
        with states as (

            select
                customer_id,
                max(value) filter (valid_to is null) as value_now,
                {then}

            from tags.tag_history

            where tag = {quote_text(tag)}

            group by customer_id

        ),

        merged as (

            select distinct customer_id

            from core.identity_changes

            where change = 'merged' and current_customer_id <> customer_id

        )

        select
            states.value_now,
            {values},
            states.value_now is null and merged.customer_id is not null as is_merged,
            count(*) as customer_count

        from states

        left join merged
            on states.customer_id = merged.customer_id

        group by all"""


def _insert_migrations(tag, as_of, place, period, night):
    return f"""
        insert into tags.tag_migrations
        with moves as (

            select
                then_{place} as from_value,
                value_now as to_value,
                is_merged,
                sum(customer_count)::bigint as customer_count

            from temp.tag_states

            where
                (then_{place} is not null or value_now is not null)
                and exists (select 1 from temp.tag_states where then_{place} is not null)

            group by all

        )

        select
            date '{as_of}',
            {quote_text(tag)},
            {quote_text(period)},
            date '{night}',
            from_value,
            to_value,
            case
                when from_value is null then 'new'
                when from_value = to_value then 'stayed'
                when to_value is not null then 'moved'
                when is_merged then 'merged'
                else 'left'
            end,
            customer_count,
            case
                when from_value is not null
                    then round(customer_count / sum(customer_count) over (partition by from_value), 6)
            end

        from moves

        order by from_value nulls last, to_value nulls last, is_merged"""
