-- One row per company, as last known. Key: (source, company_id).
select
    source,
    company_id,
    name,
    industry,
    size,
    domain,
    known_at as updated_at,
    file_id

from stg_companies
