"""The pages without a browser: who is answered, what may be written, how failures look."""

import errno
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from scripts import clients, stacks
from scripts.cognito import users
from scripts.cognito.users import Person
from scripts.cruddur import messages
from scripts.settings import Settings
from scripts.web import app, words

HOST = "127.0.0.1:4600"
KEY = "the-key"
POLICY = "Content-Security-Policy"
JSON = {"Accept": "application/json"}
PATHS = (
    *("/", "/messages/", "/postgres/", "/postgres/sql/", "/dynamodb/", "/cognito/", "/logs/aws"),
    *("/actions/reset", "/nowhere", "/static/pages.js"),
)


def enter(flask: Flask, path: str = "/", host: str = HOST) -> FlaskClient:
    """A client that has the cookie for a host name."""
    client: FlaskClient = flask.test_client()
    client.get(f"{path}?key={KEY}", headers={"Host": host})
    return client


class Site:
    """The pages of an environment, asked by one of its users."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = app.create_app(settings, 4600, KEY)
        self.client = enter(self.app)
        database = stacks.get_database(settings)
        self.people = users.people(users.list_users(database))
        self.me = self.people["korney"]
        (row,) = messages.list_conversations(stacks.get_aws(settings), self.me)
        self.home = f"/messages/{self.me.uuid}/"
        self.place = f"{self.home}{row.group}"
        self.group = row.group

    def get(self, path: str, host: str = HOST, json: bool = False) -> TestResponse:
        return self.client.get(path, headers={"Host": host, **(JSON if json else {})})

    def token(self) -> str:
        found = re.search(r'name="token" value="(\w+)"', self.get(self.place).text)
        assert found
        return found[1]

    def post(self, path: str, *, json: bool = True, **form: str) -> TestResponse:
        return self.client.post(path, data=form, headers={"Host": HOST, **(JSON if json else {})})

    def write(self, text: str) -> TestResponse:
        return self.post(self.place, text=text, token=self.token())

    def last(self, whose: Person | None = None) -> str:
        return messages.list_conversations(stacks.get_aws(self.settings), whose or self.me)[0].text


@pytest.fixture
def site(filled: Settings) -> Site:
    return Site(filled)


@pytest.mark.parametrize(
    "path",
    ["/messages/", "/", "/postgres/", "/dynamodb/", "/cognito/", "/nowhere", "/static/pages.js"],
)
def test_every_answer_says_what_a_browser_may_do(site: Site, path: str) -> None:
    headers = site.get(path).headers
    policy = headers[POLICY]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["127.0.0.1:4600", "localhost:4600", "LOCALHOST:4600"])
def test_its_own_host_names_are_answered(site: Site, host: str) -> None:
    site.client = enter(site.app, host=host)
    assert site.get("/messages/", host).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["example.com", "example.com:4600", "127.0.0.1", "127.0.0.1:4601", "127.0.0.1:4600.x", "", "ü"],
)
@pytest.mark.parametrize(
    "path",
    ["/messages/", "/", "/postgres/", "/dynamodb/", "/cognito/", "/nowhere", "/static/pages.js"],
)
def test_other_host_names_are_refused_in_a_sentence(site: Site, path: str, host: str) -> None:
    answer = site.get(path, host)
    assert answer.status_code == 400
    assert "this server accepts requests to 127.0.0.1:4600 and localhost:4600 only" in answer.text
    assert "Korney" not in answer.text


@pytest.mark.parametrize("path", ["", *PATHS])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_without_the_cookie_nothing_is_answered(site: Site, method: str, path: str) -> None:
    client = site.app.test_client()
    if method == "POST":
        client.set_cookie("pages-4600", "x", domain="127.0.0.1")
    for key in ("", "x", "ü", KEY[:-1], KEY.upper()):
        form = {"token": site.token()} if method == "POST" else {}
        query = {"key": key} if key else {}
        answer = client.open(
            path, method=method, query_string=query, data=form, headers={"Host": HOST}
        )
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
        for told in ("cruddur", str(site.settings.root), site.token()):
            assert told not in answer.text
        if method in ("GET", "POST"):
            assert "open only at the address that ./invoke web printed" in answer.text
            style = re.findall(r"style-src 'nonce-([^']+)'", answer.headers[POLICY])
            assert re.findall(r'<style nonce="([^"]+)"', answer.text) == style


def test_what_is_refused_for_its_origin_shows_nothing_either(site: Site) -> None:
    for headers in ({"Host": "example.com"}, {"Host": HOST, "Sec-Fetch-Site": "same-site"}):
        text = site.client.get("/", headers=headers).text
        assert "<h1>Not allowed</h1>" in text
        assert "cruddur" not in text


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/?key={key}", "/"),
        ("/nowhere?a=1&key={key}&a=%C3%BC", "/nowhere?a=1&a=%C3%BC"),
        ("/postgres/row?key=%5B%22x%22%5D&key={key}", "/postgres/row?key=%5B%22x%22%5D"),
    ],
)
def test_the_key_is_exchanged_for_a_cookie(site: Site, path: str, place: str) -> None:
    client = site.app.test_client()
    answer = client.get(path.format(key=KEY), headers={"Host": HOST})
    assert (answer.status_code, answer.location) == (303, f"http://{HOST}{place}")
    (cookie,) = answer.headers.getlist("Set-Cookie")
    value, *attributes = cookie.split("; ")
    assert re.fullmatch(r"pages-4600=[\w-]{43}", value)
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert KEY not in f"{answer.text}{answer.headers}"
    assert client.get("/cognito/", headers={"Host": HOST}).status_code == 200
    assert client.get("/cognito/", headers={"Host": "localhost:4600"}).status_code == 403


def test_a_cookie_is_of_one_start(site: Site) -> None:
    (sent,) = site.client.get(f"/?key={KEY}", headers={"Host": HOST}).headers.getlist("Set-Cookie")
    restarted = app.create_app(site.settings, 4600, "another key").test_client()
    restarted.set_cookie(*sent.partition(";")[0].split("="), domain="127.0.0.1")
    for path in ("/cognito/", f"/cognito/?key={KEY}"):
        assert restarted.get(path, headers={"Host": HOST}).status_code == 403
    restarted.get("/?key=another+key", headers={"Host": HOST})
    assert restarted.get("/cognito/", headers={"Host": HOST}).status_code == 200


def test_a_link_from_elsewhere_is_followed_once_more_from_here(site: Site) -> None:
    headers = {"Host": HOST, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = site.app.test_client().get("/cognito/", headers=headers)
    assert (answer.status_code, answer.headers["Refresh"]) == (403, "0")
    assert "cruddur" not in answer.text
    assert "Refresh" not in site.app.test_client().get("/cognito/", headers={"Host": HOST}).headers


@pytest.mark.parametrize("token", [None, "", "x", "ü", "0" * 64])
def test_writing_needs_the_pages_token(site: Site, token: str | None) -> None:
    form: dict[str, Any] = {"text": "forged"} | ({} if token is None else {"token": token})
    for path in (site.place, f"{site.home}new"):
        answer = site.post(path, **form)
        assert answer.status_code == 403
        assert "load it again" in answer.get_json()["reason"]
    assert site.last() != "forged"


def test_a_token_is_of_one_user_and_of_one_process(site: Site) -> None:
    other = Site(site.settings)
    other.me = site.people["smirnov"]
    other.home = f"/messages/{other.me.uuid}/"
    for token in (other.token(), Site(site.settings).token()):
        assert site.post(site.place, text="forged", token=token).status_code == 403
    smirnov = f"/messages/{site.people['smirnov'].uuid}/{site.group}"
    assert site.post(smirnov, text="forged", token=site.token()).status_code == 403


def test_writing_without_scripts_leads_back_to_the_page(site: Site) -> None:
    answer = site.post(site.place, json=False, text="plain\r\nform", token=site.token())
    assert (answer.status_code, answer.location) == (303, site.place)
    assert site.last() == "plain\nform"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the message is empty"),
        (" \n\t ", "the message is empty"),
        ("x" * 10_001, "the message has 10,001 characters, 10,000 are allowed"),
        ("x" * 1_000_000, "the message has 1,000,000 characters, 10,000 are allowed"),
    ],
)
def test_text_that_cannot_be_sent_is_refused_in_a_sentence(
    site: Site, text: str, sentence: str
) -> None:
    before = site.last()
    answer = site.write(text)
    assert (answer.status_code, answer.get_json()["reason"]) == (400, sentence)
    assert site.last() == before


@pytest.mark.parametrize(
    "text", ["<b>&amp;</b>", "{{ 7 * 7 }}", "👩🏽‍🚀", "\u202eabc", "x" * 10_000, "\0"]
)
def test_any_text_is_sent_as_it_is_to_both(site: Site, text: str) -> None:
    answer = site.write(text)
    assert (answer.status_code, answer.get_json()) == (200, {"place": site.place})
    assert site.last() == site.last(site.people["smirnov"]) == text


def test_markup_leaves_the_server_escaped(site: Site) -> None:
    site.write('<script>alert("1")</script>')
    for path in (site.home, site.place, f"{site.home}news"):
        text = site.get(path).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


def test_a_conversation_starts_with_somebody_else_only(site: Site) -> None:
    for other in ("", "x", site.me.uuid):
        answer = site.post(f"{site.home}new", other=other, text="hello", token=site.token())
        assert answer.status_code == 400
        assert answer.get_json()["reason"] == "no user is chosen"
        assert answer.get_json()["field"] == "other"
    ada = Person("5d8cd6b4-93a6-4d3a-9b44-0f2f3a9a1c11", "ada", "Ada")
    with clients.cursor(stacks.get_database(site.settings)) as cursor:
        cursor.execute("INSERT INTO users VALUES (%s, 'Ada', 'ada', 'ada@x.org')", (ada.uuid,))
    answer = site.post(f"{site.home}new", other=ada.uuid, text="hello", token=site.token())
    assert answer.status_code == 200
    assert site.last(ada) == "hello"


def test_a_conversation_with_the_same_person_is_the_one_that_exists(site: Site) -> None:
    smirnov = site.people["smirnov"]
    answer = site.post(f"{site.home}new", other=smirnov.uuid, text="again", token=site.token())
    assert answer.get_json() == {"place": site.place}
    assert site.last(smirnov) == "again"
    assert len(messages.list_conversations(stacks.get_aws(site.settings), smirnov)) == 1
    draft = site.get(f"{site.home}new?other={smirnov.uuid}")
    assert (draft.status_code, draft.location) == (302, site.place)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/messages/korney/", "{home}"),
        ("/messages/@korney/", "{home}"),
        ("/messages/korney/smirnov", "{place}"),
        ("/messages/@korney/@smirnov", "{place}"),
    ],
)
def test_an_address_may_name_people_by_their_handles(site: Site, path: str, place: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 302
    assert answer.location == place.format(home=site.home, place=site.place)


def test_news_are_what_is_newer_and_nothing_when_nothing_is(site: Site) -> None:
    after = messages.list_conversations(stacks.get_aws(site.settings), site.me)[0].at
    place = {"group": site.group, "after": after}

    def ask(seen: str) -> TestResponse:
        query = {**place, "seen": seen}
        return site.client.get(f"{site.home}news", query_string=query, headers={"Host": HOST})

    first = ask("").get_json()
    assert first["bubbles"].strip() == ""
    assert ask(first["seen"]).status_code == 204
    site.write("one")
    site.write("two")
    second = ask(first["seen"]).get_json()
    assert re.findall(r'<p dir="auto">(.*)</p>', second["bubbles"]) == ["one", "two"]
    assert second["seen"] != first["seen"]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/nowhere", 404, "not found"),
        ("/messages/x/", 404, "there is no user x"),
        ("/messages/korney/x", 404, "there is no user x"),
        ("/messages/00000000-0000-0000-0000-000000000000/", 404, "there is no such user"),
        ("{home}elsewhere", 404, "korney has no such conversation"),
        ("{home}news?group=elsewhere", 404, "korney has no such conversation"),
        ("{place}?before=yesterday", 400, "yesterday is not a time"),
        ("{home}news?group={group}&after=x", 400, "x is not a time"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_sentence(
    site: Site, path: str, status: int, sentence: str
) -> None:
    answer = site.get(path.format(home=site.home, place=site.place, group=site.group))
    assert answer.status_code == status
    assert sentence in answer.text


def test_a_foreign_conversation_is_not_shown(site: Site) -> None:
    ada = Person("5d8cd6b4-93a6-4d3a-9b44-0f2f3a9a1c11", "ada", "Ada")
    sent = messages.start(stacks.get_aws(site.settings), ada, site.people["smirnov"], "secret")
    assert site.get(f"{site.home}{sent.group}").status_code == 404
    assert site.post(f"{site.home}{sent.group}", text="x", token=site.token()).status_code == 404


@pytest.mark.parametrize("missing", ["database", "tables"])
def test_an_environment_without_data_says_how_to_make_it(site: Site, missing: str) -> None:
    if missing == "database":
        empty = replace(site.settings, postgres_db="nowhere")
    else:
        empty = replace(site.settings, emulator_account="9" * 12)
    client = enter(app.create_app(empty, 4600, KEY))
    answer = client.get(site.home, headers={"Host": HOST})
    assert answer.status_code == 503
    assert re.search(r"<code>\./invoke (setup|db\.setup)</code>", answer.text)
    assert client.get("/", headers={"Host": HOST}).status_code == 200


def test_a_bug_is_a_page_without_a_stack_trace(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings) -> None:
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr(stacks, "list_status", fail)
    answer = site.get("/")
    assert answer.status_code == 500
    assert "this page failed" in answer.text
    assert "the cause" not in answer.text
    assert "Traceback" not in answer.text


def test_what_the_file_system_refuses_is_no_bug(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stacks, "list_status", fail)
    answer = site.get("/")
    assert answer.status_code == 503
    assert "cannot read or write: No space left on device" in answer.text
    assert "check the owner, permissions and free space" in answer.text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (7_788_223, "7.8 MB"),
        (5 * 10**12, "5,000.0 GB"),
    ],
)
def test_a_size_is_written_in_a_unit_that_fits(count: int, text: str) -> None:
    assert words.size(count) == text


def test_a_time_is_written_as_near_as_it_is() -> None:
    now = datetime.now().astimezone()
    assert words.when(now) == f"{now:%H:%M}"
    assert words.when(now.replace(year=2001, month=3, day=8)) == "8 Mar 2001"
    assert [words.when("soon"), words.day("soon"), words.whole("soon")] == ["soon"] * 3
    assert words.change(0.126) == "+0.13"
    assert words.change(-1.0) == "\N{MINUS SIGN}1.00"
    assert words.change(None) == ""
