"""Warehouses for the tests of tags and reports: a few customers made by hand, or many by a seeded law, all in memory."""

from datetime import date, timedelta

import duckdb

CHANNELS = ("email", "sms", "call", "post", "social")
AS_OF = date(2026, 3, 1)

FACTS = """
customer_id varchar, as_of date, first_seen_on date, tenure_days integer,
order_count bigint, order_day_count bigint, first_order_at timestamp, last_order_at timestamp,
first_order_on date, last_order_on date, recency_days integer,
gross_spend_amount decimal(18,2), discount_amount decimal(18,2), refund_amount decimal(18,2),
net_spend_amount decimal(18,2), avg_order_amount decimal(18,2), max_order_amount decimal(18,2),
repeat_day_spend_amount decimal(18,2),
order_count_30d bigint, order_count_90d bigint, order_count_180d bigint, order_count_365d bigint,
net_spend_90d_amount decimal(18,2), net_spend_365d_amount decimal(18,2), avg_gap_days double,
discount_share double, coupon_order_share double, cancelled_order_count bigint, return_count bigint,
return_share double, instalment_order_share double, weekend_order_share double, night_order_share double,
online_order_share double, top_payment_method varchar, top_sales_channel varchar,
item_count bigint, category_count bigint, top_category varchar, top_category_share double,
second_category varchar, top_brand varchar, top_brand_share double, avg_item_price decimal(18,2),
ticket_count bigint, ticket_count_90d bigint, complaint_count bigint, complaint_count_90d bigint,
open_ticket_count bigint, last_ticket_at timestamp, avg_first_reply_hours double, avg_csat double,
interaction_count bigint, interaction_count_90d bigint, inbound_count_90d bigint, outbound_count_90d bigint,
response_count_90d bigint, response_share_90d double, last_interaction_at timestamp,
top_interaction_channel varchar, campaign_count bigint,
feedback_count bigint, avg_feedback_share double, last_nps double, low_feedback_count_180d bigint,
gender varchar, birth_year integer, birth_month integer, age_years integer, age_band varchar,
occupation varchar, education varchar, marital_status varchar, income_band varchar, country varchar,
province varchar, city varchar, acquisition_channel varchar, registered_on date, loyalty_tier varchar,
loyalty_points bigint, referred_by_customer boolean, referral_count bigint, active_subscription_count bigint,
is_attribute_backdated boolean, is_email_marketing_allowed boolean, is_sms_marketing_allowed boolean,
is_call_marketing_allowed boolean, is_post_marketing_allowed boolean, is_social_marketing_allowed boolean,
is_marketing_allowed boolean, is_profiling_allowed boolean
"""

# here nothing but consent stands against marketing
CONTACTABILITY = "create view marts.contactability as " + " union all ".join(
    f"select customer_id, as_of, '{channel}' as channel, 'marketing' as purpose,"
    f" coalesce(is_{channel}_marketing_allowed, false) as is_allowed,"
    f" case when is_{channel}_marketing_allowed then 'granted' else 'silence' end as reason, null::timestamp as since"
    " from marts.customer_facts"
    for channel in CHANNELS
)

COMPANY_FACTS = """
company_id varchar, as_of date, first_seen_on date, tenure_days integer, industry varchar, contact_count bigint,
order_count bigint, recency_days integer, net_spend_amount decimal(18,2), net_spend_365d_amount decimal(18,2),
open_opportunity_count bigint, open_opportunity_amount decimal(18,2), weighted_opportunity_amount decimal(18,2),
overdue_opportunity_count bigint, next_expected_close_on date, won_opportunity_count bigint,
won_opportunity_amount decimal(18,2), lost_opportunity_count bigint, win_share double,
complaint_count_90d bigint, open_ticket_count bigint
"""

