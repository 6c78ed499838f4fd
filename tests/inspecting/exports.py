"""Made-up exports that no layout knows, each with its key: header -> the contract columns that are right for it.

A pool is a pattern with {i}, the record's number, or {order}, which two lines share; or a list that is gone through again
and again: lists of different lengths keep the columns from moving together. A key is `entity.column`, several where any of
them is right, or "" where the contracts have no place for the column.
"""

import csv
import io
from dataclasses import dataclass

RECORDS = 60
CHINESE_NAMES = ["李雷", "韩梅梅", "王芳", "赵丽颖", "孙悟空", "周杰", "吴京", "郑爽", "欧阳锋", "司马光", "陈晨"]
ENGLISH_NAMES = ["Ann Lee", "Bob Stone", "Carla Diaz", "Dev Patel", "Eve Moore", "Finn O'Hara", "Gus Holm"]


@dataclass(frozen=True)
class Export:
    """A file, its key, and the main entity that inspect should name."""

    file_name: str
    entity: str
    columns: dict

    def text(self, delimiter=","):
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        writer.writerow(self.columns)
        for number in range(RECORDS):
            writer.writerow([_cell(pool, number) for pool, _ in self.columns.values()])
        return out.getvalue()

    def key(self):
        return {header: set(filter(None, wanted.split())) for header, (_, wanted) in self.columns.items()}


def _cell(pool, number):
    if isinstance(pool, str):
        order = number // 2
        days = {"day": 1 + number % 28, "order_day": 1 + order % 28, "month": 1 + number % 12}
        return pool.format(i=number, order=order, **days)
    return pool[number % len(pool)]


