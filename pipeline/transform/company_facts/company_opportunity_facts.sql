-- One row per company with an opportunity created before as_of. Key: (company_id, as_of).
-- An open opportunity whose chance is not known is not in the weighted amount, which is null where all are such.
with opportunities as (

    select
        opportunities.*,
        timezone(night.business_timezone, timezone('UTC', opportunities.expected_close_at))::date as expected_close_on

    from company_opportunities_known as opportunities

    cross join night

)

select
    company_id,
    as_of,
    count(*) filter (where is_open) as open_opportunity_count,
    coalesce(sum(amount) filter (where is_open), 0)::decimal(18, 2) as open_opportunity_amount,
    case
        when count(*) filter (where is_open) = 0 then 0
        else sum(amount * probability) filter (where is_open)
    end::decimal(18, 2) as weighted_opportunity_amount,
    count(*) filter (where is_open and expected_close_on < as_of) as overdue_opportunity_count,
    min(expected_close_on) filter (where is_open and expected_close_on >= as_of) as next_expected_close_on,
    count(*) filter (where is_won) as won_opportunity_count,
    coalesce(sum(amount) filter (where is_won), 0)::decimal(18, 2) as won_opportunity_amount,
    count(*) filter (where is_lost) as lost_opportunity_count,
    count(*) filter (where is_won) / nullif(count(*) filter (where is_won or is_lost), 0) as win_share,
    max(settled_at) filter (where is_won) as last_won_at

from opportunities

group by company_id, as_of
