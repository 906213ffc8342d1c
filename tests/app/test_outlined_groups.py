"""Groups of features that a reader brings along: what is read, refused, counted and outlined."""

import numpy as np
import pandas as pd
import pytest

from featurediff.app.dashboard.groups import count_groups, outline_groups, parse_groups
from featurediff.errors import DataError


def test_groups_are_read_in_the_order_of_the_file():
    data = b"group,feature_id,other\nself,12,x\nsafety,7,y\nself,3,z\nself,12,again\n"
    assert parse_groups(data, "g.csv") == (("self", (12, 3)), ("safety", (7,)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"feature_id,name\n1,x\n", "`g.csv` has the columns 'feature_id', 'name', but expected 'group' as well."),
        (b"feature_id,group\n1,\n", "`g.csv`: the group in row 1 has 0 characters, but expected 1 to 40."),
        (b"feature_id,group\n1," + b"g" * 41, "`g.csv`: the group in row 1 has 41 characters, but expected 1 to 40."),
        (b"feature_id,group\n-1,x\n", "`g.csv`: `feature_id` in row 1 is '-1', but expected a whole number."),
        (
            b"feature_id,group\n" + b"".join(b"1,g%d\n" % i for i in range(6)),
            "`g.csv` has the groups 'g0', 'g1', 'g2', 'g3', 'g4' and 1 more, but expected at most 5.",
        ),
    ],
)
def test_what_are_no_groups(data, message):
    with pytest.raises(DataError) as caught:
        parse_groups(data, "g.csv")
    assert str(caught.value) == message


def test_groups_are_counted_and_outlined_without_a_second_point():
    points = {"type": "scattergl", "x": np.array([1.0, 2, 3]), "y": np.array([4.0, 5, 6])}
    drawing = {"data": [points | {"customdata": np.array([[7.0], [8], [9]])}, {"type": "scatter", "x": [0]}]}
    groups = (("one", (9, 7)), ("two_*x*", (100,)))
    first, second = outline_groups(drawing, groups)
    assert (first["x"], first["y"]) == ([1.0, 3.0], [4.0, 6.0])
    assert (second["x"], second["y"]) == ([], [])
    assert "customdata" not in first
    assert first["hoverinfo"] == "skip"
    lines = count_groups(groups, pd.DataFrame({"feature_id": [7, 7, 8]}))
    assert lines[0].endswith("one: 2 shown, of 2 features")
    assert lines[1].endswith(r"two\_\*x\*: 0 shown, of 1 feature")
