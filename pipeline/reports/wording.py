"""How the pages speak: every fixed text as (English, Chinese), and numbers as a reader of either language writes them."""

from pipeline.model_messages import explain_hold, split_message, translate
from pipeline.model_names import BASELINES, MEASURES, MODELS, QUANTITIES, REASON_KINDS
from pipeline.reports.model_wording import EVENTS, MODEL_TEXTS

TEXTS = {
    "title": ("Customer report", "客户洞察报告"),
    "as_of": ("as of {0}", "截至 {0}"),
    "intro": (
        "What is known up to the end of the day before. All figures are totals or averages; no person is named.",
        "数据统计至前一日结束；全部为汇总或平均数，不含任何个人信息。",
    ),
    "no_customers": (
        "No customer is known at this date. Put an export of orders into the inbox and run a night.",
        "截至当日没有任何客户。请把订单导出文件放入 inbox 后再运行一次。",
    ),
    "customers": ("Customers", "客户总数"),
    "buyers": ("{0} have ordered", "其中 {0} 人下过单"),
    "active": ("Active in 90 days", "近90天活跃"),
    "of_buyers": ("{0} of buyers", "占买家 {0}"),
    "spend_365d": ("Net spend, 365 days", "近365天净消费"),
    "per_order": ("{0} per order", "平均每单 {0}"),
    "expected_365d": ("Expected value, next 365 days", "未来365天预期价值"),
    "from_model": ("from the value model", "来自价值模型"),
    "high_risk": ("High churn risk", "高流失风险"),
    "of_active": ("{0} of active customers", "占活跃客户 {0}"),
    "reachable": ("May be written to", "可营销客户"),
    "of_customers": ("{0} of customers", "占客户 {0}"),
    "repeat": ("Bought again", "复购率"),
    "of_buyers_days": ("of buyers, on two days or more", "买家中有两个及以上购买日的比例"),
    "new": ("New in 30 days", "近30天新客户"),
    "first_seen": ("first seen", "首次出现"),
    "since": ("{0} since {1}", "较 {1} {0}"),
    "not_known": ("not known", "暂无"),
    "changes": ("What changed", "变化"),
    "first_night": (
        "This is the first night: {0} tags were given, and there is nothing earlier to compare with.",
        "这是第一次运行：共生成 {0} 个标签，尚无更早的数据可比。",
    ),
    "no_tags": ("No tags were given, so nothing can be compared.", "没有生成标签，无法比较。"),
    "changes_lead": (
        "Tonight {0} tags began and {1} ended. The most moved:",
        "本次共有 {0} 个标签开始生效，{1} 个结束。变动最多的：",
    ),
    "no_changes": ("Nothing changed since last time.", "与上次相比没有变化。"),
    "tag": ("Tag", "标签"),
    "gained": ("began", "新增"),
    "lost": ("ended", "结束"),
    "net": ("net", "净变化"),
    "flows": ("Moves between value classes", "价值类别迁移"),
    "no_flows": ("No customer changed value class.", "没有客户的价值类别发生变化。"),
    "from": ("from", "原类别"),
    "to": ("to", "新类别"),
    "nobody": ("not classed", "未分类"),
    "rfm": ("RFM map", "RFM 地图"),
    "rfm_lead": (
        "Customers by how recently (up) and how often (right) they buy; 5 is best. Colour is the number of customers.",
        "纵轴为最近购买得分，横轴为购买频次得分，5 分最好；颜色深浅表示客户数。",
    ),
    "no_rfm": ("No RFM scores: no customer has an order yet.", "没有 RFM 得分：尚无客户下单。"),
    "recency": ("Recency", "最近购买"),
    "frequency": ("Frequency", "购买频次"),
    "segment_bars": ("Segments: share of customers and of spend", "各客群的客户占比与消费占比"),
    "share_customers": ("customers", "客户占比"),
    "share_spend": ("spend", "消费占比"),
    "comma": (", ", "、"),
    "semicolon": ("; ", "；"),
    "colon": (": ", "："),
    "full_stop": (".", "。"),
    "cut_points": (
        "Scores are by the cut-points of {0}, fitted on {1} customers.",
        "得分切分点取自 {0}，基于 {1} 位客户。",
    ),
    "cut_points_held": (
        "Scores are by the cut-points of {0}, fitted on {1} customers and held since: nobody's score moves because others did.",
        "得分切分点取自 {0}（基于 {1} 位客户），此后保持不变：他人的变化不会改变客户的得分。",
    ),
    "rfm_window": (
        "Frequency and spend are those of {0} days; recency is since the last order.",
        "频次与消费取近 {0} 天；最近购买按最后一单计。",
    ),
    "unreachable": (
        "Nobody can be in {0}:",
        "没有客户能进入{0}：",
    ),
    "skipped_recency_days": (
        "no recency score {0}, as too many values are equal.",
        "最近购买得分 {0} 因数值相同者过多而空缺。",
    ),
    "skipped_frequency": (
        "no frequency score {0}, as too many values are equal.",
        "频次得分 {0} 因数值相同者过多而空缺。",
    ),
    "skipped_monetary": ("no spend score {0}, as too many values are equal.", "金额得分 {0} 因数值相同者过多而空缺。"),
    "outside": (
        "{0} of customers have no order in the {1} days of the window.",
        "{0} 的客户在 {1} 天窗口内没有订单。",
    ),
    "grades": ("Grades", "客户分级"),
    "grades_note": (
        "Key: spends much. Potential: does not yet, but bought recently. Ordinary: neither.",
        "重要客户：消费高；潜在客户：消费不高但近期购买过；普通客户：其余。",
    ),
    "abc": ("ABC classes by spend", "ABC 分类（按消费）"),
    "abc_note": (
        "From the largest down: A makes the first 80 % of spend, B the next 15 %, C the rest.",
        "由高到低累计：A类贡献前80%的消费，B类其后15%，C类其余。",
    ),
    "of_all_customers": ("share of customers", "客户占比"),
    "of_all_spend": ("share of spend", "消费占比"),
    "moves": ("Who went where", "客户迁移"),
    "moves_note": (
        "A row is a group as it was then, read from left to right: where its customers are now. Darker is a larger share of"
        " the row; the framed ones stayed.",
        "每行为当时的一类客户，从左向右看其现在的去向；颜色越深占该行比例越大，加框为未变动。",
    ),
    "no_moves": (
        "There is no earlier night to compare with yet.",
        "尚无更早的一次运行可供比较。",
    ),
    "since_last_night": ("since the last night", "较上一次运行"),
    "since_30_days": ("against 30 days ago", "较30天前"),
    "since_90_days": ("against 90 days ago", "较90天前"),
    "moves_lead": (
        "Of {0} customers on {1}, {2} ({3}) are where they were, {4} moved, {5} left or were merged; {6} are new.",
        "{1} 的 {0} 位客户中，{2} 位（{3}）未变动，{4} 位迁移，{5} 位离开或被合并；另有 {6} 位新进入。",
    ),
    "largest_moves": ("Largest moves: ", "最大的迁移："),
    "fitted_since": (
        "The cut-points are newer than that night, so some may have moved because others did.",
        "切分点晚于该次运行，部分迁移可能由其他客户的变化引起。",
    ),
    "then": ("then", "当时"),
    "now": ("now", "现在"),
    "came": ("new since", "新进入"),
    "change_stayed": ("stayed", "未变动"),
    "change_moved": ("moved", "迁移"),
    "change_new": ("new", "新进入"),
    "change_left": ("no longer scored", "不再评分"),
    "change_merged": ("merged", "已合并"),
    "segments": ("Segments by behaviour", "行为客群"),
    "segments_lead": (
        "Groups found in the data. The sentence gives medians, and averages where it says so, beside those of all grouped;"
        " multiples of the average and the figures below are averages.",
        "由数据自动划分的客户群。说明文字给出中位数（注明处为平均值）并列全部分群客户；与平均的倍数及其下数字均为平均值。",
    ),
    "segment_size": (
        "{0} customers, {1} of the spend",
        "{0} 位客户，消费占比 {1}",
    ),
    "no_segments": ("No behaviour segments tonight: {0}", "本次没有行为客群：{0}"),
    "plain": ("close to the average in everything", "各项均接近平均"),
    "hardly_any": ("hardly any", "几乎没有"),
    "average_order": ("average order", "平均客单价"),
    "average_spend": ("net spend, average", "人均净消费"),
    "average_orders": ("orders, average", "人均订单"),
    "average_recency": ("days since last, average", "平均距上次下单"),
    "average_expected": ("expected, 365 d, average", "人均未来365天预期"),
    "average_churn": ("churn probability, average", "平均流失概率"),
    "value": ("Value", "客户价值"),
    "value_lead": (
        "Expected value in the next 365 days. The top tenth of buyers holds {0} of it.",
        "未来365天的预期价值。价值最高的十分之一买家贡献其中的 {0}。",
    ),
    "no_value": ("No expected values tonight: {0}", "本次没有预期价值：{0}"),
    "value_histogram": ("Buyers by expected value", "买家按预期价值分布"),
    "value_tenths": ("Tenths of buyers: expected value and its 80 % range", "买家十等分：预期价值与80%区间"),
    "value_note": (
        "The line is the average of the customers' own 80 % ranges, the dot the average expectation: one customer may"
        " well differ from it.",
        "线段为客户各自80%区间的平均，圆点为平均预期：单个客户可能与之差别较大。",
    ),
    "tenth": ("tenth", "分位"),
    "share_value": ("share of value", "价值占比"),
    "or_more": ("or more", "及以上"),
    "churn": ("Churn risk", "流失风险"),
    "churn_lead": (
        "{0} active customers are at high risk. They spent {1} in the last 365 days; {2} is expected of them in the next.",
        "{0} 位活跃客户处于高流失风险；他们近365天消费 {1}，未来365天预期价值 {2}。",
    ),
    "churn_no_high": ("No active customer is at high risk.", "没有活跃客户处于高流失风险。"),
    "no_churn": ("No churn scores tonight: {0}", "本次没有流失评分：{0}"),
    "band": ("band", "风险等级"),
    "high": ("High", "高"),
    "medium": ("Medium", "中"),
    "low": ("Low", "低"),
    "average_probability": ("average probability", "平均流失概率"),
    "spent": ("spent, 365 d", "近365天消费"),
    "expected": ("expected, 365 d", "未来365天预期"),
    "reasons": ("Reasons named most among the high risk", "高风险客户最常见的原因"),
    "quality": ("Data and run", "数据与运行"),
    "rows": ("Rows accounted for", "行数核对"),
    "rows_lead": (
        "Every line read is landed, rejected or a duplicate: {0} read, {1} landed, {2} rejected, {3} duplicates.",
        "读入的每一行都有去向：读入 {0}，入库 {1}，拒收 {2}，重复 {3}。",
    ),
    "rows_differ": (
        "{0} of the files do not add up: landed, rejected and duplicates are not the lines read.",
        "有 {0} 个文件不平：入库、拒收、重复之和不等于读入行数。",
    ),
    "no_rows": ("No rows were accounted for at this date.", "当日没有行数核对记录。"),
    "file": ("file", "文件"),
    "entity": ("entity", "数据类别"),
    "read": ("read", "读入"),
    "landed": ("landed", "入库"),
    "rejected": ("rejected", "拒收"),
    "duplicates": ("duplicates", "重复"),
    "share": ("share", "占比"),
    "rows_column": ("rows", "行数"),
    "files": ("Notes on files", "文件说明"),
    "columns_changed": ("columns changed: {0}", "列有变化：{0}"),
    "status": ("status", "状态"),
    "message": ("message", "说明"),
    "absent": (
        "Not delivered by any source: {0}. What needs them is left out.",
        "没有来源提供：{0}。依赖它们的内容已略去。",
    ),
    "complete": ("Every kind of data that the report uses is delivered.", "报告用到的各类数据均已提供。"),
    "no_consent": (
        "No customer has agreed to marketing, so every audience is empty.",
        "没有客户同意接收营销信息，因此所有人群名单为空。",
    ),
    "checks": ("Checks", "数据检查"),
    "checks_lead": ("{0} checks passed, {1} failed.", "{0} 项通过，{1} 项未通过。"),
    "all_checks": ("All checks", "全部检查"),
    "no_checks": ("No checks ran at this date.", "当日没有运行数据检查。"),
    "model": ("model", "模型"),
    "version": ("version", "版本"),
    "row_count": ("customers", "客户数"),
    "warnings": ("Warnings of this run", "本次运行提醒"),
    "steps": ("Steps of this run", "本次运行步骤"),
    "step": ("step", "步骤"),
    "seconds": ("seconds", "秒"),
    "reason_unknown": ("the model gave no scores.", "模型没有给出评分。"),
    "footer": ("Made by the night of {0}.", "由 {0} 的夜间流程生成。"),
    "checks_title": ("Data checks", "数据检查结果"),
    "rule": ("rule", "规则"),
    "column": ("column", "字段"),
    "result": ("result", "结果"),
    "passed": ("passed", "通过"),
    "failed": ("failed", "未通过"),
    "checked": ("checked", "检查数"),
    "unexpected": ("unexpected", "异常数"),
    "days": ("{0} d", "{0} 天"),
    **MODEL_TEXTS,
}
ENTITIES = {
    "customers": "客户",
    "companies": "企业",
    "consents": "营销许可",
    "orders": "订单",
    "order_items": "订单明细",
    "payments": "支付",
    "returns": "退货",
    "products": "商品",
    "subscriptions": "订阅",
    "tickets": "服务工单",
    "campaigns": "营销活动",
    "interactions": "客户互动",
    "feedback": "评价与调研",
    "opportunities": "商机",
}
STEPS = {
    "Ingest": "读入",
    "Identity": "身份识别",
    "Core": "核心数据",
    "Facts": "客户事实",
    "Checks": "数据检查",
    "Scores": "模型评分",
    "Tags": "标签",
    "Record": "记录",
    "Role files": "角色文件",
    "Exports and report": "导出与报告",
    "Publish": "发布",
}
SYMBOLS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


