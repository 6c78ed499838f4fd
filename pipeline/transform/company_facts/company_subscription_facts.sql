-- One row per company with a subscription begun before as_of. Key: (company_id, as_of).
select
    versions.company_id,
    cut_offs.as_of,
    count(*) filter (
        where versions.ended_at is null or versions.ended_at >= cut_offs.as_of_utc
    ) as active_subscription_count

from subscriptions_versions as versions

inner join cut_offs
    on versions.started_at < cut_offs.as_of_utc
    and (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
    and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

where versions.company_id is not null

group by versions.company_id, cut_offs.as_of
