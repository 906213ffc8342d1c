"""The list of lines that `make mutants` breaks is of the code as it is."""

import ast
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench"))

from mutants import MUTANTS, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.why}")
def test_line_is_there_once_and_can_be_broken(mutant):
    whole = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert whole.count(mutant.old) == 1
    assert ast.dump(ast.parse(whole.replace(mutant.old, mutant.new))) != ast.dump(ast.parse(whole))
    assert all((ROOT / "tests" / f"test_{name}.py").exists() for name in mutant.tests.split())
