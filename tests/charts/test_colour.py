"""Colours are seen in both themes: computed from the palette, as WCAG defines contrast."""

import pytest
from contrast import BACKGROUNDS, LEAST_OF_MARKS, LEAST_OF_TEXT, blend, contrast

from featurediff.charts import crowd
from featurediff.charts.colour import luminance, see_through
from featurediff.charts.points import CONSISTENT_WIDTH, INCONSISTENT_COLOUR, INCONSISTENT_LINE
from featurediff.charts.style import KNOWN_COLOURS, LOOK, NOTE, OTHER_COLOURS, colours

GREY = "#808080"
"""Of the lines of a chart, which is called “gray”."""


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == 21
    assert contrast("#808080", "#808080") == 1
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)
    assert luminance("#ff0000") == 0.2126
    assert blend("#000000", "#ffffff", 0.6) == "#666666"
    assert see_through("#0a80ff", 0.7) == "rgba(10, 128, 255, 0.7)"


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize(
    "colour",
    [
        *KNOWN_COLOURS.values(),
        *OTHER_COLOURS,
        *(colour for _, colour in crowd.COLOURS),
        INCONSISTENT_COLOUR,
        GREY,
    ],
)
def test_marks_and_borders_are_seen_in_both_themes(colour, background):
    """Yellow had 1.5 on white, and dark blue 1.6 on the dark page."""
    assert contrast(colour, background) >= LEAST_OF_MARKS


def test_colours_beyond_the_palette_are_seen_too():
    found = colours([f"at {i}" for i in range(200)]).values()
    assert len(set(found)) == 200
    assert min(contrast(colour, background) for colour in found for background in BACKGROUNDS) >= LEAST_OF_MARKS


def test_an_inconsistent_point_is_told_apart_by_more_than_its_red():
    assert INCONSISTENT_LINE["width"] >= 3 * CONSISTENT_WIDTH


def test_texts_of_an_exported_page_are_seen():
    text = LOOK["font"]["color"]
    assert contrast(text, "#ffffff") >= LEAST_OF_TEXT
    assert contrast(blend(text, "#ffffff", NOTE["opacity"]), blend(GREY, "#ffffff", 0.12)) >= LEAST_OF_TEXT
