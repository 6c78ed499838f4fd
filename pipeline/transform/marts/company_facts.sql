-- One row per company known at as_of. Key: (company_id, as_of); the published table holds one as_of.
-- Counts are 0 and dates null where a company has none; both are null where no source delivers the entity.
with companies_known as (

    select
        sources.company_id,
        cut_offs.as_of,
        min(sources.first_evidence_at) as first_seen_at

    from core.company_sources as sources

    inner join cut_offs
        on coalesce(sources.first_evidence_at < cut_offs.as_of_utc, true)

    group by sources.company_id, cut_offs.as_of

),

final as (

    select
        companies.company_id,
        companies.as_of,
        timezone(night.business_timezone, timezone('UTC', companies.first_seen_at))::date as first_seen_on,
        companies.as_of - timezone(night.business_timezone, timezone('UTC', companies.first_seen_at))::date
            as tenure_days,

        attributes.industry,
        attributes.size,
        attributes.employee_count,
        attributes.country,
        attributes.province,
        attributes.city,
        attributes.owner,
        coalesce(attributes.is_deleted, false) as is_deleted,

        coalesce(contacts.contact_count, 0) as contact_count,

        coalesce(orders.order_count, 0) as order_count,
        coalesce(orders.buyer_count, 0) as buyer_count,
        orders.first_order_at,
        orders.last_order_at,
        orders.first_order_on,
        orders.last_order_on,
        companies.as_of - orders.last_order_on as recency_days,
        coalesce(orders.net_spend_amount, 0)::decimal(18, 2) as net_spend_amount,
        (orders.net_spend_amount / nullif(orders.order_count, 0))::decimal(18, 2) as avg_order_amount,
        coalesce(orders.order_count_90d, 0) as order_count_90d,
        coalesce(orders.order_count_365d, 0) as order_count_365d,
        coalesce(orders.net_spend_90d_amount, 0)::decimal(18, 2) as net_spend_90d_amount,
        coalesce(orders.net_spend_365d_amount, 0)::decimal(18, 2) as net_spend_365d_amount,

        case when delivered.opportunities then coalesce(opportunities.open_opportunity_count, 0) end
            as open_opportunity_count,
        case when delivered.opportunities then coalesce(opportunities.open_opportunity_amount, 0) end
            as open_opportunity_amount,
        case
            when delivered.opportunities and opportunities.company_id is null then 0
            when delivered.opportunities then opportunities.weighted_opportunity_amount
        end as weighted_opportunity_amount,
        case when delivered.opportunities then coalesce(opportunities.overdue_opportunity_count, 0) end
            as overdue_opportunity_count,
        case when delivered.opportunities then coalesce(opportunities.won_opportunity_count, 0) end
            as won_opportunity_count,
        case when delivered.opportunities then coalesce(opportunities.won_opportunity_amount, 0) end
            as won_opportunity_amount,
        case when delivered.opportunities then coalesce(opportunities.lost_opportunity_count, 0) end
            as lost_opportunity_count,
        opportunities.next_expected_close_on,
        opportunities.win_share,
        opportunities.last_won_at,

        case when delivered.tickets then coalesce(service.ticket_count, 0) end as ticket_count,
        case when delivered.tickets then coalesce(service.ticket_count_90d, 0) end as ticket_count_90d,
        case when delivered.tickets then coalesce(service.complaint_count, 0) end as complaint_count,
        case when delivered.tickets then coalesce(service.complaint_count_90d, 0) end as complaint_count_90d,
        case when delivered.tickets then coalesce(service.open_ticket_count, 0) end as open_ticket_count,
        service.last_ticket_at,

        case when delivered.subscriptions then coalesce(subscriptions.active_subscription_count, 0) end
            as active_subscription_count

    from companies_known as companies

    cross join night

    cross join delivered

    left join company_attribute_facts as attributes
        on companies.company_id = attributes.company_id
        and companies.as_of = attributes.as_of

    left join company_contact_facts as contacts
        on companies.company_id = contacts.company_id
        and companies.as_of = contacts.as_of

    left join company_order_facts as orders
        on companies.company_id = orders.company_id
        and companies.as_of = orders.as_of

    left join company_opportunity_facts as opportunities
        on companies.company_id = opportunities.company_id
        and companies.as_of = opportunities.as_of

    left join company_service_facts as service
        on companies.company_id = service.company_id
        and companies.as_of = service.as_of

    left join company_subscription_facts as subscriptions
        on companies.company_id = subscriptions.company_id
        and companies.as_of = subscriptions.as_of

)

select * from final
order by company_id
