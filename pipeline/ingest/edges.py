"""What stands around a table in a text file: titles above its header, totals and notes below its last record."""

import csv
import re
from pathlib import Path

from pipeline.ingest.dialect import Dialect, parse

TAIL = 1 << 16
TOTAL = re.compile(
    r"(合计|总计|小计|总和|汇总|总额|總計|小計|合計|總額|totals?|grand[ -]?totals?|sub-?totals?|sum|summe|gesamt|totaux)"
    r"\s*[:：]?\s*(?P<amount>[-+]?[$€£¥￥]?[\d.,' ]*[元円]?)",
    re.IGNORECASE,
)
NOTE = re.compile(
    r"\W*(\d[\d,]* ?(rows?|records?|lines?|results?|条|行|笔|件|项|項)\b.*"
    r"|[共总計计合]+\s*\d+.*"
    r"|.*\d+\s*(条|筆|笔)(记录|紀錄|数据|訂單|订单)?.{0,3}"
    r"|(导出|生成|打印|制表|报表|数据来源|说明|备注|注|導出|匯出|列印|製表|說明|備註|出力|作成|注記)\w*\s*[:：].*"
    r"|(exported|generated|printed|created|downloaded|report|source|notes?|remarks?|confidential|copyright|end of|page)\b.*"
    r"|\(?\d+ rows? affected\)?|-{3,}|={3,}|\*{3,})\W*",
    re.IGNORECASE | re.DOTALL,
)
NUMBER = re.compile(r"[-+(]?[$€£¥￥]?\s?[\d.,' ]+[%元円)]?")


def find_footer(path: Path, line_count: int, dialect: Dialect, width: int) -> dict[int, str]:
    """Physical line -> rule (total_line, after_table, '' for a blank one) of what stands below the last record.

    width: cells of a record. Totals are lines that begin with such a word beside numbers alone. Notes are lines of one
    cell, or of a width of their own, that read as notes; or any of one cell below a blank line or a total.
    """
    size, found = TAIL, {}
    while True:
        lines, is_whole = _tail(path, size)
        found = _judge(lines, dialect, width)
        if is_whole or len(found) < len(lines):
            return {line_count - place: rule for place, rule in found.items()}
        size *= 8


def _tail(path, size):
    """(the last physical lines, the last one first; whether they are all)."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - size))
        data = file.read()
    is_whole = size >= length
    lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    if not is_whole:
        lines = lines[1:]
    return [line.rstrip("\r") for line in reversed(lines)], is_whole


def _judge(lines, dialect, width):
    """Place from the end -> rule, of the lines that stand below the table; the topmost must be sure to be none of it."""
    taken, sure = {}, -1
    for place, line in enumerate(lines):
        if dialect.quote and line.count(dialect.quote) % 2:
            break
        try:
            cells = next(parse(line, dialect), [])
        except csv.Error:
            # a value beyond the module's limit: no total and no note is so long
            break
        filled = [cell.strip() for cell in cells if cell.strip()]
        if not filled:
            taken[place], sure = "", place
        elif _is_total(filled):
            taken[place], sure = "total_line", place
        elif (len(filled) == 1 or len(cells) != width) and NOTE.fullmatch(" ".join(filled)):
            taken[place], sure = "after_table", place
        elif len(filled) == 1 and width > 1:
            taken[place] = "after_table"
        else:
            break
    kept = {place: rule for place, rule in taken.items() if place <= sure}
    # blank lines alone are no footer
    return kept if any(kept.values()) or any(dialect.delimiter in lines[place] for place in kept) else {}


def _is_total(filled):
    match = TOTAL.fullmatch(filled[0])
    if not match or not all(NUMBER.fullmatch(cell) for cell in filled[1:]):
        return False
    return len(filled) > 1 or bool(match["amount"].strip())
