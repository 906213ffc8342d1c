"""Model folders as people have them: LoRA adapters, folders that bring code, damaged files."""

import io
import json
import re
import shutil
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from collecting import Quiet, make_family, save_tokenizer
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Gemma2ForCausalLM

from featurediff.collect.models import Blocks, describe_model, load_tokenizer
from featurediff.collect.planning import plan
from featurediff.collect.run import execute
from featurediff.errors import DataError
from featurediff.wording import quoted


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Settings in which chat is a LoRA adapter of base, and beside it the same merged by peft."""
    folder = tmp_path_factory.mktemp("gemma")
    settings = make_family(folder, "gemma")
    save_tokenizer(folder / "base", "gemma")
    save_adapter(folder / "adapter", settings.base)
    save_adapter(folder / "merged", settings.base, is_merged=True)
    save_tokenizer(folder / "merged", "gemma")
    return replace(settings, chat=str(folder / "adapter"))


def save_adapter(folder, base, *, is_merged=False, **options):
    torch.manual_seed(4)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what has another name now
        made = get_peft_model(Gemma2ForCausalLM.from_pretrained(base), config)
    (made.merge_and_unload() if is_merged else made).save_pretrained(folder)
    return folder


def change(folder, **config):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def refusal(action, *args):
    with pytest.raises(DataError) as raised:
        action(*args)
    return str(raised.value)


@pytest.mark.parametrize("side", ["chat", "base"])
def test_an_adapter_is_read_as_the_merged_model(family, tmp_path, side):
    merged = family.chat.replace("adapter", "merged")
    other = {"base": family.base, "chat": family.chat.replace("adapter", "chat")} | {side: family.chat}
    planned = [plan(replace(family, **other | {side: chat}, out=tmp_path, prompt_set=name))
               for name, chat in (("adapter", family.chat), ("merged", merged))]  # fmt: skip
    ours, theirs = (torch.load(execute(each, Quiet()) / f"{side}.pt", weights_only=True) for each in planned)
    assert theirs["newline"]["target_num_active"].sum() > 0
    for name, vector in theirs["newline"].items():
        torch.testing.assert_close(ours["newline"][name], vector, rtol=1e-4, atol=1e-5)
    base = torch.load(planned[0].folder / f"{'base' if side == 'chat' else 'chat'}.pt", weights_only=True)
    assert not torch.equal(base["newline"]["target_all_mean"], ours["newline"]["target_all_mean"])
    metadata = ours["metadata"]
    assert (metadata["model_id"], metadata["adapter_base"]) == (family.chat, family.base)
    assert "peft" in metadata["versions"]
    assert theirs["metadata"]["adapter_base"] is None


def test_an_adapter_may_bring_its_tokenizer(family, tmp_path):
    model = describe_model(family.chat)
    assert load_tokenizer(model).name_or_path == family.base
    own = shutil.copytree(family.chat, tmp_path / "own")
    save_tokenizer(own, "gemma")
    (own / "chat_template.jinja").write_text("mine")
    tokenizer = load_tokenizer(describe_model(str(own)))
    assert (tokenizer.name_or_path, tokenizer.chat_template) == (str(own), "mine")


def test_says_that_an_adapter_is_of_another_model_than_the_base(family, tmp_path):
    other = family.chat.replace("adapter", "merged")
    message = (
        f"The adapter {quoted(family.chat)} was trained on {quoted(family.base)}, and --base is {quoted(other)}. "
        "What differs may be the two models, and not the tuning."
    )
    assert message not in plan(replace(family, out=tmp_path)).remarks
    assert message in plan(replace(family, base=other, out=tmp_path)).remarks


def test_another_base_is_read_anew(family, tmp_path):
    """What a run goes on from is named by the files of the adapter and of its base."""
    from featurediff.collect.origin import facts, local_files

    planned = plan(replace(family, out=tmp_path))
    assert facts(planned, "float32")["models"]["chat"] == [family.chat, None, family.base, None]
    assert {f"{family.chat}/adapter_config.json", f"{family.base}/config.json"} <= {
        path for line in local_files(planned) for path in re.findall(r"'([^']+)'", line)
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "is of type 'IA3', but expected LORA, which can be merged into its base."),
        ({"alora_invocation_tokens": [1]}, "is of type 'LORA', but expected LORA, which can be merged into its base."),
        *[
            (
                {"base_model_name_or_path": base},
                f"names {base} as its base. Write the base's folder or hub id into adapter_config.json.",
            )
            for base in (None, 7)
        ],
    ],
)
def test_refuses_an_adapter_that_it_cannot_merge(family, tmp_path, config, message):
    folder = change(shutil.copytree(family.chat, tmp_path / "adapter"), **config)
    assert refusal(describe_model, str(folder)) == f"The adapter {quoted(str(folder))} {message}"


def test_refuses_an_adapter_whose_files_are_not_clear(family, tmp_path):
    folder = shutil.copytree(family.chat, tmp_path / "adapter")
    where = f"The adapter {quoted(str(folder))}"
    change(folder, base_model_name_or_path="/gone/base")
    message = refusal(describe_model, str(folder))
    assert message.startswith(f"The base of {quoted(str(folder))}, '/gone/base' cannot be loaded (")
    assert message.endswith(" There is no such folder either.")
    (folder / "adapter_config.json").write_text("{")
    assert refusal(describe_model, str(folder)) == (
        f"{where} has an adapter_config.json that cannot be read (JSONDecodeError)."
    )
    (folder / "model.safetensors").write_bytes(b"")
    assert refusal(describe_model, str(folder)) == (
        f"{where} lies in one folder with a whole model. Move adapter_config.json away if the model holds it already."
    )


def test_refuses_an_adapter_that_lacks_weights(family, tmp_path):
    """peft would leave them random, with a warning."""
    folder = shutil.copytree(family.chat, tmp_path / "adapter")
    weights = load_file(folder / "adapter_model.safetensors")
    lacking = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
    save_file({key: value for key, value in weights.items() if key != lacking}, folder / "adapter_model.safetensors")
    assert refusal(Blocks, describe_model(str(folder)), 2, "float32") == (
        f"The adapter {quoted(str(folder))} lacks weights for {quoted(family.base)}: "
        "'base_model.model.model.layers.1.mlp.down_proj.lora_A.default.weight'. Was it trained on that model?"
    )
    cut = (folder / "adapter_model.safetensors").read_bytes()[:999]
    (folder / "adapter_model.safetensors").write_bytes(cut)
    message = refusal(Blocks, describe_model(str(folder)), 2, "float32")
    assert message.startswith(f"The adapter {quoted(str(folder))} cannot be loaded (SafetensorError: ")


# ----------------------------------------------------------------------------
# Folders that bring code, and damaged ones.


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A folder whose Python files leave a file behind, and somebody who answers yes."""
    folder = tmp_path / "evil"
    folder.mkdir()
    for name in ("configuration_evil", "tokenization_evil"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    yield folder
    assert not (tmp_path / "ran").exists()


def test_runs_no_code_of_a_configuration(evil):
    """transformers asks whether to run it, and a y on standard input did."""
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "configuration_evil.Evil"}}
    (evil / "config.json").write_text(json.dumps(config))
    assert refusal(describe_model, str(evil)) == (
        f"The model {quoted(str(evil))} wants to run Python code that comes with it ('configuration_evil.py', "
        "'tokenization_evil.py'), and featurediff runs none. Take a model whose architecture transformers has itself."
    )


