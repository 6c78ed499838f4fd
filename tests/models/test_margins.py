"""Margin shares, by hand."""

import polars as pl
import pytest

from pipeline.models.expected_spend import predict_clv
from pipeline.models.margins import margin_shares


def make_purchases(own, others=20):
    """One customer's (x, costed, margin, known share), and others whose lines left 60 of 200 each."""
    x, costed, margin, known = zip(own, *[(5, 200.0, 60.0, 1.0)] * others, strict=True)
    return pl.DataFrame({"x": x, "costed_item_amount": costed, "margin_amount": margin, "known_cost_share": known})


@pytest.mark.parametrize(
    ("own", "share"),
    [
        # three purchase days: the own share, be it a loss
        ((2, 100.0, 45.0, 0.9), 0.45),
        ((2, 100.0, -20.0, 0.8), -0.2),
        # two: that of all, (20 x 60 + 45) / (20 x 200 + 100)
        ((1, 100.0, 45.0, 1.0), 1245 / 4100),
        # too little is known, nothing is, or there is no line
        ((2, 79.0, 45.0, 0.79), None),
        ((2, 0.0, 0.0, 0.0), None),
        ((2, None, None, None), None),
    ],
)
def test_the_own_share_from_three_days_on_else_that_of_all(own, share):
    found = margin_shares(make_purchases(own))
    assert pl.Series(found[:1]).fill_nan(None)[0] == (share if share is None else pytest.approx(share))
    assert found[1:] == pytest.approx(0.3)


def test_a_few_known_costs_say_nothing():
    shares = margin_shares(make_purchases((2, 100.0, 45.0, 0.9), others=18))
    assert pl.Series(shares).is_nan().all()


def test_margin_of_the_year_ahead_is_the_share_of_its_spend(make_facts):
    law = {
        "bgnbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
        "gamma_gamma": {"p": 6.25, "q": 3.74, "gamma": 15.44},
        "mean_spend_amount": 35.0,
    }
    facts = make_facts(
        21,
        costed_item_amount=[200.0] * 20 + [None],
        margin_amount=[80.0] * 20 + [None],
        known_cost_share=[1.0] * 20 + [None],
    )
    scores = predict_clv(facts, law)
    assert scores["margin_share"].to_list() == [0.4] * 20 + [None]
    assert scores["margin_365d_amount"][0] == pytest.approx(0.4 * scores["clv_365d_amount"][0], abs=1e-6)
    assert scores["margin_365d_amount"].null_count() == 1
    # facts of before costs were known: no margin, the same spend
    before = predict_clv(facts.drop("costed_item_amount", "margin_amount", "known_cost_share"), law)
    assert before["margin_365d_amount"].null_count() == 21
    assert before["clv_365d_amount"].equals(scores["clv_365d_amount"])
