"""The manual says what the code does: its tables are the code's, its commands run."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import app, settings
from tests.conftest import PROJECT, Checkout, clean_environment, remove_state
from tests.test_architecture import TASKS

MAP = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
GENERATED = ("docs/app.md", "docs/tasks.md", "docs/settings.md", ".env.example")
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])
TRIED = ("README.md", "docs/tutorial.md", "docs/adding.md")
NOT_HERE = "# not run here: "
MOST_NOT_HERE = 3
BLOCK_SECONDS = 120
README_LINES = 120
PROBLEMS = 15
PHRASES = (  # of the style guide's left column, and its private metaphors
    *("mend", "storey", "the house", "begin anew", "goes forward", "tells them nobody"),
    *("goes on where it was", "half-way", "asks the live target", "where there is nothing to do"),
    *("what lists something", "talk to stderr", "2 mistyped", "most wanted", "none is needed"),
    *(
        "acts freely",
        "our own mark",
        "rather in containers",
        "lives in the things",
        "served through",
    ),
    *("tells what", "none fails", "for good", "who provides", "mock data", "clients or not"),
    *("undo comes back", "let my address in", "into which one", "where nobody says", "be harmless"),
    *(
        "one file a table",
        "tells my",
        "killed meanwhile",
        "goes to that one",
        "comes back by itself",
    ),
    *("what helps", "be somebody else", "of ours", "ids are the pool's"),
)


def blocks(page: str) -> list[str]:
    """The blocks of commands on a page that can run in a test."""
    found = re.findall(r"^```sh\n(.*?)^```$", (PROJECT / page).read_text(), flags=re.M | re.S)
    return [block for block in found if not block.startswith(NOT_HERE)]


def find_phrases(text: str) -> list[str]:
    """The phrases in a text, whatever its line breaks."""
    words = " ".join(text.lower().split())
    return [one for one in PHRASES if re.search(rf"\b{re.escape(one)}\b", words)]


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages made anew, by a process of its own: the tasks' help is read once."""
    folder = tmp_path_factory.mktemp("manual")
    (folder / "docs").mkdir()
    subprocess.run([sys.executable, "-m", "tests.manual", folder], cwd=PROJECT, check=True)
    return folder


@pytest.mark.parametrize("page", GENERATED)
def test_generated_pages_are_what_the_code_says(page: str, generated: Path) -> None:
    assert (PROJECT / page).read_text() == (generated / page).read_text(), (
        ".venv/bin/python -m tests.manual writes them anew"
    )


def test_the_page_of_tasks_has_every_task_that_was_asked_for() -> None:
    named = re.findall(
        r"^- \*\*`([a-z0-9.-]+)", (PROJECT / "docs/tasks.md").read_text(), flags=re.M
    )
    assert set(named) >= TASKS


def test_every_path_that_the_architecture_names_exists() -> None:
    rows = re.findall(r"^\| [^|`].* \| (`.*`[^|]*) \|$", MAP, flags=re.M)
    paths = [path for row in rows for path in re.findall(r"`([a-z/_]+/[a-z_]+(?:\.py)?)/?`", row)]
    assert len(rows) >= 15
    assert [path for path in paths if not (PROJECT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_task_that_a_page_names_is_there(page: Path) -> None:
    named = set(
        re.findall(r"\./invoke(?: --stack \w+)? ([a-z][a-z0-9.-]*[a-z0-9])", page.read_text())
    )
    known = re.findall(
        r"^- \*\*`([a-z0-9.-]+)", (PROJECT / "docs/tasks.md").read_text(), flags=re.M
    )
    assert named - set(known) == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", [*PAGES, PROJECT / ".env.example"], ids=name)
def test_a_page_has_no_phrase_that_the_style_guide_replaces(page: Path) -> None:
    assert find_phrases(page.read_text()) == []


def test_no_task_or_option_has_such_a_phrase_in_its_help() -> None:
    shown = subprocess.run(
        [sys.executable, "tasks.py", "--help"],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    helps = [field.metadata["help"] for field in settings.declared()]
    keys = [key.metadata["help"] for section in app.SECTIONS.values() for key in app.keys(section)]
    assert find_phrases("\n".join([shown.stdout, *helps, *keys])) == []


def test_a_phrase_is_found_across_lines() -> None:
    assert find_phrases("It can begin\n  anew, and Mend it; amend and bookmend") == [
        "mend",
        "begin anew",
    ]


def test_the_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= README_LINES


def test_every_page_is_in_the_index() -> None:
    index = (PROJECT / "docs" / "README.md").read_text()
    pages = {page.name for page in PROJECT.glob("docs/*.md")} - {"README.md"}
    assert pages - set(re.findall(r"\]\(([a-z]+\.md)\)", index)) == set()


def test_the_changes_begin_with_this_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    changes = (PROJECT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changes, flags=re.M)[0] == version


def test_the_messages_in_troubleshooting_are_in_the_code() -> None:
    page = (PROJECT / "docs" / "troubleshooting.md").read_text()
    titles = re.findall(r"^### `(.*)`$", page, flags=re.M)
    assert len(titles) >= PROBLEMS
    code = (PROJECT / "invoke").read_text() + "".join(
        path.read_text() for path in PROJECT.glob("scripts/**/*.py")
    )
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # strings that are continued on the next line
    parts = [part for title in titles for part in re.split(r"[A-Z_]{3,}(?:=\S*)?|\.\.\.", title)]
    assert [part for part in parts if part.strip() and part.strip() not in code] == []


def test_few_commands_are_not_tried() -> None:
    untried = "".join(page.read_text() for page in PAGES).count(f"\n```sh\n{NOT_HERE}")
    assert untried <= MOST_NOT_HERE


@pytest.mark.parametrize("page", TRIED)
def test_every_command_of_a_page_runs(page: str, new_checkout: Callable[[str], Checkout]) -> None:
    """In order, in a fresh copy whose path has a space."""
    root = with_launcher(new_checkout(f"{Path(page).stem} copy").root)
    assert blocks(page)
    try:
        run_blocks(page, root)
    finally:
        for description in root.parent.glob("*/app.toml"):  # apps that the page made beside it
            remove_state(description.parent)


def run_blocks(page: str, root: Path) -> None:
    for block in blocks(page):
        done = subprocess.run(
            ["sh", "-euc", block],
            cwd=root,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


def with_launcher(root: Path) -> Path:
    """The copy with ./invoke, and a .venv that it takes for its own: installing is another test."""
    for part in ("invoke", "requirements.txt"):
        (root / part).write_bytes((PROJECT / part).read_bytes())
    (root / "invoke").chmod(0o755)
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for program, words in (("python", ""), ("invoke", " -m invoke")):
        path = programs / program
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        path.chmod(0o755)
    (root / ".venv" / ".root").write_text(f"{root.resolve()}\n")
    (root / ".venv" / ".installed").write_bytes((PROJECT / "requirements.txt").read_bytes())
    return root
