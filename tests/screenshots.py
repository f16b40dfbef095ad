"""Takes the README's pictures: `./invoke screenshots`.

They show the pages of a checkout of its own, freshly set up and reset. Nothing of this one is
touched.
"""

import os
import tempfile
import threading
from pathlib import Path

from scripts import web
from scripts.cli import output
from scripts.errors import DevError
from tests.conftest import PROJECT, Checkout, copy_project, remove_state
from tests.web import browser

IMAGES = PROJECT / "docs" / "images"


def main() -> None:
    """Make all pictures."""
    path = browser.find()
    if not path:
        raise DevError(f"none of {', '.join(browser.NAMES)} is installed", "install Chromium")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder  # the pages show the folder as ~/cruddur
        root = copy_project(Path(folder) / "cruddur")
        try:
            checkout = Checkout(root)
            checkout.run("setup")
            checkout.run("snapshot.save", "monday")
            checkout.run("reset")
            take(checkout, path)
        finally:
            remove_state(root)


def take(checkout: Checkout, chromium: str) -> None:
    """Serve the pages of the checkout and picture them."""
    server, entrance = web.listen(checkout.settings())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = entrance.partition("/?")[0]
    IMAGES.mkdir(exist_ok=True)
    with browser.launch(chromium) as running:
        page = running.new_page(viewport={"width": 1000, "height": 640}, color_scheme="light")
        page.goto(entrance)
        page.goto(f"{address}/messages/korney/smirnov")
        page.wait_for_selector(".bubble")
        page.screenshot(path=IMAGES / "messages.png")
        page.goto(f"{address}/postgres/rows?table=users")
        page.set_viewport_size({"width": 1000, "height": 400})
        page.screenshot(path=IMAGES / "postgres.png")
        page.set_viewport_size({"width": 1000, "height": 1100})
        page.goto(address)
        # What doctor found is about this machine.
        found = page.locator("#doctor").bounding_box() or {"y": 900.0}
        height = round(found["y"])
        page.set_viewport_size({"width": 1000, "height": height})
        page.screenshot(path=IMAGES / "environment.png")
    server.shutdown()
    output.say("took docs/images/messages.png, postgres.png and environment.png")


if __name__ == "__main__":
    main()
