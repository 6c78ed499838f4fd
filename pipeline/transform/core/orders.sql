-- One row per version of an order. Key: (source, order_id, valid_to).
-- customer_id is null for an anonymous order: it counts in revenue, not in customer facts.
-- net is as exported, in currency; every other amount is in the reporting currency, at the rate of the order's day.
-- company_id: the company that it states, else its person's company when it was placed.
with orders as (

    select * from stg_orders_versions

),

final as (

    select
        orders.source,
        orders.order_id,
        customer_map.customer_id,
        coalesce(company_map.company_id, contacts.company_id) as company_id,
        orders.ordered_at,
        timezone(night.business_timezone, timezone('UTC', orders.ordered_at))::date as ordered_on,
        hour(timezone(night.business_timezone, timezone('UTC', orders.ordered_at))) as ordered_hour,
        orders.paid_at,
        -- a cancellation without a time of its own dates from the record's last change; an order never known otherwise
        -- was never one, as a first version extends backwards
        case
            when orders.status = 'cancelled'
                then
                    coalesce(
                        orders.cancelled_at,
                        orders.updated_at,
                        case when orders.valid_from is null then orders.ordered_at end,
                        orders.known_at
                    )
            else orders.cancelled_at
        end as cancelled_at,
        orders.status,
        orders.sales_channel,
        orders.currency,
        in_reporting_currency(orders.gross, orders.exchange_rate) as gross,
        in_reporting_currency(orders.discount, orders.exchange_rate) as discount,
        in_reporting_currency(orders.shipping, orders.exchange_rate) as shipping,
        in_reporting_currency(orders.tax, orders.exchange_rate) as tax,
        orders.net,
        in_reporting_currency(orders.net, orders.exchange_rate) as net_amount,
        orders.exchange_rate,
        orders.payment_method,
        orders.instalments,
        orders.coupon,
        in_reporting_currency(orders.refunded_amount, orders.exchange_rate) as refunded_amount,
        orders.known_at as updated_at,
        orders.custom,
        orders.valid_from,
        orders.valid_to,
        orders.file_id

    from orders

    cross join night

    left join customer_map
        on orders.source = customer_map.source
        and orders.customer_key = customer_map.customer_key

    left join company_map
        on orders.source = company_map.source
        and orders.source_company_id = company_map.source_company_id

    left join core.company_contacts as contacts
        on customer_map.customer_id = contacts.customer_id
        and (contacts.valid_from is null or orders.ordered_at >= contacts.valid_from)
        and (contacts.valid_to is null or orders.ordered_at < contacts.valid_to)

)

select * from final
