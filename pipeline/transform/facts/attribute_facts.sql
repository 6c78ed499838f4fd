-- One row per customer described before as_of. Key: (customer_id, as_of).
-- Each attribute is the last known then (ties: by source and id). A first version that became known later extends
-- backwards: is_attribute_backdated says so, and such attributes are no model inputs.
with versions as (

    select
        versions.*,
        cut_offs.as_of,
        versions.known_at >= cut_offs.as_of_utc as is_backdated

    from customer_versions_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)
        and (versions.registered_at is null or versions.registered_at < cut_offs.as_of_utc)

),

deletions as (

    select
        customer_id,
        as_of,
        bool_and(is_deleted) as is_deleted

    from versions

    group by customer_id, as_of

),

attributes as (

    select
        customer_id,
        as_of,
        min(registered_at) as registered_at,
        arg_max(gender, version_rank) as gender,
        arg_max(birth_year, version_rank) as birth_year,
        arg_max(birth_month, version_rank) as birth_month,
        arg_max(age_band, version_rank) as stated_age_band,
        arg_max(occupation, version_rank) as occupation,
        arg_max(education, version_rank) as education,
        arg_max(marital_status, version_rank) as marital_status,
        arg_max(income_band, version_rank) as income_band,
        arg_max(country, version_rank) as country,
        arg_max(province, version_rank) as province,
        arg_max(city, version_rank) as city,
        arg_max(acquisition_channel, version_rank) as acquisition_channel,
        arg_max(owner, version_rank) as owner,
        arg_max(loyalty_tier, version_rank) as loyalty_tier,
        arg_max(loyalty_points, version_rank) as loyalty_points,
        bool_or(referred_by_customer_id is not null) as referred_by_customer,
        bool_or(is_backdated) as is_attribute_backdated

    from versions

    semi join cohort
        on versions.customer_id = cohort.customer_id

    where not versions.is_deleted

    group by customer_id, as_of

),

referrals_summed_to_customer as (

    select
        referred_by_customer_id as customer_id,
        as_of,
        count(distinct customer_id) as referral_count

    from versions

    where not is_deleted and referred_by_customer_id is not null and referred_by_customer_id <> customer_id

    group by referred_by_customer_id, as_of

),

final as (

    select
        coalesce(attributes.customer_id, referrals.customer_id, deletions.customer_id) as customer_id,
        coalesce(attributes.as_of, referrals.as_of, deletions.as_of) as as_of,
        attributes.* exclude (customer_id, as_of),
        year(attributes.as_of) - attributes.birth_year
        - coalesce(month(attributes.as_of) < attributes.birth_month, false)::integer as age_years,
        coalesce(referrals.referral_count, 0) as referral_count,
        coalesce(deletions.is_deleted, false) as is_deleted

    from attributes

    full join referrals_summed_to_customer as referrals
        on attributes.customer_id = referrals.customer_id
        and attributes.as_of = referrals.as_of

    full join deletions
        on coalesce(attributes.customer_id, referrals.customer_id) = deletions.customer_id
        and coalesce(attributes.as_of, referrals.as_of) = deletions.as_of

)

select * from final
