"""The environments that commands start from, and what each command leads to undisturbed."""

import json
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.interruptions import fingerprints
from benchmarks.interruptions.fingerprints import Content, Fingerprint, Times
from benchmarks.interruptions.runs import Moment, Run
from benchmarks.interruptions.worlds import World
from scripts import clients, stacks, state
from scripts.cognito import sync, user_pool
from scripts.cognito.users import Person
from scripts.cruddur import messages
from scripts.cruddur.items import Message
from scripts.dynamodb import tables
from scripts.engine import pipeline
from scripts.environment import reset, setup, snapshots
from scripts.postgres import databases
from scripts.settings import Settings

SNAPSHOT = "first"
LAST_WORDS = "last words"
_NOTES = "notes"
_NEVER = Moment(10**9, 0)


@dataclass(frozen=True)
class Command:
    """A command and the environment it starts from: `nothing`, `killed` servers, or `running`.

    `seeds`: it loads the seed. `starts`: it starts the services where they do not run.
    """

    name: str
    words: tuple[str, ...]
    scene: str = "running"
    seeds: bool = False
    starts: bool = False


COMMANDS = {
    command.name: command
    for command in (
        Command("setup of nothing", ("setup",), "nothing", seeds=True, starts=True),
        Command("setup again", ("setup",), seeds=True, starts=True),
        Command("up", ("up",), "killed", starts=True),
        Command("down", ("down",)),
        Command("reset", ("reset",), seeds=True, starts=True),
        Command("db.reset", ("db.reset",), seeds=True),
        Command("db.drop", ("db.drop",)),
        Command("ddb.drop", ("ddb.drop", messages.TABLE)),
        Command("undo", ("undo",), starts=True),
        Command("snapshot.save", ("snapshot.save", "second")),
        Command("snapshot.restore", ("snapshot.restore", SNAPSHOT), starts=True),
        Command("snapshot.delete", ("snapshot.delete", SNAPSHOT)),
    )
}


@dataclass(frozen=True)
class Reference:
    """What a command leads to undisturbed.

    `database`: what the app's is right before and after it. `old` and `new`: the whole
    environment without and with it, each after a `setup`; `old` is None where there was nothing.
    `events` are the times of its record, `boundaries` tell after how many of them a step ended.
    """

    databases: tuple[Content | None, Content | None]
    old: Fingerprint | None
    new: Fingerprint
    events: tuple[float, ...]
    boundaries: tuple[int, ...]

    def may_hold(self, database: Content | None, code: int | None, is_settled: bool) -> bool:
        """May the app's database be so, right after the command ended with this code?

        `is_settled`: after a `setup` that followed.
        """
        before, after = self.databases
        if is_settled:
            after = self.new.database
        if code == 0:
            return database == after
        built = self.new.database if self.old is None else None
        steps = (built, built.without_rows(), built.without_tables()) if built else ()
        return database in (before, after, *steps)

    def choose_moment(self, rng: random.Random) -> Moment:
        """Any moment from the start of the first step to the end of the last."""
        if len(self.events) < 2:
            return Moment(len(self.events), 0)
        number = rng.randrange(1, len(self.events))
        return Moment(number, rng.random() * (self.events[number] - self.events[number - 1]))


@dataclass(frozen=True)
class Stage:
    """A saved environment for each world, and the times that are in it."""

    known: Times

    def set(self, world: World, scene: str) -> None:
        """Give a world the environment of a scene, with the last words that it acknowledged."""
        if scene == "nothing":
            world.empty()
            return
        world.copy_from(_saved(world))
        world.start_servers()
        _say_last_words(world.settings())
        if scene == "killed":
            world.kill("postgres")
            world.kill("aws")

    def take(self, world: World) -> Fingerprint:
        """The fingerprint of a world."""
        return fingerprints.take(world.settings(), self.known)

    def find_old(self, world: World) -> Fingerprint:
        """The saved environment, which `setup` leaves as it is."""
        self.set(world, "running")
        old = self.take(world)
        if differences := old.list_differences(self._settle(world)):
            raise ValueError(f"setup changes a whole environment: {', '.join(differences)}")
        return old

    def find_reference(self, world: World, command: Command, saved: Fingerprint) -> Reference:
        """Run the command undisturbed, then `setup`; `saved` is the saved environment."""
        old = None if command.scene == "nothing" else saved
        self.set(world, command.scene)
        run = Run(world, command.words, _NEVER, random.Random(0))
        run.start()
        run.end()
        assert run.code == 0, world.talk.read_text()
        events, boundaries = run.read_events(), run.read_boundaries()
        database = world.ensure_postgres()
        after = fingerprints.read(database, self.known) if database else None
        return Reference(
            (old.database if old else None, after),
            old,
            self._settle(world),
            tuple(events),
            tuple(boundaries),
        )

    def _settle(self, world: World) -> Fingerprint:
        assert world.start("setup").wait() == 0, world.talk.read_text()
        return self.take(world)


