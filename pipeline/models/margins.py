"""What is left of spend after the cost of goods: margin shares by customer, where unit costs are known."""

import numpy as np

# of the money in a customer's order lines, so much must have a known cost
MIN_KNOWN_COST_SHARE = 0.8
# with fewer purchase days the shop's share is taken: a few lines say more of the basket than of the customer
MIN_PURCHASE_DAYS = 3
# so many customers must have known costs before anything is said
MIN_COSTED_CUSTOMERS = 20


def margin_shares(purchases):
    """Share of spend that is left after the cost of goods: float array, shape (n_customers,), NaN where costs are not known.

    purchases: frame with x, costed_item_amount, margin_amount, known_cost_share (facts of the same names; null: no line).
    The customer's own share from three purchase days on, below it that of all customers with known costs. Negative where
    goods cost more than they brought in.
    """
    costed, margin, known = (
        purchases[name].cast(float).fill_null(np.nan).to_numpy()
        for name in ("costed_item_amount", "margin_amount", "known_cost_share")
    )
    is_known = (known >= MIN_KNOWN_COST_SHARE) & (costed > 0)
    if is_known.sum() < MIN_COSTED_CUSTOMERS:
        return np.full(len(purchases), np.nan)
    shares = np.full(len(purchases), float(margin[is_known].sum() / costed[is_known].sum()))
    is_own = is_known & (purchases["x"].to_numpy() + 1 >= MIN_PURCHASE_DAYS)
    shares[is_own] = margin[is_own] / costed[is_own]
    return np.where(is_known, shares, np.nan)
