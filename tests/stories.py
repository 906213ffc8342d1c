"""A source of features whose story is known."""

import numpy as np
from paired import write_source

STORIES = {
    0: ((36, 33), (35, 0)),  # as active on target as before, and gone from control
    1: ((39, 37), (28, 0)),  # less active on target, and gone from control
    2: ((40, 40), (8, 0)),  # nearly gone from target, and gone from control
    3: ((0, 0), (30, 0)),  # new on target only
    4: ((20, 0), (0, 3)),  # gone from target, new on control
    5: ((9, 0), (9, 0)),  # on target only in both, unchanged
    6: ((10, 10), (35, 35)),  # new on both alike
    7: ((4, 4), (4, 4)),  # unchanged
}
"""Feature → of base and of chat, on how many of 40 target and of 40 control prompts it is active."""


def write_stories(folder, *, with_activations=True):
    """Write the source: on each prompt on which it is active, a feature is a bit stronger than on the one before."""
    cells = {"model": {}}
    for i, side in enumerate(("base", "chat")):
        cells["model"][side] = {}
        for j, prompts in enumerate(("target", "control")):
            values = np.zeros((40, len(STORIES)))
            for feature, counts in STORIES.items():
                active = counts[i][j]
                values[:active, feature] = 1 + np.arange(active) / 16 + feature / 64
            cells["model"][side][prompts] = values
    return write_source(folder, cells, with_activations=with_activations)
