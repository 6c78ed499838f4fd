-- One row per version of a return, refund, exchange or repair. Key: (source, return_id, valid_to).
-- refund_known_at: when money given back counts, which is when it was settled, else when it was asked for.
select
    returns.source,
    returns.return_id,
    returns.order_id,
    returns.line,
    orders.customer_id,
    returns.kind,
    returns.reason,
    returns.amount,
    returns.requested_at,
    returns.resolved_at,
    coalesce(returns.resolved_at, returns.requested_at) as refund_known_at,
    returns.valid_from,
    returns.valid_to,
    returns.file_id

from stg_returns_versions as returns

left join core.orders as orders
    on returns.source = orders.source
    and returns.order_id = orders.order_id
