"""Role files: who is in them, what they show, under which ids; and what a role cannot ask for."""

import duckdb
import pytest

from pipeline.privacy.role_files import RoleError, write_role
from pipeline.privacy.roles import Role, load_roles, role_path
from pipeline.settings import SettingsError, read_settings
from tests.privacy.landed_night import add_tags, build_night

KEY = "a key"
GONE = "K000000099"
COMPANY_TABLES = (
    "marts.company_facts",
    "tags.company_tags",
    "tags.company_tag_history",
    "core.companies",
    "core.company_versions",
    "core.company_sources",
    "core.company_changes",
    "core.company_contacts",
)
# an says yes to all, bo to nothing, cy to marketing and sharing, but took sharing back; di refuses profiling and service
PEOPLE = {
    "an": {
        "province": "江苏",
        "owner": "E1",
        "email": "an@example.com",
        "name": "An",
        "birth_date": "1990-05-06",
        "source_company_id": "Q1",
    },
    "bo": {"province": "江苏", "owner": "E2", "email": "bo@example.com", "name": "Bo", "referred_by": "an"},
    "cy": {"province": "浙江", "owner": "E1", "email": "cy@example.com", "name": "Cy", "source_company_id": "Q2"},
    "di": {"province": "浙江", "owner": "E2", "email": "di@example.com", "name": "Di", "referred_by": "cy"},
}
CONSENTS = [
    ("an", "marketing", "granted", "2026-01-01"),
    ("an", "sharing", "granted", "2026-01-01"),
    ("cy", "marketing", "granted", "2026-01-01"),
    ("cy", "sharing", "granted", "2026-01-01"),
    ("cy", "sharing", "refused", "2026-02-01"),
    ("di", "profiling", "refused", "2026-01-01"),
    ("di", "service", "refused", "2026-01-01"),
    # not yet said as of 1 March
    ("bo", "sharing", "granted", "2026-04-01"),
    ("an", "service", "refused", "2026-04-01"),
]


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    orders = [
        {"order_id": f"O-{name}", "source_customer_id": name, "ordered_at": "2026-01-10", "net": 100, "currency": "CNY"}
        for name in PEOPLE
    ]
    con = build_night(
        tmp_path_factory.mktemp("landed"),
        {
            "customers": [{"source_customer_id": name} | row for name, row in PEOPLE.items()],
            "orders": [*orders, {"order_id": "O-nobody", "ordered_at": "2026-01-10", "net": 7, "currency": "CNY"}],
            "payments": [{"payment_id": f"P-{row['order_id']}", "order_id": row["order_id"]} for row in orders],
            "companies": [
                {"source_company_id": "Q1", "name": "Alpha Ltd", "registration_id": "R1", "domain": "alpha.example"},
                {"source_company_id": "Q2", "name": "Beta Ltd", "registration_id": "R2", "domain": "beta.example"},
                {"source_company_id": "Q3", "name": "Gamma Ltd", "registration_id": "R3", "domain": "gamma.example"},
            ],
            "products": [{"sku": "S1", "name": "cup"}],
            "consents": [
                {
                    "consent_id": str(number),
                    "source_customer_id": name,
                    "purpose": purpose,
                    "channel": "any",
                    "status": status,
                    "captured_at": said,
                }
                for number, (name, purpose, status, said) in enumerate(CONSENTS)
            ],
        },
    )
    alpha, beta, gamma = (
        row[0]
        for row in con.execute("select company_id from core.company_sources order by source_company_id").fetchall()
    )
    con.execute("delete from core.company_changes")
    for row in ((GONE, alpha, alpha), (alpha, beta, alpha), (beta, gamma, beta)):
        con.execute(
            "insert into core.company_changes (company_id, other_company_id, current_company_id) values (?, ?, ?)", row
        )
    add_tags(con)
    yield con
    con.close()


def make_role(**overrides):
    whole = {"name": "team", "purpose": "profiling", "identifiers": "none", "columns": {}, "rows": {}}
    return Role(**(whole | {"tables": ("marts.customer_facts",)} | overrides))


