-- One row per version of a customer's record in a source. Key: (source, source_customer_id, valid_from, valid_to).
-- valid_from null: the first known version, which extends backwards. Birth dates keep year and month only.
with versions as (

    select * from stg_customers_versions

),

final as (

    select
        versions.source,
        customer_map.customer_key as source_customer_id,
        customer_map.customer_id,
        versions.gender,
        year(versions.birth_date) as birth_year,
        month(versions.birth_date) as birth_month,
        versions.age_band,
        versions.occupation,
        versions.education,
        versions.marital_status,
        versions.income_band,
        versions.country,
        versions.province,
        versions.city,
        versions.district,
        versions.acquisition_channel,
        versions.registered_at,
        versions.owner,
        versions.loyalty_tier,
        versions.loyalty_points,
        referrer.customer_id as referred_by_customer_id,
        coalesce(versions.deleted, false) as is_deleted,
        versions.known_at,
        -- one order over all versions, so that whoever picks the latest of several sources has no ties to settle
        row_number() over (
            order by versions.known_at, versions.source, versions.customer_key, versions.valid_from nulls first
        ) as version_rank,
        versions.valid_from,
        versions.valid_to,
        versions.file_id

    from versions

    inner join customer_map
        on versions.source = customer_map.source
        and versions.customer_key = customer_map.customer_key

    left join customer_map as referrer
        on versions.source = referrer.source
        and versions.referred_by = referrer.customer_key

)

select * from final
