-- One row per customer and ended interval in which its record was another. Key: (customer_id, valid_to).
-- What core.customers would have said then: by the same rules, from those versions alone that were known by then.
-- valid_from, valid_to: the first as_of that saw this, and the first that saw other things. valid_from null: what was
-- known first, which extends backwards.
with golden as (

    select
        customer_id,
        valid_to,
        registered_at,
        gender,
        year(birth_date) as birth_year,
        month(birth_date) as birth_month,
        age_band,
        occupation,
        education,
        marital_status,
        income_band,
        country,
        province,
        city,
        district,
        acquisition_channel,
        owner,
        loyalty_tier,
        loyalty_points,
        is_deleted

    from golden_records

),

compared as (

    select
        *,
        hash(*columns(* exclude (customer_id, valid_to))) as content

    from golden

),

-- what became known may have changed nothing that is told here
last_of_equals as (

    select * from compared

    qualify
        content is distinct from lead(content) over (partition by customer_id order by valid_to nulls last)

),

final as (

    select
        * exclude (valid_to, content),
        lag(valid_to) over (partition by customer_id order by valid_to nulls last) as valid_from,
        valid_to

    from last_of_equals

)

select * from final
where valid_to is not null
