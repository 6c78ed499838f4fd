-- One row per order of who is in scope, as it was known at the cut-off. Key: (source, order_id, as_of).
-- is_counted: an order counts unless it is pending, cancelled or wholly refunded, as far as was known before as_of.
with order_versions as (

    select * from orders_in_scope

),

returns_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc

    from returns_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

),

refunds_summed_to_order as (

    select
        source,
        order_id,
        as_of,
        sum(amount) filter (where refund_known_at < as_of_utc) as refund_amount

    from returns_as_known

    where kind in ('return', 'refund') and amount is not null

    group by source, order_id, as_of

),

orders_as_known as (

    select
        order_versions.source,
        order_versions.order_id,
        order_versions.customer_id,
        order_versions.company_id,
        cut_offs.as_of,
        order_versions.ordered_at,
        order_versions.ordered_on,
        order_versions.sales_channel,
        order_versions.payment_method,
        coalesce(order_versions.instalments, 0) > 1 as is_in_instalments,
        order_versions.coupon is not null as has_coupon,
        order_versions.net_amount,
        coalesce(
            order_versions.gross, order_versions.net_amount + coalesce(order_versions.discount, 0)
        ) as gross_amount,
        coalesce(order_versions.discount, 0) as discount_amount,
        order_versions.ordered_hour,
        coalesce(order_versions.cancelled_at < cut_offs.as_of_utc, false) as is_cancelled,
        coalesce(order_versions.status = 'pending', false) as is_pending,
        coalesce(
            refunds.refund_amount,
            case
                when order_versions.updated_at < cut_offs.as_of_utc
                    then
                        coalesce(
                            order_versions.refunded_amount,
                            -- a status alone is a refund in full, unless returns tell of it
                            case
                                when order_versions.status = 'refunded' and refunds.order_id is null
                                    then order_versions.net_amount
                            end
                        )
            end,
            0
        ) as refund_amount

    from order_versions

    -- the version that held then: a first version extends backwards, a later one begins when it became known
    inner join cut_offs
        on order_versions.ordered_at < cut_offs.as_of_utc
        and (order_versions.valid_from is null or order_versions.valid_from < cut_offs.as_of_utc)
        and (order_versions.valid_to is null or order_versions.valid_to >= cut_offs.as_of_utc)

    left join refunds_summed_to_order as refunds
        on order_versions.source = refunds.source
        and order_versions.order_id = refunds.order_id
        and cut_offs.as_of = refunds.as_of

),

final as (

    select
        * exclude (is_pending),
        not is_cancelled
        and not is_pending
        and not (net_amount > 0 and refund_amount >= net_amount) as is_counted

    from orders_as_known

)

select * from final
