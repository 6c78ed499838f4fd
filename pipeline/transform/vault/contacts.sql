-- One row per customer: how to reach the person. Key: (customer_id). Stands in the vault alone.
-- Each value is the most recently known among the customer's source records (ties: by source and id).
with described as (

    select
        customer_map.customer_id,
        customers.source,
        customers.customer_key,
        customers.known_at,
        customers.name,
        customers.birth_date,
        customers.company,
        customers.address,
        customers.postal_code,
        customers.email,
        customers.phone,
        customers.wechat

    from stg_customers as customers

    inner join customer_map
        on customers.source = customer_map.source
        and customers.customer_key = customer_map.customer_key

),

mentioned as (

    select
        customer_map.customer_id,
        arg_max(customer_references.email, row(customer_references.seen_at, customer_references.email)) as email,
        arg_max(customer_references.phone, row(customer_references.seen_at, customer_references.phone)) as phone

    from customer_references

    inner join customer_map
        on customer_references.source = customer_map.source
        and customer_references.customer_key = customer_map.customer_key

    group by customer_map.customer_id

),

described_by_customer as (

    select
        customer_id,
        arg_max(name, row(known_at, source, customer_key)) as name,
        arg_max(birth_date, row(known_at, source, customer_key)) as birth_date,
        arg_max(company, row(known_at, source, customer_key)) as company,
        arg_max(address, row(known_at, source, customer_key)) as address,
        arg_max(postal_code, row(known_at, source, customer_key)) as postal_code,
        arg_max(email, row(known_at, source, customer_key)) as email,
        arg_max(phone, row(known_at, source, customer_key)) as phone,
        arg_max(wechat, row(known_at, source, customer_key)) as wechat

    from described

    group by customer_id

),

final as (

    select
        mentioned.customer_id,
        described.name,
        described.birth_date,
        described.company,
        described.address,
        described.postal_code,
        coalesce(described.email, mentioned.email) as email,
        coalesce(described.phone, mentioned.phone) as phone,
        described.wechat

    from mentioned

    left join described_by_customer as described
        on mentioned.customer_id = described.customer_id

)

select * from final
order by customer_id
