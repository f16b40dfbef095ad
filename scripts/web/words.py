"""How the pages write times, sizes and differences."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps

HUES = 6


def local(at: datetime | str) -> datetime:
    """A time, also one as the table keeps it, on this machine's clock."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.astimezone()


def _or_text(write: Callable[[datetime | str], str]) -> Callable[[datetime | str], str]:
    """The same for a time; a text that is none stays as it is."""

    @wraps(write)
    def written(at: datetime | str) -> str:
        try:
            return write(at)
        except ValueError:
            return str(at)

    return written


@_or_text
def when(at: datetime | str) -> str:
    """The time of day for today, else the date, with its year where that is not this one."""
    moment, now = local(at), datetime.now().astimezone()
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b}" + (f" {moment.year}" if moment.year != now.year else "")


@_or_text
def day(at: datetime | str) -> str:
    """The whole date: Saturday, 28 March 2026."""
    moment = local(at)
    return f"{moment:%A}, {moment.day} {moment:%B %Y}"


@_or_text
def clock(at: datetime | str) -> str:
    """The time of day."""
    return f"{local(at):%H:%M}"


@_or_text
def whole(at: datetime | str) -> str:
    """Date and time of day, to the second."""
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def size(count: int) -> str:
    """Bytes in a unit that fits: 7.4 MB."""
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 3)
    return f"{count / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"


def count(number: int | None) -> str:
    """A number with separators: 1,000,000; "" for none."""
    return "" if number is None else f"{number:,}"


def change(seconds: float | None) -> str:
    """A difference in seconds with its sign; "" where there is nothing to compare with."""
    return "" if seconds is None else f"{seconds:+.2f}".replace("-", "\N{MINUS SIGN}")


def percent(part: float, whole: float) -> str:
    """A length on an axis, as SVG takes it."""
    return f"{100 * part / whole if whole else 0:.2f}%"


def hue(uuid: str) -> int:
    """A colour of one's own, from 0 to HUES - 1, always the same."""
    return sum(uuid.encode()) % HUES


FILTERS = {
    function.__name__: function
    for function in (when, day, clock, whole, size, count, change, percent, hue)
}
