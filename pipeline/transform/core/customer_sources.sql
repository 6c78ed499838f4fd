-- One row per record of a customer in a source. Key: (source, source_customer_id).
-- source_customer_id is a keyed hash (e:, p:, h:) where the source names its customers by personal data.
select
    customer_map.source,
    customer_map.customer_key as source_customer_id,
    customer_map.customer_id,
    customer_map.first_evidence_at,
    customer_map.linked_by,
    customer_map.linked_at,
    customers.custom

from customer_map

left join stg_customers as customers
    on customer_map.source = customers.source
    and customer_map.customer_key = customers.customer_key

order by customer_map.source, source_customer_id
