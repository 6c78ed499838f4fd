-- One row per version of a subscription. Key: (source, subscription_id, valid_to).
select
    subscriptions.source,
    subscriptions.subscription_id,
    customer_map.customer_id,
    subscriptions.plan,
    subscriptions.status,
    subscriptions.started_at,
    subscriptions.ended_at,
    subscriptions.amount,
    subscriptions.valid_from,
    subscriptions.valid_to,
    subscriptions.file_id

from stg_subscriptions_versions as subscriptions

left join customer_map
    on subscriptions.source = customer_map.source
    and subscriptions.customer_key = customer_map.customer_key