def test_runs_no_code_of_a_tokenizer(family, evil):
    shutil.copy(f"{family.base}/config.json", evil / "config.json")
    said = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["tokenization_evil.Evil", None]}}
    (evil / "tokenizer_config.json").write_text(json.dumps(said))
    model = describe_model(str(evil))
    (evil / "config.json").write_text('{"model_type": "evil"}')
    message = refusal(load_tokenizer, model)
    assert message.startswith(f"The tokenizer of {quoted(str(evil))} wants to run Python code that comes with it (")


def test_runs_no_code_of_a_model_that_transformers_knows(family, evil):
    """The architecture is known, and is what is built; the folder's own class is not."""
    shutil.copytree(family.base, evil, dirs_exist_ok=True)
    config = json.loads((evil / "config.json").read_text())
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel"), "configuration_evil.Evil")
    (evil / "config.json").write_text(json.dumps(config))
    blocks = Blocks(describe_model(str(evil)), 1, "float32")
    assert type(blocks._model).__module__.startswith("transformers.models.gemma2")


def test_runs_no_code_of_weights(family, evil, tmp_path):
    """An UnpicklingError was a traceback."""
    shutil.copy(f"{family.base}/config.json", evil / "config.json")
    code = b"cos\nsystem\n(V" + f"touch {tmp_path}/ran".encode() + b"\ntR."
    (evil / "pytorch_model.bin").write_bytes(code)
    message = "has a pickle that is damaged or wants to run code. Save it again as safetensors."
    assert refusal(Blocks, describe_model(str(evil)), 1, "float32") == f"The model {quoted(str(evil))} {message}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[]"),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "gemma2", "num_attention_heads": 0}'),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff"),
        ("tokenizer_config.json", b"[]"),
        ("model.safetensors.index.json", b"{}"),
        ("model-00001-of-00003.safetensors", b"x" * 50),
    ],
)
def test_damaged_files_are_one_message(family, tmp_path, name, content):
    folder = shutil.copytree(family.base, tmp_path / "model")
    names = [path.name for path in folder.iterdir()]
    (
        folder / (name if name in names else next(found for found in names if found.endswith(".safetensors")))
    ).write_bytes(content)

    def load():
        model = describe_model(str(folder))
        load_tokenizer(model)
        Blocks(model, 1, "float32")

    assert re.match(
        rf"The (model|tokenizer of) {re.escape(quoted(str(folder)))} cannot be loaded \(\w+: ", refusal(load)
    )


def test_a_model_of_another_kind_is_said(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    assert refusal(describe_model, str(tmp_path)) == (
        f"The model {quoted(str(tmp_path))} is no language model that featurediff knows: it does not say "
        "'num_hidden_layers', 'hidden_size', 'vocab_size', 'max_position_embeddings'."
    )
