-- One row per customer with a counted order in the horizon after a cut-off. Key: (customer_id, as_of, horizon_days).
-- What came true in [as_of, as_of + horizon): known tonight, used to train and to judge models of an earlier cut-off.
-- Who counted as several customers at the cut-off bought under each of their ids: the person did come back.
with bought as (

    select
        orders.customer_id,
        horizons.as_of,
        horizons.horizon_days,
        count(*) as order_count,
        count(distinct orders.ordered_on) as order_day_count,
        sum(orders.net_amount - orders.refund_amount)::decimal(18, 2) as net_spend_amount

    from orders_known as orders

    inner join horizons
        on orders.ordered_at >= horizons.as_of_utc
        and orders.ordered_at < horizons.end_utc

    where orders.is_counted

    group by orders.customer_id, horizons.as_of, horizons.horizon_days

),

bought_under_former_ids as (

    select
        former_customers.customer_id,
        bought.as_of,
        bought.horizon_days,
        bought.order_count,
        bought.order_day_count,
        bought.net_spend_amount

    from bought

    inner join former_customers
        on bought.customer_id = former_customers.current_customer_id
        and bought.as_of = former_customers.as_of

)

select
    customer_id,
    as_of,
    horizon_days,
    order_count,
    order_day_count,
    net_spend_amount

from bought

union all

select
    customer_id,
    as_of,
    horizon_days,
    order_count,
    order_day_count,
    net_spend_amount

from bought_under_former_ids
