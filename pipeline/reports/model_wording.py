"""What the pages say of models, as (English, Chinese): models, measures, baselines, drift."""

MODEL_TEXTS = {
    "models": ("Models", "模型"),
    "models_lead": (
        "Whether each model can be believed: how right it was on a past that it had not seen, whether its customers are still"
        " those it learnt from, and what came true of what it foretold.",
        "各模型是否可信：在未见过的历史数据上预测得准不准、今天的客户与训练时相比有没有变化、此前的预测兑现了多少。",
    ),
    "no_models": ("No model ran at this date.", "当日没有运行模型。"),
    "used": ("in use", "使用中"),
    "held": ("held back", "暂不使用"),
    "not enough data": ("not enough data", "数据不足"),
    "model_used": (
        "Scores {0} customers; this version since {1}.",
        "为 {0} 位客户评分；此版本自 {1} 起使用。",
    ),
    "model_trained": (
        "Scores {0} customers; trained on {1}.",
        "为 {0} 位客户评分；训练于 {1}。",
    ),
    "model_held": ("It gives no scores tonight. {0}", "本次不给出评分。{0}"),
    "tests_of_held": ("Figures of its test", "查看其测试数据"),
    "tested_mark": ("tested", "受检"),
    "beats_tested": ("beats it", "优于受检者"),
    "loses_tested": ("loses", "不及受检者"),
    "level": ("On average {0} was foretold, and {1} came: in agreement.", "平均预测概率 {0}，实际发生 {1}：水平相符。"),
    "level_high": (
        "On average {0} was foretold, but {1} came: clearly too high. The model has been calibrated on this outcome since; as"
        " levels move, rely on who ranks before whom more than on the chance itself.",
        "平均预测概率 {0}，实际仅 {1}：预测明显偏高。此后模型已按该结果重新校准；水平会随时间变动，请更看重高低排序而非概率本身。",
    ),
    "level_low": (
        "On average {0} was foretold, but {1} came: clearly too low. The model has been calibrated on this outcome since; as"
        " levels move, rely on who ranks before whom more than on the chance itself.",
        "平均预测概率 {0}，实际达 {1}：预测明显偏低。此后模型已按该结果重新校准；水平会随时间变动，请更看重高低排序而非概率本身。",
    ),
    "model_needs": (
        "It gives no scores tonight: it needs {1} {0} and has {2}.",
        "本次不给出评分：需要 {1}，现有 {2}（{0}）。",
    ),
    "no_backtest": (
        "Nothing is foretold here, so there is no outcome to be held against.",
        "该模型不作预测，没有可对照的结果。",
    ),
    "no_backtest_yet": (
        "It could not be tested on the past yet: that takes orders over at least two horizons.",
        "尚无法用历史数据回测：至少需要两个预测期的订单历史。",
    ),
    "test_lead": (
        "Forecast at {0} for {1} days, {2} customers, with what was known then only:",
        "在截点 {0} 只用当时已知的信息预测未来 {1} 天，共 {2} 位客户：",
    ),
    "auc_words": (
        "Of two customers, one to whom it happened and one to whom it did not, the first had the higher chance in {0} of 100"
        " cases (50 by luck).",
        "任取一位发生和一位未发生的客户，100 次中有 {0} 次前者的预测概率更高（随机猜测为 50 次）。",
    ),
    "total_words": (
        "{0}: {1} foretold, {2} came ({3} against the forecast).",
        "{0}：预测 {1}，实际 {2}（实际比预测 {3}）。",
    ),
    "calibration_picture": ("Foretold and actual, by tenths of customers", "校准图：按预测十等分，预测与实际对照"),
    "foretold": ("foretold", "预测"),
    "came_true": ("came true", "实际"),
    "measure": ("measure", "指标"),
    "model_value": ("model", "模型"),
    "interval": ("95 % interval", "95% 区间"),
    "best_baseline": ("best baseline", "最强基线"),
    "baseline": ("baseline", "基线"),
    "baseline_is": ("baseline: {0}", "基线：{0}"),
    "baseline_value": ("its value", "基线值"),
    "verdict": ("model is", "模型表现"),
    "better": ("better", "优于基线"),
    "worse": ("worse", "劣于基线"),
    "unclear": ("not clearly different", "差异不显著"),
    "all_measures": ("All measures", "全部指标"),
    "candidates": ("Champion and challengers", "在用模型与挑战模型"),
    "candidates_note": (
        "A challenger takes over only where its error is lower beyond the bootstrap interval of the difference.",
        "只有误差更低且差异超出自助法区间时，挑战模型才会取代在用模型。",
    ),
    "candidate": ("candidate", "候选"),
    "in_use_mark": ("in use", "在用"),
    "beats": ("beats it", "优于在用"),
    "loses": ("loses", "不及在用"),
    "draws": ("no clear difference", "差异不显著"),
    "course": ("From cut-off to cut-off", "历次截点的表现"),
    "drift": ("Drift", "漂移"),
    "drift_features": (
        "Features compared with the training window (newest cut-off {1}): {0}, of which {2} moved and {3} are to be watched.",
        "与训练窗口（最近截点 {1}）相比的 {0} 个特征中：{2} 个明显漂移，{3} 个需关注。",
    ),
    "drift_scores": (
        "Scores compared with those of {1}: {0}, of which {2} moved and {3} are to be watched.",
        "与 {1} 相比的 {0} 项评分中：{2} 项明显漂移，{3} 项需关注。",
    ),
    "drift_too_few": (
        "Not judged: {0} (at least 200 customers are needed on either side).",
        "{0} 个特征或评分未判断：两侧各需至少 200 位客户。",
    ),
    "drift_none": (
        "Nothing to compare with yet: the reference is kept from the first training on.",
        "尚无可比基准：自首次训练起保存。",
    ),
    "drift_note": (
        "PSI is the population stability index: below 0.1 little has changed. Sums that grow with the age of the shop are watched, not"
        " warned of.",
        "PSI 为群体稳定性指数，低于 0.1 表示变化不大。随店龄自然增长的累计量只关注、不提醒。",
    ),
    "feature": ("feature", "特征"),
    "score": ("score", "评分"),
    "meaning": ("meaning", "含义"),
    "psi": ("PSI", "PSI"),
    "limit": ("limit", "限值"),
    "warning": ("moved", "明显漂移"),
    "watch": ("watch", "关注"),
    "ok": ("ok", "正常"),
    "too few": ("too few customers", "客户太少"),
    "backtests": ("backtest", "回测"),
    "realised": ("What came true", "预测兑现情况"),
    "realised_lead": (
        "Foretold on {0} for the {1} days that are now over, {2} customers:",
        "{0} 对此后 {1} 天（现已结束）的预测，{2} 位客户：",
    ),
    "realised_not_yet": (
        "Outcomes of {1} days from {0} on: the first forecast is not over yet.",
        "{1} 天的结果自 {0} 起可对照：首次预测尚未到期。",
    ),
    "realised_too_few": (
        "Of the forecast of {0}, too few customers ({1}; needs 100) to be judged.",
        "{0} 的预测只涉及 {1} 位客户（至少需要 100 位），无法判断。",
    ),
    "realised_warning": ("off the limit of {0}", "超出限值 {0}"),
    "gap_interval": ("99 % interval {0} to {1}", "99% 区间 {0} 至 {1}"),
    "loss_words": (
        "Log loss {0}; the same chance for everyone would have had {1}.",
        "对数损失 {0}；若对所有人给同一概率则为 {1}。",
    ),
    "loss_warning": (
        "The chances did worse than the same chance for everyone.",
        "所给概率不如对所有人给同一概率。",
    ),
    "event_share": ("share that it happened to", "发生比例"),
}
# what the event of a chance is; of a model that is not named here: event_share
EVENTS = {
    "churn": ("share that left", "流失占比"),
    "next_purchase": ("share that bought", "购买占比"),
    "contract_churn": ("share of contracts that ended", "合约终止占比"),
}
