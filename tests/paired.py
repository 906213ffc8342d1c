"""Sources of which it is known which feature was how active on which prompt, made in memory."""

import numpy as np
from hypothesis import strategies as st
from tables import make_model

from featurediff.labels import PROMPTS, SIDES
from featurediff.sources.pairs import Cells, Pairs, PairsAt
from featurediff.sources.results import Results

STRENGTHS = np.array([0, 0, 0.25, 0.5, 1, 1.75, 3])


@st.composite
def sources(draw, *, most=5, may_group=True):
    """Activations at two positions, and perhaps groups in one set or in both."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = {prompts: draw(st.integers(2, most)) for prompts in PROMPTS}
    width = draw(st.integers(1, 6))
    cells = {
        token_type: {
            side: {p: rng.choice(STRENGTHS, (n, width)) * rng.integers(0, 2, width) for p, n in sizes.items()}
            for side in SIDES
        }
        for token_type in ("model", "newline")
    }
    groups = {p: draw_groups(draw, n) if may_group and draw(st.booleans()) else None for p, n in sizes.items()}
    return cells, groups


def draw_groups(draw, n):
    """Numbers from 0 without a gap, fewer than there are prompts; None where that cannot be."""
    found = np.unique(draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)), return_inverse=True)[1]
    return found if found.max() + 1 < n else None


def from_activations(cells, groups=None):
    """
    Results, and the pairs behind them.

    `cells` maps token type → version → prompt set → activations, shape (prompts, features); `groups` maps a prompt set
    to the group of each prompt, as whole numbers from 0.
    """
    models, sizes = [], {}
    for side in SIDES:
        vectors = {}
        for token_type, of_versions in cells.items():
            vectors[token_type] = {}
            for prompts in PROMPTS:
                values = np.asarray(of_versions[side][prompts], dtype=np.float64)
                sizes[prompts] = len(values)
                active = (values != 0).sum(axis=0)
                vectors[token_type] |= {
                    f"{prompts}_num_active": active,
                    f"{prompts}_sparsity": active / len(values),
                    f"{prompts}_all_mean": values.mean(axis=0),
                    f"{prompts}_all_std": values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(active)),
                }
        models.append(make_model(side, vectors, (sizes["target"], sizes["control"])))
    positions = {}
    for token_type, of_versions in cells.items():
        whole = {(v, p): np.asarray(of_versions[v][p], dtype=np.float64) for v in SIDES for p in PROMPTS}
        features = np.flatnonzero(np.logical_or.reduce([(values != 0).any(axis=0) for values in whole.values()]))
        listed = {}
        for key, values in whole.items():
            feature, prompt = np.nonzero(values[:, features].T)
            listed[key] = Cells(prompt, feature, values[prompt, features[feature]])
        positions[token_type] = PairsAt(features, listed, sizes)
    known = {
        prompts: None if groups is None or groups[prompts] is None else np.array(groups[prompts]) for prompts in PROMPTS
    }
    return Results(*models), Pairs(positions, known, None)
