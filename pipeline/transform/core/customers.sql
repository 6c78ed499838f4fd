-- One row per customer, as last known. Key: (customer_id).
-- Each attribute is the most recently known value (ties: by source and id) among the customer's source records.
with sources_summed_to_customer as (

    select
        customer_id,
        min(first_evidence_at) as first_seen_at,
        count(*) as source_record_count

    from core.customer_sources

    group by customer_id

),

attributes_of_customer as (

    select
        customer_id,
        min(registered_at) as registered_at,
        arg_max(gender, version_rank) as gender,
        arg_max(birth_year, version_rank) as birth_year,
        arg_max(birth_month, version_rank) as birth_month,
        arg_max(age_band, version_rank) as age_band,
        arg_max(occupation, version_rank) as occupation,
        arg_max(education, version_rank) as education,
        arg_max(marital_status, version_rank) as marital_status,
        arg_max(income_band, version_rank) as income_band,
        arg_max(country, version_rank) as country,
        arg_max(province, version_rank) as province,
        arg_max(city, version_rank) as city,
        arg_max(district, version_rank) as district,
        arg_max(acquisition_channel, version_rank) as acquisition_channel,
        arg_max(owner, version_rank) as owner,
        arg_max(loyalty_tier, version_rank) as loyalty_tier,
        arg_max(loyalty_points, version_rank) as loyalty_points

    from core.customer_versions

    where valid_to is null

    group by customer_id

),

final as (

    select
        sources.customer_id,
        least(sources.first_seen_at, attributes.registered_at) as first_seen_at,
        sources.source_record_count,
        attributes.customer_id is not null as is_described,
        attributes.* exclude (customer_id)

    from sources_summed_to_customer as sources

    left join attributes_of_customer as attributes
        on sources.customer_id = attributes.customer_id

)

select * from final
order by customer_id
