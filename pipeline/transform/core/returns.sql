-- One row per version of a return, refund, exchange or repair. Key: (source, return_id, valid_to).
-- amount is in the reporting currency, at the rate of its day where the file states a currency, else at its order's.
-- refund_known_at: when money given back counts, which is when it was settled, else when it was asked for.
select
    returns.source,
    returns.return_id,
    returns.order_id,
    returns.line,
    orders.customer_id,
    returns.kind,
    returns.reason,
    in_reporting_currency(
        returns.amount,
        coalesce(returns.exchange_rate, rate_of_order(returns.currency, orders.currency, orders.exchange_rate))
    ) as amount,
    returns.amount as amount_exported,
    coalesce(returns.currency, orders.currency) as currency,
    coalesce(
        returns.exchange_rate, rate_of_order(returns.currency, orders.currency, orders.exchange_rate)
    ) as exchange_rate,
    returns.requested_at,
    returns.resolved_at,
    coalesce(returns.resolved_at, returns.requested_at) as refund_known_at,
    returns.custom,
    returns.valid_from,
    returns.valid_to,
    returns.file_id

from stg_returns_versions as returns

left join core.orders as orders
    on returns.source = orders.source
    and returns.order_id = orders.order_id
