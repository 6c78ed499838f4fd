"""The demo shop: exports of three systems for any number of people who buy by a known law, and the truth
about them.

Who writes what: the CRM (Chinese headers, Shanghai time) contacts, companies, opportunities, consents and
interactions; the shop
(English, UTC) accounts, articles, memberships, orders, order lines and refunds; the help desk and its
survey and mailing tools (English, UTC) tickets, feedback, campaigns and their events. One person stands in
several of them under different ids, sharing an e-mail or phone that each writes in its own way; some stand
in the CRM twice, or have two accounts; some only buy as guests; some CRM contacts never buy. 3 % have the
telephone of the person before them (a family), and some who give none type 13800000000.
ANONYMOUS_SHARE of the sales name nobody. Some people work for companies; companies.py has their law. Opt-outs
stand wherever real ones do: in the consents, as flags of contacts and accounts, as mails that bounced or were
unsubscribed from, as calls that ended with "never again".

The plain law (law.Law): BG/NBD in whole days for when people buy and stop, Gamma-Gamma for what an order
comes to, Dirichlet tastes over the categories. Attempts given up and cancelled come on the day of a real
order, so they change no purchase day.

Planted signals (signals=True; law.Signals holds their sizes), all absent with signals=False:
- a complaint raises the chance to drop out after that order, much more so when the first reply is slow
  (about 40 hours instead of 3);
- discount hunters (a fifth): mostly buy with a coupon, are likelier to drop out after an order at full
  price, buy less outside 6.18 and 11.11 and much more then; an order with a coupon is 15 % smaller;
- seasons: more orders before Chinese New Year, 1-11 November and 10-18 June, fewer in the New Year week;
- who has dropped out opens fewer e-mails and answers less;
- some orders are refunded whole (partial refunds, complaints and low scores after complaints exist in the
  plain shop too).

Faulty lines are extra lines; files.py has the kinds. truth_dir gets customers.parquet, purchases.parquet
(the purchases of the law), source_ids.parquet, companies.parquet (which CRM records are one company),
employment.parquet (who works where, and how it can be known), law.json, summary.json (what write_demo returns),
faults.json (file: kind: lines) and fault_lines.json (their line numbers, the header being line 1). No night
reads it.

Everything is drawn in blocks of BLOCK people from (seed, block), so memory does not grow with the number of
people.
"""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from pipeline.ingest.demo import companies, contacts, service, shop, words
from pipeline.ingest.demo.files import Export, by_year
from pipeline.ingest.demo.law import PLAIN, Law, Signals, draw_customers, simulate_purchases
from pipeline.ingest.demo.layouts import LAYOUTS
from pipeline.ingest.demo.orders import DAY, draw_lines, draw_orders
from pipeline.ingest.demo.people import MAX_CUSTOMERS, draw_people
from pipeline.ingest.demo.truth import TruthTable, customer_truth, purchase_truth, source_ids

BLOCK = 20_000


def write_demo(
    inbox: Path, truth_dir: Path, customers: int, seed: int, as_of: date, signals: bool = True, progress=None
) -> dict:
    """Write the exports of a shop of that many people, whose history ends the day before as_of, and the
    truth about it.

    progress: called with (people done, people in all) after each block. The same arguments write the same
    bytes. Returns {"files": {name: lines without header}, "faults": {name: {kind: lines}}, "orders",
    "anonymous_orders", "people"}. Raises ValueError on an impossible number of customers.
    """
    if not 1 <= customers <= MAX_CUSTOMERS:
        raise ValueError(f"customers is {customers}; choose 1 to {MAX_CUSTOMERS}")
    inbox, truth_dir = Path(inbox), Path(truth_dir)
    inbox.mkdir(parents=True, exist_ok=True)
    truth_dir.mkdir(parents=True, exist_ok=True)
    law, planted = Law(), Signals() if signals else PLAIN
    first_day = as_of - timedelta(days=law.history_days)
    tail = f"_{as_of - timedelta(days=1):%Y%m%d}.csv"

    articles, plan = shop.products(), service.campaigns(first_day, law.history_days)
    articles.write_csv(inbox / "shop_products.csv", float_precision=2)
    plan.drop("day").write_csv(inbox / "marketing_campaigns.csv")
    exports = {layout.stem: Export(layout, inbox) for layout in LAYOUTS}
    told = ("customers", "purchases", "source_ids", "companies", "employment")
    truth = {name: TruthTable(truth_dir / f"{name}.parquet") for name in told}
    anonymous = 0
    try:
        for block, start in enumerate(range(0, customers, BLOCK)):
            rng = np.random.default_rng([seed, block])
            # companies, opt-outs and faults have chances of their own, so that a new kind of them does not move the shop
            company_rng = np.random.default_rng([seed, block, 2])
            opt_rng = np.random.default_rng([seed, block, 3])
            made = _draw_block(
                rng,
                company_rng,
                opt_rng,
                start,
                min(BLOCK, customers - start),
                law,
                planted,
                first_day,
                articles,
                plan,
                exports,
            )
            fault_rng = np.random.default_rng([seed, block, 1])
            for stem, (frame, year) in made["frames"].items():
                parts = {f"{stem}{tail}": frame} if year is None else by_year(stem, frame, year)
                exports[stem].write(fault_rng, parts)
            for name, frame in made["truth"].items():
                truth[name].append(frame)
            anonymous += made["anonymous"]
            if progress is not None:
                progress(min(start + BLOCK, customers), customers)
    finally:
        for opened in (*exports.values(), *truth.values()):
            opened.close()

    files = {"shop_products.csv": articles.height, "marketing_campaigns.csv": plan.height}
    fault_lines = {}
    for export in exports.values():
        files |= {name: lines - 1 for name, lines in export.lines.items()}
        fault_lines |= export.fault_lines
    faults = {name: {kind: len(lines) for kind, lines in kinds.items()} for name, kinds in fault_lines.items()}
    _write_json(truth_dir / "faults.json", faults)
    _write_json(truth_dir / "fault_lines.json", fault_lines)
    _write_json(
        truth_dir / "law.json",
        {
            "law": law.as_dict(),
            "signals": planted.as_dict(),
            "seed": seed,
            "customers": customers,
            "as_of": str(as_of),
        },
    )
    written = {
        "people": customers,
        "orders": exports["shop_orders"].rows,
        "anonymous_orders": anonymous,
        "files": dict(sorted(files.items())),
        "faults": dict(sorted(faults.items())),
    }
    _write_json(truth_dir / "summary.json", written)
    return written


