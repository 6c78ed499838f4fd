"""Every number of the report page, as small plain dicts and lists. Aggregates only: no row here is a customer.

Each function takes a DuckDB connection and returns None, or an empty list, where its tables are missing or empty: the page
then says so in a sentence.
"""


def has_rows(con, table, where="true"):
    """Whether schema.table exists and holds a row."""
    schema, name = table.split(".")
    found = con.execute(
        "select count(*) from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ?",
        [schema, name],
    ).fetchone()[0]
    return bool(found) and con.execute(f"select 1 from {table} where {where} limit 1").fetchone() is not None


def fetch_dicts(con, query):
    """Rows of a query as dicts."""
    result = con.execute(query)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def read_headline(con, database=None):
    """Key figures of the night in one dict; with database, those of an attached earlier warehouse. None without customers."""
    prefix = f"{database}." if database else ""
    figures = fetch_dicts(
        con,
        f"""
        select
            max(as_of) as as_of,
            count(*) as customer_count,
            count(*) filter (order_count > 0) as buyer_count,
            count(*) filter (recency_days <= 90) as active_count,
            count(*) filter (first_seen_on >= as_of - 30) as new_count,
            sum(net_spend_365d_amount)::double as spend_365d,
            sum(net_spend_amount)::double / nullif(sum(order_count), 0) as spend_per_order,
            count(*) filter (order_day_count >= 2) / nullif(count(*) filter (order_day_count >= 1), 0) as repeat_share,
            count(*) filter (is_marketing_allowed) as reachable_count
        from {prefix}marts.customer_facts
        """,
    )[0]
    if not figures["customer_count"]:
        return None
    expected, at_risk = con.execute(
        f"""
        select (select sum(clv_365d_amount) from {prefix}scores.clv),
            (select count(*) from {prefix}scores.churn where churn_band = 'high')
        """
    ).fetchone()
    scored = con.execute(f"select count(*) from {prefix}scores.churn").fetchone()[0]
    return figures | {
        "expected_365d": expected,
        "high_risk_count": at_risk if scored else None,
        "high_risk_share": at_risk / scored if scored else None,
    }


def read_changes(con, as_of):
    """Tag intervals that began or ended tonight: {'is_first', 'opened', 'ended', 'movers', 'flows'}; None without tags."""
    if not has_rows(con, "tags.tag_history"):
        return None
    night = f"date '{as_of}'"
    opened, ended, earlier = con.execute(
        f"""
        select count(*) filter (valid_from = {night}), count(*) filter (valid_to = {night}),
            count(*) filter (valid_from < {night})
        from tags.tag_history
        """
    ).fetchone()
    if not earlier:
        return {"is_first": True, "opened": opened, "ended": ended, "movers": [], "flows": []}
    movers = fetch_dicts(
        con,
        f"""
        with moved as (

            select
                tag,
                value,
                count(*) filter (valid_from = {night}) as gained,
                count(*) filter (valid_to = {night}) as lost

            from tags.tag_history
            where valid_from = {night} or valid_to = {night}
            group by tag, value

        )

        select
            catalogue.name as tag_name,
            catalogue.name_zh as tag_name_zh,
            coalesce(catalogue_values.name, moved.value) as value_name,
            coalesce(catalogue_values.name_zh, moved.value) as value_name_zh,
            moved.gained,
            moved.lost,
            moved.gained - moved.lost as net

        from moved

        inner join tags.catalogue as catalogue
            on moved.tag = catalogue.tag

        left join tags.catalogue_values as catalogue_values
            on moved.tag = catalogue_values.tag
            and moved.value = catalogue_values.value

        where not catalogue.is_open_valued or catalogue.tag in ('value_class', 'rfm_segment', 'behaviour_segment')
        order by moved.gained + moved.lost desc, moved.tag, moved.value
        limit 12
        """,
    )
    flows = fetch_dicts(
        con,
        f"""
        with went as (

            select customer_id, value as was from tags.tag_history where tag = 'value_class' and valid_to = {night}

        ),

        came as (

            select customer_id, value as became from tags.tag_history where tag = 'value_class' and valid_from = {night}

        ),

        named as (

            select value, name, name_zh from tags.catalogue_values where tag = 'value_class'

        )

        select
            coalesce(left_class.name, went.was) as was,
            coalesce(left_class.name_zh, went.was) as was_zh,
            coalesce(new_class.name, came.became) as became,
            coalesce(new_class.name_zh, came.became) as became_zh,
            count(*) as customer_count

        from went

        full join came
            on went.customer_id = came.customer_id

        left join named as left_class
            on went.was = left_class.value

        left join named as new_class
            on came.became = new_class.value

        group by went.was, came.became, left_class.name, left_class.name_zh, new_class.name, new_class.name_zh
        order by customer_count desc, went.was nulls first, came.became nulls first
        limit 10
        """,
    )
    return {"is_first": False, "opened": opened, "ended": ended, "movers": movers, "flows": flows}


