-- One row per company with a subscription begun before as_of. Key: (company_id, as_of).
select
    subscriptions.company_id,
    subscriptions.as_of,
    count(*) filter (
        where subscriptions.ended_at is null or subscriptions.ended_at >= cut_offs.as_of_utc
    ) as active_subscription_count

from company_subscriptions_known as subscriptions

inner join cut_offs
    on subscriptions.as_of = cut_offs.as_of

group by subscriptions.company_id, subscriptions.as_of
