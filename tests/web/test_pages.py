"""The pages of the data and the actions, without a browser: who may do what, what is shown."""

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from scripts import clients, stacks, state
from scripts.app import App
from scripts.environment import variables
from scripts.settings import Settings, Source
from scripts.targets import Aws, Database
from scripts.web import app

HOST = "127.0.0.1:4600"
EVIL = '"><script>alert(1)</script>{{ 7 * 7 }}'


class Pages:
    """A client of the pages."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app: Flask = app.create_app(settings, 4600, "the-key")
        self.client: FlaskClient = self.app.test_client()
        assert self.get("/?key=the-key").status_code == 303

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, headers={"Host": HOST, **headers})

    def token(self) -> str:
        found = re.search(r'<meta name="token" content="(\w+)">', self.get("/nowhere").text)
        assert found
        return found[1]

    def post(self, path: str, token: str | None = None, **form: str) -> TestResponse:
        token = self.token() if token is None else token
        headers = {"Host": HOST, "Accept": "application/json"}
        return self.client.post(path, data={"token": token, **form}, headers=headers)


@pytest.fixture
def pages(filled: Settings) -> Pages:
    return Pages(filled)


@pytest.fixture
def production(filled: Settings) -> Pages:
    """The pages of the stack aws: its database is this test's, by the address of somebody else."""
    database = stacks.get_database(filled)
    url = f"postgresql://{database.user}:{quote(database.password, safe='')}@127.0.0.1"
    url += f":{database.port}/{database.name}?sslmode=prefer"
    return Pages(replace(filled, stack="aws", prod_database_url=url))


def rules(flask: Flask, method: str) -> list[str]:
    """An address for every route of a method."""
    values = {"command": "up", "me": "0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10", "group": "x"}
    return sorted(
        re.sub(r"<(?:\w+:)?(\w+)>", lambda part: values.get(part[1], "x"), rule.rule)
        for rule in flask.url_map.iter_rules()
        if method in (rule.methods or ())
    )


def test_no_route_is_answered_under_a_foreign_name(pages: Pages) -> None:
    for path in rules(pages.app, "GET"):
        answer = pages.client.get(path, headers={"Host": "example.com"})
        assert answer.status_code == 400, path
        assert "this server accepts requests to" in answer.text


