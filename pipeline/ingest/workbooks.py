"""A workbook (xlsx, xlsb, xls, ods) -> one text table a sheet, row by row as the sheet shows them. Runs in the child."""

import re
import zipfile
from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from python_calamine import CalamineError, PasswordError, SheetTypeEnum, SheetVisibleEnum, load_workbook

from pipeline.ingest.render import NotRendered, quoted

ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# beyond 15 digits a workbook has rounded a number before anybody reads it
EXACT_BELOW = 10**15
LONG_NUMBER = re.compile(r'"-?\d{16,}"')
CHUNK = 1 << 20
ERROR_CELL = re.compile(rb'<c [^>]*t="e"')
FORMATTED = re.compile(rb'<c r="([A-Z]+)\d+"[^>]* s="(\d+)"[^>]*><v>(\d+)</v>')
STYLES, MAX_STYLES = "xl/styles.xml", 16 << 20
NUMBER_FORMAT = re.compile(rb"<numFmt [^>]*>")
UNCOUNTED_FORMULA = re.compile(rb"(?:</f>|<f>|<f [^>]*/>)(?:<v></v>|<v\s*/>)?</c>")


def render(path: Path, folder: Path, memory: int) -> tuple[list[dict], list[str]]:
    """Write each sheet that holds anything as folder/<number>.csv. Returns (parts, notes). Raises NotRendered."""
    try:
        workbook = load_workbook(path)
    except PasswordError:
        raise NotRendered("is protected by a password; save it without one") from None
    except CalamineError as error:
        if ENCRYPTED in path.read_bytes():
            raise NotRendered("is protected by a password; save it without one") from None
        raise NotRendered(f"is no whole workbook ({type(error).__name__}); save it again") from None
    parts, notes = [], []
    about_all = _what_is_not_read(path)
    for position, about in enumerate(workbook.sheets_metadata):
        if about.typ != SheetTypeEnum.WorkSheet:
            notes.append(f"{about.name}: a chart or macro sheet, no table")
            continue
        sheet = workbook.get_sheet_by_index(position)
        if sheet.start is None:
            notes.append(f"{about.name}: an empty sheet")
            continue
        target = folder / f"{position}.csv"
        long_numbers = write_sheet(sheet, target)
        if target.stat().st_size == 0:
            notes.append(f"{about.name}: an empty sheet")
            continue
        warnings = [_damaged(column, count) for column, count in sorted(long_numbers.items())]
        if about.visible != SheetVisibleEnum.Visible:
            warnings.append(("the sheet is hidden in its workbook, and was read", "该工作表在工作簿中被隐藏，仍已读取"))
        parts.append({"label": about.name, "file": target.name, "warnings": [*warnings, *about_all]})
    return parts, notes


def write_sheet(sheet, target: Path) -> Counter:
    """One sheet as a text table, line n being row n. Returns how many numbers too long for a workbook each column holds.

    A value merged over several rows of one column stands in each of them; merged over several columns it stands in the first.
    """
    left = sheet.start[1]
    merged = {}
    for (top, first), (bottom, last) in sheet.merged_cell_ranges or ():
        if first == last and bottom > top and first >= left:
            merged.setdefault(top, []).append((first - left, bottom))
    width = _used_width(sheet)
    open_ranges, long_numbers, blank = {}, Counter(), 0
    with target.open("w", encoding="utf-8", errors="replace", newline="") as out:
        for number, cells in enumerate(sheet.iter_rows()):
            for column, bottom in merged.get(number, ()):
                open_ranges[column] = (bottom, cells[column])
            if open_ranges:
                for column, (bottom, value) in list(open_ranges.items()):
                    if number > bottom:
                        del open_ranges[column]
                    else:
                        cells[column] = value
            line = ",".join([TEXTS[type(cell)](cell) for cell in cells[:width]])
            if not line.strip(","):
                blank += 1
                continue
            if blank:
                out.write("\n" * blank)
                blank = 0
            out.write(line + "\n")
            if LONG_NUMBER.search(line):
                long_numbers.update(
                    column_letter(left + column)
                    for column, cell in enumerate(cells)
                    if type(cell) in (float, int) and abs(cell) >= EXACT_BELOW
                )
    return long_numbers


def _used_width(sheet):
    """Columns up to the last that holds anything: formats without content reach far to the right in some workbooks."""
    used = 0
    for cells in sheet.iter_rows():
        rest = cells[used:]
        if rest.count("") < len(rest):
            used = max(place for place, cell in enumerate(cells, start=1) if cell != "")
    return used


