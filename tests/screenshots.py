"""Takes the README's pictures: `./invoke screenshots`.

They show the pages of a checkout of its own, freshly set up twice; nothing of this one is touched.
"""

import tempfile
import threading
from pathlib import Path

from scripts.cli import output
from scripts.errors import DevError
from scripts.stacks import ports
from scripts.web import app
from tests.conftest import PROJECT, Checkout, copy_project, remove_state
from tests.web import browser

IMAGES = PROJECT / "docs" / "images"


def main() -> None:
    """Make both pictures."""
    path = browser.find()
    if not path:
        raise DevError(f"none of {', '.join(browser.NAMES)} is installed", "install Chromium")
    with tempfile.TemporaryDirectory() as folder:
        root = copy_project(Path(folder) / "project")
        try:
            checkout = Checkout(root)
            checkout.run("setup")
            checkout.run("setup")
            take(checkout, path)
        finally:
            remove_state(root)


def take(checkout: Checkout, chromium: str) -> None:
    """Serve the pages of the checkout and picture them."""
    port = ports.choose(checkout.settings(), "web_port")
    server = app.make_server(checkout.settings(), "127.0.0.1", port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    IMAGES.mkdir(exist_ok=True)
    with browser.launch(chromium) as running:
        page = running.new_page(viewport={"width": 1000, "height": 640}, color_scheme="light")
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("link", name="Korney").click()
        page.locator("#listing a").click()
        page.wait_for_selector(".bubble")
        page.screenshot(path=IMAGES / "messages.png")
        page.goto(f"http://127.0.0.1:{port}/environment/")
        page.screenshot(path=IMAGES / "environment.png", full_page=True)
    server.shutdown()
    output.say("took docs/images/messages.png and docs/images/environment.png")


if __name__ == "__main__":
    main()
