"""Settings: each declared once, with its variable, default and help; read from five places.

Precedence: a task's flag, the environment, `.env`, the remembered stack, the default. An empty
value counts as unset. The prefix DEV_ tells a setting from the app's own variable of that name.
The app is the one of DEV_APP, by default the one that this tool ships.

forms  the forms of values: each function parses a text, or raises DevError
"""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts import app
from scripts.app import App
from scripts.errors import DevError
from scripts.settings import forms

ROOT = Path(__file__).resolve().parents[2]  # of this tool
APP_VARIABLE = "DEV_APP"
PREFIX = "DEV_"  # of the second name that every setting has
NO_APP = App(ROOT, "app")  # until app.toml is read

# Around the variables in a file of `env --output`, which are no settings.
BEGIN, END = "# >>> ./invoke env", "# <<< ./invoke env"
BLOCK = re.compile(rf"^{BEGIN}.*\n(?:(?!{BEGIN}|{END}).*\n)*{END}.*(?:\n|\Z)", re.M)


def _setting(
    variable: str,
    default: Any,
    help: str,
    parse: Callable[[str, str], Any] = forms.printable,
    secret: bool = False,
) -> Any:
    metadata = {"variable": variable, "help": help, "parse": parse, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a value came from: flag, environment, .env or remembered; which variable and line."""

    layer: str
    variable: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.layer}:{self.line}" if self.line else self.layer


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every setting, and where each value came from; `root` is the folder of the app."""

    root: Path = ROOT
    app: App = NO_APP
    sources: Mapping[str, Source] = dataclasses.field(default_factory=dict)

    stack: str = _setting("DEV_STACK", "embedded", "which stack to use: embedded, docker or aws")
    throwaway: str = _setting(
        "DEV_THROWAWAY",
        "",
        "name of a temporary environment to use instead of the usual one",
        forms.role,
    )
    postgres_port: int = _setting(
        "POSTGRES_PORT", 5432, "Postgres port; unset: this one or the next free one", forms.port
    )
    postgres_user: str = _setting(
        "POSTGRES_USER", "postgres", "local Postgres superuser", forms.superuser
    )
    postgres_password: str = _setting(
        "POSTGRES_PASSWORD",
        "",
        "password of POSTGRES_USER; empty: a random one for this environment",
        secret=True,
    )
    postgres_db: str = _setting(
        "POSTGRES_DB", "", "the app's database; empty: the app's name", forms.database
    )
    postgres_home: str = _setting(
        "POSTGRES_HOME",
        "",
        "PostgreSQL installation to use (14 or newer): the folder that contains bin/;"
        " empty: the embedded one",
        forms.folder,
    )
    aws_region: str = _setting("AWS_REGION", "us-east-1", "AWS region of every request")
    emulator_port: int = _setting(
        "AWS_EMULATOR_PORT",
        4566,
        "AWS emulator port; unset: this one or the next free one",
        forms.port,
    )
    emulator_account: str = _setting(
        "AWS_EMULATOR_ACCOUNT",
        "000000000000",
        "account ID in the emulator; each account has its own data",
        forms.account,
    )
    dynamodb_port: int = _setting(
        "DYNAMODB_PORT",
        8000,
        "DynamoDB Local port (docker stack); unset: this one or the next free one",
        forms.port,
    )
    docker_publish: str = _setting(
        "DOCKER_PUBLISH_ADDRESS",
        "",
        "address on which a remote Docker engine publishes ports; empty: the engine's address",
        forms.address,
    )
    pool_name: str = _setting(
        "COGNITO_POOL_NAME", "", "name of the local Cognito user pool; empty: the app's name"
    )
    cognito_password: str = _setting(
        "COGNITO_PASSWORD",
        "Local-Passw0rd!",
        "password of every local user; shown by env and status",
        forms.password,
        secret=True,
    )
    web_port: int = _setting(
        "WEB_PORT", 4600, "port of the web pages; unset: this one or the next free one", forms.port
    )
    ready_timeout: int = _setting(
        "READY_TIMEOUT", 30, "timeout for a service to become ready, in seconds", forms.seconds
    )

    prod_database_url: str = _setting(
        "PROD_DATABASE_URL",
        "",
        "URL of the database of the aws stack",
        forms.database_url,
        secret=True,
    )
    aws_profile: str = _setting(
        "AWS_PROFILE", "", "AWS profile of the aws stack; empty: the default profile"
    )
    pool_id: str = _setting("AWS_COGNITO_USER_POOL_ID", "", "user pool ID of the aws stack")
    client_id: str = _setting(
        "AWS_COGNITO_USER_POOL_CLIENT_ID", "", "app client ID in the user pool of the aws stack"
    )
    sg_id: str = _setting("DB_SG_ID", "", "security group ID of the production database")
    sg_rule_id: str = _setting(
        "DB_SG_RULE_ID", "", "ID of the rule in DB_SG_ID that allows one IP address"
    )
    ip_lookup_url: str = _setting(
        "IP_LOOKUP_URL",
        "https://checkip.amazonaws.com",
        "URL that returns your public IP address",
        forms.url,
    )

    @property
    def state(self) -> Path:
        """The environment's own folder for data, logs and run records."""
        return self.throwaways / self.throwaway if self.throwaway else self.root / ".dev"

    @property
    def throwaways(self) -> Path:
        """The folder of the temporary environments, each with a folder of its name."""
        return self.root / ".dev" / "throwaway"

    @property
    def remembered_stack(self) -> Path:
        """The file that holds the stack which was chosen with --stack, until `down`."""
        return self.state / "stack"

    def source(self, name: str) -> str:
        """Where the field `name` came from: flag, environment, .env, remembered or default."""
        return self.sources[name].layer if name in self.sources else "default"

    def variable(self, name: str) -> str:
        """The environment variable of the field `name`."""
        return next(str(field.metadata["variable"]) for field in declared() if field.name == name)

    def describe_source(self, *names: str) -> str:
        """Which lines gave these fields their values: `.env:7: POSTGRES_USER`; "" for defaults."""
        found = [self.sources[name] for name in names if name in self.sources]
        return ", ".join(f"{source}: {source.variable}".removesuffix(": ") for source in found)


def declared() -> list[dataclasses.Field[Any]]:
    """The fields that a user may set, in the order of their declaration."""
    return [field for field in dataclasses.fields(Settings) if "variable" in field.metadata]


def list_names() -> list[str]:
    """The variables of all settings, with the prefix and without."""
    names = [str(field.metadata["variable"]) for field in declared()]
    return list(dict.fromkeys([*names, *map(add_prefix, names)]))


def add_prefix(variable: str) -> str:
    """The name of a setting that no app's own variable has: DEV_POSTGRES_PORT."""
    return PREFIX + variable.removeprefix(PREFIX)


def load(
    root: Path | None = None, environ: Mapping[str, str] = os.environ, **flags: str
) -> Settings:
    """Settings of the app in the folder `root`, by default the one of DEV_APP.

    Raises DevError for a value that cannot be used.
    """
    root = root or find_app(environ)
    chosen_app = app.load(root)
    file = read_env_file(root / ".env")
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for field in declared():
        variable = field.metadata["variable"]
        names = dict.fromkeys((add_prefix(variable), variable))
        given = [
            (flags.get(field.name), Source("flag", variable)),
            *((environ.get(name), Source("environment", name)) for name in names),
            *((file[n][0], Source(".env", n, file[n][1])) for n in names if n in file),
        ]
        for text, source in given:
            if text:
                values[field.name] = _parse(field, text, source)
                sources[field.name] = source
                break
    names = {"postgres_db": chosen_app.name, "pool_name": chosen_app.name}
    chosen = Settings(root=root, app=chosen_app, sources=sources, **names | values)
    stack = "" if "stack" in sources else _read_remembered(chosen.remembered_stack)
    if not stack:
        return chosen
    return dataclasses.replace(
        chosen, stack=stack, sources=sources | {"stack": Source("remembered")}
    )


def _parse(field: dataclasses.Field[Any], text: str, source: Source) -> Any:
    try:
        return field.metadata["parse"](f"{source}: {source.variable}", text)
    except DevError as error:
        other = add_prefix(source.variable)
        may_be_of_app = source.layer == ".env" and source.variable != other
        hint = f"{error.hint}; {other} overrides it" if may_be_of_app else error.hint
        raise DevError(error.reason, hint) from None


def find_app(environ: Mapping[str, str]) -> Path:
    """The folder of the app: DEV_APP, or the tool's own."""
    return Path(environ.get(APP_VARIABLE) or ROOT).resolve()


def _read_remembered(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # there is none, or it is another user's, which is said where it matters
        return ""


def read_env_file(path: Path) -> dict[str, tuple[str, int]]:
    """The variables of a `.env` file, each with its line. Raises DevError for a broken line."""
    try:
        if path.exists() and not path.is_file():  # a pipe would not end
            raise OSError(0, "it is not a file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DevError(f"{path} cannot be read: {reason}", "compare it with .env.example") from None
    return _parse_env(path.name, text)


def _parse_env(name: str, text: str) -> dict[str, tuple[str, int]]:
    """The variables of a file's text, as they stand: nothing in a value is replaced."""
    import io

    from dotenv.parser import parse_stream

    values = {}
    for binding in parse_stream(io.StringIO(without_block(name, text))):
        space = re.match(r"\s*", binding.original.string)
        line = binding.original.line + (space[0].count("\n") if space else 0)
        if binding.error or (binding.key is not None and binding.value is None):
            # Only a name that we know is shown: the line may be a password's second one.
            known = binding.key in list_names()
            raise DevError(
                f"{name}:{line}{f' ({binding.key})' if known else ''} cannot be read",
                "write KEY=value, with quotes around a value that has spaces or #",
            )
        if binding.key and binding.value:
            values[binding.key] = binding.value, line
    return values


def without_block(name: str, text: str) -> str:
    """A file's text with empty lines instead of BLOCK. Raises DevError for a damaged block."""
    left = BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    if half := re.search(f"^(?:{BEGIN}|{END})", left, re.M):
        line = left.count("\n", 0, half.start()) + 1
        raise DevError(
            f"{name}:{line} is only one end of the block that env writes",
            "delete this line and the lines of the block; ./invoke env --output writes them again",
        )
    return left


def example() -> str:
    """The text of `.env.example`: every setting with its help and its default."""
    lines = [
        "# Every setting with its default. All are optional: copy the lines you change to .env.",
        "# For ./invoke only, DEV_POSTGRES_PORT overrides a POSTGRES_PORT that your app reads.",
    ]
    for field in declared():
        lines += [
            "",
            f"# {field.metadata['help']}",
            f"#{field.metadata['variable']}={field.default}",
        ]
    return "\n".join(lines) + "\n"
