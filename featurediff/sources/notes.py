"""What is odd about a source and yet no reason to refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from featurediff.labels import PROMPTS, Prompts
from featurediff.sources.contradictions import contradictions, divisor_of_std
from featurediff.sources.hooks import place_of
from featurediff.wording import number, percent, plural, quoted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.sources.results import ModelResults, Results
    from featurediff.sources.tree import Source

_SPARSITY_TOLERANCE = 1e-4
_SMALLEST = 2.0**-6
"""Below it, the steps of float8 get no finer."""


def notes(results: Results) -> list[str]:
    """
    Say what is odd about a source.

    Parameters
    ----------
    results : Results
        The source.

    Returns
    -------
    list of str
        One sentence or two each: what of the files is left out or blank, models named differently, prompt counts that
        differ between base and chat, every `*_sparsity` that is not num_active / num_prompts, statistics that
        contradict each other, and standard deviations that divide by n.
    """
    base, chat = results.base, results.chat
    found = [*base.remarks, *chat.remarks, *results.remarks]
    if base.metadata.model_type != chat.metadata.model_type:
        found.append(
            f"`{base.name}` says model_type {quoted(base.metadata.model_type)}, "
            f"`{chat.name}` says {quoted(chat.metadata.model_type)}."
        )
    found += _hook_notes(results)
    for prompts in PROMPTS:
        base_n, chat_n = base.metadata.num_prompts(prompts), chat.metadata.num_prompts(prompts)
        if base_n != chat_n:
            found.append(
                f"`{base.name}` has {plural(base_n, f'{prompts} prompt')}, `{chat.name}` has {chat_n}: "
                "each rate is a share of its own model's prompts."
            )
    for model in (base, chat):
        for prompts in PROMPTS:
            for token_type in results.token_types:
                found += _sparsity_notes(model, token_type, prompts)
            found += contradictions(model, prompts)
    return found + _std_notes(results)


def naming_notes(source: Source, results: Results) -> list[str]:
    """Say where a folder's name names another SAE than the files in it: a sentence for layer and trainer each."""
    if source.sae is None:
        return []
    meta, file = results.base.metadata, results.base.name
    pairs = (("layer", source.layer, meta.sae_layer), ("trainer", source.trainer, meta.sae_trainer))
    return [
        f"The folder's name says {what} {quoted(named)}, `{file}` says {quoted(said)}: "
        "links go by the folder's name unless the files name their page, the chart's title by the file."
        for what, named, said in pairs
        if named != said
    ]


def _hook_notes(results: Results) -> list[str]:
    """Say where the files do not agree on what the SAE reads, with each other or with their layer."""
    base, chat = results.base, results.chat
    hooks = {model.name: (model.metadata.hook_name, model.metadata.sae_layer) for model in (base, chat)}
    found = []
    for name, (hook, layer) in hooks.items():
        place = place_of(hook) if hook else None
        if place and place.layer != layer:
            found.append(f"`{name}` says sae_layer {layer}, but its hook {quoted(hook)} is of layer {place.layer}.")
    names = [model.metadata.hook_name for model in (base, chat)]
    if all(names) and len({place_of(str(name)) or name for name in names}) == 2:
        said = f"`{base.name}` says that its hook is {quoted(names[0])}, `{chat.name}` says {quoted(names[1])}"
        found.append(f"{said}. Were they read at the same place?")
    return found


def std_in_words(results: Results) -> str:
    """Say what the standard deviations of a source divide by, as far as it can be told."""
    told = {
        (m.name, p): divisor for m in (results.base, results.chat) for p in PROMPTS if (divisor := divisor_of_std(m, p))
    }
    if len(set(told.values())) == 1:
        return f"divides by {next(iter(told.values()))}"
    parts = [f"{divisor} in `{name}` on {prompts} prompts" for (name, prompts), divisor in told.items()]
    return f"divides by {', '.join(parts)}" if parts else "it cannot be told whether it divides by n or n − 1"


def _std_notes(results: Results) -> list[str]:
    """Say where standard deviations divide by n: tests take n − 1 for granted."""
    found = []
    for model in (results.base, results.chat):
        of = {
            prompts: model.metadata.num_prompts(prompts) for prompts in PROMPTS if divisor_of_std(model, prompts) == "n"
        }
        if of:
            names = " and ".join(f"'{prompts}_all_std'" for prompts in of)
            verb, n = "divide" if len(of) > 1 else "divides", min(of.values())
            found.append(
                f"`{model.name}`: {names} {verb} by n, where n − 1 is expected. Standard errors of tests on counts and "
                f"means are up to {percent(1 - np.sqrt((n - 1) / n))} % too small."
            )
    return found


def _sparsity_notes(model: ModelResults, token_type: str, prompts: Prompts) -> list[str]:
    name = f"{prompts}_sparsity"
    sparsity = model.vectors[token_type].get(name)
    if sparsity is None:
        return []
    where = f"`{model.name}`: token type {quoted(token_type)}, '{name}'"
    rate = model.vectors[token_type][f"{prompts}_num_active"] / model.metadata.num_prompts(prompts)
    rounding = max(model.rounding.get(name, 0.0), _rounding(sparsity))
    is_wrong = np.abs(sparsity - rate) > _SPARSITY_TOLERANCE + 2 * rounding * np.maximum(rate, _SMALLEST)
    if not is_wrong.any():
        return []
    if not (np.abs(sparsity - (1 - rate)) > _SPARSITY_TOLERANCE + 2 * rounding * np.maximum(1 - rate, _SMALLEST)).any():
        return [f"{where} is 1 − num_active / n, the share of prompts on which the feature is NOT active."]
    first = int(is_wrong.argmax())
    said, expected = (number(float(shares[first]), 4) for shares in (sparsity, rate))
    return [
        f"{where} is not num_active / n at {is_wrong.sum()} of {len(rate)} features, "
        f"the first is feature {first} with {said} instead of {expected}."
    ]


def _rounding(shares: NDArray[Any]) -> float:
    """Return the largest relative error of shares that were stored in half precision once; 0 for all others."""
    as_float32 = shares.astype(np.float32)
    if not (as_float32.view(np.uint32) & 0xFFFF).any():  # bfloat16 is the first half of float32
        return 2.0**-8
    with np.errstate(over="ignore"):  # numbers beyond float16 are not shares
        is_float16 = np.array_equal(as_float32, as_float32.astype(np.float16), equal_nan=True)
    return 2.0**-11 if is_float16 else 0.0
