-- One row per customer: what the customer's consents allow. Key: (customer_id, as_of). See consents_held.
select
    customer_id,
    as_of,
    bool_or(is_allowed) filter (where purpose = 'marketing' and channel = 'email') as is_email_marketing_allowed,
    bool_or(is_allowed) filter (where purpose = 'marketing' and channel = 'sms') as is_sms_marketing_allowed,
    bool_or(is_allowed) filter (where purpose = 'marketing' and channel = 'call') as is_call_marketing_allowed,
    bool_or(is_allowed) filter (where purpose = 'marketing' and channel = 'post') as is_post_marketing_allowed,
    bool_or(is_allowed) filter (where purpose = 'marketing' and channel = 'social') as is_social_marketing_allowed,
    bool_or(is_allowed) filter (where purpose = 'profiling') as is_profiling_allowed

from consents_held

group by customer_id, as_of
