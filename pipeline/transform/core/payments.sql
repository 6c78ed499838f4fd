-- One row per payment. Key: (source, payment_id).
select
    source,
    payment_id,
    order_id,
    method,
    amount,
    paid_at,
    file_id

from stg_payments
