"""The pages in a real browser. Without Chromium these are skipped; with CI set they fail then."""

import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Locator, Page, expect

from scripts import stacks
from scripts.cruddur import messages
from scripts.errors import DevError
from scripts.settings import Settings, Source
from scripts.stacks import ports
from scripts.web import words
from tests.conftest import Checkout
from tests.web.site import SOON, Site, serve


def rows(page: Page) -> Locator:
    return page.locator("#listing a")


def bubbles(page: Page) -> Locator:
    return page.locator(".bubble")


def last(page: Page) -> Locator:
    return page.locator(".bubble p").last


def write(page: Page, text: str) -> None:
    page.locator("html[data-alive]").wait_for()  # or Enter is a plain form's
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def ends_of_bar(run: Locator, step: str) -> tuple[float, float]:
    box = run.locator(".step").filter(has_text=step).locator("rect").bounding_box()
    assert box
    return box["x"], box["x"] + box["width"]


def is_wider_than_its_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_the_seeded_conversation_is_shown_newest_at_the_bottom(site: Site) -> None:
    page = site.enter("Korney Belov")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("Smirnov Hale")
    expect(rows(page).first.locator("time")).to_have_text(re.compile(r"\d\d:\d\d|\d+ \w+"))
    expect(bubbles(page)).to_have_count(20)
    times = page.locator(".bubble").evaluate_all("all => all.map(one => one.dataset.at)")
    assert times == sorted(times)
    expect(bubbles(page).last).to_be_in_viewport()
    expect(last(page)).to_contain_text("Say hello to the hedge")
    expect(rows(page).first).to_contain_text("Say hello to the hedge")


def test_older_messages_come_without_losing_the_place(site: Site) -> None:
    page = site.enter("Korney Belov")
    for expected in (40, 60, 80, 100, 120):
        first = bubbles(page).first.element_handle()
        page.get_by_text("Older messages").scroll_into_view_if_needed()
        before = first.bounding_box()
        page.get_by_text("Older messages").click()
        expect(bubbles(page)).to_have_count(expected)
        after = first.bounding_box()
        assert before
        assert after
        assert abs(before["y"] - after["y"]) < 40, "only the heading of the day may have gone"
    expect(page.get_by_text("Start of the conversation")).to_be_visible()
    aws = stacks.get_aws(site.settings)
    written = messages.get_conversation(aws, messages.get_latest(aws).group).messages
    assert page.locator(".bubble p").all_inner_texts() == [message.text for message in written]
    # Two days where midnight was less than two hours before the seed.
    days = list(dict.fromkeys(words.day(message.at) for message in written))
    assert page.locator(".day").all_inner_texts() == days


def test_a_message_moves_the_conversation_to_the_top_for_both(site: Site) -> None:
    ada, aws = site.add_ada(), stacks.get_aws(site.settings)
    mine, theirs = site.enter("Korney Belov"), site.enter("Smirnov Hale")
    for handle in ("korney", "smirnov"):
        messages.start(aws, ada, site.person(handle), "hello from Ada")
    for page in (mine, theirs):
        expect(rows(page).first).to_contain_text("Ada Lind", timeout=SOON)
    write(mine, "good morning")
    for page in (mine, theirs):
        expect(last(page)).to_have_text("good morning", timeout=SOON)
        expect(rows(page).first).to_contain_text("good morning", timeout=SOON)
        expect(bubbles(page).last).to_be_in_viewport()
    expect(bubbles(mine).last).to_have_class("bubble mine")
    expect(bubbles(theirs).last).to_have_class("bubble theirs")
    write(theirs, "and to you")
    expect(last(mine)).to_have_text("and to you", timeout=SOON)
    for page in (mine, theirs):
        expect(bubbles(page)).to_have_count(22)


def test_what_is_written_elsewhere_appears_without_a_reload(site: Site) -> None:
    page = site.enter("Korney Belov")
    page.evaluate("window.same = true")
    page.wait_for_timeout(1500)
    site.send("smirnov", "written by ddb.patterns.send-message")
    begin = time.monotonic()
    expect(last(page)).to_have_text("written by ddb.patterns.send-message", timeout=SOON)
    assert time.monotonic() - begin < SOON / 1000
    assert page.evaluate("window.same") is True