SCORES = {
    "rfm": "customer_id varchar, as_of date, recency_days integer, frequency bigint, monetary decimal(18,2),"
    " r_score integer, f_score integer, m_score integer, rfm_cell varchar, rfm_segment varchar,"
    " rfm_segment_zh varchar, value_class varchar, value_class_zh varchar, customer_grade varchar,"
    " customer_grade_zh varchar, abc_class varchar, abc_class_zh varchar",
    "segments": "customer_id varchar, as_of date, segment_id integer, segment_name varchar, segment_name_zh varchar,"
    " segment_description varchar, segment_description_zh varchar, distance double",
    "clv": "customer_id varchar, as_of date, p_alive double, expected_orders_90d double, expected_orders_365d double,"
    " clv_365d_amount double, clv_365d_low double, clv_365d_high double",
    "churn": (
        churn := "customer_id varchar, as_of date, churn_probability double, churn_band varchar,"
        " reason_1 varchar, reason_2 varchar, reason_3 varchar,"
        " reason_1_zh varchar, reason_2_zh varchar, reason_3_zh varchar,"
        " reason_1_kind varchar, reason_2_kind varchar, reason_3_kind varchar"
    ),
    "contract_churn": churn,
    "next_purchase": "customer_id varchar, as_of date, purchase_probability_30d double, purchase_band varchar",
}

OPS = {
    "runs": "run_id varchar, as_of date, status varchar, started_at timestamp, ended_at timestamp, message varchar",
    "files": "run_id varchar, file_name varchar, layout varchar, source varchar, status varchar, message varchar,"
    " size_bytes bigint, line_count bigint, observed_at timestamp, schema_change varchar",
    "reconciliation": "run_id varchar, as_of date, file_id varchar, file_name varchar, layout varchar, entity varchar,"
    " lines_read bigint, landed bigint, rejected bigint, duplicates bigint, record_count bigint",
    "rejects": "run_id varchar, file_id varchar, file_name varchar, entity varchar, line bigint, column_name varchar,"
    " rule varchar, action varchar",
    "checks": "run_id varchar, as_of date, entity varchar, column_name varchar, rule varchar, success boolean,"
    " element_count bigint, unexpected_count bigint, unexpected_share double, message varchar",
    "model_runs": "as_of date, model varchar, version varchar, status varchar, message varchar, row_count bigint,"
    " params varchar, metrics varchar",
    "backtests": "as_of date, model varchar, cut_off date, horizon_days integer, metric varchar, value double,"
    " baseline varchar, baseline_value double, row_count bigint",
}


def make_warehouse(*facts, as_of=AS_OF, **scores):
    """An in-memory warehouse. facts: dicts of columns, missing ones as in make_facts; scores: rfm=[{...}], clv=[...] ..."""
    con = duckdb.connect(":memory:")
    con.execute("set threads = 2")
    for schema in ("core", "marts", "scores", "tags", "ops"):
        con.execute(f"create schema {schema}")
    con.execute(f"create table marts.customer_facts ({FACTS})")
    con.execute(CONTACTABILITY)
    con.execute(f"create table marts.company_facts ({COMPANY_FACTS})")
    con.execute("create table core.companies (company_id varchar, name varchar)")
    for table, columns in SCORES.items():
        con.execute(f"create table scores.{table} ({columns})")
    for table, columns in OPS.items():
        con.execute(f"create table ops.{table} ({columns})")
    set_facts(con, *facts, as_of=as_of)
    for table, rows in scores.items():
        for row in rows:
            insert(con, f"scores.{table}", {"as_of": as_of} | row)
    return con


def set_facts(con, *facts, as_of=AS_OF):
    """Replace the customers of a warehouse; used to make the next night."""
    con.execute("delete from marts.customer_facts")
    for table in SCORES:
        con.execute(f"update scores.{table} set as_of = ?", [as_of])
    for row in facts:
        insert(con, "marts.customer_facts", make_facts(as_of, **row))


