-- One row per record of a customer in a source. Key: (source, source_customer_id).
-- source_customer_id is a keyed hash (e:, p:, h:) where the source names its customers by personal data.
select
    source,
    customer_key as source_customer_id,
    customer_id,
    first_evidence_at,
    linked_by,
    linked_at

from customer_map

order by source, source_customer_id
