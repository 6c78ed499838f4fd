"""The workbook's sheet of models: every figure of the page's section on them, a row a figure."""

from pipeline.reports.models_page import read_models
from pipeline.reports.wording import Wording

HEADINGS = {
    "en": (
        "Model",
        "State",
        "What",
        "Measure",
        "Cut-off or night",
        "Days ahead",
        "Customers",
        "Value",
        "Interval from",
        "Interval to",
        "Compared with",
        "Its value",
        "Result",
    ),
    "zh": (
        "模型",
        "状态",
        "内容",
        "指标",
        "截点或日期",
        "预测天数",
        "客户数",
        "数值",
        "区间下限",
        "区间上限",
        "对照",
        "对照值",
        "结论",
    ),
}


def make_model_sheet(con, as_of, language):
    """(headings, rows) of the sheet; no rows where no model ran at as_of. A row's cells are texts, numbers or None."""
    words, rows = Wording(language), []
    for model in read_models(con, as_of) if as_of else []:
        head = (words.model(model["model"]), words.status(model["status"]))
        message = words.model_message(model["message"])
        rows.append((*head, words("message"), None, str(as_of), None, model["row_count"], *[None] * 5, message))
        for one in model["tests"]:
            rows += [(*head, *_of_test(words, one, row)) for row in one["measures"]]
        rows += [(*head, *_of_drift(words, row)) for row in model["compared"]]
        for one in model["realised"]:
            rows += [(*head, *_of_realised(words, one, row)) for row in one["gaps"]]
    return HEADINGS[language], rows


def _of_test(words, one, row):
    return (
        words("backtests"),
        words.measure(row["what"], row["base"]),
        str(one["cut_off"]),
        one["horizon_days"],
        row["row_count"],
        row["value"],
        row["value_low"],
        row["value_high"],
        words.baseline(row["baseline"]),
        row["baseline_value"],
        words(row["verdict"]) if row["verdict"] else None,
    )


def _of_drift(words, row):
    return (
        words("drift"),
        f"PSI {row['name']}",
        str(row["reference_as_of"]),
        None,
        row["row_count"],
        row["value"],
        None,
        None,
        words("limit"),
        row["warning_limit"],
        words.status(row["status"]),
    )


def _of_realised(words, one, row):
    return (
        words("realised"),
        words.gap_name(row["model"], row["name"]),
        str(one["reference_as_of"]),
        one["horizon_days"],
        row["row_count"],
        row["actual_value"],
        None,
        None,
        words("foretold"),
        row["expected_value"],
        words.status(row["status"]),
    )