def write(con, folder, **overrides):
    """The role's file, open to read."""
    path = folder / "roles" / f"{overrides.get('name', 'team')}.duckdb"
    path.unlink(missing_ok=True)
    write_role(con, make_role(**overrides), path, "v1.2.0", KEY)
    return duckdb.connect(str(path), read_only=True)


def names(con, shown):
    """The people behind customer ids of the warehouse."""
    ids = dict(con.execute("select customer_id, source_customer_id from core.customer_sources").fetchall())
    return sorted(ids[one] for (one,) in shown)


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        ("marketing", ["an", "cy"]),
        ("profiling", ["an", "bo", "cy"]),
        ("sharing", ["an"]),
        ("service", ["an", "bo", "cy"]),
    ],
)
def test_who_did_not_agree_to_the_purpose_is_left_out(con, tmp_path, purpose, expected):
    with write(con, tmp_path, purpose=purpose) as file:
        assert names(con, file.sql("select customer_id from marts.customer_facts").fetchall()) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"province": ["江苏"]}, ["an", "bo"]),
        ({"owner": ["E1"]}, ["an", "cy"]),
        ({"province": ["江苏", "浙江"], "owner": ["E2"]}, ["bo"]),
        ({"birth_year": [1990]}, ["an"]),
        ({"is_marketing_allowed": [True]}, ["an", "cy"]),
    ],
)
def test_rows_of_a_region_or_owner(con, tmp_path, rows, expected):
    with write(con, tmp_path, rows=rows) as file:
        assert names(con, file.sql("select customer_id from marts.customer_facts").fetchall()) == expected


def test_every_table_is_held_to_the_customers_of_the_role(con, tmp_path):
    tables = ("core.orders", "core.payments", "core.products", "tags.customer_tags", "core.customer_versions")
    with write(con, tmp_path, tables=tables, rows={"province": ["江苏"]}) as file:
        assert file.sql("select order_id from core.orders order by all").fetchall() == [("O-an",), ("O-bo",)]
        assert file.sql("select payment_id from core.payments order by all").fetchall() == [("P-O-an",), ("P-O-bo",)]
        assert file.sql("select sku from core.products").fetchall() == [("S1",)]
        assert names(con, file.sql("select distinct customer_id from tags.customer_tags").fetchall()) == ["an", "bo"]
        by_whom = "select referred_by_customer_id from core.customer_versions where referred_by_customer_id is not null"
        assert names(con, file.sql(by_whom).fetchall()) == ["an"]


def test_a_person_whom_the_role_does_not_see_is_not_named_as_referrer_either(con, tmp_path):
    with write(con, tmp_path, tables=("core.customer_versions",), rows={"owner": ["E2"]}) as file:
        assert file.sql("select count(*), count(referred_by_customer_id) from core.customer_versions").fetchall() == [
            (1, 0)
        ]


def test_rows_of_nobody_are_for_roles_that_see_everybody(con, tmp_path):
    with write(con, tmp_path, tables=("core.orders",)) as file:
        assert file.sql("select count(*) from core.orders where customer_id is null").fetchall() == [(1,)]
    with write(con, tmp_path, tables=("core.orders",), rows={"owner": ["E1", "E2"]}) as file:
        assert file.sql("select count(*) from core.orders where customer_id is null").fetchall() == [(0,)]


def test_only_the_named_columns_with_what_they_mean(con, tmp_path):
    columns = {"marts.customer_facts": ["customer_id", "order_count"]}
    with write(con, tmp_path, columns=columns) as file:
        comments = file.sql("select column_name, comment from duckdb_columns() where not internal").fetchall()
        assert [name for name, _ in comments] == ["customer_id", "order_count"]
        assert all(comment for _, comment in comments)
        table = file.sql("select comment from duckdb_tables()").fetchall()[0][0]
        assert table.startswith("One row per customer")


