"""What models say of themselves, in Chinese: their messages are English, parts between "; ", and every part has a pattern here.

Used by reports, model cards and the warnings of a night.
"""

import re
from functools import cache
from importlib import resources

import yaml

from pipeline.model_names import BASELINES, MODELS, feature_meaning

NOT_ENOUGH = "not enough data"
STATUS_ZH = {"used": "已采用", "held": "暂不使用", NOT_ENOUGH: "数据不足"}
ENGLISH = re.compile(r"(?<![\w“])[a-z]{2,} [a-z]{2,}(?!\w)")
# what is named within a message
NAMES_ZH = {
    "orders": "订单",
    "spend": "消费",
    "training": "训练",
    "calibration": "校准",
    "test": "测试",
    "active customers": "活跃客户",
    "customers who left": "流失的客户",
    "customers who stayed": "留存的客户",
    "customers with an order in the year": "近一年有订单的客户",
    "customers who bought": "购买的客户",
    "customers who did not buy": "未购买的客户",
    "customers with a contract": "有合约的客户",
    "contracts that ended": "终止的合约",
    "contracts that ran on": "延续的合约",
    "customers with an order": "有订单的客户",
    "customers with a second purchase day": "有第二个购买日的客户",
    "customers that differ from each other": "彼此不同的客户",
    "features that differ between customers": "在客户之间有差异的特征",
    "ended gaps between purchases in the first third of the history": "历史前三分之一内已结束的购买间隔",
    "days that 30 gaps between purchases were followed": "有30个购买间隔可跟踪的天数",
    "different days of a last order": "不同的最近下单日",
    "the mean": "平均值",
    "their own average so far": "各自迄今的平均值",
}
# {0}, {1} are what the groups hold, themselves in Chinese where they have a name or are a message
PATTERNS = (
    # of every model
    (r"not enough data: (.+) \(needs ([\d,]+), has ([\d,]+)\)", "数据不足：{0}（需要 {1}，现有 {2}）"),
    (r"(.+) at the (training|calibration|test) cut-off", "{1}截点的{0}"),
    (r"(.+) after the (training|calibration|test) cut-off", "{1}截点之后{0}"),
    (r"columns (.+)", "字段 {0}"),
    (r"customers at cut-offs with (\d+) days since", "截点后已满 {0} 天的客户"),
    (r"customers who spent in the (\d+) days after a cut-off", "截点后 {0} 天内有消费的客户"),
    (r"customers who spent nothing in the (\d+) days after a cut-off", "截点后 {0} 天内无消费的客户"),
    # chances of an event
    (
        r"(.+): test AUC ([\d.]+), test log loss ([\d.]+), baseline '([^']+)' ([\d.]+)",
        "{0}：测试集 AUC {1}，对数损失 {2}（基线“{3}”为 {4}）",
    ),
    (
        r"(.+) is no better than the baseline at the newest test cut-off: test log loss ([\d.]+), baseline '([^']+)' ([\d.]+)",
        "{0}在最近的测试截点不优于基线：对数损失 {1}，基线“{2}”为 {3}",
    ),
    (
        r"(.+) is no better than the baseline '([^']+)' beyond chance: log loss ([-+\d.]+) \(([-+\d.]+) to ([-+\d.]+)\)"
        r" over (\d+) test cut-off\(s\)",
        "{0}并不显著优于基线“{1}”：{5} 个测试截点的对数损失差 {2}（区间 {3} 至 {4}）",
    ),
    (
        r"at the newest test cut-off ([\d.]+) % foretold, ([\d.]+) % came"
        r"(?:: too (high|low) beyond chance, the ranks tell more than the chances)?",
        lambda foretold, came, verdict: (
            f"最近的测试截点平均预测概率 {foretold}%，实际发生 {came}%"
            + (f"：预测偏{'高' if verdict == 'high' else '低'}，超出偶然，排序比概率本身更可信" if verdict else "")
        ),
    ),
    (
        r"kept although no better than the baseline '([^']+)' at the newest test cut-off",
        "最近的测试截点上并不优于基线“{0}”，仍继续采用",
    ),
    (
        r"kept although better than the baseline '([^']+)' not beyond chance: log loss ([-+\d.]+) \(([-+\d.]+) to ([-+\d.]+)\)"
        r" over (\d+) test cut-off\(s\)",
        "优于基线“{0}”但未超出偶然，仍继续采用：{4} 个测试截点的对数损失差 {1}（区间 {2} 至 {3}）",
    ),
    (
        r"on the calibration cut-off the ranking is reversed or gone \(slope ([-+\d.]+)\): the past misleads",
        "校准截点上排序颠倒或失效（斜率 {0}）：历史规律已不适用",
    ),
    (
        r"at the newest cut-off the ranking is reversed or gone \(slope ([-+\d.]+)\)",
        "最近截点上排序颠倒或失效（斜率 {0}）",
    ),
    # leaks
    (
        r"test AUC ([\d.]+) is too good to be true \(limit ([\d.]+)\): look for a feature that knows the outcome",
        "测试集 AUC {0} 高得不可信（限值 {1}）：请检查是否有特征泄漏了结果",
    ),
    (r"('[^']+') alone reaches ([\d.]+)", "仅凭{0}即达 {1}"),
    (
        r"('[^']+') alone nearly repeats the outcome \(AUC ([\d.]+), limit ([\d.]+)\): it may be written after the cut-off",
        "仅凭{0}几乎就能复述结果（AUC {1}，限值 {2}）：它可能在截点之后才写入",
    ),
    (
        r"('[^']+') alone tells more \(AUC ([\d.]+)\) than all other features together \(([\d.]+)\): it may be written after the"
        r" cut-off",
        "仅凭{0}（AUC {1}）就超过其余全部特征之和（{2}）：它可能在截点之后才写入",
    ),
    (
        r"('[^']+') lifts the test AUC from ([\d.]+) to ([\d.]+) \(limit ([\d.]+)\): it may be written after the cut-off",
        "{0}把测试集 AUC 从 {1} 提高到 {2}（限值 {3}）：它可能在截点之后才写入",
    ),
    (
        r"('[^']+'), with what is written with it, lifts the test AUC from ([\d.]+) to ([\d.]+) \(limit ([\d.]+)\): it may be"
        r" written after the cut-off",
        "{0}及与其一同写入的特征把测试集 AUC 从 {1} 提高到 {2}（限值 {3}）：它们可能在截点之后才写入",
    ),
    (r"leave it out, or date it", "请去掉它，或为其注明日期"),
    (
        r"('[^']+') was filled for ([\d.]+)% or more at every past cut-off, tonight for ([\d.]+)%, and tells of the outcome"
        r" \(AUC ([\d.]+)\): it becomes known later",
        "{0}在每个历史截点都有至少 {1}% 的值，本次仅 {2}%，且能透露结果（AUC {3}）：它是事后才知道的",
    ),
    (r"leave it out, or mend its delivery", "请去掉它，或修复其数据供给"),
    # RFM
    (
        r"cut-points of (\S+) \(([\d,]+) customers\)(?:, held for (\d+) days)?(?:, frequency and spend of (\d+) days)?",
        lambda day, count, held, window: (
            f"分位点取自 {day}（{count} 位客户）"
            + (f"，保持 {held} 天" if held else "")
            + (f"，频次与金额取近 {window} 天" if window else "")
        ),
    ),
    (
        r"nobody can be in (.+)",
        lambda names: "没有客户能进入" + "、".join(_rfm_names().get(name, name) for name in names.split(", ")),
    ),
    # segments
    (
        r"(?:fitted tonight but not used: )?(\d+) segments, silhouette ([-\d.]+)(?:, stability ([\d.]+))?",
        lambda count, silhouette, stability: (
            f"{count} 个分群，轮廓系数 {silhouette}" + (f"，稳定性 {stability}" if stability else "")
        ),
    ),
    (r"kept, not fitted tonight", "沿用原模型，本次未重新训练"),
    (r"(\d+) matched to the model before", "其中 {0} 个与先前的模型对应"),
    (r"([\d.]+) % of customers changed segment by it", "使 {0}% 的客户改变分群"),
    (
        r"the new model changes the segment of ([\d.]+) % of customers(?:, of (.+))? \(segment_jump_limit ([\d.]+) %\)",
        lambda share, of, limit: (
            f"新模型使 {share}% 的客户改变分群"
            + ("，其中" + re.sub(r"(?:, )?([\d.]+) % in segment (\d+)", r"、分群\2的\1%", of)[1:] if of else "")
            + f"（上限 segment_jump_limit 为 {limit}%）"
        ),
    ),
    (r"held back, scored with the model before", "已暂缓，仍用先前的模型"),
    (
        r"to accept it, set hold_segment_jumps = false for a night",
        "若要采用新模型，请将 hold_segment_jumps 设为 false 一晚",
    ),
    (
        r"used all the same \(hold_segment_jumps = true would hold it back\)",
        "仍予采用（hold_segment_jumps = true 可暂缓）",
    ),
    (
        r"segment (\d+) \(.+\) has ([\d.]+) % of the customers, ([\d.]+) % when the model before was fitted",
        "分群{0}现占客户 {1}%，先前的模型训练时占 {2}%",
    ),
    (r"segment (\d+) has outgrown its name", "分群{0}的名称已不再贴切"),
    # lifetime value: fit and belief
    (r"(\S+), fitted on ([\d,]+) customers", "{0}，基于 {1} 位客户拟合"),
    (r"(\S+) found no maximum of its likelihood", "{0} 的似然函数未找到最大值"),
    (r"(\S+): only (\d+) of (\d+) starts agree on its parameters", "{0}：{2} 个起点中仅 {1} 个得到一致的参数"),
    (r"(\S+): (\d+) of (\d+) starts agree on its parameters", "{0}：{2} 个起点中有 {1} 个得到一致的参数"),
    (r"(\S+) ended at a bound of its search: treat the orders as rough", "{0} 停在搜索边界：订单预测仅供粗略参考"),
    (
        r"only (\d+) customers with a second purchase day: treat the orders as rough below (\d+)",
        "仅有 {0} 位客户有第二个购买日：少于 {1} 位时订单预测仅供粗略参考",
    ),
    (
        r"(\S+) makes ([\d,]+) of the ([\d,]+) repeat purchases it was fitted on \(([-+\d]+)%, limit (\d+)%\)",
        "拟合数据有 {2} 次复购，{0} 算得 {1} 次（{3}%，限值 {4}%）",
    ),
    (r"a score is no number", "有评分不是数字"),
    (
        r"(\d+) customers are to buy on more than 365 days of the next 365",
        "{0} 位客户被预测在未来 365 天内购买超过 365 天",
    ),
    (
        r"customers are to buy ([\d.]+) times as often as so far \(limit (\d+)\)",
        "客户被预测的购买频率是迄今的 {0} 倍（限值 {1}）",
    ),
    (r"everyone's spend a day is the mean, ([\d.]+) \((.+)\)", "人人的单日消费取平均值 {0}（{1}）"),
    (r"everyone's spend a day is their own average so far \((.+)\)", "单日消费取各自迄今的平均值（{0}）"),
    (
        r"frequency and spend correlate at ([-\d.]+), Gamma-Gamma takes them as independent \(limit ([\d.]+)\)"
        r"(: treat the amounts as rough)?",
        lambda value, limit, rough: (
            f"频次与消费额的相关系数为 {value}，而 Gamma-Gamma 假定二者独立（限值 {limit}）"
            + ("：金额仅供粗略参考" if rough else "")
        ),
    ),
    (r"no Gamma-Gamma with a finite mean fits the spend", "没有均值有限的 Gamma-Gamma 能拟合消费额"),
    (r"only (\d+) of (\d+) starts of Gamma-Gamma agree", "Gamma-Gamma 的 {1} 个起点中仅 {0} 个一致"),
    (
        r"Gamma-Gamma expects ([\d.]+) a day where customers spent ([\d.]+)",
        "Gamma-Gamma 预期单日消费 {0}，而客户实际为 {1}",
    ),
    (
        r"repeaters who spent something: needs ([\d,]+), has ([\d,]+)",
        "有消费的复购客户：需要 {0}，现有 {1}",
    ),
    # lifetime value: what was said at past cut-offs
    (
        r"(\d+) days not judged: no past cut-off with as many days of orders before and after it",
        "{0} 天未作检验：没有前后各满 {0} 天订单的历史截点",
    ),
    (r"not judged: no past cut-off whose (\d+) days have passed", "未作检验：尚无满 {0} 天的历史截点"),
    (
        r"not judged: no past cut-off with enough customers whose (\d+) days have passed",
        "未作检验：尚无客户足够且满 {0} 天的历史截点",
    ),
    (
        r"judged at one past cut-off \(needs (\d+) to replace a model\): nothing is replaced",
        "仅在一个历史截点检验（更换模型至少需要 {0} 个）：不更换模型",
    ),
    (
        r"not judged: no model of purchases has figures at every past cut-off",
        "未作检验：没有一个购买模型在全部历史截点都能给出结果",
    ),
    (
        r"(\d+) days not judged: no past cut-off at which (\S+) has figures",
        "{0} 天未作检验：{1} 在历史截点没有结果",
    ),
    (
        r"(\S+) not judged(?: over (\d+) days)?: (no maximum found|its figures are no numbers) at (.+)",
        lambda name, days, why, at: (
            f"{name} 未作检验"
            + (f"（{days} 天）" if days else "")
            + f"：在 {at.replace(', ', '、')} "
            + ("未找到似然函数的最大值" if why == "no maximum found" else "的结果不是数字")
        ),
    ),
    (
        r"(\S+) stands in for (\S+), which has no figures at some past cut-off",
        "由 {0} 代替 {1}：后者在某个历史截点没有结果",
    ),
    (r"not judged at (\S+): (not enough data: .+)", "{0} 未作检验：{1}"),
    (
        r"not judged at (\S+): no model of purchases has figures for everybody",
        "{0} 未作检验：没有一个购买模型能为所有客户给出结果",
    ),
    (
        r"no gradient boosting at (\d+) of (\d+) past cut-offs: (not enough data: .+)",
        "{1} 个历史截点中有 {0} 个没有梯度提升：{2}",
    ),
    (r"(orders|spend) of (\d+) days: (.+)", "{1} 天{0}：{2}"),
    (
        r"nothing beats the baseline '([^']+)' \(RMSE ([\d.,]+), (.+) ([\d.,]+), (\d+) cut-offs?\)",
        "没有模型优于基线“{0}”（均方根误差 {1}，{2} 为 {3}，{4} 个截点）",
    ),
    (
        r"(.+) \(RMSE ([\d.,]+), baseline '([^']+)' ([\d.,]+), (\d+) cut-offs?\)(.*)",
        "{0}（均方根误差 {1}，基线“{2}”为 {3}，{4} 个截点）{5}",
    ),
    (r", since (.+) does not beat the baseline", "，因 {0} 不优于基线"),
    (r", replacing (.+) \((squared error .+)\)", "，取代 {0}（{1}）"),
    (
        r", kept although the baseline '([^']+)' was (better, not beyond chance|as good)(.*)",
        lambda name, how, more: (
            f"，基线“{_to_chinese(name)}”"
            + ("与之相当" if how == "as good" else "更好，但未超出偶然")
            + "，故继续采用"
            + _to_chinese(more)
        ),
    ),
    (r"((?:, .+? not better \(squared error [^)]+\))+)", lambda said: _not_better(said)),
    (r"(\S+) replaces (\S+) \((squared error .+)\)", "{0} 取代 {1}（{2}）"),
    (
        r"squared error ([-+\d.]+) %, ([-+\d.]+) % to ([-+\d.]+) %",
        "平方误差 {0}%，95%区间 {1}% 至 {2}%",
    ),
    # churn horizon
    (
        r"(\d+) days: ([\d.]+)% of repeat purchases before (\S+) came sooner",
        "{0} 天：{2} 之前的复购有 {1}% 在此天数内发生",
    ),
    (r"(\d+) days, as set", "{0} 天（按设置）"),
    (r"(\d+) days until there are", "在此之前取 {0} 天"),
)
# why a model is held, in plain words: (of its message, English, Chinese); the first that is found
HELD = (
    (
        r"too good to be true|repeats the outcome|tells more|lifts the test AUC|becomes known later",
        "A feature seems to know the outcome beforehand, so its test proves nothing. Find out when that feature is written,"
        " and leave it out or date it.",
        "疑似有特征事先“知道”结果，因此测试成绩不足为凭。请查明该特征何时写入，然后去掉它或为其注明日期。",
    ),
    (
        r"no better than the baseline|nothing beats",
        "On past data it did no better than a simple rule of thumb.",
        "用历史数据检验，它并不比简单的经验规则更准。",
    ),
    (
        r"ranking is reversed",
        "What it learnt from the past no longer held in the newest data.",
        "它从历史中学到的规律在最近的数据里已不成立。",
    ),
    (r"", "Its figures are not to be believed.", "其结果不可信。"),
)


