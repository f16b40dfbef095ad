"""The pages in the browser: environment, data, messages. Served on this machine only.

app            the Flask application and its error pages
guard          which requests are answered: host names, tokens, headers
environment    the start page, doctor's findings, the logs
actions        the buttons: what each runs, its confirmation
live_run       the run that a button started, while it runs and afterwards
postgres       tables, their rows and structure
sql            one query, which can only read
dynamodb       tables, items, queries
cognito        users of the pool
conversations  the Messages page
words          how times, sizes and differences are written
"""

import contextlib
import os
import secrets
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from scripts import state
from scripts.settings import Settings

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

ADDRESS = "127.0.0.1"
TRIES = 10
# The browser is started with this file: every user can read the arguments of its process.
_OPENER = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={0}"><a href="{0}">Open the pages</a>
"""


def serve(settings: Settings, tell: Callable[[str], None], opens: bool = False) -> None:
    """Serve the pages until the process is interrupted; `tell` gets their address, with its key.

    `opens`: the user's browser opens them.
    """
    state.ensure_folder(settings.state)
    state.check_claim(settings)
    server, address = listen(settings)
    for former in state.list_files(settings.state, "pages-*.html"):
        if state.read_locked(former) is None:
            former.unlink(missing_ok=True)
    opener = settings.state / f"pages-{settings.stack}-{server.server_port}.html"
    state.write(opener, _OPENER.format(address), locked=True)
    tell(address)
    if opens:  # beside the server: a browser in the terminal is waited for
        threading.Thread(target=webbrowser.open, args=(opener.as_uri(),), daemon=True).start()
    try:
        server.serve_forever()
    except SystemExit as interrupt:
        # Requests' threads may be deep in C code, which a regular exit can crash.
        os._exit(int(interrupt.code or 0))


def listen(settings: Settings) -> "tuple[BaseWSGIServer, str]":
    """A server of the pages on the first port that it gets, and their address with a new key.

    DevError if the user's own port is taken.
    """
    from scripts.stacks import ports
    from scripts.web import app

    key = secrets.token_urlsafe(32)
    for _ in range(TRIES):
        port = ports.choose(settings, "web_port")
        with contextlib.suppress(SystemExit):  # Werkzeug ends so if the port was taken meanwhile
            server = app.make_server(settings, ADDRESS, port, key)
            return server, f"http://{ADDRESS}:{port}/?key={key}"
    raise ports.none_free("web")