def test_pseudonyms_join_within_a_role_and_not_between_two(con, tmp_path):
    tables = ("core.orders", "core.payments", "marts.customer_facts", "core.customer_sources")
    shown = {}
    for name in ("one", "two"):
        with write(con, tmp_path, name=name, identifiers="pseudonym", tables=tables) as file:
            joined = (
                "from core.orders join marts.customer_facts using (customer_id) join core.payments using (order_id)"
            )
            assert file.sql(f"select count(*) {joined}").fetchall() == [(3,)]
            columns = {column for (column,) in file.sql("select column_name from duckdb_columns()").fetchall()}
            assert not columns & {"source_customer_id", "file_id"}
            ids = "select customer_id from core.orders where customer_id is not null union all"
            ids = {one for (one,) in file.sql(f"{ids} select order_id from core.orders").fetchall()}
            shown[name] = ids
    assert len(shown["one"]) == 3 + 4
    assert not shown["one"] & shown["two"]
    known = con.sql("select customer_id from core.customers union all select order_id from core.orders").fetchall()
    assert not {one for (one,) in known} & (shown["one"] | shown["two"])
    with write(con, tmp_path, name="one", identifiers="pseudonym", tables=tables) as file:
        again = {one for (one,) in file.sql("select customer_id from marts.customer_facts").fetchall()}
    assert again < shown["one"]


def companies(con):
    """A company's id in the warehouse, by its id in the source."""
    return dict(con.execute("select source_company_id, company_id from core.company_sources").fetchall())


def test_a_role_held_to_some_rows_sees_the_companies_of_its_customers_alone(con, tmp_path):
    ids = companies(con)
    with write(con, tmp_path, tables=COMPANY_TABLES, rows={"province": ["江苏"]}) as file:
        for table in COMPANY_TABLES:
            shown = {one for (one,) in file.sql(f"select company_id from {table}").fetchall()}
            assert shown == {ids["Q1"]} | ({GONE} if table == "core.company_changes" else set()), table
        changes = file.sql("select company_id, other_company_id from core.company_changes order by all").fetchall()
        assert changes == [(ids["Q1"], None), (GONE, ids["Q1"])]
    with write(con, tmp_path, tables=COMPANY_TABLES) as file:
        assert file.sql("select count(*) from core.companies").fetchall() == [(3,)]
        assert file.sql("select count(other_company_id) from core.company_changes").fetchall() == [(3,)]


def test_pseudonyms_of_companies_join_within_a_role_and_nothing_names_a_company(con, tmp_path):
    tables = (*COMPANY_TABLES, "marts.customer_facts")
    shown = {}
    for name in ("one", "two"):
        with write(con, tmp_path, name=name, identifiers="pseudonym", tables=tables) as file:
            joined = "from core.companies join marts.customer_facts using (company_id)"
            assert file.sql(f"select count(*) {joined}").fetchall() == [(2,)]
            joined = "from core.company_changes join core.companies on other_company_id = companies.company_id"
            assert file.sql(f"select count(*) {joined}").fetchall() == [(3,)]
            columns = {column for (column,) in file.sql("select column_name from duckdb_columns()").fetchall()}
            assert not columns & {"source_company_id", "registration_id", "domain", "file_id"}
            described = "duckdb_columns() where table_name in ('companies', 'company_versions')"
            assert file.sql(f"select count(*) from {described} and column_name = 'name'").fetchall() == [(0,)]
            comments = "select distinct comment from duckdb_columns() where column_name like '%company_id'"
            assert [comment[:9] for (comment,) in file.sql(comments).fetchall()] == ["pseudonym"]
            shown[name] = {one for (one,) in file.sql("select company_id from core.companies").fetchall()}
    assert len(shown["one"]) == 3
    assert not shown["one"] & shown["two"] and not set(companies(con).values()) & (shown["one"] | shown["two"])


def test_contact_data_are_of_the_customers_of_the_role(con, tmp_path):
    columns = {"vault.contacts": ["customer_id", "name", "email"]}
    with write(con, tmp_path, identifiers="contact", purpose="marketing", columns=columns) as file:
        people = file.sql("select name, email from vault.contacts order by all").fetchall()
        assert people == [("An", "an@example.com"), ("Cy", "cy@example.com")]
        assert file.sql("select comment from duckdb_columns() where column_name = 'email'").fetchall()[0][0]
    assert (tmp_path / "roles" / "team.duckdb").stat().st_mode & 0o777 == 0o600


