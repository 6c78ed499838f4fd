-- One row per company described before as_of. Key: (company_id, as_of).
-- Each attribute is the last known then (ties: by source and id); a first known version extends backwards.
with versions as (

    select
        versions.*,
        cut_offs.as_of

    from core.company_versions as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)
        and (versions.created_at is null or versions.created_at < cut_offs.as_of_utc)

)

select
    company_id,
    as_of,
    arg_max(industry, version_rank) filter (where not is_deleted) as industry,
    arg_max(size, version_rank) filter (where not is_deleted) as size,
    arg_max(employee_count, version_rank) filter (where not is_deleted) as employee_count,
    arg_max(country, version_rank) filter (where not is_deleted) as country,
    arg_max(province, version_rank) filter (where not is_deleted) as province,
    arg_max(city, version_rank) filter (where not is_deleted) as city,
    arg_max(owner, version_rank) filter (where not is_deleted) as owner,
    bool_and(is_deleted) as is_deleted

from versions

group by company_id, as_of
