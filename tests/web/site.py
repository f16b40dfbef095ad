"""The pages of an environment, served to windows of a browser."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from scripts import clients, stacks, web
from scripts.cognito import users
from scripts.cognito.users import Person
from scripts.cruddur import messages
from scripts.settings import Settings

SOON = 2000.0  # milliseconds until news written elsewhere must be there


@dataclass(frozen=True)
class Site:
    """The pages, served from an environment of one's own, and windows to look at them."""

    settings: Settings
    entrance: str  # the address with its key
    windows: Callable[..., Page]

    @property
    def address(self) -> str:
        return self.entrance.partition("/?")[0]

    def open_window(self, **options: object) -> Page:
        """A new window that has the cookie."""
        page: Page = self.windows(**options)
        page.context.request.get(self.entrance, max_redirects=0)
        return page

    def enter(self, name: str, **options: object) -> Page:
        """A new window in which this person's newest conversation is open."""
        page = self.open_window(**options)
        page.goto(f"{self.address}/messages/")
        page.get_by_role("link", name=name).click()
        page.locator("#listing a").first.click()
        expect(page.locator(".bubble").last).to_be_visible()
        return page

    def person(self, handle: str) -> Person:
        return users.get_person(stacks.get_database(self.settings), handle)

    def add_ada(self) -> Person:
        with clients.cursor(stacks.get_database(self.settings)) as cursor:
            cursor.execute(
                "INSERT INTO users (display_name, handle, email)"
                " VALUES ('Ada Lind', 'ada', 'ada@example.com')"
            )
        return self.person("ada")

    def send(self, handle: str, text: str) -> None:
        aws, author = stacks.get_aws(self.settings), self.person(handle)
        messages.send(aws, messages.get_latest(aws, author).group, author, text)


def serve(settings: Settings) -> Iterator[str]:
    server, entrance = web.listen(settings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield entrance
    server.shutdown()
