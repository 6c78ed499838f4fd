"""Which model of purchases is used: the BG/NBD, unless another foretold the orders after a past cut-off better."""

import numpy as np

from pipeline.models import bgnbd, mbgnbd, measures, paretonbd

# the first is in use until another is better by more than chance
MODELS = {"bgnbd": bgnbd, "mbgnbd": mbgnbd, "paretonbd": paretonbd}
TITLES = {"bgnbd": "BG/NBD", "mbgnbd": "MBG/NBD", "paretonbd": "Pareto/NBD"}
COMPARED_CUSTOMERS = 50_000


def compare(x, t_x, age, orders, weeks, seed):
    """Fit every model at a cut-off and hold it to the orders that came after: (name of the best, backtest rows).

    x, t_x, age: as in the models, in weeks; orders: purchase days in the weeks after; float arrays, shape (n_customers,),
    of which at most COMPARED_CUSTOMERS are used, evenly spread. Rows: (metric, value, baseline, baseline_value, row_count).
    The first model is replaced by the one of least squared error, if the 95 % bootstrap interval of the difference leaves
    out zero; a model that did not converge is not in the race.
    """
    step = -(-len(x) // COMPARED_CUSTOMERS)
    x, t_x, age, orders = (column[::step] for column in (x, t_x, age, orders))
    errors, rows = {}, []
    for name, model in MODELS.items():
        params, _, is_converged = model.fit(x, t_x, age, np.ones(len(x)))
        if is_converged or not errors:
            expected = model.conditional_expected_purchases(params, x, t_x, age, weeks)
            errors[name] = (expected - orders) ** 2
            rows.append(
                (f"{name}_orders_rmse", measures.rmse(orders, expected), "zero", measures.rmse(orders, 0.0), len(x))
            )
            rows.append((f"{name}_orders_total", float(expected.sum()), "actual", float(orders.sum()), len(x)))
    first, *others = errors
    better = []
    for name in others:
        gain = errors[first] - errors[name]
        low, high = measures.bootstrap_interval(gain, seed)
        rows.append((f"{name}_squared_error_gain_low", low, first, 0.0, len(x)))
        rows.append((f"{name}_squared_error_gain_high", high, first, 0.0, len(x)))
        if low > 0:
            better.append((float(gain.mean()), name))
    return max(better)[1] if better else first, rows
