-- One row per customer known at as_of. Key: (customer_id, as_of); the published table holds one as_of.
-- Counts are 0 and dates null where a customer has none; both are null where no source delivers the entity.
with customers_known as (

    select
        sources.customer_id,
        cut_offs.as_of,
        min(sources.first_evidence_at) as first_seen_at

    from customer_sources_then as sources

    inner join cut_offs
        on coalesce(sources.first_evidence_at < cut_offs.as_of_utc, true)

    semi join cohort
        on sources.customer_id = cohort.customer_id

    group by sources.customer_id, cut_offs.as_of

),

final as (

    select
        customers.customer_id,
        customers.as_of,
        timezone(night.business_timezone, timezone('UTC', customers.first_seen_at))::date as first_seen_on,
        customers.as_of - timezone(night.business_timezone, timezone('UTC', customers.first_seen_at))::date
            as tenure_days,

        coalesce(orders.order_count, 0) as order_count,
        coalesce(orders.order_day_count, 0) as order_day_count,
        orders.first_order_at,
        orders.last_order_at,
        orders.first_order_on,
        orders.last_order_on,
        customers.as_of - orders.last_order_on as recency_days,
        coalesce(orders.gross_spend_amount, 0)::decimal(18, 2) as gross_spend_amount,
        coalesce(orders.discount_amount, 0)::decimal(18, 2) as discount_amount,
        coalesce(orders.refund_amount, 0)::decimal(18, 2) as refund_amount,
        coalesce(orders.net_spend_amount, 0)::decimal(18, 2) as net_spend_amount,
        (orders.net_spend_amount / nullif(orders.order_count, 0))::decimal(18, 2) as avg_order_amount,
        orders.max_order_amount,
        coalesce(orders.repeat_day_spend_amount, 0)::decimal(18, 2) as repeat_day_spend_amount,
        coalesce(orders.order_count_30d, 0) as order_count_30d,
        coalesce(orders.order_count_90d, 0) as order_count_90d,
        coalesce(orders.order_count_180d, 0) as order_count_180d,
        coalesce(orders.order_count_365d, 0) as order_count_365d,
        coalesce(orders.net_spend_90d_amount, 0)::decimal(18, 2) as net_spend_90d_amount,
        coalesce(orders.net_spend_365d_amount, 0)::decimal(18, 2) as net_spend_365d_amount,
        coalesce(orders.rfm_order_day_count, 0) as rfm_order_day_count,
        coalesce(orders.rfm_net_spend_amount, 0)::decimal(18, 2) as rfm_net_spend_amount,
        case
            when orders.order_day_count >= 2
                then (orders.last_order_on - orders.first_order_on) / (orders.order_day_count - 1)
        end as avg_gap_days,
        (orders.discount_amount / nullif(orders.gross_spend_amount, 0))::double as discount_share,
        orders.coupon_order_share,
        coalesce(orders.cancelled_order_count, 0) as cancelled_order_count,
        case when delivered.returns then coalesce(returns.return_count, 0) end as return_count,
        case
            when delivered.returns and orders.order_count > 0
                then least(coalesce(returns.returned_order_count, 0) / orders.order_count, 1)
        end as return_share,
        orders.instalment_order_share,
        orders.weekend_order_share,
        orders.night_order_share,
        orders.online_order_share,
        orders.top_payment_method,
        orders.top_sales_channel,

        case when delivered.order_items then coalesce(items.item_count, 0) end as item_count,
        case when delivered.order_items then coalesce(items.category_count, 0) end as category_count,
        items.top_category,
        items.top_category_share,
        items.second_category,
        items.top_brand,
        items.top_brand_share,
        items.avg_item_price,
        items.costed_item_amount,
        items.margin_amount,
        items.known_cost_share,

        case when delivered.tickets then coalesce(service.ticket_count, 0) end as ticket_count,
        case when delivered.tickets then coalesce(service.ticket_count_90d, 0) end as ticket_count_90d,
        case when delivered.tickets then coalesce(service.complaint_count, 0) end as complaint_count,
        case when delivered.tickets then coalesce(service.complaint_count_90d, 0) end as complaint_count_90d,
        case when delivered.tickets then coalesce(service.open_ticket_count, 0) end as open_ticket_count,
        service.last_ticket_at,
        service.avg_first_reply_hours,
        service.avg_csat,

        case when delivered.opportunities then coalesce(opportunities.open_opportunity_count, 0) end
            as open_opportunity_count,
        case when delivered.opportunities then coalesce(opportunities.open_opportunity_amount, 0) end
            as open_opportunity_amount,
        case
            when delivered.opportunities and opportunities.customer_id is null then 0
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
        contacts.company_id,

        case when delivered.interactions then coalesce(interactions.interaction_count, 0) end as interaction_count,
        case when delivered.interactions then coalesce(interactions.interaction_count_90d, 0) end
            as interaction_count_90d,
        case when delivered.interactions then coalesce(interactions.inbound_count_90d, 0) end as inbound_count_90d,
        case when delivered.interactions then coalesce(interactions.outbound_count_90d, 0) end as outbound_count_90d,
        case when delivered.interactions then coalesce(interactions.response_count_90d, 0) end as response_count_90d,
        interactions.response_share_90d,
        interactions.last_interaction_at,
        interactions.top_interaction_channel,
        case when delivered.interactions then coalesce(interactions.campaign_count, 0) end as campaign_count,

        case when delivered.feedback then coalesce(feedback.feedback_count, 0) end as feedback_count,
        feedback.avg_feedback_share,
        feedback.last_nps,
        case when delivered.feedback then coalesce(feedback.low_feedback_count_180d, 0) end
            as low_feedback_count_180d,

        attributes.gender,
        attributes.birth_year,
        attributes.birth_month,
        attributes.age_years,
        case
            when attributes.age_years is null then attributes.stated_age_band
            when attributes.age_years < 18 then '<18'
            when attributes.age_years < 25 then '18-24'
            when attributes.age_years < 35 then '25-34'
            when attributes.age_years < 45 then '35-44'
            when attributes.age_years < 55 then '45-54'
            when attributes.age_years < 65 then '55-64'
            else '65+'
        end as age_band,
        attributes.occupation,
        attributes.education,
        attributes.marital_status,
        attributes.income_band,
        attributes.country,
        attributes.province,
        attributes.city,
        attributes.acquisition_channel,
        timezone(night.business_timezone, timezone('UTC', attributes.registered_at))::date as registered_on,
        attributes.owner,
        attributes.loyalty_tier,
        attributes.loyalty_points,
        case when delivered.customers then coalesce(attributes.referred_by_customer, false) end
            as referred_by_customer,
        case when delivered.customers then coalesce(attributes.referral_count, 0) end as referral_count,
        case when delivered.subscriptions then coalesce(subscriptions.active_subscription_count, 0) end
            as active_subscription_count,
        case when delivered.subscriptions then coalesce(subscriptions.subscription_count, 0) end as subscription_count,
        case when delivered.subscriptions then coalesce(subscriptions.renewal_count, 0) end as renewal_count,
        subscriptions.subscriber_days,
        case when delivered.subscriptions then coalesce(subscriptions.has_contract, false) end as has_contract,
        subscriptions.contract_plan,
        subscriptions.contract_status,
        subscriptions.contract_amount,
        subscriptions.contract_age_days,
        subscriptions.contract_days_to_end,
        subscriptions.contract_days_since_end,
        coalesce(attributes.is_deleted, false) as is_deleted,
        coalesce(attributes.is_attribute_backdated, false) as is_attribute_backdated,

        coalesce(consents.is_email_marketing_allowed and not coalesce(attributes.is_deleted, false), false)
            as is_email_marketing_allowed,
        coalesce(consents.is_sms_marketing_allowed and not coalesce(attributes.is_deleted, false), false)
            as is_sms_marketing_allowed,
        coalesce(consents.is_call_marketing_allowed and not coalesce(attributes.is_deleted, false), false)
            as is_call_marketing_allowed,
        coalesce(consents.is_post_marketing_allowed and not coalesce(attributes.is_deleted, false), false)
            as is_post_marketing_allowed,
        coalesce(consents.is_social_marketing_allowed and not coalesce(attributes.is_deleted, false), false)
            as is_social_marketing_allowed,
        coalesce(
            (
                consents.is_email_marketing_allowed
                or consents.is_sms_marketing_allowed
                or consents.is_call_marketing_allowed
                or consents.is_post_marketing_allowed
                or consents.is_social_marketing_allowed
            ) and not coalesce(attributes.is_deleted, false),
            false
        ) as is_marketing_allowed,
        consents.is_profiling_allowed and not coalesce(attributes.is_deleted, false) as is_profiling_allowed

    from customers_known as customers

    cross join night

    cross join delivered

    left join order_facts as orders
        on customers.customer_id = orders.customer_id
        and customers.as_of = orders.as_of

    left join item_facts as items
        on customers.customer_id = items.customer_id
        and customers.as_of = items.as_of

    left join return_facts as returns
        on customers.customer_id = returns.customer_id
        and customers.as_of = returns.as_of

    left join service_facts as service
        on customers.customer_id = service.customer_id
        and customers.as_of = service.as_of

    left join interaction_facts as interactions
        on customers.customer_id = interactions.customer_id
        and customers.as_of = interactions.as_of

    left join feedback_facts as feedback
        on customers.customer_id = feedback.customer_id
        and customers.as_of = feedback.as_of

    left join attribute_facts as attributes
        on customers.customer_id = attributes.customer_id
        and customers.as_of = attributes.as_of

    left join subscription_facts as subscriptions
        on customers.customer_id = subscriptions.customer_id
        and customers.as_of = subscriptions.as_of

    left join opportunity_facts as opportunities
        on customers.customer_id = opportunities.customer_id
        and customers.as_of = opportunities.as_of

    left join contact_facts as contacts
        on customers.customer_id = contacts.customer_id
        and customers.as_of = contacts.as_of

    left join consent_facts as consents
        on customers.customer_id = consents.customer_id
        and customers.as_of = consents.as_of

)

select * from final