def test_every_route_that_writes_needs_the_token(pages: Pages) -> None:
    paths = rules(pages.app, "POST")
    assert {"/actions/up", "/actions/dismiss", "/postgres/sql/", "/variables/x"} <= set(paths)
    for path in paths:
        for token in ("", "x", "0" * 64):
            answer = pages.post(path, token)
            assert answer.status_code == 403, path
            assert "load it again" in answer.get_json()["reason"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_here_and_nothing_else(pages: Pages, site: str) -> None:
    fetch = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert pages.get("/doctor/", **fetch).status_code == 403
    assert pages.get("/", **fetch | {"Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_the_password_is_in_no_page_until_it_is_asked_for(pages: Pages) -> None:
    values = variables.collect(pages.settings)
    paths = ["/", "/doctor/", "/postgres/", "/postgres/sql/", "/dynamodb/", "/cognito/"]
    paths += ["/logs/postgres", "/logs/aws", "/actions/reset", "/actions/now", "/messages/"]
    for path in paths:
        answer = pages.get(path)
        assert answer.status_code == 200, path
        assert values["PGPASSWORD"] not in answer.text
    assert "postgresql://postgres:••••••••@127.0.0.1:" in pages.get("/").text
    for name in ("PGPASSWORD", "DATABASE_URL"):
        assert pages.post(f"/variables/{name}").get_json() == {"value": values[name]}
    assert pages.post("/variables/HOME").status_code == 404


def test_production_is_shown_and_never_changed(production: Pages) -> None:
    for path in ("/actions/setup", "/actions/down", "/actions/reset", "/actions/undo"):
        answer = production.post(path, confirmed=production.settings.postgres_db)
        assert answer.status_code == 403
        assert answer.get_json()["reason"] == (
            "the pages only change local stacks, and this is aws"
        )
        assert production.get(path).status_code == 403
    assert production.post("/variables/PGPASSWORD").status_code == 403
    assert production.post("/postgres/sql/", query="SELECT 1").status_code == 403
    assert production.get("/postgres/").status_code == 200
    text = production.get("/postgres/sql/").text
    assert "Queries run on databases of this checkout only" in text
    assert "<textarea" not in text


@pytest.mark.parametrize(
    ("command", "form", "field", "reason"),
    [
        ("reset", {}, "confirmed", "type {db} to confirm"),
        ("reset", {"confirmed": "x"}, "confirmed", "type {db} to confirm"),
        ("undo", {"confirmed": ""}, "confirmed", "type {db} to confirm"),
        ("snapshot.restore", {"name": "a"}, "confirmed", "type {db} to confirm"),
        ("snapshot.delete", {"name": "a", "confirmed": "b"}, "confirmed", "type a to confirm"),
        ("snapshot.save", {"name": "a b"}, "name", "a b is not a valid snapshot name: "),
        ("snapshot.save", {}, "name", " is not a valid snapshot name: "),
        ("snapshot.save", {"name": "../x"}, "name", "../x is not a valid snapshot name: "),
    ],
)
def test_an_action_without_its_name_is_refused_at_the_field(
    pages: Pages, command: str, form: dict[str, str], field: str, reason: str
) -> None:
    answer = pages.post(f"/actions/{command}", **form)
    assert answer.status_code == 400
    found = answer.get_json()
    assert found["field"] == field
    assert found["reason"].startswith(reason.format(db=pages.settings.postgres_db))
    assert 'data-state="idle"' in pages.get("/actions/now").text


def test_an_unknown_action_is_not_found(pages: Pages) -> None:
    assert pages.post("/actions/rm").status_code == 404


def test_one_action_runs_at_a_time_and_waits_for_the_terminal(pages: Pages) -> None:
    with state.lock(pages.settings, "db.load", print):
        assert pages.post("/actions/up").status_code == 200
        assert pages.post("/actions/setup").status_code == 409
        for _ in range(100):
            text = pages.get("/actions/now").text
            if "waiting for ./invoke db.load" in text:
                break
            threading.Event().wait(0.05)
        assert "waiting for ./invoke db.load" in text
    for _ in range(200):
        text = pages.get("/actions/now").text
        if 'data-state="idle"' in text:
            break
        threading.Event().wait(0.05)
    assert '<span class="state done"' in text
    assert "up: done in" in text
    pages.post("/actions/dismiss")
    assert "up: done in" not in pages.get("/actions/now").text


def test_a_command_of_the_terminal_is_named(pages: Pages) -> None:
    with state.lock(pages.settings, "db.load", print):
        text = pages.get("/").text
        assert "./invoke db.load (pid " in text
        assert "disabled" in text
        assert "The checks wait for its end" in pages.get("/doctor/").text


def test_a_failed_action_says_why_and_what_to_try(pages: Pages) -> None:
    name = pages.settings.postgres_db
    assert pages.post("/actions/undo", confirmed=name).status_code == 200
    for _ in range(200):
        text = pages.get("/actions/now").text
        if 'data-state="idle"' in text:
            break
        threading.Event().wait(0.05)
    assert '<span class="state failed"' in text
    assert '<p class="reason">there is nothing to undo</p>' in text
    assert "Try: <code>" in text
    assert pages.get("/actions/undo").status_code == 404


def test_a_failure_has_the_hint_of_the_command_line(services: Settings, tmp_path: Path) -> None:
    pages = Pages(replace(services, root=tmp_path, sources={"stack": Source("flag")}))
    hint = "./invoke --stack embedded up"
    assert f"Try: <code>{hint}</code>" in pages.get("/postgres/").text
    headers = {"Accept": "application/json"}
    assert pages.get("/postgres/", **headers).get_json()["hint"] == hint
    pages.post("/actions/snapshot.save", name="monday")
    for _ in range(200):
        text = pages.get("/actions/now").text
        if 'data-state="idle"' in text:
            break
        threading.Event().wait(0.05)
    shown = text.index(f"hint: {hint}")
    assert text.index("rerun: ./invoke --stack embedded snapshot.save monday") > shown


@pytest.fixture
def evil(pages: Pages) -> Pages:
    """Names and values in both stores that are HTML and templates."""
    name = EVIL.replace('"', '""')
    with clients.cursor(stacks.get_database(pages.settings)) as cursor:
        cursor.execute(
            f'CREATE TABLE "{name}" ("{name}" text PRIMARY KEY, note text DEFAULT $${EVIL}$$)'
        )
        cursor.execute(f'INSERT INTO "{name}" VALUES (%s, %s)', (EVIL, EVIL * 50))
        cursor.execute("UPDATE users SET display_name = %s, email = %s", (EVIL, EVIL))
    aws = stacks.get_aws(pages.settings)
    item = {key: {"S": EVIL * times} for key, times in (("pk", 1), ("sk", 1), (EVIL, 30))}
    clients.dynamodb(aws).put_item(TableName="cruddur-messages", Item=item)
    return pages


def test_no_value_and_no_name_becomes_markup(evil: Pages) -> None:
    key = urlencode({"key": '["' + EVIL.replace('"', '\\"') + '"]'})
    table = urlencode({"schema": "public", "table": EVIL})
    pk = {"pk": {"S": EVIL}, "sk": {"S": EVIL}}
    paths = [
        *("/", "/messages/", "/postgres/", "/dynamodb/cruddur-messages/"),
        *(f"/postgres/rows?{table}", f"/postgres/structure?{table}"),
        f"/postgres/row?{table}&{key}",
        f"/postgres/rows?{table}&{urlencode({'column': EVIL, 'is': 'is', 'value': EVIL})}",
        f"/postgres/rows?{table}&{urlencode({'column': EVIL, 'is': EVIL, 'value': EVIL})}",
        f"/dynamodb/cruddur-messages/?{urlencode({'partition': EVIL})}",
        f"/dynamodb/cruddur-messages/item?{urlencode({'key': json.dumps(pk)})}",
        *(f"/{quote(EVIL)}", f"/logs/{quote(EVIL)}"),
        f"/actions/snapshot.restore?name={quote(EVIL)}",
    ]
    for path in paths:
        text = evil.get(path).text
        assert "<script>alert" not in text, path
        assert "49" not in re.findall(r"script&gt;(\S*)", text), path
    for path in paths[:6]:
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in evil.get(path).text, path


def test_results_and_mistakes_of_queries_are_text(evil: Pages) -> None:
    for text in (f"SELECT '{EVIL}' AS \"{EVIL.replace(chr(34), chr(34) * 2)}\"", f"SELEC {EVIL}"):
        answer = evil.client.post(
            "/postgres/sql/", data={"token": evil.token(), "query": text}, headers={"Host": HOST}
        )
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;" in answer.text


def test_a_mistake_is_shown_at_its_place(pages: Pages) -> None:
    form = {"token": pages.token(), "query": "SELECT handle,\r\n  nothing\r\nFROM users"}
    answer = pages.client.post("/postgres/sql/", data=form, headers={"Host": HOST})
    assert answer.status_code == 400
    assert "column &#34;nothing&#34; does not exist" in answer.text
    assert '<span class="faint">2 </span>  <mark>nothing</mark>' in answer.text
    assert 'data-position="18"' in answer.text


def test_a_foreign_key_leads_to_its_row_and_back(pages: Pages) -> None:
    text = pages.get("/postgres/rows?table=activities").text
    links = re.findall(r'href="(/postgres/rows\?schema=public&amp;table=users[^"]+)"', text)
    there = pages.get(links[0].replace("&amp;", "&")).text
    assert "korney@example.com" in there
    assert "smirnov@example.com" not in there
    row = re.findall(r'href="(/postgres/row\?[^"]+)"', there)[0]
    back = pages.get(row.replace("&amp;", "&")).text
    assert "Rows of activities with this user_uuid" in back


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/postgres/rows?table=nothing", 404, "there is no table public.nothing"),
        ("/postgres/rows?schema=pg_catalog&table=pg_authid", 404, "there is no table"),
        ("/postgres/rows?table=users&after=x", 400, "is not the key of a row"),
        ("/postgres/rows?table=users&after=[1]", 400, "is not the key of a row"),
        ("/postgres/rows?table=users&offset=-1", 400, "-1 rows cannot be skipped"),
        ("/postgres/rows?table=users&sort=nothing", 400, "public.users has no column nothing"),
        ("/postgres/row?table=users&key=[]", 400, "has no key of 0 columns"),
        ("/postgres/row?table=users&key=%5B%22x%22%5D", 400, "invalid input syntax for type uuid"),
        ("/dynamodb/nothing/", 404, "there is no table nothing"),
        ("/dynamodb/cruddur-messages/item?key=x", 400, "x is not a key in DynamoDB JSON"),
        ("/dynamodb/cruddur-messages/?index=x", 400, "has no index x"),
        ("/logs/nothing", 404, "there is no service nothing in this stack"),
        ("/nowhere", 404, "Not found"),
    ],
)
def test_an_address_that_leads_nowhere_says_so_and_leads_home(
    pages: Pages, path: str, status: int, sentence: str
) -> None:
    answer = pages.get(path)
    assert answer.status_code == status
    assert sentence in answer.text
    if "<h1>Not found" in answer.text or status == 404:
        assert '<a class="button" href="/">Go to Environment</a>' in answer.text
        assert "reloads automatically" not in answer.text


def test_every_page_has_a_title_and_one_heading(pages: Pages) -> None:
    me = "/messages/0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10/"
    paths = ["/", "/doctor/", "/logs/aws", "/postgres/", "/postgres/rows?table=users"]
    paths += ["/postgres/structure?table=users", "/postgres/sql/", "/dynamodb/", "/cognito/"]
    paths += ["/dynamodb/cruddur-messages/", "/messages/", me, f"{me}new", "/actions/reset"]
    paths += ["/nowhere"]
    titles = []
    for path in paths:
        text = pages.get(path).text
        assert text.count("<h1") == 1, path
        titles += re.findall(r"<title>(.+)</title>", text)
    assert len(set(titles)) == len(paths)


def list_links(text: str) -> list[str]:
    """The titles of the pages that the header leads to."""
    header = text.partition("<nav")[2].partition("</nav>")[0]
    return re.findall(r'<a href="[^"]+"[^>]*>(\w+)</a>', header)


@pytest.mark.parametrize(
    ("parts", "titles"),
    [
        (("postgres",), ["Postgres"]),
        (("postgres", "users"), ["Postgres"]),
        (("dynamodb",), ["Postgres", "DynamoDB"]),
        (("messages",), ["Postgres", "DynamoDB", "Messages"]),
        (("cognito",), ["Postgres", "Cognito"]),
        (("users", "cognito"), ["Postgres", "Cognito"]),
        ((), ["Postgres"]),
    ],
)
def test_an_app_has_the_pages_of_its_parts(
    seeded: Database, environment: Settings, parts: tuple[str, ...], titles: list[str]
) -> None:
    given = {part: getattr(environment.app, part) for part in parts}
    shop = App(environment.root, "shop", **given)
    pages = Pages(replace(environment, app=shop))
    text = pages.get("/").text
    assert list_links(text) == ["Environment", *titles]
    assert f"<title>Environment – shop in {environment.root}</title>" in text
    homes = {
        "DynamoDB": ("/dynamodb/", "this app has no DynamoDB tables"),
        "Cognito": ("/cognito/", "this app has no user pool: app.toml has no [cognito]"),
        "Messages": ("/messages/", "this app has no messages: app.toml has no [messages]"),
    }
    for title, (path, reason) in homes.items():
        answer = pages.get(path)
        assert answer.status_code == (200 if title in titles else 404), path
        assert (reason in answer.text) == (title not in titles)


def test_an_app_that_creates_its_tables_itself_gets_their_page(
    seeded: Database, environment: Settings, table: Aws
) -> None:
    pages = Pages(replace(environment, app=App(environment.root, "shop")))
    assert list_links(pages.get("/").text) == ["Environment", "Postgres", "DynamoDB"]
    assert "cruddur-messages" in pages.get("/dynamodb/").text


@pytest.mark.parametrize(
    ("used", "titles", "path", "reason"),
    [
        ("postgres", ["Postgres"], "/dynamodb/", "this app has no service aws"),
        ("aws", ["DynamoDB"], "/postgres/sql/", "this app has no service postgres"),
    ],
)
def test_pages_of_a_service_that_the_app_does_not_have_do_not_exist(
    environment: Settings, table: Aws, used: str, titles: list[str], path: str, reason: str
) -> None:
    pages = Pages(replace(environment, app=App(environment.root, "shop", services=(used,))))
    assert list_links(pages.get("/").text) == ["Environment", *titles]
    answer = pages.get(path)
    assert answer.status_code == 404
    assert reason in answer.text


def test_an_app_without_users_is_described(seeded: Database, environment: Settings) -> None:
    with clients.cursor(seeded) as cursor:
        cursor.execute("TRUNCATE users CASCADE")
    text = Pages(environment).get("/messages/").text
    assert "The app has no users yet" in text
    assert "automatically" not in text


def test_without_a_pool_the_page_says_how_to_create_it(pages: Pages) -> None:
    text = pages.get("/cognito/").text
    assert "there is no user pool" in text
    assert "<code>./invoke setup</code>" in text


def test_a_token_of_a_user_is_given_on_request(lived_in: Settings) -> None:
    token = Pages(lived_in).post("/cognito/token/korney").get_json()["value"]
    assert token.count(".") == 2
