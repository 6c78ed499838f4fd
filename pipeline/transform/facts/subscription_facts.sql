-- One row per customer with a subscription begun before as_of. Key: (customer_id, as_of).
select
    subscriptions.customer_id,
    cut_offs.as_of,
    count(*) filter (
        where subscriptions.ended_at is null or subscriptions.ended_at >= cut_offs.as_of_utc
    ) as active_subscription_count

from core.subscriptions as subscriptions

inner join cut_offs
    on subscriptions.started_at < cut_offs.as_of_utc

semi join cohort
    on subscriptions.customer_id = cohort.customer_id

group by subscriptions.customer_id, cut_offs.as_of
