import pytest

from featurediff.labels import Labels, is_share

MINE = Labels(base="Ancestor", chat="Tuned", target="Introspective", control="Other")


@pytest.mark.parametrize(
    ("exclusivity", "inconsistent", "mine", "default"),
    [
        ("both", False, "Both Introspective", "Both Target"),
        ("base", False, "Ancestor Introspective", "Base Target"),
        ("base", True, "Ancestor Introspective + Tuned Other", "Base Target + Instruct Control"),
        ("chat", False, "Tuned Introspective", "Instruct Target"),
        ("chat", True, "Tuned Introspective + Ancestor Other", "Instruct Target + Base Control"),
    ],
)
def test_categories(exclusivity, inconsistent, mine, default):
    assert MINE.category(exclusivity, inconsistent) == mine
    assert Labels().category(exclusivity, inconsistent) == default


def test_explanations():
    assert MINE.explain("both") == "Introspective prompt-exclusive feature for both models"
    assert MINE.explain("base") == "Introspective prompt-exclusive feature for Ancestor"
    assert MINE.explain("chat") == "Introspective prompt-exclusive feature for Tuned"
    assert MINE.explain_inconsistent("base") == "This feature is also active on the Tuned model’s Other prompts"
    assert MINE.explain_inconsistent("chat") == "This feature is also active on the Ancestor model’s Other prompts"


def test_labels_by_name():
    assert [MINE.of(name) for name in ("base", "chat", "target", "control")] == [
        "Ancestor",
        "Tuned",
        "Introspective",
        "Other",
    ]


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("target_all_mean", "Mean activation"),
        ("target_all_std", "Activation std"),
        ("target_max", "Maximum activation"),
        ("target_sparsity", "Activation frequency"),
        ("target_num_active", "Active prompts"),
        ("target_first_seen", "first seen"),
        ("control_sparsity", "Activation frequency on Other prompts"),
        ("control_first_seen", "first seen on Other prompts"),
    ],
)
def test_metrics(metric, label):
    assert MINE.metric(metric) == label


def test_shares():
    assert is_share("target_sparsity")
    assert is_share("control_sparsity")
    assert not is_share("target_all_mean")


@pytest.mark.parametrize(
    ("labels", "alike"),
    [
        (Labels(), False),
        (MINE, False),
        (Labels(base="Both"), True),
        (Labels(base="Instruct"), True),
        (Labels(chat="Both"), True),
        (Labels(target="Control"), True),
        (Labels(target="Base"), False),
    ],
)
def test_labels_that_are_alike(labels, alike):
    assert labels.are_alike is alike


def test_labels_take_the_words_of_the_files():
    words = {"base": "chat", "chat": "finetuned"}
    assert Labels().calling(words) == Labels("chat", "finetuned")
    assert Labels().calling({"chat": "finetuned"}) == Labels("Base", "finetuned")
    assert Labels(base="Before", target="Self").calling(words) == Labels("Before", "finetuned", "Self")
    assert Labels().calling({}) == Labels()


def test_words_of_the_files_that_would_make_labels_alike_are_not_taken():
    assert Labels().calling({"base": "Both"}) == Labels()
    assert Labels(chat="chat").calling({"base": "chat", "chat": "finetuned"}) == Labels(chat="chat")


def test_an_effect_has_a_short_name_and_a_long_one():
    labels = Labels(target="Self", control="Other")
    assert labels.short_effect("all_mean_change") == "Change"
    assert labels.explain_effect("all_mean_change") == "Change of mean activation on Self, with its 95 % interval."
    assert labels.short_effect("sparsity_specific") == "Change vs Other"
    assert labels.explain_effect("sparsity_specific") == (
        "Change of activation frequency on Self more than on Other: the change on Self minus that on Other, with its "
        "95 % interval."
    )
