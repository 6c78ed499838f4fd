-- One row per record of a company in a source. Key: (source, source_company_id).
select
    company_map.source,
    company_map.source_company_id,
    company_map.company_id,
    company_map.first_evidence_at,
    company_map.linked_by,
    companies.custom

from company_map

left join stg_companies as companies
    on company_map.source = companies.source
    and company_map.source_company_id = companies.source_company_id

order by company_map.source, company_map.source_company_id
