"""The kind of a column from its cells."""

import pytest

from pipeline.ingest.kinds import KINDS, kind_of

COLUMNS = {
    "empty": [["", " ", "　", "NULL", "N/A", "-"], []],
    "integer": [
        ["1", "2", "3"],
        ["0", "1", "2", "1"],
        ["1,234", "12", "-3"],
        ["１２", "３０", "7"],
        ["518000", "100020", "518000"],
        ["0", "0"],
    ],
    "decimal": [
        ["29.85", "1889.5", "108.15"],
        ["0.5", ".25", "1"],
        ["12%", "7.5%"],
        ["1.5E+3", "2.0"],
        ["12,5", "3,75"],
    ],
    "money": [
        ["￥12.5", "￥1,299", "￥3"],
        ["12元", "1299.5元"],
        ["$12.00", "$1,200.50"],
        ["12.00", "1,299.00", "0.00"],
        ["CNY 12", "CNY 1300"],
        ["€ 1.234,56", "€ 3,50"],
    ],
    "date": [
        ["2024-01-02", "2024-11-30"],
        ["2024/1/2", "2024/11/30"],
        ["1/2/2024", "11/30/2024"],
        ["31.12.2024", "1.2.2024"],
        ["20240102", "19991231"],
        ["2024年1月2日", "2024年11月30日"],
        ["02-Jan-24", "30 Nov 2024"],
        ["January 2, 2024", "Nov 30, 2024"],
        ["2024-01-02 00:00:00", "2024-11-30 00:00:00"],
    ],
    "timestamp": [
        ["2024-01-02 10:11", "2024-11-30 23:59"],
        ["2024-01-02T10:11:12Z", "2024-11-30T23:59:59.123Z"],
        ["2024/1/2 9:05:00", "2024/11/30 00:00:00"],
        ["1/2/2024 9:05 AM", "11/30/2024 11:59 PM"],
        ["2024-03-01 10:22:33 +0800", "2024-03-02 10:22:33+08:00"],
        ["2024年1月2日 10:11", "2024年11月30日 23:59"],
    ],
    "boolean": [["Yes", "No"], ["true", "FALSE"], ["是", "否", ""], ["0", "1"], ["Y", "N", "n"]],
    "email": [["li@example.com", "a.b+c@shop.co.uk", ""], ["li@example.com"] * 9 + ["none"]],
    "phone": [
        ["13800138000", "15912345678"],
        ["138 0013 8000", "138-0013-8000"],
        ["138****8000", "186******05"],
        ["13800138000.0", "15912345678.0"],
        ["+86 13800138000", "+14155552671"],
        ["(415) 555-2671", "415-555-2671", "415.555.2671"],
        ["010-62345678", "0755-8234567"],
        ["001-555-123-4567x89", "+1-555-123-4567"],
    ],
    "id": [
        ["00123", "00456", "00789"],
        ["00000001", "00000002", "00123456"],
        ['="00123"', '="00456"'],
        ["\t1234567890123456", "\t1234567890123457"],
        ["10000001", "10000002", "10000003"],
        ["7590-VHVEG", "5575-GNVDE"],
        ["rec-223-org", "rec-122-dup-0"],
        ["SO20240101001", "SO20240101002"],
        ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "9b2c3d47-58cc-4372-a567-0e02b2c3d479"],
    ],
    "category": [
        ["男", "女", "男", "女"],
        ["已付款", "已发货", "已付款", "已付款"],
        ["Month-to-month", "One year", "One year", "Month-to-month"],
        ["16-25", "26-35", "26-35", "16-25"],
    ],
    "text": [
        ["李雷", "韩梅梅", "王芳"],
        ["很快，好吃", "没有送水"],
        ["7 Tullaroop Street", "12 Giblin Street"],
        ["GoPro Hero", "LG Smart TV", "Dell XPS"],
    ],
}


@pytest.mark.parametrize(("kind", "cells"), [(kind, cells) for kind, columns in COLUMNS.items() for cells in columns])
def test_the_kind_of_a_column(kind, cells):
    assert kind_of(cells) == kind


def test_every_kind_has_its_columns():
    assert tuple(COLUMNS) == KINDS


def test_one_broken_cell_of_ten_changes_nothing_and_two_do():
    assert kind_of(["2024-01-02"] * 9 + ["?"]) == "date"
    assert kind_of(["2024-01-02"] * 8 + ["?", "?"]) == "category"


def test_fifty_words_are_categories_and_more_are_text():
    assert kind_of([f"词{chr(0x4E00 + number)}" for number in range(50)] * 2) == "category"
    assert kind_of([f"词{chr(0x4E00 + number)}" for number in range(51)] * 2) == "text"


def test_order_numbers_that_come_again_are_counted_as_numbers_until_they_are_long():
    assert kind_of(["10000001", "10000001", "10000002", "10000002"]) == "integer"
    assert kind_of(["1000000001", "1000000001", "1000000002"]) == "id"