def prepare(made: Sequence[World]) -> Stage:
    """Make an environment with more than the seed, a snapshot and something to undo; save it."""
    first, *others = made
    loaded = first.settings()
    first.empty()
    _run(setup.setup, loaded)
    _fill(loaded, "ada", items=3)
    snapshots.save(loaded, SNAPSHOT)
    _run(reset.reset, loaded)
    _fill(loaded, "bela", items=5)
    known = fingerprints.list_times(loaded) | {_find_moment(LAST_WORDS)}
    first.stop_servers()
    first.copy_to(_saved(first))
    for world in others:
        world.copy_from(_saved(first))
        for record in (world.root / ".dev").glob("*.json"):  # the first one's ports
            record.unlink()
        _change_password(world)
        world.start_servers()
        world.stop_servers()
        world.copy_to(_saved(world))
    return Stage(known)


def _saved(world: World) -> Path:
    return world.folder / "saved"


def _change_password(world: World) -> None:
    """Each world has a password of its own, as each checkout has, and so knows its own server."""
    database = world.ensure_postgres()
    assert database
    password = secrets.token_urlsafe(24)
    with clients.cursor(database) as cursor:
        cursor.execute(databases.compose("ALTER ROLE {} PASSWORD %s", database.user), (password,))
    state.write(world.settings().state / "password", password)


def _run(compose: Callable[[Settings], list[pipeline.Step]], settings: Settings) -> None:
    pipeline.run(compose(settings), lambda event: None)


def _fill(settings: Settings, handle: str, items: int) -> None:
    """Add a user, activities, a message, a table of the user's own and somebody in the pool."""
    database, aws = stacks.get_database(settings), stacks.get_aws(settings)
    with clients.cursor(database) as cursor:
        cursor.execute(
            "INSERT INTO users (uuid, display_name, handle, email)"
            " VALUES (md5(%s)::uuid, %s, %s, %s)",
            (handle, handle.title(), handle, f"{handle}@example.com"),
        )
        cursor.execute(
            "INSERT INTO activities (uuid, user_uuid, message)"
            " SELECT md5(%s || n)::uuid, md5(%s)::uuid, 'note ' || n FROM generate_series(1, 50) n",
            (handle, handle),
        )
    sync.create_users(database, aws)
    sync.sync(database, aws)
    user_pool.create_user(
        aws, user_pool.get_pool(aws), f"guest-of-{handle}", "g@example.com", "Guest"
    )
    _write(settings, handle)
    _write_notes(settings, items)


def _write_notes(settings: Settings, count: int) -> None:
    aws = stacks.get_aws(settings)
    definition = json.loads((settings.root / "ddb/tables" / f"{messages.TABLE}.json").read_text())
    tables.ensure_table(aws, definition | {"TableName": _NOTES})
    for number in range(count):
        item = tables.to_dynamodb({"pk": "note", "sk": str(number)})
        clients.dynamodb(aws).put_item(TableName=_NOTES, Item=item)


def _write(settings: Settings, text: str) -> None:
    """A message that is not the seed's; the same text gives the same message."""
    (group,) = {
        item["message_group_uuid"]
        for item in tables.scan(stacks.get_aws(settings), messages.TABLE)
        if item["pk"].startswith("GRP#")
    }
    author = Person("0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10", "korney", "Korney Belov")
    message = Message(group, _find_moment(text), f"uuid of {text}", text, author)
    messages.write_messages(stacks.get_aws(settings), [message])


def _find_moment(text: str) -> str:
    """The time of the message with this text."""
    return f"2026-01-01T00:00:{len(text):02}.000000+00:00"


def _say_last_words(settings: Settings) -> None:
    """Write something everywhere that is acknowledged right before the command starts."""
    _write(settings, LAST_WORDS)
    _write_notes(settings, 6)
    with clients.cursor(stacks.get_database(settings)) as cursor:
        cursor.execute(
            "UPDATE activities SET message = %s WHERE message = 'note 50'", (LAST_WORDS,)
        )
