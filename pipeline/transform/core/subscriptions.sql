-- One row per subscription, as last known. Key: (source, subscription_id).
select
    subscriptions.source,
    subscriptions.subscription_id,
    customer_map.customer_id,
    subscriptions.plan,
    subscriptions.status,
    subscriptions.started_at,
    subscriptions.ended_at,
    subscriptions.amount,
    subscriptions.file_id

from stg_subscriptions as subscriptions

left join customer_map
    on subscriptions.source = customer_map.source
    and subscriptions.customer_key = customer_map.customer_key
