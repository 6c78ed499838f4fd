"""Words the demo shop is made of: names, places, articles, texts. All invented; nobody real is meant."""

# surname, pinyin
_SURNAMES = (
    "王:wang 李:li 张:zhang 刘:liu 陈:chen 杨:yang 黄:huang 赵:zhao 吴:wu "
    "周:zhou 徐:xu 孙:sun 马:ma 朱:zhu 胡:hu 郭:guo 何:he 高:gao "
    "林:lin 罗:luo 郑:zheng 梁:liang 谢:xie 宋:song 唐:tang 许:xu 韩:han "
    "冯:feng 邓:deng 曹:cao 彭:peng 曾:zeng 肖:xiao 田:tian 董:dong 潘:pan "
    "袁:yuan 蔡:cai 蒋:jiang 余:yu 于:yu 杜:du 叶:ye 程:cheng 魏:wei "
    "苏:su 吕:lv 丁:ding 任:ren 卢:lu 姚:yao 沈:shen 钟:zhong 姜:jiang "
    "崔:cui 谭:tan 陆:lu 范:fan 汪:wang 廖:liao"
)
SURNAMES = [pair.split(":") for pair in _SURNAMES.split()]
# given name, pinyin; the first half is given to men, the second to women
_GIVEN_NAMES = (
    "伟:wei 强:qiang 磊:lei 军:jun 勇:yong 杰:jie 涛:tao 明:ming 超:chao "
    "刚:gang 平:ping 辉:hui 鹏:peng 浩:hao 宇轩:yuxuan 浩然:haoran 子涵:zihan 俊杰:junjie "
    "建国:jianguo 志强:zhiqiang 文博:wenbo 天宇:tianyu 嘉豪:jiahao 思远:siyuan 晨:chen 芳:fang 娜:na "
    "敏:min 静:jing 丽:li 艳:yan 娟:juan 霞:xia 秀英:xiuying 桂英:guiying 婷:ting "
    "雪:xue 慧:hui 梅:mei 欣怡:xinyi 梓萱:zixuan 诗涵:shihan 雨桐:yutong 佳琪:jiaqi 晓燕:xiaoyan "
    "美玲:meiling 思琪:siqi 紫琳:zilin 悦:yue 倩:qian"
)
GIVEN_NAMES = [pair.split(":") for pair in _GIVEN_NAMES.split()]
_ENGLISH_NAMES = (
    "James Oliver Henry Daniel Thomas Peter George Simon Martin Victor "
    "Emily Sophie Grace Alice Helen Julia Laura Nina Clara Fiona"
)
ENGLISH_NAMES = _ENGLISH_NAMES.split()

# province, city, district, share of the people in percent
PLACES = [
    ("北京市", "北京市", "朝阳区", 7),
    ("北京市", "北京市", "海淀区", 5),
    ("上海市", "上海市", "浦东新区", 8),
    ("上海市", "上海市", "徐汇区", 4),
    ("广东省", "广州市", "天河区", 7),
    ("广东省", "深圳市", "南山区", 8),
    ("广东省", "东莞市", "南城区", 3),
    ("浙江省", "杭州市", "西湖区", 7),
    ("浙江省", "宁波市", "鄞州区", 3),
    ("江苏省", "南京市", "玄武区", 5),
    ("江苏省", "苏州市", "姑苏区", 5),
    ("四川省", "成都市", "武侯区", 7),
    ("重庆市", "重庆市", "渝北区", 4),
    ("湖北省", "武汉市", "武昌区", 5),
    ("陕西省", "西安市", "雁塔区", 4),
    ("湖南省", "长沙市", "岳麓区", 4),
    ("河南省", "郑州市", "金水区", 4),
    ("山东省", "青岛市", "市南区", 4),
    ("辽宁省", "沈阳市", "和平区", 3),
    ("福建省", "厦门市", "思明区", 3),
]
STREETS = ["人民路", "中山路", "解放路", "建设路", "和平路", "文化路", "新华路", "长江路"]

GENDERS = ["男", "女", "其他"]
OCCUPATIONS = ["企业职员", "教师", "医生", "工程师", "个体户", "公务员", "学生", "自由职业", "退休"]
EDUCATIONS = ["高中及以下", "大专", "本科", "硕士", "博士"]
MARITAL = ["未婚", "已婚", "离异"]
INCOMES = ["5千以下", "5千-1万", "1万-2万", "2万-5万", "5万以上"]
TIERS = ["普通会员", "银卡会员", "金卡会员", "钻石会员"]
TIERS_SHOP = ["Basic", "Silver", "Gold", "Diamond"]
ORIGINS = ["官网", "门店", "转介绍", "广告", "抖音", "微信", "展会"]
ORIGINS_SHOP = ["website", "store", "referral", "ads", "douyin", "wechat", "event"]
OWNERS = ["员工01", "员工02", "员工03", "员工04", "员工05", "员工06", "员工07", "员工08"]

