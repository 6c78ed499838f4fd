-- One row per record of a company in a source. Key: (source, source_company_id).
select
    source,
    source_company_id,
    company_id,
    first_evidence_at,
    linked_by

from company_map

order by source, source_company_id
