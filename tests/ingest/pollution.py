"""Clean tables, polluted in every way that exports are, each with its truth; and the score of reading them.

    python -m tests.ingest.pollution [SEED [FILES]]

prints precision and recall of records and cells, encodings right, and the files read wrongly without a warning.
"""

import csv
import io
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.asides import OUTSIDE
from pipeline.ingest.layouts import Layout
from pipeline.ingest.read import UnreadableFile, profile_file
from pipeline.ingest.rows import read_rows
from pipeline.ingest.text_form import open_text
from pipeline.warehouse import frame
from tests.builders import ingest_connection

LANGUAGES = {
    "simplified": {
        "header": ("订单号", "客户姓名", "城市", "下单时间", "数量", "金额", "备注"),
        "names": ("李雷", "韩梅梅", "欧阳娜娜", "王芳", "张伟", "刘洋", "陈静", "赵敏", "司马光", "孙悦"),
        "cities": ("北京", "上海", "广州", "深圳", "成都", "杭州", "西安", "哈尔滨", "呼和浩特"),
        "notes": (
            "请尽快发货",
            "周末送到",
            "发票抬头是公司",
            "不要辣椒",
            "放门卫处",
            "电话联系",
            "老客户优惠",
            "易碎品小心轻放",
        ),
        "title": ("订单明细报表", "导出时间：2026-05-01 10:00"),
        "total": "合计",
        "footer": ("共{count}条记录", "制表人：系统"),
        "encodings": ("gbk", "gb18030"),
    },
    "traditional": {
        "header": ("訂單編號", "客戶姓名", "縣市", "下單時間", "數量", "金額", "備註"),
        "names": ("王小明", "陳美玲", "林志豪", "張雅婷", "李建宏", "黃淑芬", "吳宗翰", "歐陽菲"),
        "cities": ("臺北市", "高雄市", "臺中市", "新竹縣", "花蓮縣", "桃園市", "嘉義市"),
        "notes": ("請儘快出貨", "週末送達", "統一編號請開發票", "放管理室", "電話聯絡", "熟客優惠", "易碎品請小心"),
        "title": ("訂單明細報表", "匯出時間：2026-05-01 10:00"),
        "total": "總計",
        "footer": ("共{count}筆資料", "製表：系統"),
        "encodings": ("big5", "cp950"),
    },
    "japanese": {
        "header": ("注文番号", "氏名", "都道府県", "注文日時", "数量", "金額", "備考"),
        "names": ("山田太郎", "佐藤花子", "鈴木一郎", "高橋美咲", "田中健", "渡辺直美", "中村ユウキ"),
        "cities": ("東京都", "大阪府", "北海道", "京都府", "神奈川県", "福岡県", "愛知県"),
        "notes": (
            "至急お願いします",
            "週末に配達してください",
            "領収書が必要です",
            "玄関前に置いてください",
            "ギフト包装",
            "電話連絡",
            "割れ物注意",
        ),
        "title": ("注文明細レポート", "出力日時：2026-05-01 10:00"),
        "total": "合計",
        "footer": ("{count}件", "作成：システム"),
        "encodings": ("cp932", "shift_jis"),
    },
    "western": {
        "header": ("Número", "Name", "Città", "Größe am", "Quantité", "Montant", "Observações"),
        "names": (
            "José García",
            "Jürgen Müller",
            "Zoë Lefèvre",
            "François Dupont",
            "Åsa Öberg",
            "Conceição Alves",
            "Iñaki Núñez",
        ),
        "cities": ("Málaga", "Köln", "Orléans", "São Paulo", "Malmö", "Zürich", "Besançon", "A Coruña"),
        "notes": (
            "Livraison à l’étage",
            "Bitte schnell liefern – danke",
            "Señal de alarma",
            "Entrega até sexta",
            "Grüße aus Köln",
            "Prix 5 €",
        ),
        "title": ("Liste détaillée des commandes", "Exported 2026-05-01 10:00"),
        "total": "Total",
        "footer": ("{count} rows", "Note: généré automatiquement"),
        "encodings": ("cp1252",),
    },
}
ENGLISH = ("order_id", "customer", "city", "ordered_at", "quantity", "amount", "note")
UNICODE = ("utf-8", "utf-8-sig", "utf-16-le with mark", "utf-16-be with mark", "utf-16-le", "utf-16-be")
DELIMITERS = (",", ",", ",", ";", ";", "\t", "\t", "|", "^", "~", ":", "\x01")
LINE_ENDS = ("\n", "\n", "\r\n", "\r\n", "\r", "mixed")
QUOTINGS = ("minimal", "minimal", "all", "all", "none", "single", "backslash")
FAULTS = (
    "preamble",
    "sep line",
    "footer",
    "total",
    "ragged short",
    "ragged long",
    "split",
    "trailing everywhere",
    "trailing on records",
    "trailing on some",
    "unclosed",
    "inner quotes",
    "inch marks",
    "nul",
    "blank lines",
    "grid edges",
    "wide preamble",
    "header of two lines",
    "cut characters",
    "late",
    "padded quotes",
    "empty rows",
    "two unclosed",
)


