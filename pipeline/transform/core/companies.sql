-- One row per company, as last known. Key: (company_id).
-- Each attribute is the most recently known value (ties: by source and id) among the company's source records.
with sources_summed_to_company as (

    select
        company_id,
        min(first_evidence_at) as first_seen_at,
        count(*) as source_record_count

    from core.company_sources

    group by company_id

),

attributes_of_company as (

    select
        company_id,
        arg_max(name, version_rank) as name,
        arg_max(registration_id, version_rank) as registration_id,
        arg_max(domain, version_rank) as domain,
        arg_max(industry, version_rank) as industry,
        arg_max(size, version_rank) as size,
        arg_max(employee_count, version_rank) as employee_count,
        arg_max(country, version_rank) as country,
        arg_max(province, version_rank) as province,
        arg_max(city, version_rank) as city,
        arg_max(owner, version_rank) as owner,
        bool_and(is_deleted) as is_deleted

    from core.company_versions

    where valid_to is null

    group by company_id

),

final as (

    select
        sources.company_id,
        sources.first_seen_at,
        sources.source_record_count,
        attributes.company_id is not null as is_described,
        attributes.* exclude (company_id, is_deleted),
        coalesce(attributes.is_deleted, false) as is_deleted

    from sources_summed_to_company as sources

    left join attributes_of_company as attributes
        on sources.company_id = attributes.company_id

)

select * from final
order by company_id
