"""The pages of the data and the actions in a real browser."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from scripts import clients, stacks
from scripts.cruddur import messages
from scripts.environment import variables
from tests.conftest import Checkout
from tests.web.site import SOON, Site, serve

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TARGETS = "a, button, input:not([type=hidden]), select, textarea, summary"
ENDS = 60_000.0  # milliseconds that a run may take


def visit(site: Site, path: str = "/", **options: object) -> Page:
    page: Page = site.open_window(**options)
    page.goto(site.address + path)
    page.locator("html[data-alive]").wait_for()
    return page


def state(page: Page) -> Locator:
    return page.locator(".live .state")


def add_rows(site: Site, statement: str) -> None:
    with clients.cursor(stacks.get_database(site.settings)) as cursor:
        cursor.execute(statement)


def test_a_reset_asks_for_the_name_shows_its_steps_and_is_undone(site: Site) -> None:
    name = site.settings.postgres_db
    site.add_ada()
    page = visit(site)
    page.get_by_role("link", name="Reset…").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label(f"Type {name} to confirm")
    expect(field).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text(f"type {name} to confirm")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    page.keyboard.type("x")
    expect(dialog.get_by_role("alert")).to_be_hidden()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name="Reset…")).to_be_focused()

    page.keyboard.press("Enter")
    field.fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name=re.compile(r"^\w+ db\.seed"))).to_be_visible()
    page.reload()
    expect(page.get_by_role("row", name=re.compile(r"^\w+ db\.seed"))).to_be_visible()
    expect(state(page)).to_have_text("done", timeout=ENDS)
    expect(page.locator(".lines tr").filter(has_text="check")).to_contain_text("see the newest")
    expect(page.get_by_role("row", name="users 2", exact=True)).to_be_visible(timeout=5000)
    expect(page.locator(".run").first.locator("h3")).to_have_text("reset")

    page.get_by_role("link", name="Undo…").click()
    field.fill(name)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".live h2")).to_have_text("Undo")
    expect(state(page)).to_have_text("done", timeout=ENDS)
    expect(page.get_by_role("row", name="users 3", exact=True)).to_be_visible(timeout=5000)


def test_a_snapshot_is_saved_restored_and_deleted(site: Site) -> None:
    name = site.settings.postgres_db
    page = visit(site)
    page.get_by_role("link", name="Save snapshot…").click()
    page.get_by_label("Name of the snapshot").fill("not a name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not a name is not a valid snapshot name")
    page.get_by_label("Name of the snapshot").fill("monday")
    page.keyboard.press("Enter")
    row = page.get_by_role("row", name=re.compile("^monday"))
    expect(row).to_contain_text(re.compile(r"\d\d:\d\d:\d\d\s*[\d.]+ [kM]B"), timeout=ENDS)
    site.add_ada()
    row.get_by_role("link", name="Restore…").click()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator(".live h2")).to_have_text("Restore")
    expect(state(page)).to_have_text("done", timeout=ENDS)
    expect(page.get_by_role("row", name="users 2", exact=True)).to_be_visible(timeout=5000)
    row.get_by_role("link", name="Delete…").click()
    page.get_by_label("Type monday to confirm").fill("monday")
    page.keyboard.press("Enter")
    expect(row).to_have_count(0, timeout=ENDS)


def test_the_services_are_stopped_started_and_restarted(
    checkout: Checkout, windows: Callable[..., Page]
) -> None:
    checkout.run("setup")
    for address in serve(checkout.settings()):
        page = visit(Site(checkout.settings(), address, windows))
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".state.down")).to_have_count(2, timeout=ENDS)
        expect(page.locator("#services")).to_contain_text("not running")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator(".state.healthy")).to_have_count(2, timeout=ENDS)
        expect(page.locator(".run h3").first).to_have_text("up")
        page.get_by_role("button", name="Restart").click()
        expect(page.locator(".live h2")).to_have_text("Restart")
        expect(page.locator(".live")).to_contain_text("up: done in", timeout=ENDS)
        expect(page.locator(".lines tr").filter(has_text="stopped")).to_have_count(2)
        page.get_by_role("button", name="Dismiss").click()
        expect(page.locator(".live")).to_have_count(0)


def test_the_password_is_shown_and_copied_on_request(site: Site) -> None:
    url = variables.collect(site.settings)["DATABASE_URL"]
    page = visit(site, permissions=["clipboard-read", "clipboard-write"])
    shown = page.locator(".variable").first.locator("code")
    expect(shown).to_contain_text("postgresql://postgres:••••••••@")
    assert url not in page.content()
    page.get_by_role("button", name="Copy DATABASE_URL").click()
    expect(page.get_by_role("button", name="Copy DATABASE_URL")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == url
    assert url not in page.content()
    page.get_by_role("button", name="Show DATABASE_URL").click()
    expect(shown).to_have_text(url)
    page.wait_for_timeout(2500)
    expect(shown).to_have_text(url)
    page.get_by_role("button", name="Show DATABASE_URL").click()
    expect(shown).to_contain_text("••••••••")


def test_doctors_findings_come_to_the_start_page(site: Site) -> None:
    add_rows(site, "ALTER TABLE users ADD COLUMN <b text".replace("<b", '"<b>by hand"'))
    page = visit(site)
    finding = page.locator("#doctor .finding").filter(has_text="was changed by hand")
    expect(finding).to_contain_text("<b>by hand", timeout=ENDS)
    expect(finding.locator(".badge")).to_have_text("failed")
    expect(page.locator("#doctor")).to_contain_text("checked again every minute")


def test_rows_are_paged_sorted_and_filtered(site: Site) -> None:
    add_rows(
        site,
        "CREATE TABLE numbers (n int PRIMARY KEY, half numeric, word text);"
        "INSERT INTO numbers SELECT n, nullif(n / 2.0, 5), repeat('long ', n)"
        " FROM generate_series(1, 120) n",
    )
    page = visit(site, "/postgres/")
    page.get_by_role("link", name="numbers", exact=True).click()
    cells = page.locator(".grid tbody tr td:nth-child(2), .grid table > tr td:nth-child(2)")
    expect(cells.first).to_have_text("1")
    page.get_by_role("link", name="Next").click()
    expect(cells.first).to_have_text("51")
    page.get_by_role("link", name="Next").click()
    expect(cells).to_have_count(20)
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="Previous").click()
    expect(cells.first).to_have_text("51")
    page.get_by_role("columnheader", name="half").get_by_role("link").click()
    page.get_by_role("columnheader", name="half").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="half")).to_have_attribute(
        "aria-sort", "descending"
    )
    expect(cells.first).to_have_text("10")
    expect(cells.nth(1)).to_have_text("120")
    page.get_by_label("Column").select_option("n")
    page.get_by_label("Condition").select_option("less than")
    page.get_by_label("Value").fill("x")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("alert")).to_contain_text("invalid input syntax for type integer")
    page.get_by_label("Value").fill("13")
    page.keyboard.press("Enter")
    expect(cells).to_have_count(12)
    page.get_by_label("Remove the filter n less than 13").click()
    expect(cells).to_have_count(50)
    long = page.locator(".long").first
    expect(long.locator(".whole")).to_be_hidden()
    long.locator("summary").click()
    expect(long.locator(".whole")).to_be_visible()
    page.get_by_role("link", name="Open the row 10", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Row 10")
    expect(page.get_by_role("row", name="half numeric")).to_contain_text("NULL")


def test_a_mistake_in_a_query_has_the_cursor(site: Site) -> None:
    page = visit(site, "/postgres/sql/")
    box = page.get_by_label("Query")
    box.fill("SELECT handle\nFROM nowhere")
    box.press("Control+Enter")
    expect(page.locator("mark")).to_have_text("nowhere")
    expect(box).to_be_focused()
    assert box.evaluate("box => box.selectionStart") == 19
    box.fill("SELECT handle FROM users ORDER BY 1")
    box.press("Control+Enter")
    expect(page.locator(".grid td")).to_have_text(["korney", "smirnov"])


def test_items_are_queried_and_opened(site: Site) -> None:
    page = visit(site, "/dynamodb/")
    page.get_by_role("link", name="table", exact=True).click()
    rows = page.locator(".grid tr:has(td)")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(22)
    page.get_by_role("link", name="First").click()
    aws = stacks.get_aws(site.settings)
    group = messages.get_latest(aws).group
    second, third = (one.at for one in messages.get_conversation(aws, group).messages[1:3])
    page.get_by_label("Partition key").fill(f"MSG#{group}")
    page.get_by_label("Sort key").select_option("between")
    page.get_by_label("Value").fill(second)
    page.get_by_label("and", exact=True).fill(third)
    page.get_by_role("button", name="Query").click()
    expect(rows).to_have_count(2)
    rows.first.get_by_role("link").click()
    expect(page.locator("pre")).to_contain_text(f'"S": "{second}"')


def test_logs_follow(checkout: Checkout, windows: Callable[..., Page]) -> None:
    checkout.run("up")
    for address in serve(checkout.settings()):
        page = visit(Site(checkout.settings(), address, windows), "/logs/postgres")
        expect(page.locator("#log")).to_contain_text("database system is ready")
        with (checkout.settings().state / "postgres.log").open("a") as log:
            log.write("<b>one more</b>\n")
        expect(page.locator("#log")).to_contain_text("<b>one more</b>", timeout=5000)
        page.get_by_role("link", name="aws", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Logs of aws")


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/postgres/", "/postgres/rows?table=activities", "/postgres/structure?table=users"),
        *("/postgres/sql/", "/dynamodb/", "/dynamodb/cruddur-messages/", "/cognito/"),
        *("/actions/reset", "/messages/", "/messages/korney/", "/messages/korney/smirnov"),
        "/nowhere",
    ],
)
def test_a_phone_has_one_column_and_targets_for_fingers(site: Site, path: str) -> None:
    page = visit(site, path, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    small = page.locator(TARGETS).evaluate_all(
        "all => all.filter(one => one.checkVisibility() && !one.matches('.skip')"
        " && one.getBoundingClientRect().height < 44).map(one => one.outerHTML)"
    )
    assert small == []


def test_pages_that_read_work_without_javascript(site: Site) -> None:
    page = site.open_window(java_script_enabled=False)
    page.goto(site.address)
    expect(page.get_by_role("row", name="users 2", exact=True)).to_be_visible()
    page.get_by_role("link", name="All checks").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Doctor")
    expect(page.get_by_text("every minute")).to_be_hidden()
    page.goto(f"{site.address}/postgres/rows?table=users")
    page.get_by_label("Column").select_option("handle")
    page.get_by_label("Value").fill("korney")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".grid tr:has(td)")).to_have_count(1)
    page.goto(f"{site.address}/postgres/sql/")
    page.get_by_label("Query").fill("SELECT 41 + 1")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".grid td")).to_have_text("42")
    page.goto(f"{site.address}/nowhere")
    page.get_by_role("link", name="Go to Environment").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Environment")


def test_unread_conversations_are_marked_and_counted_in_the_title(site: Site) -> None:
    ada = site.add_ada()
    page = site.enter("Korney Belov")
    app = f" – cruddur in {site.settings.root}"
    expect(page).to_have_title(f"Smirnov Hale – Messages of Korney Belov{app}")
    page.wait_for_timeout(1200)
    messages.start(stacks.get_aws(site.settings), ada, site.person("korney"), "hello")
    expect(page).to_have_title(
        f"(1) Smirnov Hale – Messages of Korney Belov{app}", timeout=SOON * 2
    )
    row = page.locator("#listing a").first
    expect(row).to_have_class(re.compile("is-unread"))
    expect(row.locator(".unread")).to_have_text("unread")
    row.click()
    expect(page).to_have_title(f"Ada Lind – Messages of Korney Belov{app}")
    expect(page.locator(".is-unread")).to_have_count(0)
    page.reload()
    expect(page).to_have_title(f"Ada Lind – Messages of Korney Belov{app}")


def test_on_a_phone_enter_starts_a_new_line(site: Site) -> None:
    page = visit(site, "/messages/korney/smirnov", **PHONE)
    box = page.get_by_label("Message", exact=True)
    box.fill("one")
    box.press("End")
    box.press("Enter")
    page.keyboard.type("two")
    expect(box).to_have_value("one\ntwo")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".bubble p").last).to_have_text("one\ntwo", use_inner_text=True)


def test_an_error_stands_at_its_field_until_that_changes(site: Site) -> None:
    site.add_ada()
    page = visit(site, "/messages/korney/ada")
    box = page.get_by_label("Message", exact=True)
    expect(box).to_be_focused()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_have_text("the message is empty: write something")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_be_focused()
    page.keyboard.type("h")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(box).not_to_have_attribute("aria-invalid", "true")


def test_the_task_opens_the_browser_without_telling_others_the_key(
    checkout: Checkout, windows: Callable[..., Page], tmp_path: Path
) -> None:
    checkout.run("up")
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {opened}.new; mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    running = checkout.start("web", "--open", env={"BROWSER": str(browser)})
    try:
        assert running.stdout
        place, key = running.stdout.readline().rstrip("\n").split("?key=")
        for _ in range(200):
            if opened.exists():
                break
            time.sleep(0.05)
        arguments = opened.read_text().strip()  # every user of the machine can read them
        assert key not in arguments
        page = windows()
        page.goto(arguments)
        expect(page.get_by_role("heading", level=1)).to_have_text("Environment")
        assert page.url == place
    finally:
        running.terminate()
        running.communicate(timeout=20)


def test_one_browser_opens_the_pages_of_two_servers(site: Site) -> None:
    page = site.open_window()
    for entrance in serve(site.settings):
        for address in (entrance, site.address, entrance.partition("?")[0]):
            page.goto(address)
            expect(page.get_by_role("heading", level=1)).to_have_text("Environment")


def test_a_link_on_another_site_leads_to_its_page(site: Site) -> None:
    page = site.open_window()
    link = f'<a href="{site.address}/postgres/sql/">SQL</a>'
    page.route("http://elsewhere.example/", lambda route: route.fulfill(body=link))
    page.route("http://elsewhere.example/favicon.ico", lambda route: route.abort())
    page.goto("http://elsewhere.example/")
    page.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("SQL")


def test_the_app_is_in_title_and_header(site: Site) -> None:
    page = visit(site, "/postgres/")
    expect(page).to_have_title(f"Postgres – cruddur in {site.settings.root}")
    expect(page.locator("header .app")).to_have_text(f"cruddur {site.settings.root}")