def test_a_file_with_contact_data_stands_in_the_vault_alone(tmp_path):
    settings = read_settings(tmp_path, {})
    assert role_path(settings, make_role(identifiers="contact")).is_relative_to(settings.vault)
    assert not role_path(settings, make_role(identifiers="none")).is_relative_to(settings.vault)


def test_a_column_that_tonight_has_not_is_said_with_its_mend(con, tmp_path):
    cases = [
        ({"columns": {"marts.customer_facts": ["file_name"]}}, "marts.customer_facts has no column"),
        ({"rows": {"brand": ["x"]}}, 'rows: marts.customer_facts has no column "brand"; did you mean'),
        (
            {"tables": ("core.orders",), "identifiers": "pseudonym", "columns": {"core.orders": ["file_id"]}},
            "core.orders.file_id is an id of a source",
        ),
        (
            {"tables": ("core.companies",), "identifiers": "pseudonym", "columns": {"core.companies": ["domain"]}},
            "core.companies.domain names a company",
        ),
    ]
    for overrides, message in cases:
        with pytest.raises(RoleError) as error:
            write_role(con, make_role(**overrides), tmp_path / "never.duckdb", "v1.2.0", KEY)
        assert message in str(error.value)
    assert not (tmp_path / "never.duckdb").exists()


def test_a_value_that_nobody_has_is_remarked(con, tmp_path):
    role = make_role(rows={"province": ["江苏省"]})
    customers, remarks = write_role(con, role, tmp_path / "r.duckdb", "v1.2.0", KEY)
    assert customers == 0
    assert [en for en, _ in remarks] == [
        'role team: no customer has province "江苏省"; did you mean "江苏"?',
        "role team: it holds no customer",
    ]


VALID = '[roles.team]\npurpose = "marketing"\ntables = ["marts.customer_facts"]\n'


def test_a_role_as_the_settings_say_it(tmp_path):
    (tmp_path / "settings.toml").write_text(VALID + 'rows = {province = ["江苏"]}\n', encoding="utf-8")
    assert load_roles(read_settings(tmp_path, {})) == (make_role(purpose="marketing", rows={"province": ["江苏"]}),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[roles]\nteam = 1", "[roles.team]: must be a table with purpose"),
        (VALID.replace("team", "marts"), "[roles.marts]: the name becomes a file"),
        (VALID.replace("team", '"../team"'), "the name becomes a file"),
        (VALID + 'column = ["x"]', 'unknown field "column"; did you mean "columns"?'),
        (VALID.replace("marketing", "marketting"), 'unknown purpose "marketting"; did you mean "marketing"?'),
        (VALID.replace('purpose = "marketing"', ""), "purpose is missing"),
        (VALID.replace("marts.", "mart."), 'unknown table "mart.customer_facts"; did you mean "marts.customer_facts"?'),
        (VALID + 'identifiers = "pseudo"', 'unknown identifiers "pseudo"; did you mean "pseudonym"?'),
        (VALID + 'columns = {"core.orders" = ["net"]}', 'no table of this role is "core.orders"'),
        (VALID + 'columns = {"vault.contacts" = ["name"]}', 'no table of this role is "vault.contacts"'),
        (VALID + 'columns = {"marts.customer_facts" = ["order_cuont"]}', 'did you mean "order_count"?'),
        (VALID + 'rows = {provnce = ["x"]}', 'marts.customer_facts has no column "provnce"; did you mean "province"?'),
        (VALID + 'rows = {province = "x"}', "rows: province must be a list of values"),
        ("roles = 1", '"roles" must be dict'),
    ],
)
def test_what_no_night_could_write_is_said_before_it(tmp_path, text, message):
    (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load_roles(read_settings(tmp_path, {}))
    assert message in str(error.value)