def test_news_do_not_move_who_reads_further_up(site: Site) -> None:
    page = site.enter("Korney Belov")
    page.locator("#history").evaluate("box => { box.scrollTop = 0 }")
    site.send("smirnov", "down here")
    expect(page.get_by_text("New messages")).to_be_visible(timeout=SOON)
    assert page.locator("#history").evaluate("box => box.scrollTop") == 0
    page.get_by_text("New messages").click()
    expect(bubbles(page).last).to_be_in_viewport()
    expect(page.get_by_text("New messages")).to_be_hidden()


def test_a_conversation_with_another_user_is_started(site: Site) -> None:
    site.add_ada()
    mine, hers = site.enter("Korney Belov"), site.open_window()
    hers.goto(f"{site.address}/messages/")
    hers.get_by_role("link", name="Ada Lind").click()
    expect(hers.get_by_text("No conversation yet")).to_be_visible()
    mine.get_by_role("link", name="New").click()
    mine.get_by_label("With").select_option(label="Ada Lind (@ada)")
    write(mine, "hello Ada")
    expect(mine.get_by_role("heading", name="Ada Lind")).to_be_visible()
    expect(last(mine)).to_have_text("hello Ada")
    expect(rows(mine)).to_have_count(2)
    expect(rows(hers).first).to_contain_text("hello Ada", timeout=SOON)


@pytest.mark.parametrize(
    "text",
    [
        '<img src=x onerror="alert(1)"><script>alert(2)</script>',
        "</p></li><h1>&amp; {{ 7 * 7 }}",
        "👩🏽‍🚀🏳️‍🌈 e\u0301 ﷽",
        "שלום, מה שלומך?",
        "\u202eright to left\u202c and back",
        "two\nlines  and   spaces",
        "w" * 10_000,
    ],
)
def test_any_text_is_shown_as_text(site: Site, text: str) -> None:
    page = site.enter("Korney Belov")
    write(page, text)
    expect(bubbles(page)).to_have_count(21)
    assert last(page).evaluate("shown => shown.textContent") == text
    page.reload()
    assert last(page).evaluate("shown => shown.textContent") == text
    assert not is_wider_than_its_window(page)


def test_right_to_left_text_begins_on_the_right(site: Site) -> None:
    page = site.enter("Korney Belov")
    write(page, "שלום")
    expect(last(page)).to_have_text("שלום")
    assert last(page).evaluate("shown => getComputedStyle(shown).direction") == "rtl"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("   ", "the message is empty"),
        ("x" * 10_001, "the message has 10,001 characters, 10,000 are allowed"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_kept(site: Site, text: str, sentence: str) -> None:
    page = site.enter("Korney Belov")
    write(page, text)
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.get_by_label("Message", exact=True)).to_have_value(text)
    write(page, "better")
    expect(last(page)).to_have_text("better")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_everything_is_done_with_the_keyboard(site: Site) -> None:
    page = site.open_window()
    page.goto(f"{site.address}/messages/")

    def go_to(selector: str) -> None:
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.locator(f"{selector}:focus").count():
                return
        raise AssertionError(f"Tab does not lead to {selector}")

    go_to(".people a")
    page.keyboard.press("Enter")
    go_to("#listing a")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.type("first")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second")
    page.keyboard.press("Enter")
    expect(last(page)).to_have_text("first\nsecond", use_inner_text=True)
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_text("Older messages")).to_be_focused()
    page.keyboard.press("Enter")
    expect(bubbles(page)).to_have_count(41)
    expect(page.get_by_text("Older messages")).to_be_focused()