class Wording:
    """Texts and number formats of one language: 'zh' or 'en'. currency: ISO code of the reporting currency."""

    def __init__(self, language, currency="CNY"):
        self.language = language
        self.symbol = SYMBOLS.get(currency, f"{currency} ")

    def __call__(self, key, *parts):
        """The text of a key, with {0}, {1} filled."""
        return TEXTS[key][self.language == "zh"].format(*parts)

    def pick(self, row, field):
        """row[field] in this language, from the pair field and field_zh."""
        return row[f"{field}_zh"] if self.language == "zh" else row[field]

    def status(self, text):
        """A model status in words; one that is not known stays as it is."""
        return self(text) if text in TEXTS else text

    def model(self, name):
        """A model's name for people; one that is not known stays as it is."""
        return self._named(MODELS, name)

    def model_message(self, text):
        """What a model says of itself."""
        return translate(text) if self.language == "zh" else text

    def message_parts(self, text):
        """The same, part by part."""
        return [self.model_message(part) for part in split_message(text)]

    def needed(self, what):
        """What a model has too little of."""
        return translate(what) if self.language == "zh" else what

    def why_held(self, text):
        """Why the model with this message is held, in plain words."""
        return explain_hold(text)[self.language == "zh"]

    def baseline(self, name):
        """A baseline or candidate in words."""
        return self._named(BASELINES, name or "")

    def measure(self, what, base):
        """A measure of what it is of: orders, rmse -> RMSE of orders."""
        measure, of = self._named(MEASURES, base), self._named(QUANTITIES, what)
        if not of:
            return measure
        return f"{of}：{measure}" if self.language == "zh" else f"{of}: {measure}"

    def figure(self, base, number):
        """The value of a measure: a bias as a share, all else as a plain number."""
        if number is None:
            return ""
        if base in ("came_share", "interval_coverage"):
            return self.signed_share(number) if base == "came_share" else self.share(number)
        return self.decimal(number, 3 if abs(number) < 100 else 0)

    def reason(self, kind):
        """A kind of reason in words."""
        return self._named(REASON_KINDS, kind)

    def quantity(self, what):
        """orders or spend in words."""
        return self._named(QUANTITIES, what)

    def amount(self, what, number):
        """So many orders, or so much money."""
        return self.money(number) if what == "spend" else self.decimal(number, 0 if number >= 100 else 1)

    def axis(self, what, number):
        """A tick: a chance as a share, else an amount."""
        if what == "spend" and number >= 100:
            return self.money(number)
        # ten digits hide what a sum of floats adds; never an exponent
        return f"{number:,.10f}".rstrip("0").rstrip(".") if what else self.share(number, 0)

    def point(self, what, number):
        """A point of a picture: a chance as a share, orders or money to the hundredth."""
        if not what:
            return self.share(number)
        least = self.money(0.01) if what == "spend" else self.decimal(0.01)
        if 0 < number < 0.005:
            return f"<{least}"
        return self.money(number) if what == "spend" else self.decimal(number, 2 if number < 10 else 1)

    def gap_name(self, model, name):
        """What of a forecast is held against what came: the event of a model, or a total such as orders_90d_total."""
        if name != "event_share":
            return self.quantity(name.partition("_")[0])
        return self._named(EVENTS, model) if model in EVENTS else self(name)

    def gap_value(self, name, number):
        """Its value, as a share or an amount."""
        return self.share(number) if name == "event_share" else self.amount(name.partition("_")[0], number)

    def multiple(self, name, ratio):
        """So many times the average; what is next to nothing has no number."""
        if ratio < 0.05:
            return name + self("colon") + self("hardly_any")
        return f"{name} × {self.decimal(ratio, 2 if ratio < 0.95 else 1)}"

    def signed_share(self, number):
        """0.123 -> +12.3 %."""
        return ("+" if number > 0 else "") + self.share(number)

    def _named(self, names, name):
        return names[name][self.language == "zh"] if name in names else name

    def step(self, title):
        """A step's title; one that is not known stays as it is."""
        return STEPS.get(title, title) if self.language == "zh" else title

    def entity(self, name):
        """An entity's name; one that is not known stays as it is."""
        return ENTITIES.get(name, name) if self.language == "zh" else name.replace("_", " ")

    def entities(self, names):
        """Their names, listed."""
        return self("comma").join(map(self.entity, names))

    def count(self, number):
        """12,345; short above ten million."""
        if number is None:
            return self("not_known")
        return f"{number:,.0f}" if abs(number) < 10_000_000 else self._shorten(number)

    def money(self, number):
        """¥123, ¥1.23 万, ¥4.5 亿; $1.2 M."""
        if number is None:
            return self("not_known")
        sign = "-" if number < 0 else ""
        number = abs(number)
        if number < 100:
            return f"{sign}{self.symbol}{number:,.2f}"
        return f"{sign}{self.symbol}" + (f"{number:,.0f}" if number < 100_000 else self._shorten(number))

    def share(self, number, places=1):
        """0.123 -> 12.3 %."""
        if number is None:
            return self("not_known")
        gap = "" if self.language == "zh" else " "
        return f"{100 * number:.{places}f}{gap}%"

    def decimal(self, number, places=2):
        """A plain number."""
        return self("not_known") if number is None else f"{number:,.{places}f}"

    def change(self, now, before):
        """+3.2 % between two numbers; None where it cannot be said or nothing changed."""
        if now is None or not before or abs(now / before - 1) < 0.0005:
            return None
        gap = "" if self.language == "zh" else " "
        return f"{100 * (now / before - 1):+.1f}{gap}%"

    def _shorten(self, number):
        units = ((1e8, " 亿"), (1e4, " 万")) if self.language == "zh" else ((1e9, " bn"), (1e6, " M"), (1e3, " k"))
        size, unit = next(pair for pair in units if abs(number) >= pair[0])
        digits = 2 if abs(number) / size < 100 else 0
        return f"{number / size:,.{digits}f}{unit}"
