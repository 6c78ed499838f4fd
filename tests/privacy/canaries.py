"""Canaries: made-up persons of whom every value is found nowhere else, in exports of every shape; and a search for them."""

import gzip
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl

from tests.builders import write_layout

CLUB_LAYOUT = {
    "layout": "club",
    "source": "club",
    "match": {"columns": ["login", "nick", "since"]},
    "personal_ids": "true",
    "entities": {
        "customers": {
            "columns": {
                "source_customer_id": "login",
                "name": "nick",
                "wechat": "wechat",
                "email": "mail",
                "referred_by": "friend",
                "registered_at": "since",
            }
        }
    },
}
TILL_LAYOUT = {
    "layout": "till",
    "source": "till",
    "match": {"file": "till_*.txt"},
    "read": {"header": "false", "column_names": ["slip", "day", "amount", "tel", "member"], "delimiter": "|"},
    "entities": {
        "orders": {
            "columns": {
                "order_id": "slip",
                "ordered_at": "day",
                "net": "amount",
                "phone": "tel",
                "source_customer_id": "member",
            }
        }
    },
}
BASKET_LAYOUT = {
    "layout": "baskets",
    "source": "basket",
    "match": {"columns": ["basket", "mail", "article", "price"]},
    "entities": {
        "orders": {
            "fold": "true",
            "columns": {
                "order_id": "basket",
                "email": "mail",
                "ordered_at": "at",
                "net": {"column": "price", "fold": "sum"},
            },
        },
        "order_items": {
            "columns": {
                "order_id": "basket",
                "line": {"from": "record_number"},
                "sku": "article",
                "quantity": {"constant": "1"},
                "amount": "price",
            }
        },
    },
}
TALK_LAYOUT = {
    "layout": "talk",
    "source": "talk",
    "match": {"columns": ["who_mail", "said", "day"]},
    "entities": {
        "interactions": {
            "columns": {"email": "who_mail", "text": "said", "occurred_at": "day", "channel": {"constant": "chat"}}
        }
    },
}


def canary(number: int) -> dict[str, str]:
    """Every value of one canary."""
    return {
        "name": f"金丝雀{number:02}号",
        "email": f"canary{number:02}@birdcage.example",
        "phone": f"139555507{number:02}",
        "address": f"鸟笼大街{number:02}之九",
        "wechat": f"wx-canary{number:02}-cage",
        "login": f"login-canary{number:02}",
        "crm_id": f"CRMCANARY{number:02}",
        "shop_id": f"SHOPCANARY{number:02}",
        "order_id": f"OCANARY{number:02}",
        "slip": f"SLIPCANARY{number:02}",
        "basket": f"BASKETCANARY{number:02}",
        "said": f"canarysong{number:02}",
    }


def write_canaries(data_dir: Path, numbers) -> None:
    """Layouts and exports that hold them: each in another encoding, packed, headerless, folded, with lines that fail."""
    for layout in (CLUB_LAYOUT, TILL_LAYOUT, BASKET_LAYOUT, TALK_LAYOUT):
        write_layout(data_dir / "sources", layout)
    inbox, people = data_dir / "inbox", [canary(number) for number in numbers]
    inbox.mkdir(parents=True, exist_ok=True)

    def write(name, lines, encoding="utf-8", end="\n"):
        (inbox / name).write_bytes((end.join(lines) + end).encode(encoding))

    write(
        "crm_birds.csv",
        ["客户编号,姓名,手机,邮箱,会员等级,推荐人编号,详细地址,生日,创建时间,最后修改时间"]
        + [
            f"{one['crm_id']},{one['name']},{one['phone']},{one['email']},金卡会员,{before['crm_id']},"
            f'"{one["address"]}\n二楼",1990-02-28,2026-01-05 10:00:00,2026-02-01 10:00:00'
            for one, before in zip(people, people[-1:] + people[:-1], strict=True)
        ]
        # the birthday is emptied, and the line listed with its text; then a line that is no record
        + [f"{one['crm_id']}B,{one['name']},,{one['email']},金卡会员,,,someday,2026-01-05 10:00:00," for one in people]
        + [f"{people[0]['crm_id']}C,{people[0]['name']},{people[0]['phone']},x"],
        "gb18030",
        "\r\n",
    )
    write(
        "shop_birds.csv",
        ["order_no,customer_id,buyer_email,buyer_phone,created_at,order_status,order_total,items_total"]
        + [
            f"{one['order_id']}{place},{one['shop_id']},{one['email']},{one['phone']},2026-0{place}-05 10:00:00,Completed,50.00,50.00"
            for one in people
            for place in range(1, 9)
        ]
        + [f"{people[0]['order_id']}9,{people[0]['shop_id']},,,someday,Completed,50.00,50.00"],
    )
    write(
        "shop_bird_lines.csv",
        ["order_no,line_no,sku,quantity,unit_price,line_total"]
        + [f"{one['order_id']}{place},1,SKU1,1,50.00,50.00" for one in people for place in range(1, 9)],
    )
    write(
        "club_birds.csv",
        ["login;nick;wechat;mail;friend;since"]
        + [
            f"{one['login']};{one['name']};{one['wechat']};{one['email']};{before['login']};2026-03-01"
            for one, before in zip(people, people[-1:] + people[:-1], strict=True)
        ],
        "utf-16",
    )
    (inbox / "till_birds.txt.gz").write_bytes(
        gzip.compress(
            "".join(f"{one['slip']}|2026-04-01|20.00|{one['phone']}|\n" for one in people for _ in range(2)).encode()
        )
    )
    write(
        "baskets_birds.csv",
        ["basket,mail,at,article,price"]
        + [f"{one['basket']},{one['email']},2026-05-01,A{line},5.00" for one in people for line in range(3)],
    )
    write(
        "talk_birds.csv",
        ["who_mail,said,day"]
        + [f'{one["email"]},"{one["said"]}, he said\n""to {one["name"]}""",2026-06-01' for one in people]
        + [f'{people[0]["email"]},"{one["said"]} never closed,2026-06-01' for one in people[:1]],
    )


def find_texts(folder: Path, texts, leave_out=()) -> list[tuple[str, str]]:
    """(file, text) of every text that stands in a file's name, bytes or uncompressed content, in any encoding used here."""
    # as Latin-1 every byte is one character, and Polars looks for all patterns in one pass
    wanted = {
        text.encode(encoding).decode("latin-1"): text
        for text in texts
        for encoding in ("gb18030", "utf-16-be", "utf-16-le", "utf-8")
    }
    found = []
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        if not path.is_file() or place.split("/")[0] in leave_out or place in leave_out:
            continue
        content = b"\n".join([place.encode(), *_contents(path)]).decode("latin-1")
        hits = pl.Series([content]).str.extract_many(list(wanted), overlapping=True)[0]
        found += sorted({(place, wanted[hit]) for hit in hits})
    return found


def _contents(path):
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif path.suffix == ".parquet":
        yield _rows(duckdb.connect(), f"from read_parquet('{path}')")
    elif path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as workbook:
            for name in workbook.namelist():
                yield workbook.read(name)
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as con:
            for schema, table in con.execute("select schema_name, table_name from duckdb_tables()").fetchall():
                yield _rows(con, f'from "{schema}"."{table}"')
    elif path.suffix in (".sqlite", ".db"):
        with closing(sqlite3.connect(path)) as db:
            yield "\n".join(db.iterdump()).encode()


def _rows(con, sql):
    return "\n".join(str(row) for row in con.execute(sql).fetchall()).encode()
