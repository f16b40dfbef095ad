import ast
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.executor import Executor
from invoke.tasks import Call, Task

from tests.conftest import PROJECT, Checkout, clean_environment

SCRIPTS = PROJECT / "scripts"

FOUNDATION = {"errors", "targets", "settings", "app"}


def read_layers() -> dict[str, set[str]]:
    """What each folder of scripts/ may import, by the table in docs/architecture.md."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/?` \| .* \| ?(.*) \|$", text, flags=re.M)
    below = {"everything below": {name for name, _ in rows}}
    return {name: below.get(may) or {*may.split(", ")} | FOUNDATION for name, may in rows}


LAYERS = read_layers()

SDKS = {"boto3", "botocore", "docker", "flask", "ministack", "psutil", "psycopg2", "rich"}

TASKS = {
    "setup", "reset", "undo", "up", "down", "status", "logs", "check", "doctor", "env", "test",
    "ci", "timeline", "web", "bench", "screenshots", "completion",
    "db.create", "db.drop", "db.schema-load", "db.seed", "db.setup", "db.reset", "db.connect",
    "db.sessions", "db.kill-sessions", "db.load",
    "ddb.schema-load", "ddb.list-tables", "ddb.drop", "ddb.seed", "ddb.scan",
    "ddb.load", "ddb.export", "ddb.import", "ddb.export-to-s3",
    "ddb.patterns.list-conversations", "ddb.patterns.get-conversation",
    "ddb.patterns.send-message", "ddb.patterns.start-conversation",
    "cognito.create-pool", "cognito.create-users", "cognito.list-users", "cognito.sync",
    "rds.update-sg-rule",
    "snapshot.save", "snapshot.list", "snapshot.restore", "snapshot.delete",
}  # fmt: skip


CODE = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in [PROJECT / "tasks.py", *sorted(SCRIPTS.rglob("*.py"))]
}
MODULES = sorted(CODE.keys() - {"tasks", "scripts"})


def imported(module: str) -> set[str]:
    """Every name that a module imports, also inside its functions, with the module it is from."""
    names: set[str] = set()
    for node in ast.walk(CODE[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names}
    return names


def folder(name: str) -> str:
    return name.split(".")[1]


def test_every_folder_is_in_the_table() -> None:
    assert {folder(module) for module in MODULES} == LAYERS.keys()


def test_the_table_names_a_folder_before_those_it_may_import() -> None:
    order = list(LAYERS)
    upwards = [
        (name, other)
        for name, may in LAYERS.items()
        for other in may - FOUNDATION - {""}
        if order.index(other) < order.index(name)
    ]
    assert upwards == []


def test_tasks_py_only_assembles() -> None:
    assert len((PROJECT / "tasks.py").read_text().splitlines()) < 150


@pytest.mark.parametrize("package", [path.parent for path in SCRIPTS.rglob("__init__.py")])
def test_the_docstring_of_a_folder_names_its_modules(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    assert text
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    if package != SCRIPTS:
        assert [module for module in sorted(modules) if module not in text] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_folder_imports_what_the_table_allows(module: str) -> None:
    others = {folder(name) for name in imported(module) if name.startswith("scripts.")}
    assert others - LAYERS[folder(module)] - {folder(module)} == set()


def test_imports_name_the_whole_way() -> None:
    names = {name for module in CODE for name in imported(module)}
    assert "scripts.errors.DevError" in names
    assert not [name for name in names if name.startswith((".", "tasks", "tests"))]


def test_nobody_outside_the_stacks_knows_one_of_them() -> None:
    names = {module.split(".")[2] for module in MODULES if module.startswith("scripts.stacks.")}
    shared = {"passwords", "ports", "processes", "versions"}
    one = tuple(f"scripts.stacks.{name}" for name in names - shared)
    outside = [module for module in CODE if not module.startswith("scripts.stacks")]
    known = {
        module: [name for name in imported(module) if name.startswith(one)] for module in outside
    }
    assert one
    assert not any(known.values()), known


def test_the_pages_build_no_client_and_only_they_know_flask() -> None:
    pages = {module for module in MODULES if folder(module) == "web"}
    asked = {name.split(".")[1] for module in pages for name in imported(module) if "." in name}
    assert "environment" in asked
    assert not asked & {"clients", "shell"}
    flask = {module for module in CODE if any("flask" in name for name in imported(module))}
    assert flask
    assert flask <= pages


@pytest.mark.parametrize(
    "words",
    [(), ("--list",), ("--complete", "--", "invoke"), ("--complete", "--", "invoke", "up", "-")],
)
def test_listing_and_completion_import_no_sdk(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "tasks.py", *words],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.stdout
    assert "scripts.tasks.environment" in names
    assert "scripts.environment.setup" not in names
    assert not SDKS & {name.partition(".")[0] for name in names}


@pytest.fixture(scope="module")
def namespace() -> Iterator[Collection]:
    handler = signal.getsignal(signal.SIGINT)
    from tasks import ns

    yield ns
    signal.signal(signal.SIGINT, handler)


def all_tasks(namespace: Collection) -> dict[str, Task[Any]]:
    return {name: namespace[name] for name in namespace.task_names}


def test_every_task_that_was_asked_for_is_there(namespace: Collection) -> None:
    assert TASKS - set(namespace.task_names) == set()


def test_every_task_says_in_a_line_what_it_does(namespace: Collection) -> None:
    lines = {name: task.__doc__ for name, task in all_tasks(namespace).items()}
    assert not [name for name, line in lines.items() if not line or not line.splitlines()[0]]


def test_every_option_has_a_help(namespace: Collection) -> None:
    options = [
        (name, argument)
        for name, task in all_tasks(namespace).items()
        for argument in task.get_arguments()
    ]
    assert len(options) > len(TASKS)
    assert not [(name, argument.name) for name, argument in options if not argument.help]


def test_no_task_is_taken_for_another(namespace: Collection) -> None:
    calls = [Call(task) for task in all_tasks(namespace).values()]
    assert Executor(namespace).dedupe([*calls, calls[0]]) == calls


def test_pipelines_run_beside_those_of_the_same_name(
    checkout: Checkout, namespace: Collection
) -> None:
    names = [
        name
        for name, task in all_tasks(namespace).items()
        if "plan" in {argument.name for argument in task.get_arguments()}
        and not task.positional
        and name != "undo"
    ]
    assert {"setup", "db.setup", "db.seed", "ddb.seed"} <= set(names)
    assert checkout.run("--dry", *names).stdout.count("STEP ") == len(names)


def test_no_function_is_longer_than_50_lines() -> None:
    functions = {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES
        for node in ast.walk(CODE[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in functions.items() if length > 50} == {}
