-- One row per customer and interval of nights between which nothing became known. Key: (customer_id, valid_to).
-- What all source records together said of the customer then, each attribute by its survivorship rule, from those
-- versions alone that were known by then. valid_to: the first as_of that saw more; null: as known now. Neighbours may
-- be equal.
-- Of the night alone, since it holds names. One slice of the customers at a time, since the aggregates take memory.
with versions as (

    select * from customer_records

    where hash(customer_id) % getvariable('slice_count') = getvariable('slice')

),

changes as (

    select
        customer_id,
        known_on,
        lead(known_on) over (partition by customer_id order by known_on) as valid_to

    from versions

    group by customer_id, known_on

),

versions_held as (

    select
        versions.* exclude (valid_to),
        changes.valid_to

    from versions

    inner join changes
        on versions.customer_id = changes.customer_id
        and versions.known_on <= changes.known_on
        and (versions.replaced_on is null or versions.replaced_on > changes.known_on)

),

deletions as (

    select
        customer_id,
        valid_to,
        bool_and(is_deleted) as is_deleted

    from versions_held

    group by customer_id, valid_to

    having bool_or(is_deleted)

),

-- a deleted record says nothing while another of the customer lives
versions_heard as (

    select
        versions_held.* exclude (is_deleted),
        coalesce(deletions.is_deleted, false) as is_deleted

    from versions_held

    left join deletions
        on versions_held.customer_id = deletions.customer_id
        and versions_held.valid_to is not distinct from deletions.valid_to

    where not versions_held.is_deleted or deletions.is_deleted

),

final as (

    select
        customer_id,
        valid_to,
        any_value(is_deleted) as is_deleted,
        min(registered_at) as registered_at,
        arg_max(name, survivor_rank('name')) as name,
        arg_max(gender, survivor_rank('gender')) as gender,
        arg_max(birth_date, survivor_rank('birth_date')) as birth_date,
        arg_max(age_band, survivor_rank('age_band')) as age_band,
        arg_max(occupation, survivor_rank('occupation')) as occupation,
        arg_max(education, survivor_rank('education')) as education,
        arg_max(marital_status, survivor_rank('marital_status')) as marital_status,
        arg_max(income_band, survivor_rank('income_band')) as income_band,
        arg_max(company, survivor_rank('company')) as company,
        arg_max(country, survivor_rank('country')) as country,
        arg_max_null(province, survivor_rank('place')) filter (where has_place) as province,
        arg_max_null(city, survivor_rank('place')) filter (where has_place) as city,
        arg_max_null(district, survivor_rank('place')) filter (where has_place) as district,
        arg_max_null(address, survivor_rank('place')) filter (where has_place) as address,
        arg_max_null(postal_code, survivor_rank('place')) filter (where has_place) as postal_code,
        arg_max(email, survivor_rank('email')) as email,
        arg_max(phone, survivor_rank('phone')) as phone,
        arg_max(wechat, survivor_rank('wechat')) as wechat,
        arg_max(surname, survivor_rank('surname')) as surname,
        arg_max(given_name, survivor_rank('given_name')) as given_name,
        arg_max(national_id, survivor_rank('national_id')) as national_id,
        arg_max(social_account, survivor_rank('social_account')) as social_account,
        arg_max(acquisition_channel, survivor_rank('acquisition_channel')) as acquisition_channel,
        arg_max(owner, survivor_rank('owner')) as owner,
        arg_max(loyalty_tier, survivor_rank('loyalty_tier')) as loyalty_tier,
        arg_max(loyalty_points, survivor_rank('loyalty_points')) as loyalty_points

    from versions_heard

    group by customer_id, valid_to

)

select * from final