# the word in a company's name, pinyin; industry, the word for it there; sizes
COMPANY_WORDS = [
    ("蓝海", "lanhai"),
    ("星桥", "xingqiao"),
    ("远山", "yuanshan"),
    ("青禾", "qinghe"),
    ("云帆", "yunfan"),
    ("金石", "jinshi"),
    ("东篱", "dongli"),
    ("白鹭", "bailu"),
    ("北辰", "beichen"),
    ("明德", "mingde"),
    ("长风", "changfeng"),
    ("万象", "wanxiang"),
]
INDUSTRIES = [
    ("信息技术", "科技"),
    ("制造业", "制造"),
    ("零售业", "商贸"),
    ("教育", "教育"),
    ("医疗", "医疗"),
    ("建筑业", "建设"),
    ("金融", "投资"),
    ("物流", "物流"),
]
COMPANY_SIZES = ["50人以下", "50-200人", "200-1000人", "1000人以上"]

# category, the article in Chinese and English, three brands
CATEGORIES = [
    ("Beauty", "护肤精华", "Serum", ("Lumea", "花间", "Veridia")),
    ("Snacks", "坚果礼盒", "Nut box", ("山野集", "Crunchly", "味集")),
    ("Phones", "手机配件", "Phone accessory", ("Volta", "极光", "Kineo")),
    ("Home", "床上用品", "Bedding", ("棉语", "Nordhus", "宜舍")),
    ("Kitchen", "厨房小电", "Kitchen appliance", ("Kokko", "灶台", "食光")),
    ("Apparel", "针织上衣", "Knitwear", ("素衣", "Fielder", "Moda8")),
    ("Shoes", "运动鞋", "Sneakers", ("Stridez", "飞踏", "Runa")),
    ("Baby", "婴儿用品", "Baby care", ("小芽", "Babbo", "暖暖")),
    ("Sports", "健身器材", "Fitness gear", ("Altis", "力行", "Pulso")),
    ("Books", "图书套装", "Book set", ("书岸", "Papyra", "知新")),
    ("Pets", "宠物食品", "Pet food", ("毛球", "Pawly", "喵嗷")),
    ("Fresh", "生鲜水果", "Fresh fruit", ("果园里", "Orchard", "田间")),
]

PAYMENT_METHODS = ["Alipay", "WeChat Pay", "Bank card", "Huabei", "Cash on delivery"]
SALES_CHANNELS = ["App", "Web", "Mini program", "Marketplace", "Store"]

# kind, subjects, texts; Chinese first
TICKET_WORDS = {
    "complaint": (
        ["快递太慢", "商品破损", "Wrong item received", "要求退款", "Damaged on arrival"],
        [
            "等了一个星期还没有收到，非常失望。",
            "包装破了，里面的东西也坏了，请尽快处理！",
            "I ordered two, one is missing, and nobody answers.",
            '客服说"马上处理"，可是三天了没有消息。',
            "The box was open and the item is scratched, please refund.",
        ],
    ),
    "question": (
        ["如何开发票", "修改收货地址", "When will it ship?", "优惠券怎么用", "Size advice"],
        [
            "请问发票可以开公司抬头吗？",
            "地址写错了，还能改吗？",
            "Could you tell me when my order ships?",
            "优惠券提示不可用，是什么原因？",
            "Which size fits 178 cm, please?",
        ],
    ),
    "repair": (
        ["申请维修", "保修咨询", "Repair request"],
        [
            "用了两个月就不能充电了，申请保修。",
            "按键失灵，怎么寄回？",
            "It stopped working, how do I send it in?",
        ],
    ),
    "request": (
        ["补寄配件", "注销账户", "Delete my address"],
        ["少了一个螺丝，请补寄。", "请帮我删除旧的收货地址。", "Please remove my old address."],
    ),
}
PRAISE = [
    "很满意，下次还会来",
    "质量不错，物流很快",
    "Great value, arrived early",
    "包装精美，送人很合适",
    "Love it, will buy again",
    "性价比高，推荐",
]
MIDDLING = ["一般般吧", "还可以，没有惊喜", "It is okay", "颜色和图片有点差别", "Average quality"]
BLAME = [
    "太失望了",
    "质量差，和描述不符",
    "Poor service, slow delivery",
    "客服不理人",
    "Broke after a week",
    "不会再买了",
]
RETURN_REASONS = ["质量问题", "尺码不合", "Changed my mind", "Arrived damaged", "发错货"]
CALL_NOTES = ["介绍新品", "回访满意度", "提醒积分到期", "邀约到店", "咨询物流", "会员日通知", ""]
CONSENT_EVIDENCE = ["注册协议勾选", "门店签字", "微信授权", "电话录音"]
