"""What happens to a run: it is over when the context is entered; what lasts ends with that."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from benchmarks.interruptions.runs import END_SECONDS, Run

Fault = Callable[[Run], AbstractContextManager[None]]

SEED_ROWS = 1000
PORTS = {"postgres": "POSTGRES_PORT", "aws": "AWS_EMULATOR_PORT"}


@contextlib.contextmanager
def kill_client(run: Run) -> Iterator[None]:
    """SIGKILL of the client."""
    run.start_until_moment()
    run.process.kill()
    run.end()
    yield


@contextlib.contextmanager
def interrupt_client(run: Run) -> Iterator[None]:
    """SIGINT of the client, as Ctrl-C sends it."""
    run.start_until_moment()
    run.interrupt()
    yield


@contextlib.contextmanager
def kill_postgres(run: Run) -> Iterator[None]:
    """SIGKILL of Postgres."""
    run.start_until_moment()
    run.world.kill("postgres")
    run.end()
    yield


@contextlib.contextmanager
def kill_emulator(run: Run) -> Iterator[None]:
    """SIGKILL of the emulator."""
    run.start_until_moment()
    run.world.kill("aws")
    run.end()
    yield


@contextlib.contextmanager
def kill_all(run: Run) -> Iterator[None]:
    """SIGKILL of the client, Postgres and the emulator."""
    run.start_until_moment()
    run.process.kill()
    run.world.kill("postgres")
    run.world.kill("aws")
    run.end()
    yield


@contextlib.contextmanager
def second_run(run: Run) -> Iterator[None]:
    """`setup` started meanwhile: it waits, and both end well."""
    run.start_until_moment()
    second = run.world.start("setup")
    run.end()
    run.is_settled = True
    if codes := (run.code or 0) | second.wait(END_SECONDS):
        run.trouble.append(f"the first or the second run ended with {codes}")
    yield


@contextlib.contextmanager
def second_run_and_kill(run: Run) -> Iterator[None]:
    """`setup` started meanwhile, then SIGKILL of the first: the second goes on."""
    run.start_until_moment()
    second = run.world.start("setup")
    time.sleep(run.rng.uniform(0, 1))
    run.process.kill()
    run.end()
    run.is_settled = True
    if code := second.wait(END_SECONDS):
        run.trouble.append(f"the second run ended with {code}")
    yield


@contextlib.contextmanager
def take_ports_before(run: Run) -> Iterator[None]:
    """Both servers killed, and strangers on their ports, before the command."""
    ports = {name: run.world.get_port(name) for name in PORTS}
    with _stranger(run, "postgres", ports["postgres"]), _stranger(run, "aws", ports["aws"]):
        run.start()
        run.end()
        yield


@contextlib.contextmanager
def take_port_during(run: Run) -> Iterator[None]:
    """One server killed, and a stranger on its port at once."""
    name = run.rng.choice(list(PORTS))
    port = run.world.get_port(name)  # a server that starts has none for a moment
    run.start_until_moment()
    with _stranger(run, name, port):
        run.end()
        yield


@contextlib.contextmanager
def take_pinned_port(run: Run) -> Iterator[None]:
    """A stranger on the port that the user set: refused, by the stranger's name."""
    name = run.rng.choice(list(PORTS))
    with _stranger(run, name, run.world.get_port(name)) as port:
        run.start({PORTS[name]: str(port)})
        run.end()
        if run.code != 1 or f"{PORTS[name]}={port} is taken by" not in run.world.talk.read_text():
            run.trouble.append(f"ended with {run.code}, and did not say who has the port")
    run.only = "old"
    yield


@contextlib.contextmanager
def fill_disk(run: Run) -> Iterator[None]:
    """The disk full, but for up to 4 MB, until the command ends."""
    left = run.rng.choice((0, 1 << 12, 1 << 16, 1 << 20, 1 << 22))
    _end_with(run, lambda: run.world.full_disk(left))
    yield


@contextlib.contextmanager
def make_read_only(run: Run) -> Iterator[None]:
    """`.dev` read-only until the command ends."""
    _end_with(run, run.world.read_only)
    yield


@contextlib.contextmanager
def break_seed(run: Run) -> Iterator[None]:
    """An SQL error at some row of the seed: nothing of it is kept."""
    path = run.world.root / "sql" / "seed.sql"
    good = path.read_text(encoding="utf-8")
    wrong = run.rng.randrange(SEED_ROWS)
    statement = "INSERT INTO activities (user_uuid, message) SELECT {}, 'row {}' FROM users;\n"
    rows = (statement.format("1/0" if n == wrong else "uuid", n) for n in range(SEED_ROWS))
    path.write_text(good + "".join(rows), encoding="utf-8")
    try:
        run.start()
        run.end()
    finally:
        path.write_text(good, encoding="utf-8")
    reasons = ("seed.sql; nothing was changed", "to load it again could duplicate rows")
    if run.code != 1 or not any(one in run.world.talk.read_text() for one in reasons):
        run.trouble.append(f"ended with {run.code} in spite of an error in the seed")
    run.only = "old"
    yield


def _end_with(run: Run, make_trouble: Callable[[], AbstractContextManager[None]]) -> None:
    """Let there be trouble from before the command's start, or from the moment on."""
    before = run.rng.choice((True, False))
    if not before:
        run.start_until_moment()
    with make_trouble():
        if before:
            run.start()
        run.end()


@contextlib.contextmanager
def _stranger(run: Run, name: str, port: int) -> Iterator[int]:
    """Somebody else listens on the port of a server, which is killed."""
    run.world.kill(name)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deadline = time.monotonic() + END_SECONDS
        while True:
            try:
                stranger.bind(("127.0.0.1", port))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        stranger.listen()
        yield port