def split_message(message):
    """The parts of a message."""
    return message.split("; ") if message else []


def translate(message):
    """A message in Chinese, part by part; a part that is not known stays as it is."""
    return "；".join(_to_chinese(part) for part in split_message(message))


def find_untranslated(message):
    """The parts of a message that have no Chinese, or have English words left in it (columns and settings are none)."""
    return [part for part in split_message(message) if _match(part) is None or ENGLISH.search(translate(part))]


def explain_hold(message):
    """(English, Chinese): why a model with this message is held, in plain words."""
    return next((english, chinese) for pattern, english, chinese in HELD if re.search(pattern, message))


def word_status(model, status, message):
    """(English, Chinese) on a model that gives no scores: its name, its status once, its message."""
    chinese, status_zh = translate(message), STATUS_ZH.get(status, status)
    said = message if message.startswith(status) else f"{status}: {message}"
    said_zh = chinese if chinese.startswith(status_zh) else f"{status_zh}：{chinese}"
    name, name_zh = MODELS.get(model, (model, model))
    return f"{name}: {said}", f"模型 {name_zh}：{said_zh}"


def word_return(model, before):
    """(English, Chinese) on a model that gives scores tonight and did not the night before."""
    name, name_zh = MODELS.get(model, (model, model))
    return (
        f"{name}: in use from tonight, after {before}",
        f"模型 {name_zh}：本夜起启用（此前：{STATUS_ZH.get(before, before)}）",
    )


