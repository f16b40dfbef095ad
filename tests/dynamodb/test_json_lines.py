import gzip
import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from scripts.dynamodb import json_lines
from scripts.errors import DevError

ITEM = {"pk": {"S": "p"}, "sk": {"S": "Håkansson 🌬️"}}
LINE = json_lines.to_line(ITEM)

values: st.SearchStrategy[Any] = st.recursive(
    st.text().map(lambda text: {"S": text})
    | st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: {"N": str(number)})
    | st.booleans().map(lambda truth: {"BOOL": truth}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: {"L": parts})
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(lambda parts: {"M": parts})
    ),
    max_leaves=8,
)


def failure(path: Path) -> str:
    with pytest.raises(DevError) as caught:
        list(json_lines.read(json_lines.list_parts(path)))
    return str(caught.value.message)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_a_line_gives_its_item_back(item: dict[str, Any]) -> None:
    line = json_lines.to_line(item) if _is_utf8(item) else json.dumps({"Item": item}).encode()
    assert json_lines.parse(line) == item
    assert b"\n" not in line


def _is_utf8(item: dict[str, Any]) -> bool:
    try:
        return bool(json.dumps(item, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return False


@hypothesis.given(
    st.binary()
    | st.text().map(str.encode)
    | st.lists(st.sampled_from([b'{"Item":', b"{", b"}", b"[", b'"', b"1", b"NaN", b","])).map(
        b"".join
    )
)
def test_any_bytes_are_an_item_or_a_reason(text: bytes) -> None:
    try:
        item = json_lines.parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(item, dict)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"Item": {"a": NaN}}', "not JSON: NaN is not JSON at column 1"),
        (b'{"Item": {"pk":', "not JSON: Expecting value at column 16"),
        (b'{"Item": []}', 'not an item: write {"Item": {...}}'),
        (b'{"Item": {}, "Key": {}}', 'not an item: write {"Item": {...}}'),
        (b'{"Item": "\xff"}', "not UTF-8 text"),
        (b"[" * 100_000, "not an item: nested too deeply"),
        (b" " * json_lines.LONGEST_LINE, "the line is longer than any item"),
    ],
)
def test_what_is_no_item_has_its_reason(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        json_lines.parse(text)
    assert str(caught.value) == reason


def test_a_byte_order_mark_is_no_part_of_the_item() -> None:
    assert json_lines.parse(b"\xef\xbb\xbf" + LINE) == ITEM


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_plain_and_gzip_are_read_whatever_the_name(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "items"
    path.write_bytes(pack(b"\n".join([LINE, b"", b"  ", LINE])))
    lines = list(json_lines.read([path]))
    assert [(line.number, line.text.strip()) for line in lines] == [(1, LINE), (4, LINE)]
    assert lines[-1].done == 1.0
    assert lines[-1].place == f"{path}:4"


def test_reading_goes_on_after_the_lines_that_are_skipped(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(b"".join(b'"%d"\n' % number for number in range(3)))
    lines = list(json_lines.read(json_lines.list_parts(tmp_path), skip=4))
    assert [(line.path.name, line.number, line.ordinal) for line in lines] == [
        ("b.json", 2, 5),
        ("b.json", 3, 6),
    ]


def test_a_folder_as_aws_exports_it_is_read_without_its_manifests(tmp_path: Path) -> None:
    data = tmp_path / "AWSDynamoDB" / "01-abc" / "data"
    data.mkdir(parents=True)
    (data / "x.json.gz").write_bytes(gzip.compress(LINE))
    for name in ("manifest-files.json", "manifest-summary.json", "manifest-summary.md5"):
        (data.parent / name).write_text("{}")
    (data.parent / "_started").touch()
    assert json_lines.list_parts(tmp_path) == [data / "x.json.gz"]


def test_a_line_of_gigabytes_would_not_be_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_bytes(b"x" * (3 * json_lines.LONGEST_LINE) + b"\n" + LINE)
    lines = list(json_lines.read([path]))
    assert [line.number for line in lines] == [1, 2]
    assert len(lines[0].text) == json_lines.LONGEST_LINE
    assert json_lines.parse(lines[1].text) == ITEM


def test_a_gzip_that_was_cut_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "items.json.gz"
    path.write_bytes(gzip.compress(b"\n".join([LINE] * 1000))[:-30])
    assert failure(path).startswith(f"{path}:")
    assert ": the rest of the file cannot be read: Compressed file ended" in failure(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert failure(tmp_path / "nope") == (
        f"there is no file or folder {tmp_path / 'nope'}"
        "\nhint: create such files with: ./invoke ddb.export TABLE PATH"
    )


def test_a_folder_without_items_is_named(tmp_path: Path) -> None:
    assert failure(tmp_path).startswith(f"{tmp_path} contains no file of items")


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "items.json"

    def broken() -> Any:
        yield LINE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        json_lines.write_file(path, broken())
    assert not path.exists()


def test_parts_hold_every_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", 500)
    lines = [b'{"Item":{"n":{"N":"%d"}}}' % number for number in range(100)]
    parts = dict(json_lines.write_parts(tmp_path, lines))
    assert len(parts) > 3
    assert sum(parts.values()) == 100
    assert [line.text.strip() for line in json_lines.read(sorted(parts))] == lines
