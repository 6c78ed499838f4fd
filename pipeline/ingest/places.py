"""Countries, provinces and Chinese cities as codes: ISO 3166-1 alpha-2, ISO 3166-2, GB/T 2260; from any name in use.

Names of countries and provinces come from pycountry; of Chinese cities from cities_cn.csv beside this file.
"""

import csv
import gettext
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import polars as pl
import pycountry

CITIES = Path(__file__).parent / "cities_cn.csv"
# what people write that no list of official names has
OTHER_COUNTRIES = {
    "中国大陆": "CN",
    "中国内地": "CN",
    "中华人民共和国": "CN",
    "mainlandchina": "CN",
    "prchina": "CN",
    "prc": "CN",
    "中国香港": "HK",
    "香港": "HK",
    "中国澳门": "MO",
    "澳门": "MO",
    "中国台湾": "TW",
    "台湾": "TW",
    "taiwan": "TW",
    "美国": "US",
    "unitedstatesofamerica": "US",
    "america": "US",
    "英国": "GB",
    "uk": "GB",
    "greatbritain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "韩国": "KR",
    "southkorea": "KR",
    "俄罗斯": "RU",
    "russia": "RU",
    "越南": "VN",
    "vietnam": "VN",
    "turkey": "TR",
}
# the names without what they are: 浙江 for 浙江省, Zhejiang for Zhejiang Sheng
PROVINCE_ENDINGS = re.compile(
    r"(?:省|市|(?:壮族|回族|维吾尔)?自治区|特别行政区|sheng|shi|(?:zhuangzu|huizu|uygur)?zizhiqu|sar|province)$"
)
OTHER_PROVINCES = {
    "innermongolia": "CN-NM",
    "tibet": "CN-XZ",
    "hongkong": "CN-HK",
    "macau": "CN-MO",
    "macao": "CN-MO",
    "guangxizhuang": "CN-GX",
    "ningxiahui": "CN-NX",
    "xinjianguyghur": "CN-XJ",
    "taiwan": "CN-TW",
    "宁夏": "CN-NX",
}
ENGLISH_PROVINCES = {"CN-NM": "Inner Mongolia", "CN-XZ": "Tibet", "CN-HK": "Hong Kong", "CN-MO": "Macao"}
CITY_ENDINGS = re.compile(r"(?:市|地区|盟|自治州|自治县|林区|县|shi|city|prefecture)$")


def normal(name: str) -> str:
    """A place's name as names are compared: without case, blanks and marks."""
    return re.sub(r"[\s.,'’·()\-_]", "", unicodedata.normalize("NFKC", name)).casefold()


@lru_cache(maxsize=20_000)
def country_code(name: str | None) -> str | None:
    """ISO 3166-1 alpha-2 code of a country by its code or any name of it in English or Chinese; None for any other word."""
    return _countries().get(normal(name)) if name else None


@lru_cache(maxsize=100_000)
def province_code(name: str | None, country: str | None) -> str | None:
    """ISO 3166-2 code of a province or state of a country (its code); without a country one of China's."""
    return _provinces(country or "CN").get(_bare_province(name)) if name else None


@lru_cache(maxsize=100_000)
def city_code(name: str | None, province: str | None, country: str | None) -> str | None:
    """GB/T 2260 code of a Chinese city of a province (ISO code, or None); None where it is not one, or one of several."""
    if not name or (country or "CN") != "CN":
        return None
    word = normal(name)
    found = {
        code
        for form in (word, CITY_ENDINGS.sub("", word))
        for code in _cities().get(form, ())
        if province is None or _listed_cities()[code]["province"] == province
    }
    return found.pop() if len(found) == 1 else None


@cache
def names_of_country(code: str) -> tuple[str, ...]:
    """Usual spellings of a country, as they stand in exports."""
    country = pycountry.countries.get(alpha_2=code)
    if country is None:
        return (code,)
    names = [code, code.lower(), country.alpha_3, country.name, _chinese("iso3166-1", country.name)]
    names += [word for word, meant in OTHER_COUNTRIES.items() if meant == code and not word.isascii()]
    return tuple(dict.fromkeys(names))


def regions() -> pl.DataFrame:
    """One row per country, province and Chinese city: code, kind (country, province, city), name_en, name_zh, parent_code."""
    rows = [
        (country.alpha_2, "country", getattr(country, "common_name", country.name), _chinese_country(country), None)
        for country in pycountry.countries
    ]
    rows += [
        (
            one.code,
            "province",
            _english_province(one),
            _chinese("iso3166-2", one.name),
            one.parent_code or one.country_code,
        )
        for one in pycountry.subdivisions
    ]
    rows += [
        (city["code"], "city", city["name_en"], city["name_zh"], city["province"]) for city in _listed_cities().values()
    ]
    names = ("code", "kind", "name_en", "name_zh", "parent_code")
    return pl.DataFrame(rows, dict.fromkeys(names, pl.String), orient="row").sort("kind", "code")


@cache
def _countries():
    found = dict(OTHER_COUNTRIES)
    for country in pycountry.countries:
        names = [country.alpha_2, country.alpha_3, country.name, _chinese_country(country)]
        names += [getattr(country, name, country.name) for name in ("common_name", "official_name")]
        found |= {normal(name): country.alpha_2 for name in names}
    return found


@cache
def _provinces(country):
    listed = pycountry.subdivisions.get(country_code=country) or []
    # a state has its own name before a district of the same name within it
    found = {}
    for one in sorted(listed, key=lambda one: (one.parent_code is not None, one.code)):
        names = [one.code, one.code.split("-")[1], one.name, *one.name.split(" ["), _chinese("iso3166-2", one.name)]
        for name in names:
            found.setdefault(_bare_province(name), one.code)
    return found | (OTHER_PROVINCES if country == "CN" else {})


def _bare_province(name):
    word = normal(name.split(" [")[0].rstrip("]"))
    return PROVINCE_ENDINGS.sub("", word) or word


@cache
def _listed_cities():
    with CITIES.open(encoding="utf-8") as file:
        return {row["code"]: row for row in csv.DictReader(file)}


@cache
def _cities():
    found = {}
    for code, city in _listed_cities().items():
        for name in {code, normal(city["name_zh"]), normal(city["short_zh"]), normal(city["name_en"])}:
            found.setdefault(name, set()).add(code)
    return found


@cache
def _translations(domain):
    return gettext.translation(domain, pycountry.LOCALES_DIR, languages=["zh_CN"], fallback=True)


def _chinese(domain, name):
    return _translations(domain).gettext(name)


def _chinese_country(country):
    return _chinese("iso3166-1", getattr(country, "common_name", country.name))


def _english_province(one):
    name = ENGLISH_PROVINCES.get(one.code, one.name)
    return (
        re.sub(r" (?:Sheng|Shi|SAR|(?:Zhuangzu |Huizu |Uygur )?Zizhiqu)$", "", name)
        if one.country_code == "CN"
        else name
    )
