"""Why a file did not land, in Chinese: the messages are English, parts between "; ", and the frequent ones have a pattern here."""

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
    (r"its raw file is not in the vault", "保险库中没有其原文件"),
    (r"put the export into the inbox again(?: to apply the new one)?", "请把导出文件再次放入收件夹"),
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
