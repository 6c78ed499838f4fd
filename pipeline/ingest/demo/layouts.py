"""Every export of the demo shop: how it is written and which faults it gets."""

from pipeline.ingest.demo.files import Layout

LAYOUTS = [
    Layout(
        "crm_contacts",
        "客户编号",
        {
            "bad_date": "生日",
            "bad_email": "邮箱",
            "bad_phone": "手机",
            "missing_id": "客户编号",
            "id_conflict": "积分",
            "exact_duplicate": "客户编号",
            "ragged_line": "客户编号",
        },
        has_bom=True,
    ),
    Layout(
        "crm_companies",
        "企业编号",
        {"bad_date": "创建时间", "missing_id": "企业编号", "exact_duplicate": "企业编号"},
        has_bom=True,
    ),
    Layout(
        "crm_opportunities",
        "商机编号",
        {"bad_number": "金额", "unknown_word": "状态", "bad_date": "创建时间", "ragged_line": "商机编号"},
        has_bom=True,
    ),
    Layout(
        "crm_consents",
        "同意编号",
        {"unknown_word": "状态", "bad_date": "取得时间", "exact_duplicate": "同意编号"},
        has_bom=True,
    ),
    Layout(
        "crm_interactions",
        "互动编号",
        {"bad_date": "互动时间", "missing_id": "互动编号", "bad_number": "时长(秒)"},
        datetime_format="%Y/%m/%d %H:%M",
        has_bom=True,
    ),
    Layout(
        "shop_customers",
        "customer_id",
        {"bad_email": "email", "missing_id": "customer_id", "exact_duplicate": "customer_id"},
    ),
    Layout(
        "shop_orders",
        "order_no",
        {
            "bad_date": "created_at",
            "bad_number": "order_total",
            "missing_id": "order_no",
            "ragged_line": "order_no",
            "id_conflict": "order_total",
            "exact_duplicate": "order_no",
            "unknown_word": "order_status",
        },
    ),
    Layout(
        "shop_order_items",
        "order_no",
        {
            "bad_number": "line_total",
            "negative_quantity": "quantity",
            "missing_id": "order_no",
            "ragged_line": "order_no",
            "id_conflict": "quantity",
            "exact_duplicate": "order_no",
        },
    ),
    Layout(
        "shop_refunds",
        "return_no",
        {"bad_date": "requested_at", "bad_number": "refund_amount", "unknown_word": "type"},
    ),
    Layout("shop_memberships", "membership_id", {"bad_date": "started_at"}),
    Layout(
        "helpdesk_tickets",
        "ticket_id",
        {
            "bad_date": "created_at",
            "missing_id": "ticket_id",
            "ragged_line": "ticket_id",
            "unknown_word": "status",
            "exact_duplicate": "ticket_id",
        },
        datetime_format="%Y-%m-%dT%H:%M:%SZ",
    ),
    Layout(
        "survey_feedback",
        "feedback_id",
        {"bad_date": "submitted_at", "unknown_word": "survey_type", "bad_number": "score"},
    ),
    Layout(
        "marketing_events",
        "event_id",
        {"bad_date": "occurred_at", "missing_id": "event_id", "exact_duplicate": "event_id"},
    ),
]
