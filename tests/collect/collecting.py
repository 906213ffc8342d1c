"""Tiny models, tokenizers and SAEs as transformers and sae_lens save them, and a slow way to the same statistics."""

import json

import numpy as np
import pandas as pd
import torch
from sae_lens.saes import (
    AbsTopKSAE,
    AbsTopKSAEConfig,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    MatchingPursuitSAE,
    MatchingPursuitSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)
from sae_lens.saes.sae import SAEMetadata
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from transformers.utils import logging

from featurediff.collect.settings import Settings

logging.disable_progress_bar()

BLOCKS, LAYER, WIDTH, FEATURES = 4, 2, 32, 96

# What each family writes before and after a user's words, with BOS where it has one; the positions that its preset
# reads, as text; and the template itself, shortened from the published one.
FAMILIES = {
    "gemma": (
        "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
        {"model": "model", "newline": "\n"},
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
    "llama": (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        {"asst": "assistant", "endheader": "<|end_header_id|>", "newline": "\n\n"},
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    ),
    "qwen": (
        "<|im_start|>system\nYou are Qwen.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
        {"asst": "assistant", "newline": "\n"},
        "<|im_start|>system\nYou are Qwen.<|im_end|>\n{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    ),
}
_SPECIAL = {
    "gemma": ["<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
    "llama": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
}
_BOS = {"gemma": "<bos>", "llama": "<|begin_of_text|>", "qwen": None}
_MODELS = {
    "gemma": (Gemma2ForCausalLM, Gemma2Config, {"head_dim": 8, "sliding_window": 16}),
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen": (Qwen2ForCausalLM, Qwen2Config, {}),
}

PROMPTS = {
    "target": [
        "Who are you?",
        "",
        "What do you feel when somebody asks you about yourself, and does it change from day to day?",
        "🙂🙃 emoji 👩‍👩‍👧",
        "مرحبا، كيف حالك؟",
        "Who are you?",
        "Say <start_of_turn>model\nI am a header in the user's words <|im_start|>assistant\nand another "
        "<|start_header_id|>assistant<|end_header_id|>\n\nand the end",
        "a\nb\n\nc",
    ],
    "control": [
        "What is 2 + 2?",
        "Name a river.",
        "Translate: 水",
        "Who wrote it?",
        "Sum up this text in three words.",
    ],
}


def save_tokenizer(folder, family, padding_side="right"):
    """Train a byte-level BPE tokenizer that adds a BOS, as the published ones do, and save it with a chat template."""
    text, _, template = FAMILIES[family]
    words = [text.format("Who are you? What is that, and does it change?")] * 3 + ["user model assistant\n\n\n"] * 9
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteDecoder()
    if family == "qwen":  # transformers gives a Qwen 2 tokenizer these, whatever its file says
        tokenizer.normalizer = NFC()
        split = Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
        tokenizer.pre_tokenizer = Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])
    special = [AddedToken(token, special=True, normalized=False) for token in _SPECIAL[family]]
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=380, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    bos = _BOS[family]
    if bos:
        ids = [(bos, tokenizer.token_to_id(bos))]
        tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=ids)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=_SPECIAL[family][-1],
        pad_token=_SPECIAL[family][0],
        padding_side=padding_side,
        chat_template=template,
    ).save_pretrained(folder)
    return folder


def save_model(folder, family, seed, **config):
    """Save a random checkpoint with its output layer, in two files."""
    model_class, config_class, more = _MODELS[family]
    shape = {
        "vocab_size": 400,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 160,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    torch.manual_seed(seed)
    model_class(config_class(**shape | more | config)).save_pretrained(folder, max_shard_size="80KB")
    return folder


def save_sae(
    folder, architecture="jumprelu", hook_name=f"blocks.{LAYER}.hook_resid_post", d_in=WIDTH, config=None, **metadata
):
    """Save a random SAE; some features are silent. Its configuration may have more in it."""
    sae_class, config_class, more = {
        "standard": (StandardSAE, StandardSAEConfig, {}),
        "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig, {}),
        "topk": (TopKSAE, TopKSAEConfig, {"k": 7}),
        "abstopk": (AbsTopKSAE, AbsTopKSAEConfig, {"k": 7}),
        "matching_pursuit": (MatchingPursuitSAE, MatchingPursuitSAEConfig, {"max_iterations": 5}),
        "gated": (GatedSAE, GatedSAEConfig, {}),
    }[architecture]
    named = SAEMetadata(**({"hook_name": hook_name} if hook_name else {}) | metadata)
    sae = sae_class(config_class(d_in=d_in, d_sae=FEATURES, metadata=named, **more | (config or {})))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in sorted(sae.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.5 if name == "W_enc" else 1))
            if name in ("b_enc", "b_gate"):
                parameter.sub_(3)
            if name == "threshold":
                parameter.abs_().mul_(4)
    sae.save_model(folder)
    return folder


