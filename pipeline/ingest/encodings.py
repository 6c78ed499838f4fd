"""Which encoding a file's text is in, decided from its bytes, with the evidence in words."""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import chardet

CHUNK = 1 << 22
HEAD = 1 << 17
PIECE = 1 << 14
PIECES = 16
LEGACY = ("gb18030", "cp950", "cp932", "euc_jp", "cp1252")
# which make plausible text of each other's bytes
ALIKE = {"gb18030", "cp950", "euc_jp"}
# what a guess may be: the legacy encodings of East Asia, and the Windows ones of Europe
GUESSED = ("gb18030", "big5hkscs", "cp932", "euc_jis_2004", "cp949", "cp1252", "cp1250", "cp1251")
CODECS = {"big5hkscs": "cp950", "euc_jis_2004": "euc_jp"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 little endian"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 big endian"),
)
ESCAPED = re.compile("[\udc80-\udcff]+")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
HIGH = re.compile("[^\x00-\x7f]")
# undecodable bytes among the characters that are not ASCII: more than this, and it is another encoding
MAX_BAD_SHARE = 0.01
# below it chardet has seen a byte or two
MIN_CONFIDENCE = 0.01
# a guess in which another encoding is more than this share as likely is none (measured: right ones of Chinese names lie
# below 0.25, Japanese ones in EUC-JP taken for Chinese above)
DOUBT = 0.25
# what stands in the exports of shops and offices: two or more characters, so that no chance puts them into wrong text
WORDS = """
    订单 编号 客户 姓名 名称 电话 手机 邮箱 地址 日期 时间 金额 数量 商品 产品 备注 状态
    性别 生日 城市 省份 公司 合计 总计 会员 创建 修改 类型 来源 北京 上海 广州 深圳 有限公司
    微信 支付 买家 卖家 收货 发货 退款 中国 我们 谢谢 已经 可以 没有 什么 请问 訂單 編號
    客戶 電話 手機 郵箱 時間 金額 數量 產品 備註 狀態 性別 總計 合計 會員 類型 來源 臺北
    台北 高雄 台中 新北 股份 買家 賣家 收貨 發貨 謝謝 已經 沒有 什麼 請問 我們 台灣 注文
    番号 氏名 住所 郵便 都道府県 電話番号 日付 株式会社 東京 大阪 商品名 単価 顧客 会員 支払
    配送 です ます した ください ありがとう から まで について メール カード
"""


@dataclass(frozen=True)
class Encoding:
    """A codec's name and how it was decided. evidence: '' for plain UTF-8, where nothing need be said.

    rivals: encodings that read a guessed file about as well, of which nobody can tell which is right.
    """

    name: str
    evidence: str = ""
    is_guess: bool = False
    rivals: tuple[str, ...] = ()


