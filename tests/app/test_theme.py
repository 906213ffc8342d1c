"""What the app’s themes show is seen: contrasts computed from their colours, as WCAG defines them."""

import pytest
from contrast import BACKGROUNDS, LEAST_OF_MARKS, LEAST_OF_TEXT, blend, contrast

from featurediff.app.config import CONFIG
from featurediff.app.dashboard.groups import OUTLINES

CAPTION, CHOSEN = 0.6, 0.1
"""How much of its colour Streamlit gives a caption; how much of the primary colour stands behind what is chosen."""


def test_the_dark_theme_is_the_dark_background_of_charts():
    assert [CONFIG[f"theme.{theme}.backgroundColor"] for theme in ("light", "dark")] == list(BACKGROUNDS)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "sidebar."])
def test_texts_and_borders_of_the_app_are_seen(theme, place):
    """A caption had 4.2 in the light theme, the chosen chart 3.8 in the dark one, and borders 1.4."""
    background, text, primary = (
        str(CONFIG[f"theme.{theme}.{name}"]) for name in (f"{place}backgroundColor", "textColor", "primaryColor")
    )
    assert contrast(blend(text, background, CAPTION), background) >= LEAST_OF_TEXT
    assert contrast(primary, background) >= LEAST_OF_TEXT
    assert contrast(str(CONFIG[f"theme.{theme}.linkColor"]), background) >= LEAST_OF_TEXT
    assert contrast(str(CONFIG[f"theme.{theme}.borderColor"]), background) >= LEAST_OF_MARKS
    if not place:
        assert contrast(primary, blend(primary, background, CHOSEN)) >= LEAST_OF_TEXT


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("colour", OUTLINES)
def test_outlines_of_groups_are_seen_in_both_themes(colour, background):
    """Four of five had less than 3 on the dark page."""
    assert contrast(colour, background) >= LEAST_OF_MARKS
