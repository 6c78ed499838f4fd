-- One row per version of a customer's record in a source. Key: (source, source_customer_id, valid_from, valid_to).
-- valid_from null: the first known version, which extends backwards. Birth dates keep year and month only.
with versions as (

    select * from customer_records

),

final as (

    select
        versions.source,
        versions.customer_key as source_customer_id,
        versions.customer_id,
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
        versions.is_deleted,
        versions.has_place,
        versions.known_at,
        versions.version_rank,
        versions.trusted_rank,
        versions.complete_rank,
        versions.valid_from,
        versions.valid_to,
        versions.file_id

    from versions

    left join customer_map as referrer
        on versions.source = referrer.source
        and versions.referred_by = referrer.customer_key

)

select * from final
