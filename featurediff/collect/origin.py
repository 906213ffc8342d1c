"""What a source says of how it was made, and what tells one run from another."""

from __future__ import annotations

import json
import platform
from hashlib import sha256
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurediff.files import file_identity, kind_of
from featurediff.version import package_version

if TYPE_CHECKING:
    from featurediff.collect.answers import Answered
    from featurediff.collect.planning import Plan
    from featurediff.collect.settings import Settings
    from featurediff.labels import Side

_LIBRARIES = ("torch", "transformers", "sae-lens", "numpy")

_LONGEST_EXAMPLE = 10_000
"""Characters of a prompt in the chat template that the metadata keep."""


def metadata(plan: Plan, answered: Answered, side: Side, dtype: str) -> dict[str, Any]:
    """Return the metadata of one model's result file."""
    model, trainer = plan.names
    adapter = plan.models[side].adapter
    return {
        "source": f"{plan.folder.name}, {side}, collected by featurediff {package_version()}",
        "model_type": model,
        "model_ver": side,
        "sae_layer": plan.sae.layer,
        "sae_trainer": trainer,
        "num_target_prompts": len(answered.chats[side]["target"]),
        "num_control_prompts": len(answered.chats[side]["control"]),
        "num_features": plan.sae.num_features,
        "token_types": list(plan.positions.token_types),
        "sae_release": plan.sae.release,
        "sae_id": plan.sae.sae_id,
        "neuronpedia_id": plan.sae.neuronpedia_id,
        "sae_config": plan.sae.config,
        "model_id": plan.models[side].name,
        "model_revision": plan.models[side].revision,
        "adapter_base": adapter.base if adapter else None,
        "adapter_base_revision": adapter.base_revision if adapter else None,
        "skipped_prompts": len(plan.notes) + len(answered.notes),
        "rendered_prompts": {prompts: _shortened(example) for prompts, example in plan.examples.items()},
        "remarks": list(plan.remarks),
        "command": plan.settings.command,
        "pair_id": _identify(plan, dtype),
        **facts(plan, dtype),
    }


def _identify(plan: Plan, dtype: str) -> str:
    """Return an id of the run, the same for both models."""
    said = json.dumps([plan.folder.name, facts(plan, dtype)], sort_keys=True)
    return sha256(said.encode()).hexdigest()[:16]


def facts(plan: Plan, dtype: str) -> dict[str, Any]:
    """Return what a result depends on, in plain Python values."""
    has_adapter = any(model.adapter for model in plan.models.values())
    return {
        "models": {side: [model.name, model.revision, *model.weights] for side, model in plan.models.items()},
        "sae": plan.settings.sae,
        "sae_block": plan.sae.block,
        "dtype": dtype,
        "says_fit": plan.settings.fit,
        "tf32": plan.settings.tf32,
        "header": plan.positions.header,
        "positions": dict(plan.positions.offsets),
        "pools": {pool.name: f"{pool.part}:{pool.how}" for pool in plan.positions.pools},
        "responses": _responses(plan.settings),
        "prompt_files": {prompts: {"name": file.name, "sha256": file.sha256} for prompts, file in plan.files.items()},
        "versions": {
            "featurediff": package_version(),
            "python": platform.python_version(),
            **{library: version_of(library) for library in (*_LIBRARIES, *(["peft"] if has_adapter else []))},
        },
    }


def _responses(settings: Settings) -> dict[str, Any] | None:
    """Say where responses come from; None where there are none."""
    if settings.generate:
        return {"by": settings.generate_by, "generated_tokens": settings.generate}
    return {"by": "file", "column": settings.response_column} if settings.response_column else None


def _shortened(text: str) -> str:
    """Return a text, or its beginning and its end."""
    half = _LONGEST_EXAMPLE // 2
    return text if len(text) <= _LONGEST_EXAMPLE else f"{text[:half]} … {text[-half:]}"


def local_files(plan: Plan) -> list[str]:
    """Return the identity of every file of local models and SAEs, so that another run notices a change."""
    models = {name for model in plan.models.values() for name in model.names}
    folders = [Path(name) for name in sorted({*models, plan.settings.sae}) if kind_of(Path(name)) == "folder"]
    return [str(file_identity(path)) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