def _match(text):
    return next((chinese for pattern, template in PATTERNS if (chinese := _fill(pattern, template, text))), None)


def _fill(pattern, template, text):
    found = re.fullmatch(pattern, text)
    if not found:
        return None
    if callable(template):
        return template(*found.groups())
    return template.format(*(_to_chinese(part or "") for part in found.groups()))


def _to_chinese(text):
    if text in NAMES_ZH or text in BASELINES:
        return NAMES_ZH.get(text) or BASELINES[text][1]
    if re.fullmatch(r"'[^']+'", text):
        return _feature(text[1:-1])
    return _match(text) or text


def _feature(name):
    """A feature by its column and what that means, without its explanations."""
    meaning = feature_meaning(name)
    return f"“{name}”" + (f"（{re.split('[；（，。]', meaning[1])[0]}）" if meaning else "")


def _not_better(said):
    found = re.findall(r", (.+?) not better \((squared error [^)]+)\)", said)
    return "".join(f"，{_to_chinese(name)}并不更好（{_to_chinese(error)}）" for name, error in found)


@cache
def _rfm_names():
    text = resources.files("pipeline.models").joinpath("rfm_segments.yaml").read_text(encoding="utf-8")
    return {segment["name"]: segment["zh"] for segment in yaml.safe_load(text)}
