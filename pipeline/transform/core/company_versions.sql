-- One row per version of a company's record in a source. Key: (source, source_company_id, valid_from, valid_to).
-- valid_from null: the first known version, which extends backwards. A domain is the host alone.
with versions as (

    select * from stg_companies_versions

),

final as (

    select
        versions.source,
        versions.source_company_id,
        company_map.company_id,
        versions.name,
        versions.registration_id,
        host_of(versions.domain) as domain,
        versions.industry,
        versions.size,
        versions.employee_count,
        versions.country,
        versions.province,
        versions.city,
        versions.owner,
        versions.created_at,
        coalesce(versions.deleted, false) as is_deleted,
        versions.known_at,
        -- one order over all versions, so that whoever picks the latest of several sources has no ties to settle
        row_number() over (
            order by versions.known_at, versions.source, versions.source_company_id, versions.valid_from nulls first
        ) as version_rank,
        versions.valid_from,
        versions.valid_to,
        versions.file_id

    from versions

    inner join company_map
        on versions.source = company_map.source
        and versions.source_company_id = company_map.source_company_id

)

select * from final
