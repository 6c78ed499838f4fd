"""What inspect says, in both languages: one place, so that neither says what the other does not."""

from pipeline.ingest.reasons import in_chinese

KINDS = {
    "empty": "空",
    "integer": "整数",
    "decimal": "小数",
    "money": "金额",
    "date": "日期",
    "timestamp": "时间",
    "boolean": "是否",
    "email": "邮箱",
    "phone": "电话",
    "id": "编号",
    "category": "类别",
    "text": "文本",
}
PHRASES = {
    "file": ("What it is", "文件"),
    "size": ("{size:,} bytes, {kind}", "{size:,} 字节，{kind}"),
    "text": ("How it is written", "写法"),
    "table": ("Table {name}", "表 {name}"),
    "tables": ("tables ({count}): {names}", "表（{count} 张）：{names}"),
    "all_utf8": ("every byte is valid UTF-8", "每个字节都是合法的 UTF-8"),
    "encoding": ("encoding {encoding}: {evidence}", "编码 {encoding}：{evidence}"),
    "dialect": ("fields set apart by {delimiter}, line ends {newline}", "分隔符 {delimiter}，换行 {newline}"),
    "header": ("header in line {line}, {columns} columns", "表头在第 {line} 行，共 {columns} 列"),
    "keys": ("{columns} columns, the keys of its records", "共 {columns} 列，取自记录的键"),
    "no_header": (
        "no header line: its first line is taken for data, and not shown",
        "没有表头：第一行按数据读取，不予显示",
    ),
    "records": (
        "{records:,} records read; {refused:,} lines are no record, {outside:,} stand around the table",
        "读出 {records:,} 条记录；{refused:,} 行不成记录，{outside:,} 行在表格之外",
    ),
    "profile": ("Columns", "各列"),
    "whole": (
        "all figures are of the whole file; kinds, dates' orders apart, are judged by {sampled:,} records from 20 places",
        "数字均按整个文件统计；类型按 20 处共 {sampled:,} 条抽样判断",
    ),
    "masked": (
        "examples of what may be personal are shapes: no value of it is shown here or in the proposal",
        "可能属于个人信息的示例只显示形状：此处与建议文件中都不出现原值",
    ),
    "column": ("column", "列"),
    "kind": ("kind", "类型"),
    "blank": ("blank", "空值"),
    "distinct": ("distinct", "不同值"),
    "range": ("from .. to", "最小 .. 最大"),
    "examples": ("examples", "示例"),
    "looks_like": ("What it looks like", "像什么"),
    "entity": ("{entity} ({meaning})", "{entity}（{meaning}）"),
    "spoke": ("columns that spoke for it: {columns}", "依据的列：{columns}"),
    "key_unique": (
        "{header} has a value of its own in every record: it can be the key",
        "{header} 每条记录各不相同，可作主键",
    ),
    "key_repeats": (
        "{header} comes again ({distinct:,} values in {records:,} records): several lines make one {entity}",
        "{header} 有重复（{records:,} 条记录中 {distinct:,} 个值）：多行合为一条 {entity}",
    ),
    "beside": ("it feeds {entity} too", "同时提供 {entity}"),
    "runner_up": (
        "next likeliest: {entity} ({score:.1f} against {best:.1f}), by {columns}",
        "其次：{entity}（{score:.1f} 对 {best:.1f}），依据 {columns}",
    ),
    "nearly": (
        "it also tells of {entity} ({columns}), but what these need is not here: {missing}",
        "还含有 {entity} 的信息（{columns}），但缺少其必需列：{missing}",
    ),
    "nothing": (
        "like nothing that the pipeline knows: no proposal; write a layout by hand (README: your own exports)",
        "与已知的任何实体都不像：没有建议；请手写来源布局（见 README）",
    ),
    "recognised": ("Recognised already", "已有布局"),
    "by_layout": ("the layout {layout} (source {source}) recognises it", "布局 {layout}（来源 {source}）能识别它"),
    "not_recognised": ("no built-in or own layout recognises it", "没有内置或自有布局能识别它"),
    "trial": ("What would land", "试落地"),
    "trial_head": ("of its first {size} MB", "仅试前 {size} MB"),
    "would_land": (
        "{entity}: of {read:,} lines {landed:,} would land as {records:,} rows, {rejected:,} be rejected, {duplicates:,} are duplicates",
        "{entity}：{read:,} 行中 {landed:,} 行可落地为 {records:,} 条，{rejected:,} 行被拒，{duplicates:,} 行重复",
    ),
    "would_fail": ("{entity}: nothing would land: {why}", "{entity}：无法落地：{why}"),
    "broken_rule": ("{count:,} x {column} {rule} ({action})", "{count:,} 次 {column} {rule}（{action}）"),
    "rejected": ("line rejected", "整行被拒"),
    "emptied": ("cell emptied", "该值清空"),
    "proposal": ("Proposed layout", "建议的来源布局"),
    "saved": (
        "saved as {path}; it is not in use there: edit it, then move it one folder up",
        "已存为 {path}；放在那里不会生效：改好后移到上一级文件夹",
    ),
    "not_saved": ("not saved: there is no data folder {folder}", "未保存：没有数据文件夹 {folder}"),
    # comments of the proposal
    "y_head": (
        "Proposed by `python flows.py inspect` for {file}. Read it, mend it, then move it one folder up: only sources/*.yaml is used.",
        "由 `python flows.py inspect` 为 {file} 建议。核对、修改后移到上一级文件夹：只有 sources/*.yaml 会生效。",
    ),
    "y_unsure": ("look twice", "请核对"),
    "y_source": (
        "the system it comes from: one name for all exports with the same customer ids",
        "来源系统：客户编号相同的各种导出写同一个名字",
    ),
    "y_timezone": ("of times without an offset", "适用于不带时区的时间"),
    "y_timezone_idle": (
        "all its times say their offset themselves; for those that would not",
        "文件中的时间都自带时区；仅用于不带时区者",
    ),
    "y_currency": ("of amounts without a currency column", "适用于没有币种列的金额"),
    "y_currency_sign": ("by the signs in the amounts", "依据金额中的货币符号"),
    "y_delivery": (
        "delta: new and changed records; full: each file holds all; append: nothing ever changes",
        "delta 新增与变更；full 每次全量；append 只增不改",
    ),
    "y_personal": (
        "the customer id is itself personal (e-mail, phone, nickname): only a keyed hash leaves the vault",
        "客户编号本身是个人信息（邮箱、手机、昵称）：出保密库的只有带密钥的哈希",
    ),
    "y_rival": ("or {rivals}?", "或者 {rivals}？"),
    "y_ambiguous": (
        "AMBIGUOUS: all {count:,} values read as well with day and month exchanged. Keep the line that is right; until then none lands",
        "有歧义：{count:,} 个值日月互换也都读得通。请留下正确的一行；在此之前不会落地",
    ),
    "y_day_first": ("day first: 1/2/2024 is 1 February", "日在前：1/2/2024 是 2 月 1 日"),
    "y_month_first": ("month first: 1/2/2024 is 2 January", "月在前：1/2/2024 是 1 月 2 日"),
    "y_deciding": (
        "decided by {count:,} of {total:,} values; the others read as well with day and month exchanged",
        "由 {total:,} 个值中的 {count:,} 个判定；其余的日月互换也读得通",
    ),
    "y_unread": ("{count:,} values are no such time", "{count:,} 个值不是这种时间"),
    "y_fill": ("FILL IN", "请填写"),
    "y_required": (
        "REQUIRED, and no column of the file is it: name one, or nothing lands",
        "必需，但文件中没有对应列：请填写列名，否则不会落地",
    ),
    "y_candidates": ("perhaps {columns}", "也许是 {columns}"),
    "y_unknown_word": ("not known: one of {values}", "未知：写 {values} 之一"),
    "y_hidden_words": ("{count} more words of it are not known, and not shown", "另有 {count} 个未知词，未列出"),
    "y_summed": ("the lines of an order added up", "同一订单各行相加"),
    "y_constant": ("assumed for every record", "假定每条都是"),
    "y_opt_out": ("who did not opt out has not opted in", "没有退订不等于同意"),
    "y_scale": ("the scale from {low} to {high} as 0 to 1", "{low} 至 {high} 分换算为 0 至 1"),
    "y_age": ("ages as numbers are no bands", "年龄是数字，不是年龄段"),
    "y_no_id": ("no column is its id: the record's place in the file", "没有编号列：用记录在文件中的位置"),
    "y_no_line": (
        "no column is its line: its place among the lines of the order",
        "没有行号列：用它在该订单各行中的位次",
    ),
    "y_percent": ("a share written as per cent", "以百分数写的比例"),
    "y_unmapped": ("not mapped (add what you need under columns:)", "未映射的列（需要的请加到 columns: 下）"),
}


def in_words(language: str, note: str) -> str:
    """A note on how a file was read, or why not, in the language of the settings."""
    return in_chinese(note) if language == "zh" else note


def say(language: str, phrase: str, **values) -> str:
    """A phrase in the language of the settings."""
    return PHRASES[phrase][language == "zh"].format(**values)


def kind_word(language: str, kind: str) -> str:
    """A kind of values in the language of the settings."""
    return KINDS[kind] if language == "zh" else kind