def read_rfm(con):
    """The R x F map and the segments: {'cells': {(r, f): {...}}, 'segments': [...]}; None without RFM scores."""
    if not has_rows(con, "scores.rfm"):
        return None
    cells = fetch_dicts(
        con,
        """
        with counted as (

            select r_score, f_score, rfm_segment, rfm_segment_zh, count(*) as customer_count, sum(monetary)::double as spend
            from scores.rfm
            group by r_score, f_score, rfm_segment, rfm_segment_zh

        )

        select
            r_score,
            f_score,
            sum(customer_count)::bigint as customer_count,
            sum(spend) as spend,
            arg_max(rfm_segment, customer_count order by rfm_segment) as segment,
            arg_max(rfm_segment_zh, customer_count order by rfm_segment) as segment_zh

        from counted
        group by r_score, f_score
        """,
    )
    segments = fetch_dicts(
        con,
        """
        select
            rfm_segment as name,
            rfm_segment_zh as name_zh,
            count(*) as customer_count,
            count(*) / sum(count(*)) over () as customer_share,
            sum(monetary)::double as spend,
            sum(monetary)::double / nullif(sum(sum(monetary)) over (), 0)::double as spend_share,
            avg(recency_days) as recency_days,
            avg(frequency) as purchase_days
        from scores.rfm
        group by rfm_segment, rfm_segment_zh
        order by spend desc, name
        """,
    )
    return {"cells": {(cell["r_score"], cell["f_score"]): cell for cell in cells}, "segments": segments}


def read_value(con):
    """Expected value by tenths of buyers, and its histogram; None without CLV."""
    if not has_rows(con, "scores.clv"):
        return None
    tenths = fetch_dicts(
        con,
        """
        with ranked as (

            select *, ntile(10) over (order by clv_365d_amount desc, customer_id) as tenth
            from scores.clv

        )

        select
            tenth,
            count(*) as customer_count,
            avg(clv_365d_amount) as average,
            avg(clv_365d_low) as low,
            avg(clv_365d_high) as high,
            avg(p_alive) as p_alive,
            sum(clv_365d_amount) / nullif(sum(sum(clv_365d_amount)) over (), 0) as value_share

        from ranked
        group by tenth
        order by tenth
        """,
    )
    top = con.execute("select quantile_cont(clv_365d_amount, 0.98) from scores.clv").fetchone()[0] or 0
    step = round_step(top / 16)
    bars = con.execute(
        f"""
        select least(floor(clv_365d_amount / {step}), 16)::integer as bar, count(*)
        from scores.clv where clv_365d_amount is not null group by bar order by bar
        """
    ).fetchall()
    return {"tenths": tenths, "step": step, "bars": [dict(bars).get(bar, 0) for bar in range(17)]}


def round_step(width):
    """A readable bar width, at least as wide: 1, 2 or 5 times a power of ten."""
    if width <= 0:
        return 1.0
    power = 10.0 ** int(f"{width:e}".split("e")[1])
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= width * 0.999999)


def read_churn(con):
    """Churn bands with the value at stake, and the kinds of reasons named most in the high band; None without scores."""
    if not has_rows(con, "scores.churn"):
        return None
    bands = fetch_dicts(
        con,
        """
        select
            churn.churn_band as band,
            count(*) as customer_count,
            count(*) / sum(count(*)) over () as customer_share,
            avg(churn.churn_probability) as churn_probability,
            sum(clv.clv_365d_amount) as expected_365d,
            sum(facts.net_spend_365d_amount)::double as spend_365d

        from scores.churn as churn

        left join scores.clv as clv
            on churn.customer_id = clv.customer_id

        left join marts.customer_facts as facts
            on churn.customer_id = facts.customer_id

        group by churn.churn_band
        order by churn_probability desc
        """,
    )
    reasons = fetch_dicts(
        con,
        """
        with reasons as (

            select unnest([reason_1_kind, reason_2_kind, reason_3_kind]) as kind from scores.churn where churn_band = 'high'

        )

        select
            kind,
            count(*) as customer_count,
            count(*) / nullif((select count(*) from scores.churn where churn_band = 'high'), 0) as customer_share

        from reasons
        where kind is not null
        group by kind
        order by customer_count desc, kind
        limit 8
        """,
    )
    return {"bands": bands, "reasons": reasons}
