"""Model cards: what a model is for and not for, what it learnt from, how right it was, and how to make it again. Chinese, then English."""

from functools import cache
from importlib import resources

import polars as pl
import yaml

from pipeline.model_messages import STATUS_ZH, translate
from pipeline.model_names import BASELINES, MEASURES, QUANTITIES

# figures of a backtest that fill pages, or that say of a chance what others say; they stand in ops.backtests
LONG_SERIES = r"_decile_\d+$|_mean_x\d|^(rmse|mae|normalised_gini)$"
WORDS = {
    "version": ("version", "版本"),
    "status": ("status when trained", "训练时状态"),
    "purpose": ("What it is for", "用途"),
    "not_for": ("What it is not for", "不适用"),
    "limits": ("Limits", "局限"),
    "data": ("What it learnt from", "训练数据"),
    "trained_on": ("what was known before 00:00 of {} (as_of)", "截至 {} 零点（as_of）已知的数据"),
    "cut_offs": (
        "past cut-offs to learn from and be judged at: {} to {} ({})",
        "用于学习与检验的历史截点：{} 至 {}（共 {} 个）",
    ),
    "orders": ("orders known then", "当时已知订单数"),
    "rows": ("rows", "行数"),
    "features": ("Features", "特征"),
    "metrics": ("How right it was", "检验结果"),
    "newest": (
        "At the newest cut-off whose window has passed; the earlier ones, deciles and other candidates stand in ops.backtests.",
        "为窗口已结束的最近截点；更早的截点、十分位与其他候选模型见 ops.backtests。",
    ),
    "sibling": (
        "The figures are of a sibling, fitted in the same way one cut-off earlier; the model in this file has learnt from that newest"
        " cut-off since, so the same rows calibrate it and were the test.",
        "以下数字来自用同样方法、早一个截点训练的同类模型；本文件中的模型此后已用该最近截点校准，因此校准与测试为同一批数据。",
    ),
    "no_backtest": ("No forecast of it was held against what came true.", "没有可与实际结果对照的预测。"),
    "columns": (
        "| cut-off | days | figure | value | 95 % interval | against | its value | rows |",
        "| 截点 | 天数 | 指标 | 数值 | 95% 区间 | 对照 | 对照值 | 行数 |",
    ),
    "again": ("How to make it again", "复现"),
    "again_text": (
        "The same snapshot of the data, settings and versions give the same file, byte for byte.",
        "相同的数据快照、设置与版本得到逐字节相同的文件。",
    ),
    "settings": ("settings", "设置"),
    "versions": ("versions", "版本"),
    "code": ("digest of the code of facts and models", "事实与模型代码摘要"),
    "personal": (
        "This file and the model beside it hold parameters and totals only: no customer id, no personal data.",
        "本文件与同名模型文件仅含参数与汇总数字，不含客户编号与任何个人信息。",
    ),
}


def card_text(version, content):
    """Markdown of a model file's content (steps/model_files.CONTENT), Chinese first, both languages whole."""
    return "\n\n---\n\n".join(_card(version, content, language) for language in ("zh", "en")) + "\n"


def newest_figures(backtests):
    """What a model file holds of a frame of BACKTEST_SCHEMA: of each horizon the newest cut-off, without long series; a list of dicts."""
    is_newest = pl.col("cut_off") == pl.col("cut_off").max().over("horizon_days")
    rows = backtests.filter(is_newest & ~pl.col("metric").str.contains(LONG_SERIES)).drop("as_of", "model")
    return [row | {"cut_off": str(row["cut_off"])} for row in rows.iter_rows(named=True)]


@cache
def read_card_words():
    """{model: {name, purpose, not_for, limits, features: {en, zh}}} from cards.yaml."""
    return yaml.safe_load((resources.files(__package__) / "cards.yaml").read_text(encoding="utf-8"))