@dataclass
class Polluted:
    """A file's bytes, and what a perfect reader makes of it. lost: places of the records whose line is damaged beyond repair."""

    name: str
    data: bytes
    text: str
    columns: tuple[str, ...]
    records: list[tuple[str, ...]]
    lost: set[int] = field(default_factory=set)


@dataclass
class Score:
    """What became of one polluted file. is_wrong: a record altered, invented, or gone without being refused."""

    name: str
    truth: int
    read: int
    right: int
    cells: int
    right_cells: int
    all_cells: int
    is_encoding_right: bool
    is_wrong: bool
    is_warned: bool
    notes: tuple[str, ...]

    @property
    def is_silent(self):
        return self.is_wrong and not self.is_warned


def make_file(seed: int, number: int) -> Polluted:
    """One polluted file; the same for the same seed and number."""
    chance = random.Random(f"{seed} {number}")
    language = chance.choice(list(LANGUAGES))
    words = LANGUAGES[language]
    columns = ENGLISH if chance.random() < 0.4 else words["header"]
    delimiter, quoting, line_end = chance.choice(DELIMITERS), chance.choice(QUOTINGS), chance.choice(LINE_ENDS)
    faults = chance.sample(FAULTS, chance.choice((0, 1, 1, 1, 2, 2, 3)))
    encoding = chance.choice([*UNICODE, *words["encodings"] * 4])
    records = [_record(chance, words, number, delimiter, quoting) for number in range(chance.choice((6, 20, 80, 300)))]
    if "late" in faults:
        # what tells encoding and quotes comes after the first 64 KiB
        plain = [
            (f"P{place}", "Ann", "Rome", "2026-05-01 10:00:00"[: 10 if delimiter == ":" else 19], "1", "9.50", "ok")
            for place in range(2500)
        ]
        records, columns = [*plain, *records], ENGLISH
    if "nul" in faults:
        place = chance.randrange(len(records))
        records[place] = (*records[place][:6], "a\0b")
    lines, lost = _lines(chance, columns, records, delimiter, quoting, words, faults)
    ends = [chance.choice(("\n", "\r\n", "\r")) if line_end == "mixed" else line_end for _ in lines]
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    codec, _, mark = encoding.partition(" ")
    data = (("\ufeff" if mark else "") + text).encode(codec)
    if "cut characters" in faults and not codec.startswith("utf-16") and codec != "cp1252":
        data, lost = _cut(chance, data, codec, records, lost)
    name = f"{number}: {language}, {encoding}, {delimiter!r}, {quoting}, {line_end!r}, {' + '.join(faults) or 'clean'}"
    return Polluted(name, data, text, columns, records, lost)


def _cut(chance, data, codec, records, lost):
    """The data without the last byte of one note, as exports do that count bytes: that line is lost."""
    places = [
        place for place, record in enumerate(records) if record[6] and not record[6][-1].isascii() and place not in lost
    ]
    if len(places) < 5:
        return data, lost
    place = chance.choice(places)
    begin = data.find(records[place][0].encode(codec))
    note = records[place][6].encode(codec)
    found = data.find(note, begin)
    end = found + len(note)
    if begin < 0 or found < 0 or b"\n" in data[begin:end]:
        return data, lost
    return data[: end - 1] + data[end:], lost | {place}


def _record(chance, words, number, delimiter, quoting):
    note = chance.choice(words["notes"]) if chance.random() < 0.8 else ""
    if quoting != "none":
        extra = chance.choice(
            ("", "", "", f" a{delimiter}b", ' "x"', f'"{delimiter}', "\nb", " it's", f" {delimiter} ")
        )
        note = f"{note}{extra}"
    moment = f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02} {chance.randrange(24):02}:{chance.randrange(60):02}:00"
    if quoting == "none" and delimiter == ":":
        moment = moment[:10]
    return (
        f"O{100000 + number}",
        chance.choice(words["names"]),
        chance.choice(words["cities"]),
        moment,
        str(chance.randrange(1, 20)),
        f"{chance.uniform(1, 999):.2f}",
        note,
    )


