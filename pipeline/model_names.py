"""What models, measures, baselines, reasons and derived features are called, as (English, Chinese): for reports, cards and messages."""

from pipeline.meanings import column_meaning

MODELS = {
    "churn": ("Churn", "流失预测"),
    "next_purchase": ("Next purchase in 30 days", "30天内再次购买"),
    "contract_churn": ("Churn of contracts", "合约流失预测"),
    "clv": ("Lifetime value", "客户生命周期价值"),
    "segments": ("Segments by behaviour", "行为客群"),
    "rfm": ("RFM", "RFM"),
    "horizon": ("Churn horizon", "流失判定天数"),
}
MEASURES = {
    "auc": ("AUC", "AUC"),
    "pr_auc": ("PR-AUC", "PR-AUC"),
    "log_loss": ("log loss", "对数损失"),
    "brier": ("Brier score", "Brier 分数"),
    "lift_10": ("lift at 10 %", "前10%提升度"),
    "calibration_slope": ("calibration slope (1 is right)", "校准斜率（理想为1）"),
    "calibration_intercept": ("calibration intercept (0 is right)", "校准截距（理想为0）"),
    "rmse": ("RMSE", "均方根误差"),
    "mae": ("mean absolute error", "平均绝对误差"),
    "bias_share": ("bias of the total", "总量偏差"),
    "normalised_gini": ("normalised Gini", "归一化基尼系数"),
    "correlation": ("correlation", "相关系数"),
    "pooled_squared_error": ("mean squared error, all cut-offs", "全部截点的均方误差"),
    "interval_coverage": ("share within the 80 % interval", "80%区间覆盖率"),
    "interval_below": ("share below the 80 % interval", "低于80%区间的占比"),
    "interval_above": ("share above the 80 % interval", "高于80%区间的占比"),
    "total": ("total", "合计"),
}
QUANTITIES = {"orders": ("orders", "订单数"), "spend": ("spend", "消费额"), "": ("", "")}
BASELINES = {
    "base rate": ("same chance for everyone", "对所有人同一概率"),
    "recency only": ("days since the last order alone", "仅凭距上次购买天数"),
    "contract_age only": ("age of the contract alone", "仅凭合约时长"),
    "own rate": ("own past rate goes on", "沿用个人以往频率"),
    "zero": ("nothing for anyone", "一律为零"),
    "mean": ("the average for everyone", "一律为平均值"),
    "nominal": ("as intended", "名义值"),
    "bgnbd": ("BG/NBD", "BG/NBD"),
    "mbgnbd": ("MBG/NBD", "MBG/NBD"),
    "paretonbd": ("Pareto/NBD", "Pareto/NBD"),
    "boosting": ("gradient boosting", "梯度提升"),
    "gradient boosting": ("gradient boosting", "梯度提升"),
    "actual": ("what came", "实际结果"),
    "logistic regression": ("logistic regression", "逻辑回归"),
}
# a kind of reason (a group of features), whatever its numbers are
REASON_KINDS = {
    "rhythm": ("time since the last order, against the usual gap", "距上次下单的时间（对照平常间隔）"),
    "recent_orders": ("orders in the last 90 days", "近90天的订单数"),
    "orders": ("orders so far", "累计订单数"),
    "spend": ("average order", "平均客单价"),
    "discounts": ("use of discounts", "折扣使用"),
    "returns": ("returns", "退货"),
    "cancellations": ("cancelled orders", "取消订单"),
    "tickets": ("service tickets", "服务工单"),
    "complaints": ("complaints", "投诉"),
    "first_reply": ("wait for a first reply from service", "客服首次回复的等待时间"),
    "service_rating": ("rating of service", "对客服的评分"),
    "ratings": ("ratings given", "评价得分"),
    "recommendation": ("recommendation score", "推荐分"),
    "responses": ("answers to our messages", "对触达的回应"),
    "contact": ("contacts in the last 90 days", "近90天的互动"),
    "tenure": ("time as a customer", "成为客户的时长"),
    "range": ("number of categories bought", "购买品类的多少"),
    "taste": ("usual category", "主要品类"),
    "channel": ("usual sales channel", "常用购买渠道"),
    "instalments": ("payment in instalments", "分期付款"),
    "payment": ("usual payment", "主要支付方式"),
    "hours": ("orders on weekends", "周末下单"),
    "subscriptions": ("active subscriptions", "有效订阅"),
    "contract_end": ("days to the end of the contract", "距合约到期天数"),
    "contract_age": ("age of the contract", "合约时长"),
    "contract_history": ("renewals so far", "续约次数"),
    "contract_plan": ("plan", "套餐"),
    "contract_status": ("status of the contract", "合约状态"),
    "contract_amount": ("amount a period", "每期费用"),
}
# features that the models derive from the facts
DERIVED = {
    "gap_ratio": ("days since the last order over the usual gap", "距上次购买天数与平均购买间隔之比"),
    "expected_gap_days": ("days between purchases to be expected", "预期购买间隔天数"),
    "expected_gap_ratio": ("days since the last order over the expected gap", "距上次购买天数与预期购买间隔之比"),
    "days_since_ticket": ("days since the last service ticket", "距上次服务工单天数"),
    "days_since_interaction": ("days since the last interaction", "距上次互动天数"),
}


def feature_meaning(name):
    """(English, Chinese) words for a feature of customer facts; None where there are none."""
    if name in DERIVED:
        return DERIVED[name]
    meaning = column_meaning("marts", "customer_facts", name)
    return (meaning["en"], meaning["zh"]) if meaning else None