def set_companies(con, *companies, as_of=AS_OF):
    """Replace the companies of a warehouse; a dict of columns each, null where it says nothing."""
    con.execute("delete from marts.company_facts")
    con.execute("delete from core.companies")
    for row in companies:
        company = {"company_id": "k1", "as_of": as_of, "order_count": 0, "contact_count": 1} | row
        insert(con, "core.companies", {"company_id": company["company_id"], "name": company.pop("name", None)})
        insert(con, "marts.company_facts", company)


def make_facts(as_of=AS_OF, **overrides):
    """A valid customer who ordered twice, 40 and 10 days before as_of; overrides change single columns."""
    row = {
        "customer_id": "c1",
        "as_of": as_of,
        "first_seen_on": as_of - timedelta(days=40),
        "tenure_days": 40,
        "order_count": 2,
        "order_day_count": 2,
        "first_order_on": as_of - timedelta(days=40),
        "last_order_on": as_of - timedelta(days=10),
        "recency_days": 10,
        "net_spend_amount": 300,
        "avg_order_amount": 150,
        "max_order_amount": 200,
        "order_count_90d": 2,
        "order_count_365d": 2,
        "net_spend_90d_amount": 300,
        "net_spend_365d_amount": 300,
        "avg_gap_days": 30.0,
        "is_marketing_allowed": True,
        "is_profiling_allowed": True,
    }
    row |= overrides
    by_channel = {f"is_{channel}_marketing_allowed": row["is_marketing_allowed"] for channel in CHANNELS}
    return by_channel | row


def insert(con, table, row):
    columns = ", ".join(row)
    con.execute(f"insert into {table} ({columns}) values ({', '.join('?' * len(row))})", list(row.values()))


