-- One row per customer with an order known at as_of. Key: (customer_id, as_of).
-- A purchase day is a day in the business time zone with at least one counted order.
with orders_summed_to_day as (

    select
        customer_id,
        as_of,
        ordered_on,
        count(*) as order_count,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        sum(gross_amount) as gross_spend_amount,
        sum(discount_amount) as discount_amount,
        sum(refund_amount) as refund_amount,
        sum(net_amount - refund_amount) as net_spend_amount,
        max(net_amount) as max_order_amount,
        count(*) filter (where has_coupon) as coupon_order_count,
        count(*) filter (where is_in_instalments) as instalment_order_count,
        count(*) filter (where refund_amount > 0) as refunded_order_count,
        count(*) filter (where ordered_hour >= 22 or ordered_hour < 6) as night_order_count,
        count(sales_channel) as channel_order_count,
        count(*) filter (where sales_channel not in ('store', 'phone')) as online_order_count

    from orders_known

    where is_counted

    group by customer_id, as_of, ordered_on

),

rfm_window as (

    -- 0 days: of all time
    select rfm_window_days from night

),

days_summed_to_customer as (

    select
        customer_id,
        as_of,
        sum(order_count)::bigint as order_count,
        count(*) as order_day_count,
        min(first_order_at) as first_order_at,
        max(last_order_at) as last_order_at,
        min(ordered_on) as first_order_on,
        max(ordered_on) as last_order_on,
        sum(gross_spend_amount)::decimal(18, 2) as gross_spend_amount,
        sum(discount_amount)::decimal(18, 2) as discount_amount,
        sum(refund_amount)::decimal(18, 2) as refund_amount,
        sum(net_spend_amount)::decimal(18, 2) as net_spend_amount,
        max(max_order_amount)::decimal(18, 2) as max_order_amount,
        (sum(net_spend_amount) - arg_min(net_spend_amount, ordered_on))::decimal(18, 2) as repeat_day_spend_amount,
        coalesce(sum(order_count) filter (where ordered_on >= as_of - 30), 0)::bigint as order_count_30d,
        coalesce(sum(order_count) filter (where ordered_on >= as_of - 90), 0)::bigint as order_count_90d,
        coalesce(sum(order_count) filter (where ordered_on >= as_of - 180), 0)::bigint as order_count_180d,
        coalesce(sum(order_count) filter (where ordered_on >= as_of - 365), 0)::bigint as order_count_365d,
        coalesce(sum(net_spend_amount) filter (where ordered_on >= as_of - 90), 0)::decimal(18, 2)
            as net_spend_90d_amount,
        coalesce(sum(net_spend_amount) filter (where ordered_on >= as_of - 365), 0)::decimal(18, 2)
            as net_spend_365d_amount,
        count(*) filter (where rfm_window_days = 0 or ordered_on >= as_of - rfm_window_days) as rfm_order_day_count,
        coalesce(
            sum(net_spend_amount) filter (where rfm_window_days = 0 or ordered_on >= as_of - rfm_window_days), 0
        )::decimal(18, 2) as rfm_net_spend_amount,
        sum(coupon_order_count) / sum(order_count) as coupon_order_share,
        sum(instalment_order_count) / sum(order_count) as instalment_order_share,
        sum(refunded_order_count) / sum(order_count) as refunded_order_share,
        coalesce(sum(order_count) filter (where isodow(ordered_on) >= 6), 0) / sum(order_count) as weekend_order_share,
        sum(night_order_count) / sum(order_count) as night_order_share,
        sum(online_order_count) / nullif(sum(channel_order_count), 0) as online_order_share

    from orders_summed_to_day

    cross join rfm_window

    group by customer_id, as_of

),

cancellations_summed_to_customer as (

    select
        customer_id,
        as_of,
        count(*) as cancelled_order_count

    from orders_known

    where is_cancelled

    group by customer_id, as_of

),

orders_summed_to_way as (

    select
        customer_id,
        as_of,
        payment_method,
        sales_channel,
        count(*) as order_count

    from orders_known

    where is_counted

    group by customer_id, as_of, payment_method, sales_channel

),

payment_methods_ranked as (

    select
        customer_id,
        as_of,
        arg_max(payment_method, row(order_count, payment_method)) as top_payment_method

    from (
        select
            customer_id,
            as_of,
            payment_method,
            sum(order_count) as order_count

        from orders_summed_to_way

        where payment_method is not null

        group by customer_id, as_of, payment_method
    ) as payment_methods

    group by customer_id, as_of

),

sales_channels_ranked as (

    select
        customer_id,
        as_of,
        arg_max(sales_channel, row(order_count, sales_channel)) as top_sales_channel

    from (
        select
            customer_id,
            as_of,
            sales_channel,
            sum(order_count) as order_count

        from orders_summed_to_way

        where sales_channel is not null

        group by customer_id, as_of, sales_channel
    ) as sales_channels

    group by customer_id, as_of

),

final as (

    select
        coalesce(days.customer_id, cancellations.customer_id) as customer_id,
        coalesce(days.as_of, cancellations.as_of) as as_of,
        days.* exclude (customer_id, as_of),
        coalesce(cancellations.cancelled_order_count, 0) as cancelled_order_count,
        payment_methods.top_payment_method,
        sales_channels.top_sales_channel

    from days_summed_to_customer as days

    full join cancellations_summed_to_customer as cancellations
        on days.customer_id = cancellations.customer_id
        and days.as_of = cancellations.as_of

    left join payment_methods_ranked as payment_methods
        on days.customer_id = payment_methods.customer_id
        and days.as_of = payment_methods.as_of

    left join sales_channels_ranked as sales_channels
        on days.customer_id = sales_channels.customer_id
        and days.as_of = sales_channels.as_of

)

select * from final
