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
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from scripts.settings import Settings

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

ADDRESS = "127.0.0.1"
TRIES = 10


def serve(settings: Settings, say: Callable[[str], None], opens: bool = False) -> None:
    """Serve the pages until the process is interrupted; `say` gets their address.

    `opens`: the user's browser opens them.
    """
    server = listen(settings)
    address = f"http://{ADDRESS}:{server.server_port}/"
    say(f"the pages are at {address}; Ctrl-C stops the server")
    if opens:  # beside the server: a browser in the terminal is waited for
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        server.serve_forever()
    except SystemExit as interrupt:
        # Requests' threads may be deep in C code, which a regular exit can crash.
        os._exit(int(interrupt.code or 0))


def listen(settings: Settings) -> "BaseWSGIServer":
    """A server of the pages on the first port that it gets. DevError if the user's own is taken."""
    from scripts.stacks import ports
    from scripts.web import app

    for _ in range(TRIES):
        port = ports.choose(settings, "web_port")
        with contextlib.suppress(SystemExit):  # as Werkzeug says that somebody was faster
            return app.make_server(settings, ADDRESS, port)
    raise ports.none_free("web")
