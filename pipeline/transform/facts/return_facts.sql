-- One row per customer with a return asked for before as_of. Key: (customer_id, as_of).
select
    returns.customer_id,
    cut_offs.as_of,
    count(*) as return_count,
    count(distinct returns.source || '|' || returns.order_id) as returned_order_count

from core.returns as returns

inner join cut_offs
    on returns.requested_at < cut_offs.as_of_utc

semi join cohort
    on returns.customer_id = cohort.customer_id

group by returns.customer_id, cut_offs.as_of
