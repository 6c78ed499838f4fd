"""The workbook: about, customers, segments, tags, who went where, models. Written in constant memory, so cells leave in row order."""

from decimal import Decimal

import xlsxwriter

from pipeline.reports.model_sheet import make_model_sheet
from pipeline.reports.rfm_figures import migrations_query
from pipeline.reports.segment_figures import make_segment_sheet
from pipeline.reports.wide import make_wide_table

ROWS_AT_A_TIME = 5_000
WORDS = {
    "zh": {
        "about": "说明",
        "customers": "客户标签",
        "dictionary": "标签字典",
        "moves": "客户迁移",
        "move_headings": ("标签", "对比期", "对比日期", "当时", "现在", "变动", "客户数", "占当时该类客户比例"),
        "models": "模型",
        "title": "客户标签 · 截至 {as_of}",
        "all": "本工作簿包含全部 {shown} 位客户。",
        "capped": "本工作簿仅包含净消费最高的 {shown} 位客户，共有 {total} 位；全部客户见 customer_tags.csv。",
        "none": "截至当日没有任何客户。",
        "consent": "“可营销”为“否”的客户不得用于营销触达。",
        "headings": (
            "类别",
            "标签代码",
            "标签",
            "标签含义",
            "类型",
            "取值代码",
            "取值",
            "取值含义",
            "当前客户数",
            "规则",
            "规则版本",
        ),
    },
    "en": {
        "about": "About",
        "customers": "Customers",
        "dictionary": "Tag dictionary",
        "moves": "Who went where",
        "move_headings": (
            "Tag",
            "Period",
            "Compared with",
            "Then",
            "Now",
            "Change",
            "Customers",
            "Share of those then",
        ),
        "models": "Models",
        "title": "Customer tags as of {as_of}",
        "all": "This workbook holds all {shown} customers.",
        "capped": "This workbook holds only the {shown} customers with the highest net spend, of {total};"
        " customer_tags.csv has them all.",
        "none": "No customer is known at this date.",
        "consent": "Customers with marketing allowed = no must not be approached for marketing.",
        "headings": (
            "Category",
            "Tag code",
            "Tag",
            "Meaning",
            "Kind",
            "Value code",
            "Value",
            "Meaning of the value",
            "Customers now",
            "Rule",
            "Rule version",
        ),
    },
}


def write_workbook(con, path, language, max_customers):
    """Write the workbook of at most max_customers customers. Returns how many it holds."""
    words = WORDS[language]
    total, as_of = con.execute("select count(*), max(as_of) from marts.customer_facts").fetchone()
    shown = min(total, max_customers)
    chosen = None
    if shown < total:
        chosen = (
            "select customer_id from marts.customer_facts"
            f" order by net_spend_amount desc nulls last, customer_id limit {int(max_customers)}"
        )
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(str(path), options) as workbook:
        bold = workbook.add_format({"bold": True, "bg_color": "#E8EEF0", "text_wrap": True, "valign": "top"})
        _write_about(workbook, words, as_of, shown, total)
        wide = make_wide_table(con, language, customers=chosen, neutralise=False)
        _write_sheet(workbook, bold, words["customers"], wide.headings, _rows_of(con.execute(wide.query)))
        if segments := make_segment_sheet(con, language):
            _write_sheet(workbook, bold, *segments[:2], _rows_of(con.execute(segments[2])))
            # the names and the sentences that describe them
            workbook.get_worksheet_by_name(segments[0]).set_column(1, 1, 36)
            workbook.get_worksheet_by_name(segments[0]).set_column(2, 2, 100)
        dictionary = con.execute(_dictionary_query(language))
        _write_sheet(workbook, bold, words["dictionary"], words["headings"], _rows_of(dictionary))
        moves = con.execute(migrations_query(language))
        _write_sheet(workbook, bold, words["moves"], words["move_headings"], _rows_of(moves))
        headings, models = make_model_sheet(con, as_of, language)
        if models:
            _write_sheet(workbook, bold, words["models"], headings, models)
    return shown


def _write_about(workbook, words, as_of, shown, total):
    sheet = workbook.add_worksheet(words["about"])
    sheet.set_column(0, 0, 90)
    big = workbook.add_format({"bold": True, "font_size": 14})
    wrapped = workbook.add_format({"text_wrap": True})
    state = "none" if total == 0 else "all" if shown == total else "capped"
    sheet.write_string(0, 0, words["title"].format(as_of=as_of), big)
    sheet.write_string(2, 0, words[state].format(shown=f"{shown:,}", total=f"{total:,}"), wrapped)
    sheet.write_string(3, 0, words["consent"], wrapped)


def _rows_of(result):
    while rows := result.fetchmany(ROWS_AT_A_TIME):
        yield from rows


def _write_sheet(workbook, bold, name, headings, rows):
    sheet = workbook.add_worksheet(name)
    sheet.freeze_panes(1, 1)
    sheet.set_column(0, len(headings) - 1, 16)
    for column, heading in enumerate(headings):
        sheet.write_string(0, column, heading, bold)
    row_number = 0
    # cells must be handed to the writer one by one: this is why the workbook is capped
    for row_number, row in enumerate(rows, start=1):
        for column, cell in enumerate(row):
            if isinstance(cell, str):
                sheet.write_string(row_number, column, cell)
            elif isinstance(cell, int | float | Decimal):
                sheet.write_number(row_number, column, cell)
    sheet.autofilter(0, 0, row_number, len(headings) - 1)


def _dictionary_query(language):
    suffix = "_zh" if language == "zh" else ""
    return f"""
        with held as (

            select tag, value, count(*) as customer_count
            from tags.customer_tags
            group by tag, value

        )

        select
            catalogue.category,
            catalogue.tag,
            catalogue.name{suffix},
            catalogue.meaning{suffix},
            catalogue.kind,
            catalogue_values.value,
            catalogue_values.name{suffix},
            catalogue_values.meaning{suffix},
            coalesce(held.customer_count, 0),
            catalogue.rule,
            catalogue.rule_version

        from tags.catalogue as catalogue

        left join tags.catalogue_values as catalogue_values
            on catalogue.tag = catalogue_values.tag

        left join held
            on catalogue_values.tag = held.tag
            and catalogue_values.value = held.value

        where catalogue.level = 'customer'

        order by catalogue.position, catalogue_values.position"""
