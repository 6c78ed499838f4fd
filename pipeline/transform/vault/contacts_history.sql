-- One row per customer and ended interval in which its contact data were others. Key: (customer_id, valid_to).
-- As core.customers_history. Addresses that no customer record states, only orders and the like, have no history.
with golden as (

    select
        customer_id,
        valid_to,
        name,
        birth_date,
        company,
        address,
        postal_code,
        email,
        phone,
        wechat,
        surname,
        given_name,
        national_id,
        social_account

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
