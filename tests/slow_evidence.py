"""Every test, effect and interval of a feature in plain Python, one feature and one pattern at a time."""

from fractions import Fraction
from itertools import combinations, product
from math import comb, inf, isnan, nan, sqrt

from scipy.stats import norm
from scipy.stats import t as student

# ----------------------------------------------------------------------------
# Target over control in one model.


def fisher(target, control, num_target, num_control):
    """P(X ≥ target) among all ways to spread the active prompts over both sets."""
    margin = target + control
    tables = [comb(num_target, k) * comb(num_control, margin - k) for k in range(min(margin, num_target) + 1)]
    return sum(tables[target:]) / sum(tables)


def exchange_rates(target, control, target_groups, control_groups):
    """Exchange whole groups: how often is the difference of mean rates at least as large as observed?"""
    units = [means(target, target_groups), means(control, control_groups)]
    differences = [mean(one) - mean(other) for one, other in exchanges(*units)]
    return sum(d >= differences[0] for d in differences) / len(differences)


# ----------------------------------------------------------------------------
# Pairs.


def paired(base, chat, groups):
    """
    Return effect → (value, low, high, p, test) of one feature.

    `base` and `chat` map a prompt set to the activation on each prompt, `groups` maps it to names of groups or None.
    """
    d = {s: [Fraction(c) - Fraction(b) for b, c in zip(base[s], chat[s], strict=True)] for s in base}
    switches = {s: [Fraction((c != 0) - (b != 0)) for b, c in zip(base[s], chat[s], strict=True)] for s in base}
    named = {s: "-grouped" * (groups[s] is not None) for s in groups}
    either = named["target"] or named["control"]
    found = {
        "all_mean_change": (*mean_change(d["target"], groups["target"]), "sign-flip" + named["target"]),
        "all_mean_specific": (*mean_specific(d, groups), "exchange" + either),
    }
    if named["target"]:
        found["sparsity_change"] = (*mean_change(switches["target"], groups["target"]), "sign-flip-grouped")
    else:
        p = mcnemar(switches["target"].count(-1), switches["target"].count(1))
        ends = known(switches["target"], paired_share(base["target"], chat["target"])[1:])
        found["sparsity_change"] = (float(mean(switches["target"])), *ends, p, "mcnemar")
    if either:
        found["sparsity_specific"] = (*mean_specific(switches, groups), "exchange-grouped")
    else:
        shares = [paired_share(base[s], chat[s]) for s in ("target", "control")]
        value, *ends = subtract(*shares)
        p = exchange(switches["target"], switches["control"])
        found["sparsity_specific"] = (
            value, *known(switches["target"] + switches["control"], ends), p, "exchange",
        )  # fmt: skip
    return found


def mean_change(d, groups):
    """Flip the signs of whole groups: how often is |Σ| at least as large as observed?"""
    units = means(d, groups)
    sums = [abs(sum(s * x for s, x in zip(signs, units, strict=True))) for signs in product((1, -1), repeat=len(units))]
    half = nan if len(units) < 2 else margin_of(variance(units), len(units) - 1)
    value = float(mean(d))
    return value, *known(d, (value - half, value + half)), sum(s >= sums[0] for s in sums) / len(sums)


def mean_specific(d, groups):
    """Exchange whole groups: how often is |Welch's t| at least as large as observed?"""
    units = [means(d[s], groups[s]) for s in ("target", "control")]
    value = float(mean(d["target"]) - mean(d["control"]))
    half = nan
    if min(map(len, units)) > 1:
        parts = [variance(values) for values in units]
        half = margin_of(sum(parts), satterthwaite(parts, [len(values) for values in units]))
    return value, *known(d["target"] + d["control"], (value - half, value + half)), exchange(*units)


def exchange(target, control):
    if min(len(target), len(control)) < 2:
        return nan
    squares = [t_squared(one, other) for one, other in exchanges(target, control)]
    return sum(t2 >= squares[0] for t2 in squares) / len(squares)


def t_squared(first, second):
    """Welch's t², exactly; ∞ where neither varies and the means differ, 0 where they agree."""
    gap, spread = mean(first) - mean(second), variance(first) + variance(second)
    return gap**2 / spread if spread else (inf if gap else 0)


def mcnemar(base_only, chat_only):
    n = base_only + chat_only
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(base_only, chat_only) + 1)) / 2**n)


def paired_share(base, chat):
    """Newcombe's hybrid score interval of chat − base on the same prompts (1998, method 10)."""
    n = len(base)
    both = sum(b != 0 and c != 0 for b, c in zip(base, chat, strict=True))
    b, c = sum(x != 0 for x in base), sum(x != 0 for x in chat)
    product_, top = b * (n - b) * c * (n - c), both * (n - b - c + both) - (b - both) * (c - both)
    phi = (max(top - n / 2, 0) if top > 0 else top) / sqrt(product_) if product_ else 0.0
    return subtract(share(c, n), share(b, n), phi)


