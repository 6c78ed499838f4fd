-- One row per described customer: which source says each of its attributes. Key: (customer_id).
-- Also of what stands in the vault alone, since only the source's name is told.
with present as (

    select * from customer_records

    where valid_to is null and hash(customer_id) % getvariable('slice_count') = getvariable('slice')

),

deletions as (

    select
        customer_id,
        bool_and(is_deleted) as is_deleted

    from present

    group by customer_id

    having bool_or(is_deleted)

),

heard as (

    select present.*

    from present

    left join deletions
        on present.customer_id = deletions.customer_id

    where not present.is_deleted or deletions.is_deleted

),

final as (

    select
        customer_id,
        arg_max(case when name is not null then source end, survivor_rank('name')) as name_source,
        arg_max(case when gender is not null then source end, survivor_rank('gender')) as gender_source,
        arg_max(case when birth_date is not null then source end, survivor_rank('birth_date')) as birth_date_source,
        arg_max(case when age_band is not null then source end, survivor_rank('age_band')) as age_band_source,
        arg_max(case when occupation is not null then source end, survivor_rank('occupation')) as occupation_source,
        arg_max(case when education is not null then source end, survivor_rank('education')) as education_source,
        arg_max(case when marital_status is not null then source end, survivor_rank('marital_status'))
            as marital_status_source,
        arg_max(case when income_band is not null then source end, survivor_rank('income_band'))
            as income_band_source,
        arg_max(case when company is not null then source end, survivor_rank('company')) as company_source,
        arg_max(case when country is not null then source end, survivor_rank('country')) as country_source,
        arg_max(case when has_place then source end, survivor_rank('place')) as place_source,
        arg_max(case when email is not null then source end, survivor_rank('email')) as email_source,
        arg_max(case when phone is not null then source end, survivor_rank('phone')) as phone_source,
        arg_max(case when wechat is not null then source end, survivor_rank('wechat')) as wechat_source,
        arg_max(case when surname is not null then source end, survivor_rank('surname')) as surname_source,
        arg_max(case when given_name is not null then source end, survivor_rank('given_name')) as given_name_source,
        arg_max(case when national_id is not null then source end, survivor_rank('national_id')) as national_id_source,
        arg_max(case when social_account is not null then source end, survivor_rank('social_account'))
            as social_account_source,
        arg_max(case when acquisition_channel is not null then source end, survivor_rank('acquisition_channel'))
            as acquisition_channel_source,
        arg_max(case when owner is not null then source end, survivor_rank('owner')) as owner_source,
        arg_max(case when loyalty_tier is not null then source end, survivor_rank('loyalty_tier'))
            as loyalty_tier_source,
        arg_max(case when loyalty_points is not null then source end, survivor_rank('loyalty_points'))
            as loyalty_points_source

    from heard

    group by customer_id

)

select * from final
