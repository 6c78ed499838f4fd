-- One row per campaign, as last known. Key: (source, campaign_id).
select
    source,
    campaign_id,
    name,
    kind,
    channel,
    start_on,
    end_on,
    custom,
    file_id

from stg_campaigns
