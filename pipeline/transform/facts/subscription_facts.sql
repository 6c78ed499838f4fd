-- One row per customer with a subscription begun before as_of. Key: (customer_id, as_of).
with subscriptions_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc

    from subscriptions_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

)

select
    subscriptions.customer_id,
    subscriptions.as_of,
    count(*) filter (
        where subscriptions.ended_at is null or subscriptions.ended_at >= subscriptions.as_of_utc
    ) as active_subscription_count

from subscriptions_as_known as subscriptions

semi join cohort
    on subscriptions.customer_id = cohort.customer_id

where subscriptions.started_at < subscriptions.as_of_utc

group by subscriptions.customer_id, subscriptions.as_of
