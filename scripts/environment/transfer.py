"""Loads and exports from the command line: where they resume after a kill, what they print."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts import stacks, state
from scripts.cli import output, progress
from scripts.dynamodb import bulk_load, json_lines, parallel_scan, s3, tables
from scripts.dynamodb.bulk_load import Rejected, Tally, Writer
from scripts.environment import ddb_steps
from scripts.errors import DevError, count
from scripts.postgres import csv_load, databases
from scripts.settings import Settings
from scripts.targets import Aws


@dataclass(frozen=True)
class Checkpoint:
    """How far a load of these very files into this very table is, in `.dev/loads`."""

    path: Path

    @property
    def rejects(self) -> Path:
        """The lines that could not be written, with their places and reasons."""
        return self.path.with_suffix(".rejected.jsonl")

    def read(self) -> Tally:
        """What is done already; the rejects of what is not are forgotten."""
        saved = json.loads(state.read(self.path) or "{}")
        with self.rejects.open("ab") as file:
            file.truncate(saved.pop("rejected_bytes", 0))
        return Tally(**saved)

    def save(self, tally: Tally, rejected: Sequence[Rejected]) -> None:
        """Note what is done, whole or not at all."""
        with self.rejects.open("ab") as file:
            for one in rejected:
                text = one.line.text.decode(errors="replace").rstrip("\r\n")
                entry = {"at": one.line.place, "why": one.reason, "line": text}
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            size = file.tell()
        state.write(self.path, json.dumps(asdict(tally) | {"rejected_bytes": size}))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second load of the same files into the same table out."""
        with self.path.with_suffix(".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DevError("this load is already running", "wait for it") from None
            yield
            Path(file.name).unlink()


def load(settings: Settings, path: Path, table: str, rate: int | None) -> None:
    """Load files of items into a table, from where the last try was ended.

    Raises DevError, once all others are written, when lines could not be written.
    """
    aws = stacks.get_aws(settings)
    description = tables.get_table(aws, table)
    parts = json_lines.list_parts(path)
    checkpoint = _checkpoint(settings, description, parts)
    with checkpoint.locked():
        tally = checkpoint.read()
        if tally.lines:
            lines, items = count(tally.lines, "line"), count(tally.acknowledged, "item")
            output.say(f"resumes after {lines}, {items}")
        meter = bulk_load.find_meter(aws, description, rate)
        if meter and not rate:
            output.say(f"at most {meter}, of the capacity; to set it: --rate N")
        writer = Writer(aws, description, meter, tally)
        try:
            with progress.count("item", tally.acknowledged) as show:
                done = writer.run(json_lines.read(parts, skip=tally.lines), checkpoint.save, show)
        except DevError as error:
            raise DevError(error.reason, f"{error.hint}; the same command resumes") from None
        except SystemExit:  # Ctrl-C
            lines = count(writer.tally.lines, "line")
            output.say(f"stopped; the same command resumes after {lines}")
            raise
        checkpoint.path.unlink(missing_ok=True)
    _report(table, path, done, checkpoint.rejects)


def load_rows(settings: Settings, path: Path, table: str) -> None:
    """Load a CSV file into a table of Postgres."""
    database = stacks.get_database(settings)
    with progress.count("row") as show, ThreadPoolExecutor(1) as pool:
        running = pool.submit(databases.load_rows, database, path, table)
        while not wait([running], timeout=0.5).done:
            if copied := csv_load.find_progress(database, path):
                show(*copied)
        done = running.result()
    rows = count(done.inserted, "new row")
    output.say(f"{table} has {rows} from {path}; {done.already_there:,} already existed")


def export(settings: Settings, table: str, path: Path) -> None:
    """Write every item of a table into a file, or into parts in a folder; named when whole."""
    aws = stacks.get_aws(settings)
    if path.exists():
        raise DevError(f"{path} already exists", "choose another name")
    if not path.parent.is_dir():
        raise DevError(f"there is no folder {path.parent}", f"mkdir -p {path.parent}")
    with _shown(aws, table) as lines:
        if json_lines.is_file_name(path):
            number = json_lines.write_file(path, lines)
        else:
            draft = path.with_name(f"{path.name}.tmp")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            number = sum(part for _, part in json_lines.write_parts(draft, lines))
            draft.replace(path)
    output.say(f"exported {count(number, 'item')} of {table} to {path}")


def export_to_s3(settings: Settings, source: str, url: str) -> None:
    """Write the items of a table, or of files, as gzip parts into S3, for an import from there."""
    aws = stacks.get_aws(settings)
    place = s3.parse(url)
    s3.check_is_free(aws, place)
    path = Path(source)
    folder = state.ensure_folder(settings.state / "loads")
    items = parts = 0
    with tempfile.TemporaryDirectory(dir=folder) as draft, contextlib.ExitStack() as stack:
        if path.exists():
            read = json_lines.read(json_lines.list_parts(path))
            lines: Iterator[bytes] = (line.text.strip() for line in read)
        else:
            lines = stack.enter_context(_shown(aws, source))
        for part, number in json_lines.write_parts(Path(draft), lines):
            s3.upload(aws, part, place)
            part.unlink()
            items, parts = items + number, parts + 1
    if not items:
        raise DevError(f"{source} contains no items", "name a table that contains some")
    exported = f"{count(items, 'item')} of {source} to {place} in {count(parts, 'part')}"
    output.say(f"exported {exported}")


def import_table(settings: Settings, url: str, table: str, as_json: bool) -> None:
    """Have AWS make the table of ddb/tables from items in S3, and follow it to its end."""
    aws = stacks.get_aws(settings)
    definitions = {one["TableName"]: one for one in ddb_steps.read_tables(settings)}
    if table not in definitions:
        known = ", ".join(definitions) or "none"
        raise DevError(
            f"app.toml has no definition of the table {table}; it has: {known}",
            "write <table>.json in the folder that [dynamodb] tables names",
        )
    definition = definitions[table]
    with progress.count("item") as show:
        report = s3.import_table(aws, definition, s3.parse(url), show)
    output.write_report(report, as_json)
    if report.status != "COMPLETED":
        raise DevError(f"the import of {table} ended as {report.status}", report.errors)


@contextlib.contextmanager
def _shown(aws: Aws, table: str) -> Iterator[Iterator[bytes]]:
    """The lines of a table, with progress as they are taken."""
    expected = tables.get_table(aws, table).get("ItemCount", 0)

    def lines() -> Iterator[bytes]:
        for number, item in enumerate(parallel_scan.scan(aws, table), start=1):
            show(number, min(number / expected, 1.0) if expected else 0.0)
            yield json_lines.to_line(item)

    with progress.count("item") as show:
        yield lines()


def _report(table: str, path: Path, done: Tally, rejects: Path) -> None:
    replaced = f", {done.replaced:,} replaced by a later line" if done.replaced else ""
    result = f"{table} acknowledged {count(done.acknowledged, 'item')} of {path}{replaced}"
    if done.rejected:
        first = json.loads(rejects.read_bytes().split(b"\n", 1)[0])
        raise DevError(
            f"{result}; {count(done.rejected, 'line')} could not be written, the first:"
            f"\n{first['at']}: {first['why']}",
            f"they are in {rejects}, with the reasons",
        )
    rejects.unlink(missing_ok=True)
    if not done.acknowledged:
        raise DevError(
            f"{path} contains no items", "create such files with: ./invoke ddb.export TABLE PATH"
        )
    output.say(result)


def _checkpoint(settings: Settings, table: tables.Item, parts: Sequence[Path]) -> Checkpoint:
    """The checkpoint of these files, as they are now, and of this table since it was made.

    An emulator that was started again may have lost what it acknowledged: it begins anew.
    """
    files = [(os.fspath(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in parts]
    server = [s.since() for s in stacks.list_services(settings) if s.name != "postgres"]
    target = (stacks.targets(settings).aws, table["TableArn"], table.get("TableId"))
    identity = repr((files, server, target, table.get("CreationDateTime")))
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = state.ensure_folder(settings.state / "loads")
    return Checkpoint(folder / f"{table['TableName']}-{name}.json")
