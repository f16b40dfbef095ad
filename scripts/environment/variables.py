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
from scripts.settings import BEGIN, BLOCK, END, Settings, list_names, without_block
from scripts.targets import UNCHECKED, Aws, Database

# What `env` exported, so that this tool's commands ignore it, and the values it replaced.
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
    app = settings.app
    ours: dict[str, str] = {}
    if "postgres" in app.services:
        ours |= _of_postgres(database or stacks.get_database(settings))
    if "aws" in app.services:
        aws = stacks.get_aws(settings)
        ours |= _of_aws(aws) | (_of_cognito(settings, aws) if app.cognito else {})
    return {name: value for name, value in ours.items() if value}


def _rename(app: App, values: dict[str, str]) -> dict[str, str]:
    """Apply [env]: `${NAME}` inserts a variable, `false` removes one."""

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
    shell.replace_process(command, lend(settings, os.environ))


def lend(
    settings: Settings, environ: Mapping[str, str], database: Database | None = None
) -> dict[str, str]:
    """The variables of a program that uses the environment; its psql and pg_dump fit the server."""
    lent = overlay(environ, collect(settings, database))
    where = stacks.targets(settings)
    # The embedded ones have no TLS, which production requires.
    fitting = where.database.postgres_home or where.mock
    if fitting and "postgres" in settings.app.services:
        programs = shell.postgres_home(where.database.postgres_home) / "bin"
        lent["PATH"] = f"{programs}{os.pathsep}{lent.get('PATH') or os.defpath}"
    return lent


def describe(settings: Settings) -> list[str]:
    """The addresses of what runs: the services, without secrets, and the pages, with their key."""
    pages = [f"pages:     {address}" for address in list_pages(settings)]
    try:
        values = _collect_own(settings)
    except DevError:
        return pages
    database = stacks.targets(settings).database
    password = values.get(_POOL) and values.get(_PASSWORD)
    user = quote(database.user, safe="")
    url = f"postgresql://{user}@{database.host}:{database.port}/{database.name}"
    lines = {
        "database": "PGHOST" in values and url,
        "AWS": values.get("AWS_ENDPOINT_URL")
        or ("AWS_REGION" in values and f"region {settings.aws_region}"),
        "user pool": values.get(_POOL, ""),
        "client": values.get(_CLIENT, ""),
        "sign-in": password and f"every user with the password {password}",
    }
    return [f"{name + ':':10} {value}" for name, value in lines.items() if value] + pages


def list_pages(settings: Settings) -> list[str]:
    """The addresses of the pages of this stack that are served now, each with its key.

    The server of the pages holds its file locked: what a killed one left behind is not locked.
    """
    files = state.list_files(settings.state, f"pages-{settings.stack}-*.html")
    return re.findall(r'href="([^"]+)', "".join(state.read_locked(file) or "" for file in files))


def export(
    settings: Settings, form: str, environ: Mapping[str, str], path: Path | None = None
) -> None:
    """Write the variables in one of FORMATS; for `github`, add them to the job if there is one.

    With a path, they are written to that file, mode 0600, whole or not at all; lines of others in
    it are kept. Raises DevError if the environment does not run.
    """
    ours = _collect_own(settings)
    values = _rename(settings.app, ours)
    text = FORMATS[form](environ, values)
    if settings.app.cognito and "AWS_REGION" in ours and _POOL not in ours:
        error = user_pool.no_pool(stacks.targets(settings).aws)
        output.say(f"{_POOL} is left out: {error.reason}; next: {error.hint}")
    if path:
        after = _save(path, form, text, values)
        output.say(f"wrote {len(values)} variables to {path}")
        later = re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", after, re.M)
        if winning := [name for name in values if name in later]:
            output.say(f"lines below them in {path} override: {', '.join(winning)}")
        return
    if form != "github" or not environ.get("GITHUB_ENV"):
        output.write(text)
        return
    output.write_commands(line for secret in secret_values(ours) for line in github.mask(secret))
    github.append(environ, "GITHUB_ENV", text)
    output.say(f"{len(values)} variables added to the job")
    if winning := [name for name in in_the_way(values, environ) if name in environ]:
        output.say(f"these variables of the job may override them: {', '.join(winning)}")