def make_synthetic_warehouse(customer_count, path=":memory:", as_of=AS_OF):
    """Facts and scores of customer_count customers, drawn by hash: the same for the same count. For looks and timing."""
    con = make_warehouse() if path == ":memory:" else _on_disk(path)
    con.execute(
        f"""
        create temp table drawn as
        select
            'c' || lpad(range::varchar, 9, '0') as customer_id,
            range::integer as number,
            hash(range, 1) % 1000 / 1000.0 as u1,
            hash(range, 2) % 1000 / 1000.0 as u2,
            hash(range, 3) % 1000 / 1000.0 as u3,
            hash(range, 4) % 1000 / 1000.0 as u4,
            case when hash(range, 5) % 20 = 0 then 0
                else 1 + floor(-5 * ln(1 - hash(range, 6) % 1000 / 1000.5)) end::integer as orders,
            least(cast(-120 * ln(1 - hash(range, 7) % 1000 / 1000.5) as integer), 700) as recency
        from range({customer_count})
        """
    )
    con.execute(
        f"""
        insert into marts.customer_facts by name
        select
            customer_id, date '{as_of}' as as_of, date '{as_of}' - 30 - (number % 900)::integer as first_seen_on,
            30 + number % 900 as tenure_days, orders as order_count, orders as order_day_count,
            case when orders > 0 then date '{as_of}' - recency - cast(30 * (orders - 1) as integer) end as first_order_on,
            case when orders > 0 then date '{as_of}' - recency end as last_order_on,
            case when orders > 0 then recency end as recency_days,
            orders * (60 + 300 * u1) as net_spend_amount,
            case when orders > 0 then 60 + 300 * u1 end as avg_order_amount,
            case when orders > 0 then 90 + 500 * u1 end as max_order_amount,
            case when recency < 30 then 1 else 0 end as order_count_30d,
            case when recency < 90 then least(orders, 3) else 0 end as order_count_90d,
            case when recency < 365 then least(orders, 9) else 0 end as order_count_365d,
            case when recency < 90 then least(orders, 3) * (60 + 300 * u1) else 0 end as net_spend_90d_amount,
            case when recency < 365 then least(orders, 9) * (60 + 300 * u1) else 0 end as net_spend_365d_amount,
            case when orders > 1 then 15 + 60 * u2 end as avg_gap_days,
            u3 * 0.5 as discount_share, u3 * 0.9 as coupon_order_share, number % 3 as cancelled_order_count,
            number % 4 // 3 as return_count, (number % 4 // 3) / greatest(orders, 1) as return_share,
            case when number % 9 = 0 then 0.5 else 0 end as instalment_order_share,
            u2 as weekend_order_share, u4 * u4 as night_order_share, u1 as online_order_share,
            (['alipay', 'wechat', 'card', 'cash'])[1 + number % 4] as top_payment_method,
            (['online', 'app', 'store', 'marketplace'])[1 + number % 4] as top_sales_channel,
            orders * 2 as item_count, least(orders, 6) as category_count,
            case when orders > 0 then (['服饰', '家居', '食品', '母婴', '数码', '美妆'])[1 + number % 6] end as top_category,
            case when orders > 0 then 0.3 + u1 * 0.7 end as top_category_share,
            case when orders > 1 then (['服饰', '家居', '食品', '母婴', '数码', '美妆'])[1 + (number + 2) % 6] end as second_category,
            case when orders > 0 then 'Brand ' || number % 30 end as top_brand, u2 as top_brand_share,
            case when orders > 0 then 20 + 200 * u4 end as avg_item_price,
            number % 5 as ticket_count, number % 3 as ticket_count_90d, number % 7 // 5 as complaint_count,
            number % 11 // 9 as complaint_count_90d, number % 13 // 12 as open_ticket_count,
            4 * u1 as avg_first_reply_hours, 0.4 + 0.6 * u2 as avg_csat,
            number % 30 as interaction_count, number % 12 as interaction_count_90d, number % 3 as inbound_count_90d,
            number % 10 as outbound_count_90d, number % 5 as response_count_90d, u4 as response_share_90d,
            (['email', 'sms', 'call', 'social'])[1 + number % 4] as top_interaction_channel, number % 6 as campaign_count,
            number % 4 as feedback_count, 0.3 + 0.7 * u3 as avg_feedback_share, number % 11 as last_nps,
            number % 17 // 16 as low_feedback_count_180d,
            (['male', 'female', null])[1 + number % 3] as gender, 1955 + number % 50 as birth_year,
            1 + number % 12 as birth_month, 21 + number % 50 as age_years, 'CN' as country,
            (['上海', '广东', '浙江', '四川'])[1 + number % 4] as province,
            (['上海', '广州', '深圳', '杭州', '成都'])[1 + number % 5] as city,
            (['search', 'social', 'referral', 'store'])[1 + number % 4] as acquisition_channel,
            (['普通', '银卡', '金卡'])[1 + number % 3] as loyalty_tier, number % 5000 as loyalty_points,
            number % 10 = 0 as referred_by_customer, number % 12 // 11 as referral_count,
            number % 6 // 5 as active_subscription_count,
            number % 3 <> 0 as is_marketing_allowed, number % 50 <> 0 as is_profiling_allowed
        from drawn order by customer_id
        """
    )
    con.execute(
        f"""
        insert into scores.rfm
        select customer_id, date '{as_of}', recency, orders, orders * (60 + 300 * u1), r, f, m,
            r || '' || f || '' || m,
            case when r >= 4 and f >= 4 then 'Champions' when f >= 4 and r <= 2 then 'Cannot lose them' when f >= 4 then 'Loyal'
                when r >= 4 then 'Promising' when r <= 2 and f <= 2 then 'Hibernating' else 'Need attention' end,
            case when r >= 4 and f >= 4 then '冠军客户' when f >= 4 and r <= 2 then '不能失去' when f >= 4 then '忠诚客户'
                when r >= 4 then '有潜力' when r <= 2 and f <= 2 then '休眠客户' else '需要关注' end,
            case when m >= 4 then 'Important ' else 'General ' end || case when r >= 4 and f >= 4 then 'value'
                when r >= 4 then 'development' when f >= 4 then 'retention' else 'win-back' end,
            case when m >= 4 then '重要' else '一般' end || case when r >= 4 and f >= 4 then '价值客户'
                when r >= 4 then '发展客户' when f >= 4 then '保持客户' else '挽留客户' end,
            case when m >= 4 then 'Key' when r >= 4 then 'Potential' else 'Ordinary' end,
            case when m >= 4 then '重要客户' when r >= 4 then '潜在客户' else '普通客户' end,
            chr(70 - greatest(m, 3)::integer), chr(70 - greatest(m, 3)::integer) || '类客户'
        from (
            select *, 5 - least(recency // 60, 4)::integer as r, least(1 + orders // 3, 5)::integer as f,
                least(1 + orders * (60 + 300 * u1) // 600, 5)::integer as m
            from drawn where orders > 0
        ) order by customer_id
        """
    )
    con.execute(
        f"""
        insert into scores.segments
        select customer_id, date '{as_of}', 1 + number % 4,
            (['Bargain hunters', 'Evening shoppers', 'Big baskets', 'Quiet regulars'])[1 + number % 4],
            (['爱优惠', '夜间购物', '大单客户', '安静常客'])[1 + number % 4],
            (3 + number % 4) || ' purchase days (all: 6); 25 % of customers',
            '购买' || (3 + number % 4) || '天（全体6天）；占客户25%', round(u1 * 3, 6)
        from drawn where orders > 0 order by customer_id
        """
    )
    con.execute(
        f"""
        insert into scores.clv
        select customer_id, date '{as_of}', p, e, e * 4, e * 4 * a, e * 4 * a * 0.4, e * 4 * a * 1.9
        from (select *, round(exp(-recency / 200.0), 6) as p, 60 + 300 * u1 as a,
            round(exp(-recency / 200.0) * orders / 6, 6) as e from drawn where orders > 0)
        order by customer_id
        """
    )
    con.execute(
        f"""
        insert into scores.churn
        select customer_id, date '{as_of}', c, case when c >= 0.6 then 'high' when c >= 0.3 then 'medium' else 'low' end,
            'no order for ' || recency || ' days', 'complaint in the last 90 days', null,
            '已' || recency || '天未下单', '近90天有投诉', null, 'rhythm', 'complaints', null
        from (select *, round(0.05 + 0.8 * u4, 6) as c from drawn where orders > 0 and recency <= 90)
        order by customer_id
        """
    )
    con.execute(
        f"""
        insert into scores.contract_churn
        select customer_id, date '{as_of}', c, case when c >= 0.7 then 'high' when c >= 0.4 then 'medium' else 'low' end,
            'contract for 40 days', null, null, '合约已执行40天', null, null, 'contract_age', null, null
        from (select *, round(0.05 + 0.8 * u4, 6) as c from drawn where number % 6 = 5)
        order by customer_id
        """
    )
    con.execute(
        f"""
        insert into scores.next_purchase
        select customer_id, date '{as_of}', p, case when p >= 0.5 then 'high' when p >= 0.2 then 'medium' else 'low' end
        from (select *, round(0.8 * u4, 6) as p from drawn where orders > 0 and recency <= 365) order by customer_id
        """
    )
    con.execute("drop table drawn")
    return con


def _on_disk(path):
    con = duckdb.connect(path)
    con.execute("set threads = 2")
    for schema in ("core", "marts", "scores", "tags", "ops"):
        con.execute(f"create schema {schema}")
    con.execute(f"create table marts.customer_facts ({FACTS})")
    con.execute(CONTACTABILITY)
    con.execute(f"create table marts.company_facts ({COMPANY_FACTS})")
    con.execute("create table core.companies (company_id varchar, name varchar)")
    for schema, tables in (("scores", SCORES), ("ops", OPS)):
        for table, columns in tables.items():
            con.execute(f"create table {schema}.{table} ({columns})")
    return con
