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
        arg_max(gender, row(known_at, source, source_customer_id)) as gender,
        arg_max(birth_year, row(known_at, source, source_customer_id)) as birth_year,
        arg_max(birth_month, row(known_at, source, source_customer_id)) as birth_month,
        arg_max(age_band, row(known_at, source, source_customer_id)) as age_band,
        arg_max(occupation, row(known_at, source, source_customer_id)) as occupation,
        arg_max(education, row(known_at, source, source_customer_id)) as education,
        arg_max(marital_status, row(known_at, source, source_customer_id)) as marital_status,
        arg_max(income_band, row(known_at, source, source_customer_id)) as income_band,
        arg_max(country, row(known_at, source, source_customer_id)) as country,
        arg_max(province, row(known_at, source, source_customer_id)) as province,
        arg_max(city, row(known_at, source, source_customer_id)) as city,
        arg_max(district, row(known_at, source, source_customer_id)) as district,
        arg_max(acquisition_channel, row(known_at, source, source_customer_id)) as acquisition_channel,
        arg_max(loyalty_tier, row(known_at, source, source_customer_id)) as loyalty_tier,
        arg_max(loyalty_points, row(known_at, source, source_customer_id)) as loyalty_points

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