# ----------------------------------------------------------------------------
# Counts and moments alone. Each cell is (active, mean, std, n).


def unpaired(cells):
    """As `paired`, of `cells[side, prompts]`."""
    counts = {key: (cell[0], cell[3]) for key, cell in cells.items()}
    on = {s: subtract(share(*counts["chat", s]), share(*counts["base", s])) for s in ("target", "control")}
    found = {
        "sparsity_change": (*on["target"], fisher_two_sided(*counts["base", "target"], *counts["chat", "target"])),
        "sparsity_specific": (*subtract(on["target"], on["control"]), four_shares(counts)),
        "all_mean_change": welch([cells["chat", "target"]], [cells["base", "target"]]),
        "all_mean_specific": welch(
            [cells["chat", "target"], cells["base", "control"]], [cells["base", "target"], cells["chat", "control"]]
        ),
    }
    tests = {"sparsity_change": "fisher", "sparsity_specific": "counts"}
    return {name: (*values, tests.get(name, "welch")) for name, values in found.items()}


def fisher_two_sided(base, num_base, chat, num_chat):
    """The probability of all tables with the same margins that are at most as likely."""
    margin = base + chat
    tables = [comb(num_base, k) * comb(num_chat, margin - k) for k in range(min(margin, num_base) + 1)]
    return sum(n for n in tables if n <= tables[base]) / sum(tables)


def four_shares(counts):
    """Each share as (x + 1) / (n + 2), after Agresti and Caffo (2000)."""
    shares = {key: ((x + 1) / (n + 2), n + 2) for key, (x, n) in counts.items()}
    effect = sum(
        share * (1 if side == "chat" else -1) * (1 if prompts == "target" else -1)
        for (side, prompts), (share, _) in shares.items()
    )
    return 2 * norm.sf(abs(effect) / sqrt(sum(share * (1 - share) / n for share, n in shares.values())))


def welch(plus, minus):
    value = sum(cell[1] for cell in plus) - sum(cell[1] for cell in minus)
    sizes = [cell[3] for cell in (*plus, *minus)]
    parts = [cell[2] ** 2 / cell[3] for cell in (*plus, *minus)]
    freedom = satterthwaite(parts, sizes)
    half = margin_of(sum(parts), freedom)
    if isnan(half):
        return value, nan, nan, 1.0 if value == 0 else nan
    return value, value - half, value + half, 2 * student.sf(abs(value) / sqrt(sum(parts)), freedom)


# ----------------------------------------------------------------------------
# What these are made of.


def mean(values):
    return sum(values) / Fraction(len(values))


def variance(values):
    """Squared standard error of the mean."""
    n = len(values)
    return sum((x - mean(values)) ** 2 for x in values) / Fraction((n - 1) * n)


def means(values, groups):
    """One value for each group; without groups the values themselves."""
    if groups is None:
        return list(values)
    return [
        mean([x for x, g in zip(values, groups, strict=True) if g == name]) for name in sorted(set(groups), key=str)
    ]


def exchanges(target, control):
    """All ways to call as many units target, the observed one first."""
    units = [*target, *control]
    for chosen in combinations(range(len(units)), len(target)):
        yield [units[i] for i in chosen], [x for i, x in enumerate(units) if i not in chosen]


def satterthwaite(parts, sizes):
    below = sum(float(part) ** 2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    return float(sum(parts)) ** 2 / below if below else nan


def margin_of(squared_error, freedom):
    """Half the width of a t interval; NaN where nothing varies."""
    return student.ppf(0.975, freedom) * sqrt(squared_error) if squared_error else nan


def known(changes, ends):
    """An interval where anything moves."""
    return tuple(ends) if any(changes) else (nan, nan)


def share(count, n):
    """A share and Wilson's interval (1927)."""
    z2 = norm.ppf(0.975) ** 2
    half = sqrt(z2 * count * (n - count) / n + z2**2 / 4)
    return count / n, (count + z2 / 2 - half) / (n + z2), (count + z2 / 2 + half) / (n + z2)


def subtract(first, second, correlation=0.0):
    """MOVER (Zou and Donner 2008)."""
    value, (one, low, high), (other, lower, higher) = first[0] - second[0], first, second

    def apart(a, b):
        return sqrt(max(a * a - 2 * correlation * a * b + b * b, 0))

    return value, value - apart(one - low, higher - other), value + apart(high - one, other - lower)


def step_up(p):
    """Benjamini and Hochberg (1995), written out: q of the i-th smallest p is the least p_j · m / j over j ≥ i."""
    m = len(p)
    order = sorted(range(m), key=lambda i: p[i])
    return {
        i: min(p[order[j]] * m / (j + 1) for j in range(rank, m)) for rank, i in enumerate(order)
    }  # fmt: skip
