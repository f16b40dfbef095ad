"""Every command that a message of the code names exists, and its values and options are valid."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli import arguments
from scripts.cli.program import DevProgram
from scripts.errors import UsageError, with_option
from tests.conftest import PROJECT

ANY = "embedded"  # stands for a value in an f-string: a text, and also the name of a stack
SOURCES = sorted((PROJECT / "scripts").rglob("*.py"))
# A command ends at a punctuation mark, and in messages that are no hints at one of these verbs.
COMMAND = re.compile(
    r"\./invoke ([a-z-].*?)(?=[;,()\n?]| creates | records | starts | shows |   |$)"
)


def list_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that are no docstrings; values in f-strings are replaced."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.Module | DEFINITIONS))
    docs = {body[0].value for body in bodies if isinstance(body[0], ast.Expr)}
    parts = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(map(to_text, node.values))
        elif isinstance(node, ast.Constant) and node not in docs | parts:
            yield node.lineno, to_text(node)


DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def to_text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ANY


def list_commands() -> list[tuple[str, list[str]]]:
    """The place and the words of each command."""
    return [
        (f"{path.relative_to(PROJECT)}:{line}", words.replace("'", "").split())
        for path in SOURCES
        for line, text in list_texts(path)
        for words in COMMAND.findall(text)
        if "made by ./invoke" not in text  # the ownership tag
    ]


COMMANDS = list_commands()


def find_problem(words: list[str]) -> str:
    """Why a command would be a usage error, "" if it would not."""
    from tasks import ns

    known = {str(context.name): context for context in ns.to_contexts()}
    core = DevProgram(ns).initial_context
    try:
        arguments.read(words, core, known, {"db.connect", "ci", "run"})
    except UsageError as error:
        return error.message
    return ""


def test_messages_name_commands() -> None:
    assert len(COMMANDS) > 40
    assert {"up", "db.reset", "ddb.drop"} <= {words[0] for _, words in COMMANDS if words}


@pytest.mark.parametrize(
    ("place", "words"), COMMANDS, ids=[f"{place} {' '.join(words)}" for place, words in COMMANDS]
)
def test_a_command_in_a_message_is_valid(place: str, words: list[str]) -> None:
    if words[0] != ANY:  # any task
        assert find_problem(words) == ""


@pytest.mark.parametrize("words", [["nope"], ["ddb.drop"], ["up", "--nope"], ["setup", "and", "x"]])
def test_an_invalid_command_would_be_found(words: list[str]) -> None:
    assert find_problem(words)


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("./invoke up", "./invoke --stack docker up"),
        ("./invoke ddb.drop x ddb.seed", "./invoke --stack docker ddb.drop x ddb.seed"),
        ("or: ./invoke setup --stack embedded", "or: ./invoke setup --stack embedded"),
        ("write something", "write something"),
        ("use ./invoke", "use ./invoke"),
    ],
)
def test_the_commands_of_a_hint_get_the_stack_that_was_given(hint: str, shown: str) -> None:
    assert with_option(hint, "--stack docker") == shown
    assert with_option(hint, "") == hint
