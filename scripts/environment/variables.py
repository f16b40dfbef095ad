"""What an app needs to use this environment: variables, in the formats that other tools read."""

import json
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from urllib.parse import quote

from scripts import shell, stacks, state
from scripts.app import FILE, App
from scripts.cli import github, output
from scripts.cognito import app_client, user_pool
from scripts.errors import DevError, UsageError, did_you_mean
from scripts.settings import Settings, list_names
from scripts.targets import UNCHECKED, Aws, Database

# What was exported, so that our own commands know it for ours, and what it took the place of.
EXPORTED, BEFORE = "DEV_EXPORTED", "DEV_BEFORE_"

_POOL, _CLIENT = "AWS_COGNITO_USER_POOL_ID", "AWS_COGNITO_USER_POOL_CLIENT_ID"
_PASSWORD = "COGNITO_PASSWORD"  # noqa: S105 - the name of a variable
_SERVICES = ("COGNITO_IDENTITY_PROVIDER", "EC2", "S3", "STS")  # those of the emulator
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_AWS_IN_THE_WAY = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
)
_POSTGRES_IN_THE_WAY = (
    *("PGCHANNELBINDING", "PGGSSENCMODE", "PGHOSTADDR", "PGLOADBALANCEHOSTS", "PGOPTIONS"),
    *("PGREQUIREAUTH", "PGREQUIRESSL", "PGSERVICE", "PGSERVICEFILE", "PGTARGETSESSIONATTRS"),
)
_FOLLOWED = ("AWS_", "COGNITO_", "PGSSL")
_PLACE = re.compile(r"\$\{(\w+)\}")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,?&=-]*")


def collect(settings: Settings, database: Database | None = None) -> dict[str, str]:
    """The variables of the running environment, or of another database of it, by the app's names.

    Raises DevError if it does not run.
    """
    return _rename(settings.app, _collect_own(settings, database))


def _collect_own(settings: Settings, database: Database | None = None) -> dict[str, str]:
    """The variables by our own names."""
    database, aws = database or stacks.get_database(settings), stacks.get_aws(settings)
    ours = _of_postgres(database) | _of_aws(aws) | _of_cognito(settings, aws)
    return {name: value for name, value in ours.items() if value}


def _rename(app: App, values: dict[str, str]) -> dict[str, str]:
    """The variables with those of app.toml: ${NAME} stands for one of ours, `false` removes one."""

    def fill(found: re.Match[str]) -> str:
        if found[1] in values:
            return values[found[1]]
        raise DevError(
            f"{FILE}: [env] uses ${{{found[1]}}}, which has no value here",
            did_you_mean(found[1], values).strip() or f"there are: {', '.join(values)}",
        )

    own = {name: _PLACE.sub(fill, text) for name, text in app.env.items() if isinstance(text, str)}
    return {name: value for name, value in values.items() if app.env.get(name) is not False} | own


def run(settings: Settings, command: Sequence[str]) -> None:
    """Become the command, with the variables of the running environment.

    So it gets all signals, and its exit code is the one that the caller sees.
    """
    if not command:
        raise UsageError("there is no command to run", "./invoke run -- COMMAND")
    shell.replace_process(command, overlay(os.environ, collect(settings)))


def describe(settings: Settings) -> list[str]:
    """The addresses of the running environment, without secrets; [] if it does not run."""
    try:
        database = stacks.get_database(settings)
        values = _collect_own(settings, database)
    except DevError:
        return []
    user = quote(database.user, safe="")
    password = "" if not settings.app.users else values.get(_PASSWORD, "")
    lines = {
        "database": f"postgresql://{user}@{database.host}:{database.port}/{database.name}",
        "AWS": values.get("AWS_ENDPOINT_URL") or f"region {settings.aws_region}",
        "user pool": values.get(_POOL, ""),
        "client": values.get(_CLIENT, ""),
        "sign-in": password and f"every user with the password {password}",
        "pages": f"./invoke web, at http://127.0.0.1:{settings.web_port}/",
    }
    return [f"{name + ':':10} {value}" for name, value in lines.items() if value]


def export(
    settings: Settings, form: str, environ: Mapping[str, str], path: Path | None = None
) -> None:
    """Write the variables in one of FORMATS; for `github`, add them to the job if there is one.

    With a path, they are written to that file, mode 0600, whole or not at all. Raises DevError if
    the environment does not run.
    """
    ours = _collect_own(settings)
    values = _rename(settings.app, ours)
    text = FORMATS[form](environ, values)
    if settings.app.cognito and _POOL not in ours:
        output.say(f"{_POOL} is left out: there is no user pool; next: ./invoke setup")
    if path:
        state.write(path, text + "\n")
        output.say(f"wrote {len(values)} variables to {path}")
        return
    if form != "github" or not environ.get("GITHUB_ENV"):
        output.write(text)
        return
    output.write_commands(line for secret in secret_values(ours) for line in github.mask(secret))
    github.append(environ, "GITHUB_ENV", text)
    output.say(f"{len(values)} variables added to the job")
    if winning := [name for name in in_the_way(values, environ) if name in environ]:
        output.say(f"these variables of the job may override them: {', '.join(winning)}")


def list_secrets(settings: Settings) -> list[str]:
    """The texts that nobody should read in a log or on a page, whatever variables hold them."""
    return secret_values(_collect_own(settings))


def secret_values(values: Mapping[str, str]) -> list[str]:
    """What of ours nobody should read in a log: the password, also as in the URL, and the key."""
    password, secret = values.get("PGPASSWORD", ""), values.get("AWS_SECRET_ACCESS_KEY", "")
    key = {secret, values.get("AWS_ACCESS_KEY_ID", "")} if secret != UNCHECKED else set()
    return sorted({password, quote(password, safe=""), *key} - {""})