EXPORTS = [
    Export(
        "门店销售流水.csv",
        "orders",
        {
            "小票号": ("XP2024{order:06d}", "orders.order_id order_items.order_id"),
            "会员卡号": ("88{order:06d}", "orders.source_customer_id"),
            "交易时间": ("2024-03-{order_day:02d} 10:22:00", "orders.ordered_at"),
            "门店名称": (["南京路店", "徐家汇店", "五角场店"], "orders.sales_channel"),
            "商品条码": ("69012345{i:05d}", "order_items.sku"),
            "品名": (["牛奶", "面包", "咖啡", "苹果", "酸奶"], "order_items.name"),
            "大类": (["乳品", "烘焙", "饮料"], "order_items.category"),
            "单价": (["12.50", "8.00", "30.00"], "order_items.unit_price"),
            "件数": (["1", "2", "3", "1"], "order_items.quantity"),
            "行金额": (["12.50", "16.00", "90.00", "11.00", "24.80"], "order_items.amount orders.net"),
            "收银员": (["张三", "李四"], ""),
        },
    ),
    Export(
        "小程序订单导出.csv",
        "orders",
        {
            "订单编号": ("M{i:010d}", "orders.order_id"),
            "用户昵称": (CHINESE_NAMES, "customers.name"),
            "用户手机": ("138001{i:05d}", "orders.phone customers.phone"),
            "下单日期": ("2024/3/{day} 09:15", "orders.ordered_at"),
            "支付时间": ("2024/3/{day} 09:16", "orders.paid_at"),
            "订单状态": (["已完成", "待发货", "已取消", "已完成"], "orders.status"),
            "商品总额": (["100.00", "250.00", "99.00"], "orders.gross"),
            "优惠金额": (["10.00", "0.00", "5.00", "0.00"], "orders.discount"),
            "运费": (["0.00", "8.00"], "orders.shipping"),
            "实付金额": (["90.00", "258.00", "94.00", "102.50", "77.77"], "orders.net"),
            "付款方式": (["微信支付", "支付宝"], "orders.payment_method"),
            "优惠码": (["", "SPRING24", ""], "orders.coupon"),
            "买家备注": (["", "请尽快发货", "", "放门口就好，谢谢"], ""),
            "收货省份": (["浙江省", "江苏省", "广东省"], "customers.province"),
            "收货城市": (["杭州市", "南京市", "深圳市"], "customers.city"),
        },
    ),
    Export(
        "会员资料.csv",
        "customers",
        {
            "会员编号": ("VIP{i:06d}", "customers.source_customer_id"),
            "姓名": (CHINESE_NAMES, "customers.name"),
            "性别": (["男", "女", "女"], "customers.gender"),
            "出生日期": ("19{month:02d}-05-{day:02d}", "customers.birth_date"),
            "联系电话": ("139001{i:05d}", "customers.phone"),
            "电子邮箱": ("u{i}@example.com", "customers.email"),
            "所在省份": (["浙江", "江苏", "广东"], "customers.province"),
            "所在城市": (["杭州", "南京", "深圳"], "customers.city"),
            "联系地址": ("文一路{i}号3幢", "customers.address"),
            "会员级别": (["普通", "银卡", "金卡"], "customers.loyalty_tier"),
            "可用积分": ("{i}0", "customers.loyalty_points"),
            "入会日期": ("2022-{month:02d}-{day:02d}", "customers.registered_at"),
            "客户来源": (["门店", "抖音", "朋友推荐"], "customers.acquisition_channel"),
            "专属顾问": (["小王", "小李"], "customers.owner"),
            "短信退订": (["否", "是", "否"], "customers.sms_marketing_allowed"),
            "备注说明": (["", "喜欢红色的外套，周末来店"], ""),
        },
    ),
    Export(
        "售后服务单.csv",
        "tickets",
        {
            "服务单号": ("FW{i:07d}", "tickets.ticket_id"),
            "客户姓名": (CHINESE_NAMES, "customers.name"),
            "客户电话": ("137001{i:05d}", "tickets.phone customers.phone"),
            "问题类型": (["质量", "物流", "安装"], "tickets.kind"),
            "紧急程度": (["高", "中", "低"], "tickets.priority"),
            "处理状态": (["处理中", "已解决", "已关闭"], "tickets.status"),
            "问题描述": ("第{i}台洗衣机脱水时噪音很大，需要上门", "tickets.body"),
            "受理时间": ("2024-04-{day:02d} 08:30", "tickets.opened_at"),
            "首次响应时间": ("2024-04-{day:02d} 09:30", "tickets.first_reply_at"),
            "完成时间": ("2024-04-{day:02d} 19:30", "tickets.solved_at"),
            "满意度": (["5", "4", "3", "5"], "tickets.csat"),
            "反馈渠道": (["电话", "微信"], "tickets.channel"),
            "处理人": (["客服一部", "客服二部"], ""),
        },
    ),
    Export(
        "web_orders.csv",
        "orders",
        {
            "OrderNo": ("10{i:07d}", "orders.order_id"),
            "CustNo": ("C{order:05d}", "orders.source_customer_id"),
            "CustEmail": ("c{order}@example.com", "orders.email customers.email"),
            "OrderDate": ("{month:02d}/{day:02d}/2024", "orders.ordered_at"),
            "OrderState": (["Delivered", "Processing", "Cancelled"], "orders.status"),
            "SubTotal": (["80.00", "120.50", "33.00"], "orders.gross"),
            "Freight": (["5.00", "0.00"], "orders.shipping"),
            "SalesTax": (["6.40", "9.64", "2.64"], "orders.tax"),
            "GrandTotal": (["91.40", "130.14", "35.64", "64.20"], "orders.net"),
            "CurrencyCode": (["CNY"], "orders.currency"),
            "PayMethod": (["card", "paypal"], "orders.payment_method"),
            "PromoCode": (["", "WELCOME", ""], "orders.coupon"),
            "ShipVia": (["UPS", "DHL"], ""),
        },
    ),
    Export(
        "customer_master.csv",
        "customers",
        {
            "Cust_ID": ("{i:08d}", "customers.source_customer_id"),
            "First Name": (["Ann", "Bob", "Carla", "Dev", "Eve"], "customers.given_name"),
            "Last Name": (["Lee", "Stone", "Diaz", "Patel", "Moore", "Holm"], "customers.surname"),
            "Sex": (["F", "M", "F"], "customers.gender"),
            "DOB": ("19{month:02d}-07-{day:02d}", "customers.birth_date"),
            "E-Mail Address": ("p{i}@example.org", "customers.email"),
            "Mobile No.": ("+44 7700 9{i:05d}", "customers.phone"),
            "Street Address": ("{i} High Street", "customers.address"),
            "Town": (["Leeds", "York", "Bath"], "customers.city"),
            "Post Code": ("LS{i} 4AB", "customers.postal_code"),
            "Country": (["GB", "IE"], "customers.country"),
            "Member Since": ("2021-{month:02d}-{day:02d}", "customers.registered_at"),
            "Membership Tier": (["Basic", "Gold"], "customers.loyalty_tier"),
            "Points Balance": ("{i}5", "customers.loyalty_points"),
            "Email Opt-In": (["Y", "N"], "customers.email_marketing_allowed"),
            "Shoe Size": (["38", "42", "44"], ""),
        },
    ),
    Export(
        "support-cases.csv",
        "tickets",
        {
            "Case Number": ("{i:08d}", "tickets.ticket_id"),
            "Contact Email": ("x{order}@example.com", "tickets.email"),
            "Case Origin": (["Web", "Phone", "Email"], "tickets.channel"),
            "Issue Type": (["Billing", "Bug", "How-to"], "tickets.kind"),
            "Severity": (["High", "Low"], "tickets.priority"),
            "State": (["Open", "Resolved", "Closed"], "tickets.status"),
            "Summary": ("Printer {i} prints nothing but blank pages", "tickets.subject"),
            "Date Opened": ("2024-02-{day:02d}T10:00:00Z", "tickets.opened_at"),
            "Date Closed": ("2024-02-{day:02d}T20:00:00Z", "tickets.solved_at"),
            "Satisfaction Rating": (["Good", "Bad", "Good"], "tickets.csat"),
            "Assigned To": (["Team A", "Team B"], ""),
        },
    ),
    Export(
        "pos_lines.csv",
        "orders",
        {
            "receipt_id": ("R{order:07d}", "orders.order_id order_items.order_id"),
            "row_no": (["1", "2"], "order_items.line"),
            "loyalty_card": ("L{order:06d}", "orders.source_customer_id"),
            "sold_at": ("2024-05-{order_day:02d} 12:00:00", "orders.ordered_at"),
            "item_code": ("A{i:05d}", "order_items.sku"),
            "item_description": (["Espresso beans", "Green tea", "Mug", "Filter paper"], "order_items.name"),
            "department": (["Food", "Ware"], "order_items.category"),
            "qty": (["1", "2", "1"], "order_items.quantity"),
            "unit_price": (["9.90", "4.50", "12.00"], "order_items.unit_price"),
            "line_total": (["9.90", "9.00", "12.00", "8.10", "4.50"], "order_items.amount orders.net"),
            "till": (["T1", "T2"], ""),
        },
    ),
    Export(
        "拜访记录.csv",
        "interactions",
        {
            "记录编号": ("BF{i:06d}", "interactions.interaction_id"),
            "客户编码": ("K{order:05d}", "interactions.source_customer_id"),
            "拜访方式": (["上门", "电话", "微信"], "interactions.channel interactions.kind"),
            "拜访时间": ("2024年4月{day}日", "interactions.occurred_at"),
            "拜访结果": (["有意向", "无意向", "待跟进"], "interactions.outcome"),
            "沟通内容": ("客户希望在{i}号之前收到新的报价单", "interactions.text"),
            "业务员": (["王强", "李敏"], ""),
        },
    ),
]
