"""The wide form of the tags: SQL giving one row per customer and one column per tag, for CSV and workbook."""

from dataclasses import dataclass

# number columns beside the tags: SQL over facts, clv and churn, then the headings
NUMBERS = (
    ("facts.recency_days", "Days since last order", "距上次购买天数"),
    ("facts.order_count", "Orders", "累计订单数"),
    ("facts.net_spend_amount", "Net spend", "累计净消费"),
    ("facts.net_spend_365d_amount", "Net spend, 365 days", "近365天净消费"),
    ("round(clv.clv_365d_amount, 2)", "Expected value, 365 days", "未来365天预期价值"),
    ("round(churn.churn_probability, 4)", "Churn probability", "流失概率"),
)
RISKY_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class WideTable:
    """query: SQL with columns `headings`, ordered by customer_id. Headings are safe to open in a spreadsheet."""

    query: str
    headings: tuple[str, ...]


def quote_text(text):
    """A Python string as an SQL text literal."""
    return "'" + str(text).replace("'", "''") + "'"


def safe_cell(expression):
    """SQL: a text that a spreadsheet would take for a formula gets a leading apostrophe; others stay as they are."""
    starts = ", ".join(f"chr({ord(start)})" for start in RISKY_STARTS)
    return f"case when left({expression}, 1) in ({starts}) then '''' || ({expression}) else {expression} end"


def safe_heading(text):
    """The same for a heading known in Python."""
    return f"'{text}" if text.startswith(RISKY_STARTS) else text


def make_wide_table(con, language, customers=None, neutralise=True):
    """Compose the wide table of the warehouse's tags.

    language: 'zh' or 'en', for headings and value names. customers: SQL giving the customer_id to keep, None for all.
    neutralise: give risky texts an apostrophe (a CSV needs it; a workbook stores text as text).

    A single value travels through the aggregation as its small number, so that a million customers and fifty tags need
    fixed-size states; it is named in the last step. Every customer of marts.customer_facts has a row, tagged or not.
    """
    name = "name_zh" if language == "zh" else "name"
    tags = con.execute(
        f"select tag, position, {name}, is_multi_valued from tags.catalogue order by position"
    ).fetchall()
    joiner = "、" if language == "zh" else "; "
    keep = f"where customer_id in ({customers})" if customers else ""

    def cell(expression):
        return safe_cell(expression) if neutralise else expression

    aggregates, columns = [], []
    for tag, position, _, is_multi_valued in tags:
        if is_multi_valued:
            value_name = "value_name_zh" if language == "zh" else "value_name"
            aggregates.append(
                f"string_agg({value_name}, {quote_text(joiner)} order by value_position)"
                f" filter (tag_position = {position}) as tag_{position}"
            )
            columns.append(cell(f"wide.tag_{position}"))
        else:
            aggregates.append(f"max(value_position) filter (tag_position = {position}) as tag_{position}")
            names = f"(select list({name} order by position) from tags.catalogue_values where tag = {quote_text(tag)})"
            columns.append(f"{names}[wide.tag_{position} + 1]" if not neutralise else _named_safely(names, position))
    yes, no = ("是", "否") if language == "zh" else ("yes", "no")
    headings = _make_headings(language, tags)
    outputs = [
        cell("facts.customer_id"),
        f"case when facts.is_marketing_allowed then {quote_text(yes)} else {quote_text(no)} end",
        *columns,
        *(number for number, _, _ in NUMBERS),
    ]
    selected = ",\n".join(
        f'{output} as "{heading.replace(chr(34), chr(34) * 2)}"'
        for output, heading in zip(outputs, headings, strict=True)
    )
    query = f"""
        with held as (

            select
                customer_tags.customer_id,
                catalogue.position as tag_position,
                catalogue_values.position as value_position,
                customer_tags.value_name,
                customer_tags.value_name_zh

            from (select * from tags.customer_tags {keep}) as customer_tags

            inner join tags.catalogue as catalogue
                on customer_tags.tag = catalogue.tag

            inner join tags.catalogue_values as catalogue_values
                on customer_tags.tag = catalogue_values.tag
                and customer_tags.value = catalogue_values.value

        ),

        wide as (

            select customer_id, {", ".join(aggregates) or "null as untagged"}
            from held
            group by customer_id

        ),

        people as (

            select * from marts.customer_facts {keep}

        )

        select
            {selected}

        from people as facts

        left join wide
            on facts.customer_id = wide.customer_id

        left join scores.clv as clv
            on facts.customer_id = clv.customer_id

        left join scores.churn as churn
            on facts.customer_id = churn.customer_id

        order by facts.customer_id"""
    return WideTable(query, headings)


def _named_safely(names, position):
    """Neutralise the short list of names, not the million cells."""
    return f"list_transform({names}, lambda name: {safe_cell('name')})[wide.tag_{position} + 1]"


def _make_headings(language, tags):
    is_zh = language == "zh"
    headings = ["客户编号", "可营销"] if is_zh else ["Customer id", "Marketing allowed"]
    headings += [name for _, _, name, _ in tags]
    headings += [heading_zh if is_zh else heading for _, heading, heading_zh in NUMBERS]
    codes = [None, None, *(tag for tag, _, _, _ in tags), *(None for _ in NUMBERS)]
    taken, unique = set(), []
    for heading, code in zip(headings, codes, strict=True):
        if heading.lower() in taken:
            heading = f"{heading} ({code or len(unique) + 1})"
        taken.add(heading.lower())
        unique.append(safe_heading(heading))
    return tuple(unique)
