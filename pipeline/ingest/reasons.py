"""How a file was read, or why it did not land, in Chinese: messages are English parts between "; ", the frequent ones stand here."""

import re

# {0}, {1} are what the groups hold
PATTERNS = (
    (
        r"no layout fits(?: its header)?(?: \(read as (\S+), delimiter (.+), header on line (\d+)\))?",
        "没有版式与表头相符（按 {0} 读取，分隔符 {1}，表头在第 {2} 行）",
    ),
    (r"the nearest, (\S+), also needs one of (.+)", "最接近的 {0} 还需要以下列之一：{1}"),
    (r"the nearest, (\S+), also needs (.+?), one of (.+)", "最接近的 {0} 还需要列 {1}，以及以下列之一：{2}"),
    (r"the nearest, (\S+), also needs (.+)", "最接近的 {0} 还需要列 {1}"),
    (
        r"write one in data/sources \(README: your own exports in five minutes\)",
        "请在 data/sources 中写一个版式（见 README）",
    ),
    (r"until then (.+) stays in the inbox", "在此之前 {0} 留在收件夹"),
    (r"what landed before stands", "此前入库的结果不变"),
    (
        r"no layout fits, though it follows (.+): it has no column (.+?), but (.+)",
        "没有版式相符，虽然它接续 {0}：缺少列 {1}，但 {2}",
    ),
    (r"no layout fits, though it follows (.+): it has no column (.+)", "没有版式相符，虽然它接续 {0}：缺少列 {1}"),
    (r"write its new name under also_called: in (\S+)", "请把新列名写入 {0} 的 also_called"),
    (r"write (.+) under also_called: in (\S+)", "请在 {1} 的 also_called 下写入 {0}"),
    (r"(\w+): required column missing: (.+)", "{0}：缺少必需的列：{1}"),
    (r"required column missing: (.+)", "缺少必需的列：{0}"),
    (r"the file has (.+)", "文件中的列：{0}"),
    (
        r"(\w+): (\d+) of (\d+) rows are rejected, more than max_rejected_share ([\d.]+), most for (.+)",
        "{0}：{2} 行中拒收 {1} 行，超过 max_rejected_share {3}，最多的原因：{4}",
    ),
    (r"the reasons stand in (\S+)", "原因见 {0}"),
    (
        r"put the missing rates into rates\.csv beside settings\.toml \(date,currency,rate\)",
        "请把缺少的汇率写入 settings.toml 旁的 rates.csv（date,currency,rate）",
    ),
    (
        r"state the order of day and month in the layout, such as (.+)",
        "请在版式中写明日与月的顺序，如 {0}",
    ),
    (r"its encoding cannot be told: (\S+) reads it about as well as (.+)", "编码无法判断：{0} 与 {1} 读来差不多"),
    (
        r"state read\.encoding in (\S+) in data/sources \(extends: (\S+)\)",
        "请在 data/sources 的 {0} 中写明 read.encoding（extends: {1}）",
    ),
    (r"the file is empty", "文件为空"),
    (r"it holds no text but blanks", "文件中没有文字"),
    (r"it holds no table", "其中没有表"),
    (r"export it again", "请重新导出"),
    (r"copy it again", "请重新复制"),
    (r"split it", "请拆分"),
    (r"is no complete (gzip|zip) file \((.+)\)", "不是完整的 {0} 文件（{1}）"),
    (r"an archive inside an archive is not opened", "不打开压缩包中的压缩包"),
    (r"put it there unpacked", "请解压后放入"),
    (r"is (.+), which is not read", "是 {0}，不予读取"),
    (r"is a document, no workbook", "是文档而非工作簿"),
    (r"put (?:the|its) tables there as CSV or in a zip", "请把其中的表以 CSV 或 zip 放入"),
    (r"put its tables there as CSV or xlsx", "请把其中的表以 CSV 或 xlsx 放入"),
    (r"it changed while it was read", "读取时文件发生变化"),
    (r"left for the next night", "留待下一夜"),
    (r"its lines do not add up as read \((.+)\)", "按此读取行数不符（{0}）"),
    (
        r"state read\.delimiter, read\.quote and read\.escape in the layout",
        "请在版式中写明 read.delimiter、read.quote、read.escape",
    ),
    (r"kept as it landed under an earlier mapping", "保持按先前映射入库的结果"),
    (r"kept as it landed, since its raw file is no longer there", "原文件已不在，保持入库时的结果"),
    (r"its raw file is not in the vault", "保密库中没有其原文件"),
    (r"put the export into the inbox again(?: to apply the new one)?", "请把导出文件再次放入收件夹"),
    (r"its header stands on line (\d+)", "表头在第 {0} 行"),
    (r"quotes inside values are escaped with a backslash", "值中的引号以反斜杠转义"),
    (r"its lines end with a delimiter", "每行末尾多一个分隔符"),
    (r"its first line looks like data", "首行像数据"),
    (r"read without a header", "按无表头读取"),
    (r"line ends were mixed", "换行符混用"),
    (r"read as one kind", "按同一种读取"),
    (r"(\d+) lines below its table", "表格之下另有 {0} 行"),
    (r"lines whose quotes do not match set aside", "引号不成对的行已单独列出"),
    (r"(\d+) lines: delimiters beyond the last column put right", "{0} 行：末列之后多余的分隔符已去掉"),
    (r"(\d+) lines: a quote inside a quoted value read as text", "{0} 行：引号内的引号按文字读取"),
    (r"(\d+) records split by a line end joined again", "{0} 条被换行拆开的记录已接回"),
    (r"(.+): an empty sheet", "{0}：空工作表"),
    (r"(.+): a chart or macro sheet, no table", "{0}：图表或宏表，没有表格"),
    (r"(.+): a link is not followed", "{0}：链接不予打开"),
    (r"(.+) by byte order mark", "{0}，依据字节顺序标记"),
    (r"(.+) by its zero bytes", "{0}，依据零字节的位置"),
    (r"UTF-8 with bytes that are none", "UTF-8，其中有无效字节"),
    (r"not UTF-8 and not (.+) as a whole", "既非 UTF-8，也不完全是 {0}"),
    (r"lines that are not UTF-8 are rejected", "非 UTF-8 的行将被拒收"),
    (r"read as (.+), as layout (.+) states", "按 {0} 读取，依据版式 {1}"),
    (r"read as (.+): its header reads as layout (.+)", "按 {0} 读取：表头符合版式 {1}"),
    (r"read as (.+): (\d+) common words of exports stand in it", "按 {0} 读取：其中有 {1} 个导出文件的常用词"),
    (r"guessed (\S+) \(.+\)", "编码猜测为 {0}"),
    (r"state read\.encoding in the layout(?: if that is wrong)?", "如有误，请在版式中写明 read.encoding"),
    (r"no records stand below its first line", "首行之下没有记录"),
    (r"it has a header and no rows", "只有表头，没有数据行"),
)


def in_chinese(message: str) -> str:
    """A message in Chinese, part by part; a part that is not known stays as it is."""
    return "；".join(map(_part, message.split("; ")))


def _part(text):
    for pattern, chinese in PATTERNS:
        found = re.fullmatch(pattern, text)
        if found:
            return chinese.format(*found.groups()) if None not in found.groups() else chinese.split("（")[0]
    return text