@pytest.mark.parametrize("path", ["/messages/", "/", "conversation"])
def test_a_phone_shows_one_column(site: Site, path: str) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True}
    if path == "conversation":
        page = site.enter("Korney Belov", **phone)
        expect(page.locator("#listing")).to_be_hidden()
        expect(page.get_by_role("button", name="Send")).to_be_in_viewport()
        page.get_by_label("All conversations").click()
        expect(page.locator("#listing")).to_be_visible()
    else:
        page = site.open_window(**phone)
        page.goto(site.address + path)
    assert not is_wider_than_its_window(page)


def test_light_and_dark_follow_the_system(site: Site) -> None:
    def shades(scheme: str) -> list[int]:
        page = site.enter("Korney Belov", color_scheme=scheme)
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.bubble')).color]"
        )
        return [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]

    light, dark = shades("light"), shades("dark")
    assert light[0] > 600 > 300 > light[1]
    assert dark[0] < 150 < 500 < dark[1]


def test_the_environment_page_follows_what_happens(site: Site) -> None:
    page = site.open_window()
    page.goto(site.address)
    for service, table in (("postgres", "users 2"), ("aws", "cruddur-messages 122")):
        panel = page.locator(".panel").filter(has=page.get_by_role("heading", name=service))
        expect(panel.locator(".state")).to_have_text("healthy")
        expect(panel).to_contain_text(re.compile(r"Address\s*127\.0\.0\.1:\d+"))
        expect(panel).to_contain_text(re.compile(r"Size\s*[\d.]+ [kM]B"))
        expect(panel.get_by_role("row", name=table)).to_be_visible()
    site.send("korney", "one more")
    expect(page.get_by_role("row", name="cruddur-messages 123")).to_be_visible(timeout=5000)


def test_the_runs_are_drawn_side_by_side_and_compared(
    checkout: Checkout, windows: Callable[..., Page]
) -> None:
    checkout.run("setup")
    checkout.run("setup")
    for address in serve(checkout.settings()):
        page = windows()
        page.goto(address)
        newest, oldest = page.locator(".run").all()
        expect(newest).to_contain_text(re.compile(r"[+−]\d+\.\d\d s compared to"))
        expect(oldest).to_contain_text("no earlier run to compare to")

        steps = ("cognito.create-pool", "ddb.schema-load", "check")
        pool, tables, check = (ends_of_bar(oldest, step) for step in steps)
        assert pool[0] < tables[1]
        assert tables[0] < pool[1]
        assert check[0] >= max(pool[1], tables[1]) - 1
        assert "check" in " ".join(oldest.locator(".critical .label").all_inner_texts())


def test_a_stopped_environment_says_how_to_start_it_and_comes_back(
    checkout: Checkout, windows: Callable[..., Page]
) -> None:
    checkout.run("setup")
    for address in serve(checkout.settings()):
        site = Site(checkout.settings(), address, windows)
        page = site.enter("Korney Belov")
        checkout.run("down")
        expect(page.locator("#notice")).to_contain_text("Try: ./invoke up", timeout=5000)
        expect(bubbles(page)).to_have_count(20)
        write(page, "not lost")
        expect(page.get_by_label("Message", exact=True)).to_have_value("not lost")
        stopped = site.open_window()
        answer = stopped.goto(page.url)
        assert answer
        assert answer.status == 503
        expect(stopped.get_by_role("main")).to_contain_text("is not running at")
        expect(stopped.locator("code")).to_have_text("./invoke up")
        expect(stopped.get_by_text("This page reloads automatically")).to_be_visible()
        assert "Traceback" not in stopped.content()
        stopped_environment = site.open_window()
        stopped_environment.goto(site.address)
        expect(stopped_environment.locator(".state.down")).to_have_count(2)
        checkout.run("up")
        expect(page.locator("#notice")).to_be_hidden(timeout=5000)
        expect(bubbles(stopped)).to_have_count(20, timeout=5000)
        expect(stopped_environment.locator(".state.healthy")).to_have_count(2, timeout=8000)
        write(page, "not lost")
        expect(last(stopped)).to_have_text("not lost", timeout=SOON)


