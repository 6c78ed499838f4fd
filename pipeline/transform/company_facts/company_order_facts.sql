-- One row per company with an order that counts before as_of. Key: (company_id, as_of).
select
    company_id,
    as_of,
    count(*) as order_count,
    count(distinct customer_id) as buyer_count,
    min(ordered_at) as first_order_at,
    max(ordered_at) as last_order_at,
    min(ordered_on) as first_order_on,
    max(ordered_on) as last_order_on,
    sum(net_amount - refund_amount)::decimal(18, 2) as net_spend_amount,
    count(*) filter (where ordered_on >= as_of - 90) as order_count_90d,
    count(*) filter (where ordered_on >= as_of - 365) as order_count_365d,
    coalesce(sum(net_amount - refund_amount) filter (where ordered_on >= as_of - 90), 0)::decimal(18, 2)
        as net_spend_90d_amount,
    coalesce(sum(net_amount - refund_amount) filter (where ordered_on >= as_of - 365), 0)::decimal(18, 2)
        as net_spend_365d_amount

from company_orders_known

where is_counted

group by company_id, as_of