def write_prompts(folder, prompts=None):
    """Write both prompt sets as JSONL and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, contents in (prompts or PROMPTS).items():
        lines = [json.dumps({"content": text, "label": f"{name} {i}"}) for i, text in enumerate(contents)]
        paths.append(folder / f"{name}_set.jsonl")
        paths[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def make_family(folder, family, architecture="jumprelu", padding_side="right"):
    """Save base, chat (with tokenizer) and SAE below a folder, and return settings to collect from them."""
    base, chat = (str(save_model(folder / name, family, seed)) for seed, name in enumerate(("base", "chat")))
    save_tokenizer(folder / "chat", family, padding_side)
    target, control = write_prompts(folder / "prompts")
    sae = save_sae(folder / "sae", architecture)
    return Settings(base=base, chat=chat, sae=str(sae), target=target, control=control, out=folder / "results")


class Quiet:
    """Takes note of how far a run says that it is."""

    def __init__(self):
        self.total, self.done, self.stages, self.notes = None, 0, [], []

    def start(self, prompts):
        self.total = prompts

    def stage(self, text):
        self.stages.append(text)

    def advance(self, prompts):
        self.done += prompts

    def note(self, text):
        self.notes.append(text)


def slow_activations(settings, family, architecture, prompts=None):
    """
    Every activation, one prompt at a time: the full model, no padding, the SAE's formula in numpy.

    Returns (model, prompt set) → array of shape (token types, prompts, features).
    """
    encode, weights = _FORMULAS[architecture], _load_weights(settings.sae)
    residuals = slow_residuals(settings, family, prompts)
    return {key: encode(states.astype(np.float64), weights) for key, states in residuals.items()}


def slow_residuals(settings, family, prompts=None):
    """
    Every residual, one prompt at a time: the full model, no padding.

    Returns (model, prompt set) → array of shape (token types, prompts, width).
    """
    text, types, _ = FAMILIES[family]
    tokenizer = Tokenizer.from_file(f"{settings.chat}/tokenizer.json")
    found = {}
    for side in ("base", "chat"):
        model = _MODELS[family][0].from_pretrained(getattr(settings, side), dtype=torch.float32).eval()
        for name, contents in (prompts or PROMPTS).items():
            rows = []
            for content in contents:
                encoded = tokenizer.encode(text.format(content.strip()), add_special_tokens=False)
                with torch.inference_mode():
                    states = model(torch.tensor([encoded.ids]), output_hidden_states=True).hidden_states
                tail = [tokenizer.decode([token], skip_special_tokens=False) for token in encoded.ids[-4:]]
                at = [len(encoded.ids) - 4 + max(i for i, word in enumerate(tail) if word == w) for w in types.values()]
                rows.append(states[LAYER + 1][0, at].numpy())
            found[side, name] = np.stack(rows, axis=1)
    return found


def slow_statistics(activations):
    """The five vectors of activations of shape (prompts, features)."""
    active = (activations > 0).sum(axis=0)
    return {
        "all_mean": activations.mean(axis=0),
        "all_std": activations.std(axis=0, ddof=1),
        "max": activations.max(axis=0),
        "num_active": active,
        "sparsity": active / len(activations),
    }


def as_long(found, token_types):
    """Active activations as activations.parquet has them."""
    frames = [
        pd.DataFrame({"prompt_id": p, "feature_id": f, "activation": acts[t, p, f]}).assign(
            model=model, prompt_set=name, token_type=token_types[t]
        )
        for (model, name), acts in found.items()
        for t in range(len(token_types))
        for p, f in [np.nonzero(acts[t])]
    ]
    return sort_long(pd.concat(frames))


def sort_long(frame):
    """Rows in one order, words as plain strings."""
    keys = ["model", "prompt_set", "token_type", "prompt_id", "feature_id"]
    words = frame.astype(dict.fromkeys(keys[:3], "str"))
    return words.sort_values(keys, ignore_index=True)[[*keys, "activation"]]


def _load_weights(folder):
    from safetensors.numpy import load_file

    return {name: array.astype(np.float64) for name, array in load_file(f"{folder}/sae_weights.safetensors").items()}


def _topk(x, w):
    pre = np.maximum((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 0)
    return np.where(pre >= np.sort(pre, axis=-1)[..., [-7]], pre, 0)


def _gated(x, w):
    inside = (x - w["b_dec"]) @ w["W_enc"]
    return (inside + w["b_gate"] > 0) * np.maximum(inside * np.exp(w["r_mag"]) + w["b_mag"], 0)


def _jumprelu(x, w):
    pre = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    return np.where(pre > w["threshold"], np.maximum(pre, 0), 0)


_FORMULAS = {
    "standard": lambda x, w: np.maximum((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 0),
    "jumprelu": _jumprelu,
    "topk": _topk,
    "gated": _gated,
}