def _card(version, content, language):
    place = 0 if language == "en" else 1
    said = {name: words[place] for name, words in WORDS.items()}
    model = read_card_words().get(content["model"]) or read_card_words()["other"]
    training, status = content["training"], content["status"]
    message = content["message"]
    if language == "zh":
        status, message = STATUS_ZH.get(status, status), f"（{translate(message)}）"
    else:
        message = f" ({message})"
    data = [said["trained_on"].format(content["trained_on"])]
    cut_offs = training.get("cut_offs") or []
    if cut_offs and content["backtests"]:
        data.append(said["cut_offs"].format(cut_offs[0], cut_offs[-1], len(cut_offs)))
    data.append(f"{said['orders']}: {training.get('order_count', 0):,}")
    data.append(f"{said['rows']}: {_rows(content, language)}")
    libraries = {"pipeline": training.get("pipeline"), "python": training.get("python")} | training.get("libraries", {})
    parts = [
        f"# {model['name'][language]}",
        f"- {said['version']}: `{version}`\n- {said['status']}: {status}{message}",
        *(f"## {said[name]}\n\n{model[name][language]}" for name in ("purpose", "not_for", "limits")),
        f"## {said['data']}\n\n" + "\n".join(f"- {line}" for line in data),
        f"## {said['features']}\n\n{_features(content, model, language)}",
        f"## {said['metrics']}\n\n{_measured(content, said, place)}",
        f"## {said['again']}\n\n{said['again_text']}\n\n"
        f"- {said['settings']}: {_listed(training.get('settings', {}))}\n"
        f"- {said['versions']}: {_listed(libraries)}\n"
        f"- {said['code']}: {training.get('code')}",
        said["personal"],
    ]
    return "\n\n".join(parts)


def _rows(content, language):
    counts = content["metrics"].get("row_counts")
    if counts:
        names = {name: translate(name) if language == "zh" else name for name in counts}
        return ", ".join(f"{names[name]} {count:,}" for name, count in counts.items())
    return f"{content['metrics'].get('customer_count', content['row_count']):,}"


def _features(content, model, language):
    for holder in (content["metrics"], content["params"]):
        names = holder.get("features")
        if names:
            return ", ".join(f"`{name['name'] if isinstance(name, dict) else name}`" for name in names)
    return model.get("features", {}).get(language, "-")


def _measured(content, said, place):
    in_use = {content["metrics"].get("champion"), *(content["params"].get("used") or {}).values()}
    rows = [row for row in content["backtests"] if in_use == {None} or row["candidate"] in in_use | {None}]
    if not rows:
        return said["no_backtest"]
    # only where the rows of the test have since calibrated what is stored
    sibling = f" {said['sibling']}" if "calibration" in content["metrics"].get("row_counts", {}) else ""
    lines = [said["newest"] + sibling, "", said["columns"], "|---|---:|---|---:|---|---|---:|---:|"]
    for row in rows:
        figure = _figure(row["metric"], place)
        figure += f" ({_name(BASELINES, row['candidate'], place)})" if row["candidate"] else ""
        interval = "" if row["value_low"] is None else f"{_number(row['value_low'])} .. {_number(row['value_high'])}"
        cells = [row["cut_off"], str(row["horizon_days"]), figure, _number(row["value"]), interval]
        cells.append(_name(BASELINES, row["baseline"], place) if row["baseline"] else "")
        lines.append(f"| {' | '.join([*cells, _number(row['baseline_value'])])} | {row['row_count']:,} |")
    return "\n".join(lines)


def _figure(metric, place):
    """A measure in words: orders_rmse -> orders: RMSE; one that has none stays as it is."""
    what, _, base = metric.partition("_")
    if what not in QUANTITIES or base not in MEASURES:
        return _name(MEASURES, metric, place)
    return f"{QUANTITIES[what][place]}{(': ', '：')[place]}{MEASURES[base][place]}"


def _name(names, name, place):
    return names[name][place] if name in names else name


def _number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _listed(values):
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, {}, []))
