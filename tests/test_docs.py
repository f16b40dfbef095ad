import re

from scripts import settings
from tests.conftest import PROJECT
from tests.test_architecture import LEVEL, TASKS

README = (PROJECT / "README.md").read_text(encoding="utf-8")
MAP = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_readme_names_every_task() -> None:
    assert TASKS - set(re.findall(r"`([a-z0-9.-]+)`", README)) == set()


def test_the_readme_names_every_setting_with_its_default() -> None:
    table = README[README.index("| variable |") :].partition("\n\n")[0]
    for field in settings.declared():
        assert f"`{field.metadata['variable']}`" in table
        assert not field.default or f"`{field.default}`" in table


def test_the_map_of_the_house_has_every_room_on_its_level() -> None:
    rooms = re.findall(r"^  (\w+)(?:\.py|/)\s+(\d)  ", MAP, flags=re.M)
    assert {room: int(level) for room, level in rooms} == LEVEL
