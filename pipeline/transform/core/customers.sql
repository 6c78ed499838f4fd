-- One row per customer, as last known. Key: (customer_id).
-- Each attribute is that of the source record which its survivorship rule chooses.
with sources_summed_to_customer as (

    select
        customer_id,
        min(first_evidence_at) as first_seen_at,
        count(*) as source_record_count

    from core.customer_sources

    group by customer_id

),

changes as (

    select
        customer_id,
        max(valid_to) as last_changed_at

    from core.customers_history

    group by customer_id

),

golden as (

    select * from golden_records

    where valid_to is null

),

final as (

    select
        sources.customer_id,
        least(sources.first_seen_at, golden.registered_at) as first_seen_at,
        sources.source_record_count,
        golden.customer_id is not null as is_described,
        coalesce(golden.is_deleted, false) as is_deleted,
        golden.registered_at,
        golden.gender,
        year(golden.birth_date) as birth_year,
        month(golden.birth_date) as birth_month,
        golden.age_band,
        golden.occupation,
        golden.education,
        golden.marital_status,
        golden.income_band,
        golden.country,
        codes.country_code,
        golden.province,
        codes.province_code,
        golden.city,
        codes.city_code,
        golden.district,
        golden.acquisition_channel,
        golden.owner,
        golden.loyalty_tier,
        golden.loyalty_points,
        changes.last_changed_at as valid_from

    from sources_summed_to_customer as sources

    left join golden
        on sources.customer_id = golden.customer_id

    left join place_codes as codes
        on golden.country is not distinct from codes.country
        and golden.province is not distinct from codes.province
        and golden.city is not distinct from codes.city

    left join changes
        on sources.customer_id = changes.customer_id

)

select * from final
order by customer_id
