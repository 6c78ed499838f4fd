-- One row per version of an order line. Key: (source, order_id, line, valid_to).
-- Category, brand and cost come from the line, else from the product list: its cost is the one known when the order was
-- placed, so a list that comes later changes no margin of the past.
-- Amounts are in the reporting currency, at the rate of the order's day; amount_exported is in currency.
-- An orphan (no such order) has no customer and no time.
with order_items as (

    select
        items.* exclude (currency, exchange_rate),
        orders.customer_id,
        orders.ordered_at,
        coalesce(items.currency, orders.currency) as currency,
        coalesce(items.exchange_rate, rate_of_order(items.currency, orders.currency, orders.exchange_rate)) as rate

    from stg_order_items_versions as items

    left join core.orders as orders
        on items.source = orders.source
        and items.order_id = orders.order_id

),

product_versions as (

    select
        source,
        sku,
        unit_cost,
        valid_from,
        row_number() over versions as place,
        lag(unit_cost) over versions as previous_cost

    from stg_products_versions

    window versions as (partition by source, sku order by valid_from asc nulls first)

),

-- a list that comes every day mostly repeats the costs: a line is held against those that differ only
product_costs as (

    select
        source,
        sku,
        unit_cost,
        valid_from,
        lead(valid_from) over (partition by source, sku order by place) as valid_to

    from product_versions

    where place = 1 or unit_cost is distinct from previous_cost

),

final as (

    select
        order_items.source,
        order_items.order_id,
        order_items.line,
        order_items.customer_id,
        order_items.ordered_at,
        order_items.sku,
        order_items.name,
        coalesce(order_items.category, products.category) as category,
        coalesce(order_items.brand, products.brand) as brand,
        order_items.quantity,
        in_reporting_currency(order_items.unit_price, order_items.rate) as unit_price,
        in_reporting_currency(order_items.discount, order_items.rate) as discount,
        in_reporting_currency(order_items.amount, order_items.rate) as amount,
        order_items.amount as amount_exported,
        order_items.currency,
        order_items.rate as exchange_rate,
        coalesce(
            in_reporting_currency(order_items.unit_cost, order_items.rate), product_costs.unit_cost
        ) as unit_cost,
        order_items.custom,
        order_items.valid_from,
        order_items.valid_to,
        order_items.file_id

    from order_items

    left join core.products as products
        on order_items.source = products.source
        and order_items.sku = products.sku

    left join product_costs
        on order_items.source = product_costs.source
        and order_items.sku = product_costs.sku
        and (product_costs.valid_from is null or product_costs.valid_from <= order_items.ordered_at)
        and (product_costs.valid_to is null or product_costs.valid_to > order_items.ordered_at)

)

select * from final
