-- One row per customer described before as_of. Key: (customer_id, as_of).
-- Each attribute is that of the source record which its survivorship rule chooses among those known then. A first
-- version that became known later extends backwards, but stands behind all that was known, and behind what became known
-- on an earlier day: is_attribute_backdated says that there is such, and then no attribute is a model input.
with versions_held as (

    select
        versions.*,
        cut_offs.as_of,
        versions.known_at >= cut_offs.as_of_utc as is_backdated,
        -- 2^43: more than any rank
        case when versions.known_at >= cut_offs.as_of_utc then epoch(versions.known_at)::bigint // 86400 else 0 end
        * 8796093022208 as set_back

    from customer_versions_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)
        and (versions.registered_at is null or versions.registered_at < cut_offs.as_of_utc)

),

versions as (

    select
        * replace (
            version_rank - set_back as version_rank,
            trusted_rank - set_back as trusted_rank,
            complete_rank - set_back as complete_rank
        )

    from versions_held

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
        coalesce(min(registered_at) filter (where not is_backdated), min(registered_at)) as registered_at,
        arg_max(gender, survivor_rank('gender')) as gender,
        arg_max(birth_year, survivor_rank('birth_date')) as birth_year,
        arg_max(birth_month, survivor_rank('birth_date')) as birth_month,
        arg_max(age_band, survivor_rank('age_band')) as stated_age_band,
        arg_max(occupation, survivor_rank('occupation')) as occupation,
        arg_max(education, survivor_rank('education')) as education,
        arg_max(marital_status, survivor_rank('marital_status')) as marital_status,
        arg_max(income_band, survivor_rank('income_band')) as income_band,
        arg_max(country, survivor_rank('country')) as country,
        arg_max_null(province, survivor_rank('place')) filter (where has_place) as province,
        arg_max_null(city, survivor_rank('place')) filter (where has_place) as city,
        arg_max(acquisition_channel, survivor_rank('acquisition_channel')) as acquisition_channel,
        arg_max(owner, survivor_rank('owner')) as owner,
        arg_max(loyalty_tier, survivor_rank('loyalty_tier')) as loyalty_tier,
        arg_max(loyalty_points, survivor_rank('loyalty_points')) as loyalty_points,
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
