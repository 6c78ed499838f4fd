-- One row per version of an order line. Key: (source, order_id, line, valid_to).
-- Category, brand and cost come from the line, else from the product list.
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
            in_reporting_currency(order_items.unit_cost, order_items.rate), products.unit_cost
        ) as unit_cost,
        order_items.custom,
        order_items.valid_from,
        order_items.valid_to,
        order_items.file_id

    from order_items

    left join core.products as products
        on order_items.source = products.source
        and order_items.sku = products.sku

)

select * from final
