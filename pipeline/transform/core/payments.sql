-- One row per payment. Key: (source, payment_id).
-- amount is in the reporting currency, at the rate of its day where the file states a currency, else at its order's.
with payments as (

    select
        payments.* exclude (currency, exchange_rate),
        coalesce(payments.currency, orders.currency) as currency,
        coalesce(
            payments.exchange_rate, rate_of_order(payments.currency, orders.currency, orders.exchange_rate)
        ) as exchange_rate

    from stg_payments as payments

    left join core.orders as orders
        on payments.source = orders.source
        and payments.order_id = orders.order_id

)

select
    source,
    payment_id,
    order_id,
    method,
    in_reporting_currency(amount, exchange_rate) as amount,
    amount as amount_exported,
    currency,
    exchange_rate,
    paid_at,
    file_id

from payments