def _save(path: Path, form: str, text: str, values: Mapping[str, str]) -> str:
    """Write the variables to a file, in place of the former ones; the text that follows them."""
    if path.is_symlink():
        target = f"./invoke env --format {form} --output {shlex.quote(str(path.resolve()))}"
        raise DevError(f"{path} is a symbolic link, which is not followed", target)
    try:
        if path.exists() and not path.is_file():  # a pipe would not end
            raise OSError(0, "it is not a file")
        old = path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}"
        raise DevError(reason, "name another file with --output") from None
    if form not in ("dotenv", "shell"):  # which have no comments
        if old and _is_foreign(old, values):
            reason = f"{path} contains more than the variables that env writes"
            raise DevError(reason, "name another file with --output")
        state.write(path, text + "\n")
        return ""
    without_block(path.name, old)
    end = "\r\n" if "\r\n" in old else "\n"
    begin = f"{BEGIN} --output: written again each time; add your lines outside of this block"
    block = "\n".join((begin, text, END, "")).replace("\n", end)
    kept = BLOCK.split(old)
    first = kept[0] if not kept[0] or kept[0].endswith("\n") else kept[0] + end
    state.write(path, first + block + "".join(kept[1:]))
    return "".join(kept[1:])


def _is_foreign(text: str, values: Mapping[str, str]) -> bool:
    """True if a text is not a JSON object with variables of this tool alone."""
    try:
        names = dict.fromkeys(json.loads(text), "")
    except (ValueError, TypeError):
        return True
    return bool(names.keys() - {*values, *in_the_way(values, names)})


def list_secrets(settings: Settings) -> list[str]:
    """The secret values, which no log or page may show."""
    return secret_values(_collect_own(settings))


def secret_values(values: Mapping[str, str]) -> list[str]:
    """The secret values: password (plain and URL-quoted) and AWS keys."""
    password, secret = values.get("PGPASSWORD", ""), values.get("AWS_SECRET_ACCESS_KEY", "")
    key = {secret, values.get("AWS_ACCESS_KEY_ID", "")} if secret != UNCHECKED else set()
    return sorted({password, quote(password, safe=""), *key} - {""})


def in_the_way(values: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The variables that would win over these, by their names."""
    names = [*_POSTGRES_IN_THE_WAY]
    if values.get("PGSSLMODE") == "disable":  # libpq refuses direct negotiation, for example
        names += [name for name in environ if name.startswith("PGSSL")]
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
    """Undo what `env` exported: this tool's commands use the values from before.

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
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "${:-$}{")
        return "'" + github.without_commands(escaped, environ, "${:-}") + "'"

    return "\n".join(f"{name}={quoted(value)}" for name, value in values.items())


def to_shell(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Lines for `eval` in a POSIX shell. What they displace is saved there, and stays unseen."""
    exports = {**values, EXPORTED: _exported(environ, values)}

    def quoted(value: str) -> str:
        return github.without_commands(shlex.quote(value), environ, "''")

    return "\n".join(
        [
            *_undoing(environ),
            *(f'export {BEFORE}{name}="${name}"' for name in _displaced(environ, values)),
            f"unset {' '.join(in_the_way(values, environ))}",
            *(f"export {name}={quoted(value)}" for name, value in exports.items()),
        ]
    )


def to_json(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """One JSON object."""
    return output.to_json(values)


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
    url = f"postgresql://{login}@{host}:{database.port}/{name}?sslmode={database.sslmode}"
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
    password = aws.user_password if settings.app.users else ""
    return {_POOL: pool or "", _CLIENT: client or "", _PASSWORD: password}


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
