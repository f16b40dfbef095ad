from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st

from scripts.cruddur import conversation_file
from scripts.cruddur.conversation_file import Script
from scripts.errors import DevError

ID = "56eeea25-1ffc-4384-9065-5813ead1c8aa"
GROUP = f"@group {ID}\n"
STARTS = "@starts 2026-03-28T15:00:00+00:00\n"
TALK = "korney: Hello.\nsmirnov: Hello yourself.\n"
HINT = (
    "\nhint: write `@group UUID`, optionally `@starts 2026-03-28T15:00:00+00:00`,"
    " then `handle: text`"
)

# Lines as they stand in a file, and pieces of them: random text alone fails at the first check.
lines = st.sampled_from(
    [
        GROUP,
        STARTS,
        f"@group {UUID(int=2)}\n",
        "@starts 0001-01-01T00:00:00+01:00\n",
        "@starts 9999-12-31T23:59:59+00:00\n",
        "korney: hi\n",
        "smirnov: ho\n",
        "\n",
    ]
)
pieces = st.sampled_from(["@group", "@starts", ID, *" :#ab\n\r\t"]) | st.text(max_size=3)
file_texts = st.text() | st.lists(lines | pieces).map("".join)
offsets = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))
texts = (
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029"))
    .map(str.strip)
    .filter(bool)
)
handles = st.from_regex(r"[a-zёß][a-z0-9_.-]{0,12}", fullmatch=True)


@st.composite
def talks(draw: st.DrawFn) -> Script:
    times = st.datetimes(datetime(1000, 1, 2), datetime(9998, 12, 30), timezones=offsets)
    starts = draw(st.none() | times)
    pair = draw(st.lists(handles, min_size=2, max_size=2, unique=True))
    said = st.lists(st.tuples(st.sampled_from(pair), texts), max_size=5)
    lines = [*((handle, draw(texts)) for handle in pair), *draw(said)]
    return Script(str(draw(st.uuids())), starts, lines)


def write(script: Script) -> str:
    talk = "".join(f"{handle}: {text}\n" for handle, text in script.lines)
    starts = f"@starts {script.starts.isoformat()}\n" if script.starts else ""
    return f"@group {script.group}\n{starts}{talk}"


def refusal(text: str) -> str:
    with pytest.raises(DevError) as error:
        conversation_file.parse("talks.txt", text)
    return str(error.value.message)


def test_the_shipped_file_is_a_long_talk_of_the_first_two_users_that_ends_now() -> None:
    (script,) = conversation_file.read(conversation_file.BUILT_IN, "talks.txt")
    assert len(script.lines) > 100
    assert sorted(script.handles) == ["1", "2"]
    assert script.starts is None


def test_a_file_is_its_conversations_without_comments_and_empty_lines() -> None:
    other = str(UUID(int=2))
    text = (
        f"# two\n\n{GROUP}{STARTS}{TALK}@group {other}\n\n{STARTS}b: 12:30 # sharp\n # a\na:  x \n"
    )
    starts = datetime(2026, 3, 28, 15, tzinfo=UTC)
    assert conversation_file.parse("talks.txt", text) == [
        Script(ID, starts, [("korney", "Hello."), ("smirnov", "Hello yourself.")]),
        Script(other, starts, [("b", "12:30 # sharp"), ("a", "x")]),
    ]


def test_the_first_speaker_is_the_first_handle() -> None:
    (script,) = conversation_file.parse("talks.txt", GROUP + STARTS + "b: 1\na: 2\nb: 3\n")
    assert script.handles == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "talks.txt: it contains no conversation"),
        ("# nothing\n\n", "talks.txt: it contains no conversation"),
        (TALK, "talks.txt:1: a message before its @group"),
        (f"{GROUP}{STARTS}\nHello!\n", "talks.txt:4: not a `handle: text` line: Hello!"),
        (
            f"{GROUP}{STARTS}two words: hi\n",
            "talks.txt:3: not a `handle: text` line: two words: hi",
        ),
        (f"{GROUP}{STARTS}korney:  \n", "talks.txt:3: not a `handle: text` line: korney:"),
        (f"{GROUP}{STARTS}: hi\n", "talks.txt:3: not a `handle: text` line: : hi"),
        (f"{GROUP}{STARTS}{'x' * 90}\n", f"talks.txt:3: not a `handle: text` line: {'x' * 40}"),
        ("\n@group 12\n", "talks.txt:2: 12 is not a uuid"),
        (
            f"{GROUP}@starts 2026-03-28T15:00:00\n",
            "talks.txt:2: 2026-03-28T15:00:00 has no offset such as +00:00",
        ),
        (STARTS, "talks.txt:1: @starts without a @group of its own above it"),
        (
            f"{GROUP}{STARTS}{TALK}{STARTS}",
            "talks.txt:5: @starts without a @group of its own above it",
        ),
        (
            f"{GROUP}{STARTS}{TALK}@group {UUID(int=2)}\n",
            f"talks.txt: {UUID(int=2)} is not a conversation of two users",
        ),
        (f"{GROUP}@group {UUID(int=2)}\n", f"talks.txt: {ID} is not a conversation of two users"),
        (
            f"{GROUP}@starts 0001-01-01T00:00:00+01:00\n",
            "talks.txt:2: 0001-01-01T00:00:00+01:00 is out of range",
        ),
        (f"{GROUP}@starts soon\n", "talks.txt:2: Invalid isoformat string: 'soon'"),
        (f"{GROUP}@starts 2026-13-28T15:00Z\n", "talks.txt:2: month must be in 1..12"),
        (
            f"{GROUP}{STARTS}{TALK}{GROUP.upper().lower()}",
            f"talks.txt:5: the @group {ID} is already in the file",
        ),
        (
            f"{GROUP}{STARTS}{TALK}@group {ID.upper()}\n",
            f"talks.txt:5: the @group {ID} is already in the file",
        ),
        (f"{GROUP}{STARTS}korney: hi\n", f"talks.txt: {ID} is not a conversation of two users"),
        (
            f"{GROUP}{STARTS}{TALK}third: hi\n",
            f"talks.txt: {ID} is not a conversation of two users",
        ),
        (GROUP + STARTS, f"talks.txt: {ID} is not a conversation of two users"),
    ],
)
def test_what_is_broken_is_named_with_its_line(text: str, problem: str) -> None:
    assert refusal(text) == problem + HINT


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "talks.txt").write_text(GROUP + STARTS + TALK, encoding="utf-8-sig")
    assert [
        script.group for script in conversation_file.read(tmp_path / "talks.txt", "talks.txt")
    ] == [ID]


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "FileNotFoundError"), (b"\xff", "UnicodeDecodeError")]
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "talks.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DevError) as error:
        conversation_file.read(path, "talks.txt")
    assert str(error.value.message) == (
        f"talks.txt cannot be read: {reason}\nhint: it must be UTF-8 text"
    )


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(text=file_texts)
def test_any_text_is_conversations_of_two_or_refused(text: str) -> None:
    try:
        scripts = conversation_file.parse("talks.txt", text)
    except DevError:
        return
    assert scripts
    assert all(len(script.handles) == 2 and UUID(script.group) for script in scripts)
    assert len({script.group for script in scripts}) == len(scripts)
    assert all(
        script.starts + timedelta(minutes=len(script.lines)) for script in scripts if script.starts
    )


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    scripts=st.lists(talks(), min_size=1, max_size=3, unique_by=lambda talk: talk.group)
)
def test_what_is_written_as_a_conversation_is_read_as_it(scripts: list[Script]) -> None:
    assert conversation_file.parse("talks.txt", "".join(map(write, scripts))) == scripts
