-- One row per customer with an order line known at as_of. Key: (customer_id, as_of).
-- Tastes: what share of the money went to the first category, and which comes second. Ties go by name.
-- Margin: what the lines with a known unit cost left over. A cost of zero is known.
with orders_not_counted as (

    select
        source,
        order_id,
        as_of

    from orders_known

    where not is_counted

),

order_items_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc

    from order_items_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

),

order_items as (

    select
        order_items.customer_id,
        order_items.as_of,
        order_items.category,
        order_items.brand,
        order_items.quantity,
        order_items.amount,
        case when order_items.unit_cost is not null and order_items.quantity is not null then order_items.amount end
            as costed_amount,
        case when order_items.amount is not null then order_items.quantity * order_items.unit_cost end as cost_amount

    from order_items_as_known as order_items

    semi join cohort
        on order_items.customer_id = cohort.customer_id

    anti join orders_not_counted
        on order_items.source = orders_not_counted.source
        and order_items.order_id = orders_not_counted.order_id
        and order_items.as_of = orders_not_counted.as_of

    where order_items.ordered_at < order_items.as_of_utc

),

-- one pass over the lines; all that follows reads this far smaller table
items_summed_to_taste as (

    select
        customer_id,
        as_of,
        category,
        brand,
        sum(quantity) as quantity,
        sum(amount) as amount,
        sum(costed_amount) as costed_amount,
        sum(cost_amount) as cost_amount

    from order_items

    group by customer_id, as_of, category, brand

),

items_summed_to_customer as (

    select
        customer_id,
        as_of,
        sum(quantity)::double as item_count,
        (sum(amount) / nullif(sum(quantity), 0))::decimal(18, 2) as avg_item_price,
        sum(amount) as amount,
        coalesce(sum(costed_amount), 0) as costed_amount,
        coalesce(sum(costed_amount), 0) - coalesce(sum(cost_amount), 0) as margin_amount

    from items_summed_to_taste

    group by customer_id, as_of

),

items_summed_to_category as (

    select
        customer_id,
        as_of,
        category,
        sum(amount) as amount

    from items_summed_to_taste

    where category is not null

    group by customer_id, as_of, category

),

categories_ranked as (

    select
        *,
        row_number() over (partition by customer_id, as_of order by amount desc, category asc) as place

    from items_summed_to_category

),

categories_summed_to_customer as (

    select
        customer_id,
        as_of,
        count(*) as category_count,
        max(category) filter (where place = 1) as top_category,
        max(amount) filter (where place = 1) as top_category_amount,
        max(category) filter (where place = 2) as second_category

    from categories_ranked

    group by customer_id, as_of

),

items_summed_to_brand as (

    select
        customer_id,
        as_of,
        brand,
        sum(amount) as amount

    from items_summed_to_taste

    where brand is not null

    group by customer_id, as_of, brand

),

brands_ranked as (

    select
        *,
        row_number() over (partition by customer_id, as_of order by amount desc, brand asc) as place

    from items_summed_to_brand

),

final as (

    select
        items.customer_id,
        items.as_of,
        items.item_count,
        items.avg_item_price,
        items.costed_amount::decimal(18, 2) as costed_item_amount,
        items.margin_amount::decimal(18, 2) as margin_amount,
        (items.costed_amount / nullif(items.amount, 0))::double as known_cost_share,
        coalesce(categories.category_count, 0) as category_count,
        categories.top_category,
        (categories.top_category_amount / nullif(items.amount, 0))::double as top_category_share,
        categories.second_category,
        brands.brand as top_brand,
        (brands.amount / nullif(items.amount, 0))::double as top_brand_share

    from items_summed_to_customer as items

    left join categories_summed_to_customer as categories
        on items.customer_id = categories.customer_id
        and items.as_of = categories.as_of

    left join brands_ranked as brands
        on items.customer_id = brands.customer_id
        and items.as_of = brands.as_of
        and brands.place = 1

)

select * from final
