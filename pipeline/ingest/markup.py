"""The tables of an HTML page or an XML spreadsheet of 2003, as many systems write under the name .xls. Runs in the child."""

import codecs
import re
from html.parser import HTMLParser
from pathlib import Path

from pipeline.ingest.render import NotRendered, quoted

CHUNK = 1 << 20
MAX_SPAN = 10_000
STATED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_-]+)", re.I)
ROW, CELL, TABLE = ("tr", "row"), ("td", "th", "cell"), ("table", "worksheet")


def render(path: Path, folder: Path, memory: int) -> tuple[list[dict], list[str]]:
    """Write each table that has a row as folder/<number>.csv. Returns (parts, notes). Raises NotRendered."""
    parser = Tables(folder)
    encoding = _encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as source:
            while text := source.read(CHUNK):
                parser.feed(text)
        parser.close()
    except UnicodeError:
        raise NotRendered(f"is an HTML page, but not {encoding} all through; save it as CSV (UTF-8)") from None
    finally:
        parser.end_table()
    if not parser.parts:
        raise NotRendered("is an HTML page without a table, perhaps one that says why there is no export; open it")
    return parser.parts, []


def _encoding(path):
    with path.open("rb") as file:
        head = file.read(CHUNK)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    stated = STATED.search(head[:4096])
    name = stated.group(1).decode() if stated else "utf-8"
    try:
        # a page that says gb2312 holds what gb18030 can
        name = "gb18030" if codecs.lookup(name).name in ("gb2312", "gbk") else name
    except LookupError:
        name = "utf-8"
    return name


class Tables(HTMLParser):
    """Writes the rows of tables as they come; a cell over several rows stands in each of them."""

    def __init__(self, folder):
        super().__init__(convert_charrefs=True)
        self.folder, self.parts = folder, []
        self.out = self.row = self.text = None
        self.column, self.span, self.spans, self.title, self.blank = 0, (1, 1), {}, "", 0

    def handle_starttag(self, tag, attributes):
        name, found = tag.rsplit(":", 1)[-1], {key.rsplit(":", 1)[-1]: text or "" for key, text in attributes}
        if name == "worksheet":
            self.end_table()
            self.title = found.get("name", "")
        elif name in ROW:
            self._end_row()
            place = _whole(found.get("index"), 0)
            self.row, self.column = [], 0
            self.missing = max(place - self.rows - self.blank - 1, 0) if self.out and place else 0
        elif name in CELL and self.row is not None:
            self._end_cell()
            self._fill()
            place = _whole(found.get("index"), 0)
            self.row += [""] * max(min(place, MAX_SPAN) - 1 - len(self.row), 0)
            down = _whole(found.get("rowspan"), 1) if "rowspan" in found else _whole(found.get("mergedown"), 0) + 1
            across = _whole(found.get("colspan"), 1) if "colspan" in found else _whole(found.get("mergeacross"), 0) + 1
            self.text, self.span = [], (min(down, MAX_SPAN), min(across, MAX_SPAN))
        elif name == "br" and self.text is not None:
            self.text.append("\n")

    def handle_endtag(self, tag):
        name = tag.rsplit(":", 1)[-1]
        if name in CELL:
            self._end_cell()
        elif name in ROW:
            self._end_row()
        elif name in TABLE:
            self.end_table()

    def handle_data(self, text):
        if self.text is not None:
            self.text.append(text)

    def _fill(self):
        """What reaches down from rows above stands before the next cell."""
        while len(self.row) in self.spans:
            left, text = self.spans[len(self.row)]
            if left > 1:
                self.spans[len(self.row)] = (left - 1, text)
            else:
                del self.spans[len(self.row)]
            self.row.append(text)

    def _end_cell(self):
        if self.text is None:
            return
        text, (down, across) = "".join(self.text).replace("\xa0", " ").strip(), self.span
        if down > 1 and across == 1:
            self.spans[len(self.row)] = (down - 1, text)
        self.row += [text] + [""] * (across - 1)
        self.text = None

    def _end_row(self):
        self._end_cell()
        if self.row is None:
            return
        self._fill()
        if self.out is None:
            label = self.title or f"table {len(self.parts) + 1}"
            target = self.folder / f"{len(self.parts)}.csv"
            self.out, self.rows, self.missing = target.open("w", encoding="utf-8", newline=""), 0, 0
            self.parts.append({"label": label, "file": target.name, "warnings": []})
        if any(self.row):
            self.out.write("\n" * (self.blank + self.missing))
            self.out.write(",".join(quoted(cell) if cell else "" for cell in self.row) + "\n")
            self.rows, self.blank = self.rows + self.blank + self.missing + 1, 0
        else:
            self.blank += 1
        self.row = None

    def end_table(self):
        """The table under way is whole, and the next row begins another; one without a cell is none."""
        self._end_row()
        if self.out:
            self.out.close()
            if not self.rows:
                self.parts.pop()
        self.out, self.spans, self.blank, self.rows = None, {}, 0, 0


def _whole(text, otherwise):
    return int(text) if text and text.isdecimal() and len(text) < 8 else otherwise