def _draw_block(rng, company_rng, opt_rng, start, count, law, planted, first_day, articles, plan, exports):
    """One block of people: {"frames": {stem: (frame, year of each row or None)}, "truth": {...},
    "anonymous": count}."""
    epoch_day = (first_day - date(1970, 1, 1)).days
    end = law.history_days * DAY
    last_year = (first_day + timedelta(days=law.history_days - 1)).year

    employers, people = companies.draw_companies(company_rng, draw_people(rng, start, count), end)
    deals = companies.draw_deals(company_rng, employers, people, end)
    buyers = np.flatnonzero(people.flags["in_shop"])
    traits = draw_customers(rng, buyers.size, law, planted, len(words.CATEGORIES))
    purchases, drop_out_day = simulate_purchases(rng, traits, law, planted, first_day)
    by_buyer = purchases["customer"]
    purchases = purchases | {"customer": buyers[by_buyer]}
    gone_day = np.full(count, -1)
    gone_day[buyers] = drop_out_day
    tastes = np.full((count, len(words.CATEGORIES)), 1 / len(words.CATEGORIES))
    tastes[buyers] = traits["tastes"]

    orders = draw_orders(rng, people, purchases, law.history_days, exports["shop_orders"].rows)
    lines = draw_lines(rng, people, tastes, orders)
    refunds, full_refunds = shop.refund_frame(
        rng, orders, lines, epoch_day, end, planted.is_on, exports["shop_refunds"].rows
    )
    order_frame = shop.order_frame(rng, people, orders, lines, full_refunds, epoch_day, end)

    bought = (orders.person >= 0) & ~orders.is_attempt
    spend = np.bincount(orders.person[bought], orders.net[bought], count).astype(np.int64)
    first_purchase = np.full(count, -1)
    first_purchase[buyers] = end
    np.minimum.at(first_purchase, orders.person[bought], orders.placed[bought])
    registered = contacts.draw_registration(rng, people, first_purchase, end)
    known_from = np.where(people.flags["in_crm"], registered["crm"], registered["shop"])
    gone_from = np.where((gone_day >= 0) & planted.is_on, (gone_day + 1) * DAY, end)

    consents, may_write = contacts.draw_consents(rng, people, registered, epoch_day, end, exports["crm_consents"].rows)
    tickets, asked = service.draw_tickets(rng, people, orders, epoch_day, end, exports["helpdesk_tickets"].rows)
    feedback = service.feedback_frame(
        rng,
        people,
        orders,
        articles["sku"].gather(lines.article[orders.first_line]),
        asked,
        epoch_day,
        end,
        exports["survey_feedback"].rows,
    )
    year = (np.datetime64(first_day, "D") + orders.day).astype("datetime64[Y]").astype(int) + 1970
    frames = {
        "crm_contacts": (
            contacts.contact_frame(
                rng, opt_rng, people, registered, spend, employers.stated_ids(), epoch_day, end, last_year
            ),
            None,
        ),
        "crm_companies": (companies.company_frame(company_rng, employers, epoch_day, end), None),
        "crm_opportunities": (
            companies.deal_frame(company_rng, deals, employers, people, epoch_day, exports["crm_opportunities"].rows),
            None,
        ),
        "crm_consents": (consents, None),
        "crm_interactions": (
            service.interaction_frame(
                rng, opt_rng, people, registered["crm"], gone_from, epoch_day, end, exports["crm_interactions"].rows
            ),
            None,
        ),
        "shop_customers": (
            contacts.account_frame(rng, opt_rng, people, registered, spend, epoch_day, end, last_year),
            None,
        ),
        "shop_orders": (order_frame, year),
        "shop_order_items": (shop.item_frame(orders, lines, articles), year[lines.order]),
        "shop_refunds": (refunds, None),
        "shop_memberships": (
            contacts.subscription_frame(rng, people, registered, epoch_day, end, exports["shop_memberships"].rows),
            None,
        ),
        "helpdesk_tickets": (tickets, None),
        "survey_feedback": (feedback, None),
        "marketing_events": (
            service.event_frame(
                rng,
                opt_rng,
                people,
                plan,
                may_write,
                known_from,
                gone_from,
                epoch_day,
                end,
                exports["marketing_events"].rows,
            ),
            None,
        ),
    }
    return {
        "frames": frames,
        "truth": {
            "customers": customer_truth(people, buyers, traits, drop_out_day, by_buyer, purchases, law, first_day),
            "purchases": purchase_truth(people, orders, bought, first_day),
            "source_ids": source_ids(people),
            "companies": companies.company_truth(employers),
            "employment": companies.employment_truth(employers, people),
        },
        "anonymous": int((orders.person < 0).sum()),
    }


def _write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")
