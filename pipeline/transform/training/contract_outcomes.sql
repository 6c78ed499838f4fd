-- One row per customer with a contract at the horizon's end. Key: (customer_id, as_of, horizon_days).
-- What came true by as_of + horizon, known tonight. Whose contract ended before, and has not been renewed by then, is
-- not here; one that ended in the last 14 days may still be renewed, and is. Who counted as several customers at the
-- cut-off kept the contract under each of their ids.
with contracts_kept as (

    select distinct
        subscriptions.customer_id,
        horizons.as_of,
        horizons.horizon_days

    from subscriptions_known as subscriptions

    inner join horizons
        on subscriptions.started_at < horizons.end_utc
        and (subscriptions.lapses_at is null or subscriptions.lapses_at >= horizons.end_utc)

)

select
    customer_id,
    as_of,
    horizon_days

from contracts_kept

union

select
    former_customers.customer_id,
    contracts_kept.as_of,
    contracts_kept.horizon_days

from contracts_kept

inner join former_customers
    on contracts_kept.customer_id = former_customers.current_customer_id
    and contracts_kept.as_of = former_customers.as_of
