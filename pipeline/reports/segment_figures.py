"""Behaviour segments for the page and the workbook: size, share of spend, description, averages. No row here is a customer."""

from pipeline.reports.figures import fetch_dicts, has_rows

# numbers by which a segment is told apart: column of marts.customer_facts, then its names
TRAITS = (
    ("order_count", "orders", "订单数"),
    ("net_spend_amount", "net spend", "净消费"),
    ("avg_order_amount", "average order", "客单价"),
    ("recency_days", "days since last order", "距上次下单天数"),
    ("discount_share", "discount share", "优惠占比"),
    ("night_order_share", "night orders", "夜间订单占比"),
    ("weekend_order_share", "weekend orders", "周末订单占比"),
    ("online_order_share", "online orders", "线上订单占比"),
    ("return_share", "returns", "退货占比"),
    ("category_count", "categories bought", "购买品类数"),
    ("ticket_count", "service cases", "服务工单数"),
    ("response_share_90d", "answers to messages", "触达响应率"),
)
SHEET = {
    "en": (
        "Segments",
        ("Id", "Segment", "Description", "Customers", "Share of customers", "Net spend", "Share of spend"),
    ),
    "zh": ("行为客群", ("编号", "客群", "特征说明", "客户数", "客户占比", "净消费", "消费占比")),
}


def read_segments(con):
    """Segments, the largest first: id, name, description, size, shares of customers and spend among those grouped, averages and
    the three traits furthest from the average customer grouped; [] without scores."""
    if not has_rows(con, "scores.segments"):
        return []
    averages = ", ".join(f"avg({column})::double as {column}" for column, _, _ in TRAITS)
    rows = fetch_dicts(
        con,
        f"""
        select
            segments.segment_id,
            any_value(segments.segment_name) as name,
            any_value(segments.segment_name_zh) as name_zh,
            any_value(segments.segment_description) as description,
            any_value(segments.segment_description_zh) as description_zh,
            count(*) as customer_count,
            sum(facts.net_spend_amount)::double as spend,
            avg(clv.clv_365d_amount) as expected_365d,
            avg(churn.churn_probability) as churn_probability,
            grouping(segments.segment_id) as is_total,
            {averages}

        from scores.segments as segments

        inner join marts.customer_facts as facts
            on segments.customer_id = facts.customer_id

        left join scores.clv as clv
            on segments.customer_id = clv.customer_id

        left join scores.churn as churn
            on segments.customer_id = churn.customer_id

        group by grouping sets ((segments.segment_id), ())
        order by customer_count desc, segment_id
        """,
    )
    total = next((row for row in rows if row["is_total"]), None)
    segments = [row for row in rows if not row["is_total"]]
    for row in segments:
        row["customer_share"] = row["customer_count"] / total["customer_count"]
        row["spend_share"] = row["spend"] / total["spend"] if row["spend"] is not None and total["spend"] else None
        row["traits"] = _find_unusual(row, total)
    return segments


def make_segment_sheet(con, language):
    """(sheet name, headings, SQL of its rows) for the workbook, the largest segment first; None without scores."""
    if not has_rows(con, "scores.segments"):
        return None
    suffix = "_zh" if language == "zh" else ""
    name, headings = SHEET[language]
    query = f"""
        select
            segments.segment_id,
            any_value(segments.segment_name{suffix}),
            any_value(segments.segment_description{suffix}),
            count(*) as customer_count,
            round(count(*) / sum(count(*)) over (), 4),
            sum(facts.net_spend_amount) as spend,
            round((sum(facts.net_spend_amount) / nullif(sum(sum(facts.net_spend_amount)) over (), 0))::double, 4)

        from scores.segments as segments

        inner join marts.customer_facts as facts
            on segments.customer_id = facts.customer_id

        group by segments.segment_id
        order by customer_count desc, segments.segment_id"""
    return name, headings, query


def _find_unusual(row, total):
    """The three traits with the largest ratio to the average, either way; within 20 % nothing is unusual."""
    ratios = []
    for column, name, name_zh in TRAITS:
        if row[column] is not None and total[column]:
            ratio = row[column] / total[column]
            # next to nothing of what most have little of (returns) says less than its ratio
            ratios.append((max(ratio, 1 / max(ratio, 0.2)), {"name": name, "name_zh": name_zh, "ratio": ratio}))
    ratios.sort(key=lambda pair: -pair[0])
    return [trait for distance, trait in ratios[:3] if distance >= 1.2]