def sample_of(path: Path) -> bytes:
    """The beginning of a file and pieces from all over it, each of whole lines (as far as 0x0A ends them)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
        if size <= HEAD:
            return head
        parts = [head[: head.rfind(b"\n") + 1] or head]
        for number in range(PIECES):
            file.seek(HEAD + (size - HEAD) * number // PIECES)
            piece = file.read(PIECE)
            begin, end = piece.find(b"\n") + 1, piece.rfind(b"\n") + 1
            parts.append(piece[begin:end])
    return b"".join(parts)


def decide_encoding(
    path: Path, is_utf8: bool, stated: tuple[str, ...], reads_as: Callable[[str, str | None], str | None]
) -> Encoding:
    """The encoding of a file. is_utf8: whether every byte of it is valid UTF-8. stated: encodings that layouts state.

    reads_as(text, encoding): the name of a layout that states this encoding and whose header stands in the text; for no
    encoding, of any layout whose header is more than ASCII. When nothing fits, UTF-8 is returned and the lines that are
    not UTF-8 will be refused; the evidence says what was tried.
    """
    sample = sample_of(path)
    for mark, name, words in MARKS:
        if sample.startswith(mark):
            return Encoding(name, "" if name == "utf-8" else f"{words} by byte order mark")
    wide = _by_zero_bytes(sample)
    if wide:
        return wide
    if is_utf8:
        return Encoding("utf-8")
    broken = _broken_utf8(sample)
    if broken:
        return broken
    return (
        _as_stated(path, sample, stated, reads_as)
        or _by_header(path, sample, reads_as)
        or _by_words(path, sample)
        or _by_chardet(path, sample)
        or Encoding(
            "utf-8",
            f"not UTF-8 and not {', '.join(LEGACY)} as a whole; lines that are not UTF-8 are rejected;"
            " state read.encoding in the layout",
            is_guess=True,
        )
    )


def _by_zero_bytes(sample):
    """UTF-16 without a mark: its delimiters, digits and line ends have a zero byte, always on the same side."""
    zeros = (sample[0::2].count(0), sample[1::2].count(0))
    half = len(sample) // 2
    if half < 4:
        return None
    for name, words, side, other in (
        ("utf-16-le", "UTF-16 little endian", 1, 0),
        ("utf-16-be", "UTF-16 big endian", 0, 1),
    ):
        if zeros[side] > 0.1 * half and zeros[other] < 0.02 * zeros[side] + 1:
            text = sample[: half * 2].decode(name, "replace")
            if ("\n" in text or "\r" in text) and text.count("\ufffd") <= 0.01 * len(text):
                return Encoding(name, f"{words} by its zero bytes")
    return None


def _broken_utf8(sample):
    """UTF-8 in which single characters are broken: far more characters are whole."""
    text = sample.decode("utf-8", "surrogateescape")
    bad = len(ESCAPED.findall(text))
    good = len(HIGH.findall(text)) - sum(len(run) for run in ESCAPED.findall(text))
    if good >= 10 * bad > 0:
        return Encoding("utf-8", "UTF-8 with bytes that are none; lines that are not UTF-8 are rejected")
    return None


def _as_stated(path, sample, stated, reads_as):
    for name in stated:
        layout = reads_as(_text(sample[:HEAD], name), name)
        if layout and bad_share(path, name) <= MAX_BAD_SHARE:
            return Encoding(name, f"read as {name}, as layout {layout} states")
    return None


def _by_header(path, sample, reads_as):
    for name in LEGACY:
        layout = reads_as(_text(sample[:HEAD], name), None)
        if layout and bad_share(path, name) <= MAX_BAD_SHARE:
            return Encoding(name, f"read as {name}: its header reads as layout {layout}")
    return None


def _by_words(path, sample):
    counts = {name: len(_words_in(_text(sample, name))) for name in LEGACY}
    best, next_best = sorted(counts, key=counts.get, reverse=True)[:2]
    if counts[best] >= 2 and counts[best] > 2 * counts[next_best] and bad_share(path, best) <= MAX_BAD_SHARE:
        return Encoding(best, f"read as {best}: {counts[best]} common words of exports stand in it")
    return None


def _words_in(text):
    return {word for word in WORDS.split() if word in text}


def _by_chardet(path, sample):
    """chardet's opinion of the lines that are not ASCII, where the whole file bears it out."""
    # a control character would make it binary in chardet's eyes
    lines = CONTROL.sub(b" ", b"\n".join(line for line in sample.splitlines() if not line.isascii()))
    opinions = chardet.detect_all(
        lines, ignore_threshold=True, compat_names=False, prefer_superset=True, include_encodings=GUESSED
    )
    shares = {CODECS.get(one["encoding"], one["encoding"]): one["confidence"] for one in opinions if one["encoding"]}
    # few accents look alike in all of Europe: the West, unless another is much likelier
    if shares.get("cp1250", 0) < max(2 * shares.get("cp1252", 0), 3 * MIN_CONFIDENCE):
        shares.pop("cp1250", None)
    likely = [name for name in sorted(shares, key=shares.get, reverse=True) if shares[name] >= MIN_CONFIDENCE]
    ranked = [name for name in likely if _is_plausible(_text(lines, name), name)]
    for name in ranked:
        if bad_share(path, name) <= MAX_BAD_SHARE:
            others = [other for other in ranked if other != name][:2]
            besides = f", before {', '.join(others)}" if others else ""
            return Encoding(
                name,
                f"guessed {name} (chardet: confidence {shares[name]:.2f}{besides});"
                " state read.encoding in the layout if that is wrong",
                is_guess=True,
                rivals=tuple(
                    other
                    for other in ranked
                    if {name, other} <= ALIKE and other != name
                    if shares[other] > DOUBT * shares[name] and bad_share(path, other) <= MAX_BAD_SHARE
                ),
            )
    text = _text(lines, "cp1252")
    if all(character in _frequent("cp1252") for character in HIGH.findall(text)):
        why = "guessed cp1252 (its accents are those of Western Europe); state read.encoding in the layout if that is wrong"
        return Encoding("cp1252", why, is_guess=True)
    return None


def _text(sample, name):
    return sample.decode(name, "replace")


@cache
def _frequent(name):
    """The characters that most text of an encoding is made of."""
    if name == "cp1252":
        return frozenset("éèêëàâäáãåçñóòôöõúùûüíìîïßøæœÉÈÊÀÂÄÁÃÅÇÑÓÔÖÕÚÜÍØÆŒ’‘“”–—…€£°§·«»©®²³½¼ºª¿¡\xa0ýšžŠŽ´•™¥")
    ranges = {
        "gb18030": ("gb2312", [(lead, 0xA1, 0xFE) for lead in [0xA1, 0xA3, *range(0xB0, 0xD8)]]),
        "cp950": ("cp950", [(lead, 0x40, 0xFE) for lead in [0xA1, 0xA2, *range(0xA4, 0xC7)]]),
        "cp932": ("cp932", [(lead, 0x40, 0xFC) for lead in [0x81, 0x82, 0x83, *range(0x88, 0x98)]]),
        "euc_jp": ("euc_jp", [(lead, 0xA1, 0xFE) for lead in [0xA1, 0xA3, 0xA4, 0xA5, *range(0xB0, 0xD0)]]),
    }
    codec, leads = ranges[name]
    pairs = b"".join(bytes([lead, low]) for lead, first, last in leads for low in range(first, last + 1))
    return frozenset(pairs.decode(codec, "ignore"))


def _is_plausible(text, name):
    """Whether most of its characters are frequent ones, for the encodings in which any bytes make some text."""
    if name not in LEGACY:
        return True
    high = HIGH.findall(text)
    return sum(character in _frequent(name) for character in high) >= 0.8 * len(high)


def bad_share(path: Path, name: str) -> float:
    """Bytes that are nothing in an encoding, as a share of the characters that are not ASCII, over the whole file."""
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    bad = high = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            text = decoder.decode(chunk)
            high += len(text) - len(text.encode("ascii", "ignore"))
            bad += sum(len(run) for run in ESCAPED.findall(text))
        rest = decoder.decode(b"", final=True)
    bad += len(ESCAPED.findall(rest))
    return bad / max(high, 1)