@pytest.fixture
def start_web(checkout: Checkout) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `web` in the checkout; at the end all have ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> "subprocess.Popen[str]":
        started.append(checkout.start("web", *options))
        return started[-1]

    yield start
    for server in started:
        server.kill()
        server.communicate()


def read_address(serving: "subprocess.Popen[str]") -> str:
    """The address that `web` prints, once it serves."""
    assert serving.stdout
    return serving.stdout.readline().rstrip("\n")


def test_the_task_serves_its_user_until_it_is_interrupted(
    checkout: Checkout, start_web: Callable[..., "subprocess.Popen[str]"]
) -> None:
    checkout.run("up")
    first, second = start_web(), start_web("--port", "0")
    address = read_address(first)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?key=[\w-]{43}", address)
    place, key = address.split("?key=")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(place)
    assert refused.value.code == 403
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(address) as answer:
        assert answer.url == place
        assert "healthy" in answer.read().decode()
    first.send_signal(signal.SIGINT)
    out, talk = first.communicate(timeout=20)
    assert (first.returncode, out) == (130, "")
    assert talk == "open this address in your browser; Ctrl-C stops the server\n"
    _, talk = second.communicate(timeout=20)
    assert (second.returncode, talk.splitlines()[0]) == (
        2,
        "--port=0 is not a whole number from 1 to 65,535",
    )
    kept = [path for path in checkout.settings().state.rglob("*") if path.is_file()]
    assert [path.name for path in kept if key.encode() in path.read_bytes()] == [
        f"pages-embedded-{place.rpartition(':')[2][:-1]}.html"
    ]


def test_the_address_is_shown_to_its_user_while_the_pages_are_served(
    checkout: Checkout, start_web: Callable[..., "subprocess.Popen[str]"]
) -> None:
    def list_shown(task: str) -> list[str]:
        shown = checkout.run(task, expect=None).stderr.splitlines()
        return [line.removeprefix("pages:     ") for line in shown if "4600" in line or "?" in line]

    assert list_shown("status") == []
    servers = [start_web() for _ in range(2)]
    addresses = sorted(map(read_address, servers))
    assert list_shown("status") == addresses
    assert list_shown("setup") == addresses
    servers[0].kill()  # its file stays
    servers[0].wait()
    assert len(list_shown("status")) == 1
    files = [*checkout.settings().state.glob("pages-*")]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    third = start_web()
    assert read_address(third) not in addresses
    assert len(list_shown("status")) == 2
    for server in (servers[1], third):
        server.kill()
        server.wait()
    assert list_shown("status") == []


def test_a_page_of_a_former_start_says_which_address_to_open(
    checkout: Checkout,
    start_web: Callable[..., "subprocess.Popen[str]"],
    windows: Callable[..., Page],
) -> None:
    checkout.run("setup")
    first = start_web()
    page = windows()
    page.goto(read_address(first))
    expect(page.locator(".state.healthy")).to_have_count(2)
    first.kill()
    first.wait()
    expect(page.locator("#notice")).to_contain_text("does not answer", timeout=SOON * 3)
    address = read_address(start_web())
    expect(page.locator("#notice")).to_have_text(
        "these pages open only at the address that ./invoke web printed: it has a key, which is new"
        " for each start. Try: ./invoke status (prints it again)",
        timeout=SOON * 3,
    )
    page.reload()
    expect(page.get_by_role("heading")).to_have_text("Not allowed")
    page.goto(address)
    expect(page.locator(".state.healthy")).to_have_count(2)
    assert page.url == address.partition("?")[0]


def test_a_port_that_is_taken_is_passed_over_unless_it_was_asked_for(services: Settings) -> None:
    for address in serve(services):
        taken = int(address.split(":")[2].partition("/")[0])
        free = replace(services, web_port=taken)
        assert ports.choose(free, "web_port") > taken
        asked_for = replace(free, sources={"web_port": Source("environment", "WEB_PORT")})
        with pytest.raises(DevError) as error:
            ports.choose(asked_for, "web_port")
        expected = f"environment: WEB_PORT={taken} is taken by "
        assert str(error.value.message).startswith(expected)
