"""The colours of the style sheet keep the contrasts of WCAG 2.2 AA, in light and dark."""

import re

import pytest

from tests.conftest import PROJECT

CSS = (PROJECT / "scripts" / "web" / "static" / "pages.css").read_text(encoding="utf-8")
GROUNDS = ("paper", "card", "hover")


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


LIGHT, DARK = (colours(block) for block in re.findall(r":root \{(.*?)\}", CSS, flags=re.S))
THEMES = [pytest.param(LIGHT, id="light"), pytest.param(DARK, id="dark")]


def luminance(colour: str) -> float:
    def linear(place: int) -> float:
        part = int(colour[place : place + 2], 16) / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21_to_1() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("text", ["ink", "faint", "accent", "bad", "good"])
def test_text_has_at_least_4_5_to_1_on_every_ground(theme: dict[str, str], text: str) -> None:
    found = {ground: contrast(theme[text], theme[ground]) for ground in (*GROUNDS, "mine")}
    assert {ground: value for ground, value in found.items() if value < 4.5} == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("shape", ["edge", "accent", "bad", "good", "muted"])
def test_borders_of_controls_and_bars_have_at_least_3_to_1(
    theme: dict[str, str], shape: str
) -> None:
    found = {ground: contrast(theme[shape], theme[ground]) for ground in GROUNDS}
    assert {ground: value for ground, value in found.items() if value < 3} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_labels_of_filled_buttons_have_at_least_4_5_to_1(theme: dict[str, str]) -> None:
    assert contrast(theme["on-accent"], theme["accent"]) >= 4.5
    assert contrast(theme["on-bad"], theme["bad"]) >= 4.5


def test_initials_have_at_least_4_5_to_1() -> None:
    hues = re.findall(r"\.hue-\d \{ background: (#[0-9a-f]{6}); \}", CSS)
    assert len(hues) == 6
    assert [hue for hue in hues if contrast(hue, "#ffffff") < 4.5] == []


def test_the_pages_load_nothing_from_elsewhere() -> None:
    assert not re.search(r"url\(|@import|https?:", CSS)
