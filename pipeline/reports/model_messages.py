"""What models say of themselves, in Chinese: their messages are in English, sentences put together with semicolons."""

import re

from pipeline.reports.model_wording import BASELINES, QUANTITIES

_ERROR = r"squared error (\S+) \(95 % interval (\S+) to (\S+)\)"
_RACE = r"(orders|spend) of (\d+) days: (.+?) \((\S+) against the squared error (\S+) of the baseline '(.+?)' at (\d+) cut-offs?\)"
_RACE_ZH = "{1} 天的{0}用{2}（{6} 个截点的平方误差 {3}，基线“{5}”为 {4}）"
# a whole message, or one of its sentences -> Chinese; what a group holds is put into Chinese too
SENTENCES = (
    (r"not enough data: (.+) \(needs (\S+), has (\S+)\)", "{0}不足（需要 {1}，现有 {2}）"),
    (r"(.+) at the (training|calibration|test) cut-off", "{1}截点的{0}"),
    (r"(.+) after the (training|calibration|test) cut-off", "{1}截点之后{0}"),
    (r"customers at cut-offs with (\d+) days since", "已满 {0} 天的截点客户数"),
    (r"customers who spent in the (\d+) days after a cut-off", "截点后 {0} 天内有消费的客户"),
    (r"customers who spent nothing in the (\d+) days after a cut-off", "截点后 {0} 天内无消费的客户"),
    (r"days that (\d+) gaps between purchases were followed", "{0} 个购买间隔的可观察天数"),
    (r"(\d+) days until there are", "在此之前按 {0} 天计"),
    # chances of an event
    (
        r"(.+) is no better than the baseline at the newest test cut-off: test log loss (\S+), baseline '(.+)' (\S+)",
        "{0}在最近的测试截点不优于基线：对数损失 {1}，基线“{2}”为 {3}",
    ),
    (
        r"(.+) is no better than the baseline '(.+)' beyond chance: log loss (\S+) \((\S+) to (\S+)\)"
        r" over (\d+) test cut-off\(s\)",
        "{0}并不显著优于基线“{1}”：{5} 个测试截点的对数损失差 {2}（区间 {3} 至 {4}）",
    ),
    (
        r"(.+): test AUC (\S+), test log loss (\S+), baseline '(.+)' (\S+)",
        "{0}：测试集 AUC {1}，对数损失 {2}，基线“{3}”为 {4}",
    ),
    (
        r"on the calibration cut-off the ranking is reversed or gone \(slope (\S+)\): the past misleads",
        "校准截点上排序颠倒或消失（斜率 {0}）：历史规律已不适用",
    ),
    (
        r"at the newest cut-off the ranking is reversed or gone \(slope (\S+)\)",
        "最近截点上排序颠倒或消失（斜率 {0}）",
    ),
    (
        r"test AUC (\S+) is too good to be true \(limit (\S+)\): look for a feature that knows the outcome",
        "测试集 AUC {0} 高得不可信（限值 {1}）：请检查是否有特征泄漏了结果",
    ),
    (r"'(\w+)' alone reaches (\S+)", "仅凭“{0}”即达 {1}"),
    (
        r"'(\w+)' alone nearly repeats the outcome \(AUC (\S+), limit (\S+)\): it may be written after the cut-off",
        "仅凭“{0}”几乎就能复现结果（AUC {1}，限值 {2}）：它可能写于截点之后",
    ),
    (
        r"'(\w+)' alone tells more \(AUC (\S+)\) than all other features together \((\S+)\):"
        r" it may be written after the cut-off",
        "仅凭“{0}”（AUC {1}）就胜过其余全部特征（{2}）：它可能写于截点之后",
    ),
    (r"leave it out, or date it", "请弃用该特征，或补上其时间"),
    (
        r"'(\w+)' was filled for (\S+) or more at every past cut-off, tonight for (\S+), and tells of the outcome"
        r" \(AUC (\S+)\): it becomes known later",
        "“{0}”在每个历史截点至少有 {1} 有值，本次仅 {2}，且能说明结果（AUC {3}）：它是事后才得知的",
    ),
    (r"leave it out, or mend its delivery", "请弃用该特征，或修正其交付"),
    # lifetime value
    (r"(.+), fitted on ([\d,]+) customers", "{0}，由 {1} 位客户拟合"),
    (_RACE, _RACE_ZH),
    (_RACE + r" replaces (.+): " + _ERROR, _RACE_ZH + "，取代{7}：平方误差 {8}（95% 区间 {9} 至 {10}）"),
    (_RACE + r", since (.+) does not beat the baseline", _RACE_ZH + "，因{7}不优于基线"),
    (
        r"(orders|spend) of (\d+) days: nothing beats the squared error (\S+) of the baseline '(.+?)' at (\d+) cut-offs?"
        r" \((.+) (\S+)\)",
        "{1} 天的{0}：没有模型优于基线“{3}”（{4} 个截点的平方误差 {2}，{5} 为 {6}）",
    ),
    (r"(.+) does not replace it: " + _ERROR, "{0}未能取代：平方误差 {1}（95% 区间 {2} 至 {3}）"),
    (r"(.+) replaces (.+): " + _ERROR, "{0}取代{1}：平方误差 {2}（95% 区间 {3} 至 {4}）"),
    (r"no gradient boosting at (\d+) of (\d+) past cut-offs: (.+)", "{1} 个历史截点中有 {0} 个没有梯度提升：{2}"),
    (r"not judged: no past cut-off whose (\d+) days have passed", "未检验：尚无已满 {0} 天的历史截点"),
    (r"not judged at (\S+): (.+)", "{0} 未检验：{1}"),
    (
        r"judged at one past cut-off \(needs (\d+) to replace a model\): nothing is replaced",
        "仅有一个历史截点可检验（更换模型需要 {0} 个）：不更换",
    ),
    (
        r"everyone's spend a day is the mean, (\S+) \((.+) \(limit (\S+)\)\)",
        "所有人的日均消费取平均值 {0}（{1}，限值 {2}）",
    ),
    (r"(.+): treat the orders as rough", "{0}：订单数仅供参考"),
    (r"(.+) ended at a bound of its search", "{0}的参数停在搜索边界"),
    (r"(.+): (\d+) of (\d+) starts agree on its parameters", "{0}：{2} 个起点中 {1} 个收敛到同一参数"),
    # RFM, segments, the horizon
    (r"cut-points of ([\d-]+) \(([\d,]+) customers\)", "切分点取自 {0} 的 {1} 位客户"),
    (
        r"cut-points of ([\d-]+) \(([\d,]+) customers\), held for (\d+) days",
        "切分点取自 {0} 的 {1} 位客户，保持 {2} 天",
    ),
    (r"(.+), frequency and spend of (\d+) days", "{0}，频次与金额取近 {1} 天"),
    (r"nobody can be in (.+)", "没有客户能进入 {0}"),
    (r"(\d+) segments, silhouette (\S+), stability (\S+)", "{0} 个分群，轮廓系数 {1}，稳定性 {2}"),
    (r"kept, not fitted tonight", "沿用先前的模型，本次未训练"),
    (r"(\d+) matched to the model before", "{0} 个与先前的模型一致"),
    (r"(\S+) % of customers changed segment by it", "{0}% 的客户因此改变分群"),
    (r"segment (\d+) has outgrown its name", "分群 {0} 已与其名称不符"),
    (
        r"(\d+) days: ([\d.]+)% of repeat purchases before (\S+) came sooner",
        "{0} 天：{2} 之前的复购有 {1}% 在此天数内发生",
    ),
    (r"(\d+) days, as set", "{0} 天（按设置）"),
)
NAMES = {name: chinese for name, (_, chinese) in (BASELINES | QUANTITIES).items() if name} | {
    "training": "训练",
    "calibration": "校准",
    "test": "测试",
    "active customers": "活跃客户",
    "customers with an order in the year": "近一年有订单的客户",
    "customers with a contract": "有合约的客户",
    "customers who left": "流失的客户",
    "customers who stayed": "留存的客户",
    "customers who bought": "购买的客户",
    "customers who did not buy": "未购买的客户",
    "contracts that ended": "终止的合约",
    "contracts that ran on": "延续的合约",
    "customers with an order": "有订单的客户",
    "customers with a second purchase day": "有第二个购买日的客户",
    "customers that differ from each other": "彼此不同的客户",
    "features that differ between customers": "在客户之间有差异的特征",
    "ended gaps between purchases in the first third of the history": "前三分之一历史中已结束的购买间隔",
}


def message_zh(text):
    """A message in Chinese: as a whole, else sentence by sentence; a sentence that is not known stays as it is."""
    if text in NAMES:
        return NAMES[text]
    for pattern, chinese in SENTENCES:
        found = re.fullmatch(pattern, text)
        if found and not any("; " in part for part in found.groups()):
            return chinese.format(*map(message_zh, found.groups()))
    sentences = text.split("; ")
    return "；".join(map(message_zh, sentences)) if len(sentences) > 1 else text
