"""What a point says of itself under the mouse, line by line."""


def hover_lines(sizes, classes=()):
    """
    Return the hover template of a feature at newline, of the models Ancestor and Tuned on Introspective and Other.

    `sizes` are the numbers of prompts, Ancestor before Tuned and Introspective before Other; `classes` are the lines
    that name the class of the point, where it has them.
    """
    names = ("Ancestor Introspective", "Ancestor Other", "Tuned Introspective", "Tuned Other")
    counts = [f"{name}: %{{customdata[{4 + i}]:d}}/{n}" for i, (name, n) in enumerate(zip(names, sizes, strict=True))]
    return [
        "<b>Feature %{customdata[0]:d}</b> at newline",
        "Ancestor Activation frequency: %{customdata[1]:.4~r}",
        "Tuned Activation frequency: %{customdata[2]:.4~r}",
        "Difference: %{customdata[3]:+.4~r}",
        "",
        "<b>Change of activation frequency on Introspective: %{customdata[8]:+.3~r} pp</b> "
        "(%{customdata[9]:+.3~r} to %{customdata[10]:+.3~r})",
        "q = %{customdata[11]:~g} (Fisher’s exact test)",
        "",
        *(f"<b>{line}</b>" for line in classes),
        *counts,
        "",
        "%{text}<extra></extra>",
    ]


INCONSISTENT = (
    "Introspective prompt-exclusive feature for Ancestor",
    "This feature is also active on the Tuned model’s Other prompts",
)
"""The class of a feature that is exclusive in Ancestor, and active on control prompts in Tuned."""
