-- One row per version of a subscription. Key: (source, subscription_id, valid_to).
select
    subscriptions.source,
    subscriptions.subscription_id,
    customer_map.customer_id,
    coalesce(company_map.company_id, contacts.company_id) as company_id,
    subscriptions.plan,
    subscriptions.status,
    subscriptions.started_at,
    subscriptions.ended_at,
    subscriptions.amount,
    subscriptions.known_at,
    subscriptions.custom,
    subscriptions.valid_from,
    subscriptions.valid_to,
    subscriptions.file_id

from stg_subscriptions_versions as subscriptions

left join customer_map
    on subscriptions.source = customer_map.source
    and subscriptions.customer_key = customer_map.customer_key

left join company_map
    on subscriptions.source = company_map.source
    and subscriptions.source_company_id = company_map.source_company_id

left join core.company_contacts as contacts
    on customer_map.customer_id = contacts.customer_id
    and (contacts.valid_from is null or subscriptions.started_at >= contacts.valid_from)
    and (contacts.valid_to is null or subscriptions.started_at < contacts.valid_to)