def in_the_way(values: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The variables that would win over these, by their names."""
    names = [*_POSTGRES_IN_THE_WAY]
    if "AWS_ENDPOINT_URL" in values:
        names += [*_AWS_IN_THE_WAY, *(n for n in environ if n.startswith("AWS_ENDPOINT_URL_"))]
    elif "AWS_PROFILE" in values:
        names += _KEYS
    return sorted(set(names) - values.keys())


def overlay(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The surroundings of a program that is to use the environment."""
    gone = in_the_way(values, environ)
    before = {f"{BEFORE}{name}": environ[name] for name in _displaced(environ, values)}
    kept = {name: value for name, value in environ.items() if name not in gone}
    return kept | before | dict(values) | {EXPORTED: _exported(environ, values)}


def restore(environ: MutableMapping[str, str]) -> None:
    """Take back what was exported: our own commands work on what was there before.

    What the user has set to something else since then stays.
    """
    for name, value in _read_exported(environ).items():
        if environ.get(name) != value:
            environ.pop(f"{BEFORE}{name}", None)
        elif f"{BEFORE}{name}" in environ:
            environ[name] = environ[f"{BEFORE}{name}"]
        else:
            environ.pop(name, None)


def to_dotenv(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Lines for a `.env` file. What python-dotenv would replace in a value is kept from it."""

    def quoted(value: str) -> str:
        if _PLAIN.fullmatch(value):
            return value
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + escaped.replace("${", "${:-$}{") + "'"

    return "\n".join(f"{name}={quoted(value)}" for name, value in values.items())


def to_shell(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Lines for `eval` in a POSIX shell. What they displace is saved there, and stays unseen."""
    exports = {**values, EXPORTED: _exported(environ, values)}
    return "\n".join(
        [
            *_undoing(environ),
            *(f'export {BEFORE}{name}="${name}"' for name in _displaced(environ, values)),
            f"unset {' '.join(in_the_way(values, environ))}",
            *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
        ]
    )


def to_json(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """One JSON object."""
    return json.dumps(values, ensure_ascii=False)


def to_github(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Lines for the file of $GITHUB_ENV; a value may have lines, but none is its end."""
    end = f"end-{secrets.token_hex(8)}"
    exports = {**values, EXPORTED: _exported(environ, values)}
    return "\n".join(f"{name}<<{end}\n{value}\n{end}" for name, value in exports.items())


Format = Callable[[Mapping[str, str], Mapping[str, str]], str]
FORMATS: dict[str, Format] = {
    "dotenv": to_dotenv,
    "shell": to_shell,
    "json": to_json,
    "github": to_github,
}


def _of_postgres(database: Database) -> dict[str, str]:
    user, password, name = (
        quote(text, safe="") for text in (database.user, database.password, database.name)
    )
    host = f"[{database.host}]" if ":" in database.host else database.host
    login = f"{user}:{password}" if password else user
    tls = "" if database.sslmode == "prefer" else f"?sslmode={database.sslmode}"
    url = f"postgresql://{login}@{host}:{database.port}/{name}{tls}"
    return {"DATABASE_URL": url, **database.variables()}


def _of_aws(aws: Aws) -> dict[str, str]:
    endpoints = {"AWS_ENDPOINT_URL": aws.endpoint or ""}
    if aws.endpoint and aws.dynamodb_endpoint:
        # Apps pass AWS_ENDPOINT_URL to their DynamoDB client; the SDK finds the others by service.
        endpoints = {f"AWS_ENDPOINT_URL_{service}": aws.endpoint for service in _SERVICES}
        endpoints |= {"AWS_ENDPOINT_URL": aws.dynamodb_endpoint}
    return {
        **endpoints,
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "AWS_PROFILE": aws.profile,
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
    }


def _of_cognito(settings: Settings, aws: Aws) -> dict[str, str]:
    if not aws.endpoint:  # on AWS nothing is looked up: the settings name the pool and its client
        return {_POOL: aws.pool_id, _CLIENT: settings.client_id}
    pool = user_pool.find_pool(aws)
    client = app_client.find_client(aws, pool) if pool else None
    return {_POOL: pool or "", _CLIENT: client or "", _PASSWORD: aws.user_password}


def _followed(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str | None]:
    """What we set (None: unset) of all that our own settings, or the SDK below them, look at."""
    gone = [name for name in in_the_way(values, environ) if name in environ]
    changes = {**values, **dict.fromkeys(gone)}
    followed = {name for name in changes if name.startswith(_FOLLOWED)} | set(list_names())
    return {name: changes[name] for name in changes if name in followed}


def _exported(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    return json.dumps(_followed(environ, values))


def _read_exported(environ: Mapping[str, str]) -> dict[str, str | None]:
    try:
        exported = json.loads(environ.get(EXPORTED, "{}"))
    except ValueError:
        return {}
    return exported if isinstance(exported, dict) else {}


def _undoing(environ: Mapping[str, str]) -> Iterator[str]:
    """Lines that do in the shell what `restore` did in `environ`."""
    for name in _read_exported(environ):
        if f"{BEFORE}{name}" in environ:
            yield f'export {name}="${BEFORE}{name}"'
        elif name not in environ:
            yield f"unset {name}"


def _displaced(environ: Mapping[str, str], values: Mapping[str, str]) -> list[str]:
    return [name for name in _followed(environ, values) if name in environ]
