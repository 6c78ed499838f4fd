"""What inspect proposes for real files, against keys made by hand: columns right, wrong and left out."""

from pathlib import Path

import pytest

from pipeline.settings import read_settings
from tests.inspecting.score import score

REALDATA = Path(__file__).parents[2] / "shared" / "data"

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

TELCO_ELSE = (
    "SeniorCitizen Partner Dependents tenure PhoneService MultipleLines InternetService OnlineSecurity OnlineBackup"
    " DeviceProtection TechSupport StreamingTV StreamingMovies PaperlessBilling TotalCharges PaymentMethod"
)
FEBRL = {
    "rec_id": "customers.source_customer_id",
    "given_name": "customers.given_name",
    "surname": "customers.surname",
    "street_number": "",
    "address_1": "customers.address",
    "address_2": "customers.address",
    "suburb": "customers.city",
    "postcode": "customers.postal_code",
    "state": "customers.province",
    "date_of_birth": "customers.birth_date",
    "soc_sec_id": "customers.national_id",
}
# file -> (main entity, header -> right contract columns, "" where the contracts have no place for it)
KEYS = {
    "support_tickets/customer_support_tickets.csv": (
        "tickets",
        {
            "Ticket ID": "tickets.ticket_id",
            "Customer Name": "customers.name",
            "Customer Email": "tickets.email",
            "Customer Age": "",
            "Customer Gender": "customers.gender",
            "Product Purchased": "",
            "Date of Purchase": "",
            "Ticket Type": "tickets.kind",
            "Ticket Subject": "tickets.subject",
            "Ticket Description": "tickets.body",
            "Ticket Status": "tickets.status",
            "Resolution": "",
            "Ticket Priority": "tickets.priority",
            "Ticket Channel": "tickets.channel",
            "First Response Time": "tickets.first_reply_at",
            "Time to Resolution": "tickets.solved_at",
            "Customer Satisfaction Rating": "tickets.csat",
        },
    ),
    # contract, charge and churn are a subscription's, whose beginning the file does not tell: they cannot land
    "telco_churn/Telco-Customer-Churn.csv": (
        "customers",
        {
            "customerID": "customers.source_customer_id",
            "gender": "customers.gender",
            "Contract": "subscriptions.plan",
            "MonthlyCharges": "subscriptions.amount",
            "Churn": "subscriptions.status",
        }
        | dict.fromkeys(TELCO_ELSE.split(), ""),
    ),
    "complete_journey/campaign_descriptions.csv": (
        "campaigns",
        {
            "campaign_id": "campaigns.campaign_id",
            "campaign_type": "campaigns.kind",
            "start_date": "campaigns.start_on",
            "end_date": "campaigns.end_on",
        },
    ),
    "complete_journey/campaigns.csv": (
        "interactions",
        {"campaign_id": "interactions.campaign_id", "household_id": "interactions.source_customer_id"},
    ),
    "complete_journey/coupon_redemptions.csv": (
        "interactions",
        {
            "household_id": "interactions.source_customer_id",
            "coupon_upc": "",
            "campaign_id": "interactions.campaign_id",
            "redemption_date": "interactions.occurred_at",
        },
    ),
    "complete_journey/demographics.csv": (
        "customers",
        {
            "household_id": "customers.source_customer_id",
            "age": "customers.age_band",
            "income": "customers.income_band",
            "home_ownership": "",
            "marital_status": "customers.marital_status",
            "household_size": "",
            "household_comp": "",
            "kids_count": "",
        },
    ),
    "complete_journey/products.csv.gz": (
        "products",
        {
            "product_id": "products.sku",
            "manufacturer_id": "",
            "department": "products.category",
            "brand": "products.brand",
            "product_category": "products.category",
            "product_type": "products.name",
            "package_size": "",
        },
    ),
    "complete_journey/transactions_sample.csv.gz": (
        "orders",
        {
            "household_id": "orders.source_customer_id",
            "store_id": "orders.sales_channel",
            "basket_id": "orders.order_id",
            "product_id": "order_items.sku",
            "quantity": "order_items.quantity",
            "sales_value": "orders.net",
            "retail_disc": "order_items.discount",
            "coupon_disc": "order_items.discount",
            "coupon_match_disc": "order_items.discount",
            "week": "",
            "transaction_timestamp": "orders.ordered_at",
        },
    ),
    "febrl/dataset1.csv": ("customers", FEBRL),
    "febrl/dataset3.csv": ("customers", FEBRL),
    "febrl/dataset4a.csv": ("customers", FEBRL),
    "splink_fake_1000/fake_1000.csv": (
        "customers",
        {
            "unique_id": "customers.source_customer_id",
            "first_name": "customers.given_name",
            "surname": "customers.surname",
            "dob": "customers.birth_date",
            "city": "customers.city",
            "email": "customers.email",
            "cluster": "",
        },
    ),
    "zh_reviews/waimai_10k.csv": ("feedback", {"label": "feedback.score", "review": "feedback.text"}),
}
# (right, wrong, left out)
MEASURED = {
    "support_tickets/customer_support_tickets.csv": (17, 0, 0),
    "telco_churn/Telco-Customer-Churn.csv": (18, 0, 3),
    "complete_journey/campaign_descriptions.csv": (4, 0, 0),
    "complete_journey/campaigns.csv": (2, 0, 0),
    "complete_journey/coupon_redemptions.csv": (4, 0, 0),
    "complete_journey/demographics.csv": (8, 0, 0),
    "complete_journey/products.csv.gz": (5, 0, 2),
    "complete_journey/transactions_sample.csv.gz": (7, 0, 4),
    "febrl/dataset1.csv": (11, 0, 0),
    "febrl/dataset3.csv": (11, 0, 0),
    "febrl/dataset4a.csv": (11, 0, 0),
    "splink_fake_1000/fake_1000.csv": (7, 0, 0),
    "zh_reviews/waimai_10k.csv": (1, 0, 1),
}


@pytest.mark.parametrize("file", KEYS)
def test_a_real_file(tmp_path, file):
    entity, key = KEYS[file]
    found = score(
        REALDATA / file, {header: set(wanted.split()) for header, wanted in key.items()}, read_settings(tmp_path, {})
    )
    assert found[0] == entity
    assert found[1:] == MEASURED[file]