def _number(value):
    """The fifteen digits that a workbook holds: no .0 behind a whole number, no exponent in a long one."""
    if abs(value) >= EXACT_BELOW:
        return f'"{Decimal(f"{value:.15g}"):f}"'
    if value == int(value):
        return f'"{int(value)}"'
    return f'"{value:.15g}"'


def _moment(value):
    # a clock time of a workbook is a fraction of a day, never quite a whole second
    value = (value + timedelta(milliseconds=500)).replace(microsecond=0)
    return f'"{value.isoformat(sep=" ")}"'


def _duration(value):
    seconds = round(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f'"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"'


TEXTS = {
    str: lambda value: quoted(value) if value else "",
    float: _number,
    int: lambda value: f'"{value}"',
    bool: lambda value: '"true"' if value else '"false"',
    datetime: _moment,
    date: lambda value: f'"{value.isoformat()}"',
    time: lambda value: f'"{value.isoformat("seconds")}"',
    timedelta: _duration,
}


def column_letter(position: int) -> str:
    """The name of a column as a workbook shows it: 0 is A, 26 is AA."""
    name, number = "", position + 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(65 + rest) + name
    return name


def _damaged(column, count):
    return (
        f"column {column}: {count} numbers of more than 15 digits, of which a workbook keeps the first 15 only; have the"
        " column exported as text",
        f"{column} 列：{count} 个超过 15 位的数字，工作簿只保留前 15 位；请以文本格式导出该列",
    )


def _what_is_not_read(path):
    """Warnings on what a sheet shows and its cells do not hold.

    Cells that show an error, or a formula that nobody has calculated, are empty in what is read. A number with a format
    such as 00000 is read without the zeros before it: the reader knows no formats.
    """
    errors = formulas = 0
    zeros = Counter()
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as workbook:
        widths = _zero_formats(workbook)
        for name in workbook.namelist():
            if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name):
                with workbook.open(name) as sheet:
                    seam = b""
                    while chunk := sheet.read(CHUNK):
                        text = seam + chunk
                        cut = max(text.rfind(b"<c "), 0) if len(chunk) == CHUNK else len(text)
                        errors += len(ERROR_CELL.findall(text, 0, cut))
                        formulas += len(UNCOUNTED_FORMULA.findall(text, 0, cut))
                        for column, style, digits in FORMATTED.findall(text, 0, cut) if widths else ():
                            zeros[column.decode()] += len(digits) < widths.get(int(style), 0)
                        seam = text[cut:] if len(text) - cut < CHUNK else b""
    warnings = [
        (
            f"column {column}: {count} numbers are shown with zeros before them (format 00000), and read without; have the"
            " column exported as text",
            f"{column} 列：{count} 个数字以 00000 之类的格式显示前导零，读取时没有前导零；请以文本格式导出该列",
        )
        for column, count in sorted(zeros.items())
        if count
    ]
    if errors:
        warnings.append(
            (
                f"{errors} cells of the workbook show an error such as #N/A; they are read as empty",
                f"工作簿中有 {errors} 个单元格显示错误值（如 #N/A），按空值读取",
            )
        )
    if formulas:
        warnings.append(
            (
                f"{formulas} formulas of the workbook have no stored value and are read as empty; open it, and save it once",
                f"工作簿中有 {formulas} 个公式没有保存计算结果，按空值读取；请打开后重新保存一次",
            )
        )
    return warnings


def _zero_formats(workbook):
    """Place of a style -> digits that it shows at least, of the number formats of zeros alone."""
    if STYLES not in workbook.namelist():
        return {}
    with workbook.open(STYLES) as file:
        styles = file.read(MAX_STYLES)
    formats = {}
    for written in NUMBER_FORMAT.findall(styles):
        number, code = (re.search(rb'%s="([^"]*)"' % name, written) for name in (b"numFmtId", b"formatCode"))
        if number and code and (zeros := re.fullmatch(rb"(00+)(?:;.*)?", code[1])):
            formats[number[1]] = len(zeros[1])
    cells = styles.partition(b"<cellXfs")[2].partition(b"</cellXfs>")[0]
    used = (re.search(rb'numFmtId="(\d+)"', one) for one in re.findall(rb"<xf [^>]*>", cells))
    return {place: formats[one[1]] for place, one in enumerate(used) if one and one[1] in formats}
