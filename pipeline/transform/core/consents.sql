-- One row per consent given or refused. Key: (source, consent_id).
select
    consents.source,
    consents.consent_id,
    customer_map.customer_id,
    consents.purpose,
    consents.channel,
    consents.status,
    consents.captured_at,
    consents.observed_at,
    consents.file_id

from stg_consents as consents

left join customer_map
    on consents.source = customer_map.source
    and consents.customer_key = customer_map.customer_key
