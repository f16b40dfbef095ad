"""Files of items as AWS exports and imports them: one `{"Item": {...}}` a line, plain or gzip."""

import base64
import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from scripts.errors import DevError

ENDINGS = (".json", ".jsonl", ".gz")
LONGEST_LINE = 4_000_000  # the text of an item, which may have 400 KB, at its most verbose
PART_BYTES = 64_000_000  # of uncompressed text in one part of a folder
LARGEST_ITEM = 400 * 1024
_GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """A line of a file.

    `ordinal` counts the lines of all files, from 1; `done` is the share of all bytes that were read
    with it, 0 to 1.
    """

    path: Path
    number: int
    ordinal: int
    text: bytes
    done: float

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.path}:{self.number}"


def is_file_name(path: Path) -> bool:
    """Is this the name of one file of items? Else it is a folder's."""
    return path.name.endswith(ENDINGS)


def is_gzip(path: Path) -> bool:
    """Does the file begin as a gzip file does?"""
    with path.open("rb") as raw:
        return raw.read(2) == _GZIP


def list_parts(path: Path) -> list[Path]:
    """The file itself, or every file of items below a folder, by name. Raises DevError for none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DevError(
            f"there is no file or folder {path}",
            "create such files with: ./invoke ddb.export TABLE PATH",
        )
    parts = [
        part
        for part in sorted(path.rglob("*"))
        if is_file_name(part) and part.is_file() and not part.name.startswith((".", "manifest-"))
    ]
    if not parts:
        raise DevError(
            f"{path} contains no file of items", f"their names end in {', '.join(ENDINGS)}"
        )
    return parts


def read(parts: list[Path], skip: int = 0) -> Iterator[Line]:
    """Every line of the parts that is not empty; the first `skip` lines of all are passed over.

    Raises DevError, with the place, where a file cannot be read to its end.
    """
    total = sum(part.stat().st_size for part in parts) or 1
    before = seen = 0
    for part in parts:
        number = 0
        try:
            with part.open("rb") as raw:
                for number, text in enumerate(_lines(raw), start=1):
                    seen += 1
                    if seen > skip and not text.isspace():
                        yield Line(part, number, seen, text, (before + raw.tell()) / total)
        except (OSError, EOFError, zlib.error) as error:
            raise DevError(
                f"{part}:{number + 1}: the rest of the file cannot be read: {error}",
                "create the file again; the items before this line were read",
            ) from None
        before += part.stat().st_size


def parse(text: bytes) -> dict[str, Any]:
    """The item of a line. Raises ValueError, with the reason, where the line is none."""
    if len(text) >= LONGEST_LINE:
        raise ValueError("the line is longer than any item")
    try:
        value = _decode(text.decode("utf-8-sig" if text.startswith(b"\xef\xbb\xbf") else "utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("not an item: nested too deeply") from None
    if not isinstance(value, dict) or value.keys() != {"Item"} or type(value["Item"]) is not dict:
        raise ValueError('not an item: write {"Item": {...}}')
    item: dict[str, Any] = value["Item"]
    return item


def to_line(item: dict[str, Any]) -> bytes:
    """An item of DynamoDB's own form as a line, without its end."""
    return _encode({"Item": item}).encode()


def write_file(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines into a file, gzip where its name ends in .gz; it has its name when it is whole.

    Returns how many lines there were.
    """
    draft = path.with_name(f"{path.name}.tmp")
    count = 0
    with draft.open("wb") as raw, _writer(path, raw) as file:
        for count, line in enumerate(lines, start=1):  # noqa: B007
            file.write(line + b"\n")
    draft.replace(path)
    return count


def write_parts(folder: Path, lines: Iterable[bytes]) -> Iterator[tuple[Path, int]]:
    """Write lines into gzip parts of a folder; each part, once it is whole, and its lines."""
    source = iter(lines)
    for number, first in enumerate(source):
        part = folder / f"part-{number:05}.json.gz"
        yield part, write_file(part, _up_to(PART_BYTES, first, source))


def _up_to(most: int, first: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    size = len(first)
    yield first
    while size < most and (line := next(source, None)) is not None:
        size += len(line)
        yield line


def _writer(path: Path, raw: IO[bytes]) -> contextlib.AbstractContextManager[Any]:
    """A compressing file, without name and time, so that the same lines make the same bytes."""
    if path.suffix == ".gz":
        return gzip.GzipFile("", "wb", 6, raw, mtime=0)
    return contextlib.nullcontext(raw)


def _lines(raw: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, plain or gzip by its first bytes; past the limit a line is cut."""
    is_packed = raw.read(2) == _GZIP
    raw.seek(0)
    file: Any = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20) if is_packed else raw
    for text in iter(partial(file.readline, LONGEST_LINE), b""):
        yield text
        rest = text
        while len(rest) == LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE)


def _reject(constant: str) -> None:
    raise json.JSONDecodeError(f"{constant} is not JSON", constant, 0)


_decode = json.JSONDecoder(parse_constant=_reject).decode
_encode = json.JSONEncoder(
    ensure_ascii=False,
    separators=(",", ":"),
    default=lambda binary: base64.b64encode(bytes(binary)).decode(),
).encode
