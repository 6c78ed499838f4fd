-- One row per customer with a return asked for before as_of. Key: (customer_id, as_of).
with returns_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc

    from returns_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

)

select
    returns.customer_id,
    returns.as_of,
    count(*) as return_count,
    count(distinct returns.source || '|' || returns.order_id) as returned_order_count

from returns_as_known as returns

semi join cohort
    on returns.customer_id = cohort.customer_id

where returns.requested_at < returns.as_of_utc

group by returns.customer_id, returns.as_of