def _written(cells, delimiter, quoting):
    if quoting == "none":
        return delimiter.join(cells)
    if quoting == "backslash":
        return delimiter.join('"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"' for cell in cells)
    out = io.StringIO()
    csv.writer(
        out,
        delimiter=delimiter,
        quotechar="'" if quoting == "single" else '"',
        quoting=csv.QUOTE_MINIMAL if quoting == "minimal" else csv.QUOTE_ALL,
        lineterminator="\n",
    ).writerow(cells)
    return out.getvalue().removesuffix("\n")


def _lines(chance, columns, records, delimiter, quoting, words, faults):
    """The lines of the file, and the places of the records that cannot be told any more."""
    lost, body = set(), [_written(record, delimiter, quoting) for record in records]
    hit = chance.sample(range(len(records)), max(1, len(records) // 40))
    for fault in faults:
        for place in hit:
            record, text = records[place], body[place]
            plain = [
                cell.replace("\n", " ").replace('"', "").replace("'", "").replace(delimiter, " ") for cell in record
            ]
            if fault == "ragged short":
                body[place] = _written(record[: chance.choice((3, 4, 5))], delimiter, quoting)
                lost.add(place)
            elif fault == "ragged long":
                body[place] = _written((*record[:2], "x", *record[2:]), delimiter, quoting)
                lost.add(place)
            elif fault == "split":
                first, second = plain[1][:1], plain[1][1:]
                body[place] = delimiter.join([plain[0], f"{first}\n{second}", *plain[2:]])
                records[place] = (plain[0], f"{first}\n{second}", *plain[2:])
                lost.discard(place)
            elif fault == "unclosed" and quoting != "none":
                body[place] = delimiter.join([*plain[:6], ("'" if quoting == "single" else '"') + plain[6]])
                lost.add(place)
            elif fault == "two unclosed" and quoting in ("minimal", "all"):
                body[place] = delimiter.join(['"' + plain[0], *plain[1:6], '"' + plain[6]])
                lost.add(place)
            elif fault == "padded quotes" and quoting == "all" and place not in lost:
                body[place] = (delimiter + " ").join(f'"{cell}"' for cell in plain)
                records[place] = tuple(plain)
            elif fault == "empty rows":
                body[place] = text + "\n" + delimiter * 6
            elif fault == "inner quotes" and quoting in ("minimal", "all"):
                inner = f'{plain[6]} "so" to say'
                body[place] = delimiter.join([*(f'"{cell}"' for cell in plain[:6]), f'"{inner}"'])
                records[place] = (*plain[:6], inner)
                lost.discard(place)
            elif fault == "inch marks" and quoting != "none":
                records[place] = (*plain[:6], '27" screen')
                body[place] = delimiter.join(records[place])
                lost.discard(place)
            elif fault == "trailing on some" and place not in lost:
                body[place] = text + delimiter * chance.choice((1, 3))
            elif fault == "blank lines":
                body[place] = text + "\n"
    header = _written(columns, delimiter, quoting)
    if "header of two lines" in faults and quoting not in ("none", "backslash"):
        columns = (*columns[:6], columns[6] + "\n(x)")
        header = _written(columns, delimiter, quoting)
    if "trailing everywhere" in faults:
        header, body = header + delimiter, [line + delimiter for line in body]
    elif "trailing on records" in faults:
        body = [line + delimiter for line in body]
    above = (
        [*words["title"][: chance.choice((1, 2))], *([""] if chance.random() < 0.5 else [])]
        if "preamble" in faults
        else []
    )
    above = [f"sep={delimiter}", *above] if "sep line" in faults else above
    if "wide preamble" in faults:
        above = [delimiter.join((words["title"][0], "2026", "", "A", "", "")), *above]
    if "grid edges" in faults:
        above = [*above, *(_written((title, *[""] * 6), delimiter, quoting) for title in words["title"]), delimiter * 6]
    below = []
    if "total" in faults:
        total = f"{sum(float(record[5]) for record in records):.2f}"
        below.append(_written((words["total"], "", "", "", "", total, ""), delimiter, quoting))
    if "footer" in faults:
        below += [
            *([""] if chance.random() < 0.7 else []),
            *(note.format(count=len(records)) for note in words["footer"]),
        ]
    if "grid edges" in faults:
        total = (words["total"], "", "", "", str(len(records)), "1,000.00".replace(delimiter, ""), "")
        below += [delimiter * 6, _written(total, delimiter, quoting)]
        below += [
            _written((note.format(count=len(records)), *[""] * 6), delimiter, quoting) for note in words["footer"]
        ]
    return [*above, header, *body, *below], lost


def read_polluted(con, polluted: Polluted, folder: Path, is_known: bool) -> Score:
    """A polluted file read, by a layout that knows its header or by none, and compared with its truth."""
    layout = Layout("known", "shop", {}, frozenset(polluted.columns[:4]), None, "")
    path = folder / "export.csv"
    path.write_bytes(polluted.data)
    truth = Counter(_normal(record) for record in polluted.records)
    try:
        readable, form = open_text(profile_file(path), path.name, {"known": layout} if is_known else {}, folder)
        rows = read_rows(con, readable, form, folder)
    except UnreadableFile as error:
        return Score(
            polluted.name,
            len(polluted.records),
            0,
            0,
            0,
            0,
            7 * len(polluted.records),
            False,
            True,
            True,
            (str(error),),
        )
    width = len(rows.columns)
    raw = frame(con, "select * exclude (good_record) from scratch.raw order by good_record").rows()
    # an unnamed last column comes of delimiters at the end of the header
    read = [_normal(cells[:7] if width > 7 and not any(cells[7:]) else cells) for cells in raw]
    right = sum((Counter(read) & truth).values())
    by_id = {cells[0]: cells for cells in read if cells}
    right_cells = sum(
        sum(one == other for one, other in zip(_normal(record), by_id.get(record[0], ()), strict=False))
        for record in polluted.records
    )
    refused = rows.refused.filter(~rows.refused["rule"].is_in(OUTSIDE))
    is_altered = right < len(read)
    is_gone = len(polluted.records) - right > len(refused) + (len(read) - right)
    is_headed = rows.columns[:6] == polluted.columns[:6]
    repaired = any(note[0].isdigit() and "below" not in note for note in rows.notes)
    is_warned = bool(form.encoding.is_guess or len(refused) or repaired or any("quotes" in note for note in rows.notes))
    text = polluted.data.decode(form.encoding.name, "ignore").removeprefix("\ufeff")
    is_encoding_right = text == polluted.text or ("cut" in polluted.name and _alike(text, polluted.text))
    return Score(
        polluted.name,
        len(polluted.records),
        len(read),
        right,
        sum(len(cells) for cells in read),
        right_cells,
        sum(len(record) for record in polluted.records),
        is_encoding_right,
        is_altered or is_gone or not is_headed,
        is_warned,
        (*form.notes, *rows.notes),
    )


def _alike(text, other):
    """Whether two texts are the same but for a few characters."""
    return abs(len(text) - len(other)) < 4 and len(Counter(text) - Counter(other)) < 4


def _normal(cells):
    """Cells as they are compared: blank and null alike, line ends of one kind."""
    return tuple((cell or "").replace("\r\n", "\n").replace("\r", "\n") for cell in cells)


def read_corpus(seed: int, files: int, is_known: bool) -> list[Score]:
    """The scores of a whole corpus."""
    scores = []
    con = ingest_connection()
    for number in range(files):
        with tempfile.TemporaryDirectory() as folder:
            scores.append(read_polluted(con, make_file(seed, number), Path(folder), is_known))
    return scores


def summary(scores: list[Score]) -> dict[str, float]:
    """Precision and recall of records and cells, encodings right, and how many files were read wrongly, warned or not."""
    read, right = sum(score.read for score in scores), sum(score.right for score in scores)
    right_cells = sum(score.right_cells for score in scores)
    return {
        "files": len(scores),
        "record_precision": right / read,
        "record_recall": right / sum(score.truth for score in scores),
        "cell_precision": right_cells / sum(score.cells for score in scores),
        "cell_recall": right_cells / sum(score.all_cells for score in scores),
        "encodings_right": sum(score.is_encoding_right for score in scores),
        "wrong_with_warning": sum(score.is_wrong and score.is_warned for score in scores),
        "wrong_in_silence": sum(score.is_silent for score in scores),
    }


def main(seed: int = 1, files: int = 600) -> None:
    """Print the scores of a corpus, with the layout known and without, and what was read wrongly."""
    for is_known in (True, False):
        scores = read_corpus(seed, files, is_known)
        print("layout known" if is_known else "no layout", f"(seed {seed})")
        for name, number in summary(scores).items():
            print(f"  {name:<20}{number:>10.4f}" if isinstance(number, float) else f"  {name:<20}{number:>10}")
        for score in scores:
            if score.is_wrong or not score.is_encoding_right:
                kind = "SILENT" if score.is_silent else "warned" if score.is_wrong else "encoding"
                print(
                    f"  {kind} {score.name} [{score.right} of {score.read} read, {score.truth} true] {'; '.join(score.notes)}"
                )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
