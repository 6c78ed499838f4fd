-- One row per version of a customer's record in a source, with its ranks. Key: (customer_id, version_rank).
-- Of the night alone, since it holds names and addresses. The ranks are what survivor_rank chooses from: each orders
-- the versions of a customer without ties, by its rule, then by which became known last, then by source and id.
-- known_on, replaced_on: the first as_of whose night sees this version, and the first that sees another instead.
with versions as (

    select
        customer_map.customer_id,
        versions.*,
        (versions.name is not null)::integer
        + (versions.gender is not null)::integer
        + (versions.birth_date is not null)::integer
        + (versions.age_band is not null)::integer
        + (versions.occupation is not null)::integer
        + (versions.education is not null)::integer
        + (versions.marital_status is not null)::integer
        + (versions.income_band is not null)::integer
        + (versions.company is not null)::integer
        + (versions.country is not null)::integer
        + (versions.province is not null)::integer
        + (versions.city is not null)::integer
        + (versions.district is not null)::integer
        + (versions.address is not null)::integer
        + (versions.postal_code is not null)::integer
        + (versions.email is not null)::integer
        + (versions.phone is not null)::integer
        + (versions.wechat is not null)::integer
        + (versions.surname is not null)::integer
        + (versions.given_name is not null)::integer
        + (versions.national_id is not null)::integer
        + (versions.social_account is not null)::integer
        + (versions.acquisition_channel is not null)::integer
        + (versions.owner is not null)::integer
        + (versions.loyalty_tier is not null)::integer
        + (versions.loyalty_points is not null)::integer as filled_count,
        row_number() over (
            partition by customer_map.customer_id
            order by
                versions.known_at, versions.source, versions.customer_key, versions.observed_at, versions.file_record
        ) as version_rank

    from stg_customers_versions as versions

    inner join customer_map
        on versions.source = customer_map.source
        and versions.customer_key = customer_map.customer_key

),

final as (

    select
        versions.* exclude (
            source_customer_id, deleted, updated_at, observed_at, delivery, file_record, filled_count
        ),
        coalesce(versions.deleted, false) as is_deleted,
        coalesce(province, city, district, address, postal_code) is not null as has_place,
        -- 2^32: above any version_rank
        source_trust(source) * 4294967296 + version_rank as trusted_rank,
        filled_count * 4294967296 + version_rank as complete_rank,
        timezone(night.business_timezone, timezone('UTC', versions.known_at))::date + 1 as known_on,
        timezone(night.business_timezone, timezone('UTC', versions.valid_to))::date + 1 as replaced_on

    from versions

    cross join night

)

select * from final
