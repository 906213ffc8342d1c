"""The package's folders import each other in one direction, the order in which data passes through them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "featurediff"
GROUND = ("errors", "labels", "wording", "version", "files", "locks", "once", "cache_folder", "csv_files", "csv_fast")
STAGES = ("ground", "sources", "meaning", "features", "charts", "study", "loading", "export", "compare", "app", "cli")
"""Each may import those before it."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def stage_of(module):
    """Return a module's stage; None for `featurediff` itself and its `__main__`, which stand above all of them."""
    first = module.split(".")[1] if "." in module else None
    return "ground" if first in GROUND else None if first == "__main__" else first


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def names_imported(tree):
    """Give every name that code imports: at its top, within functions and for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name):
    """Return the module of this package that an imported name is, or is in; None for other packages."""
    if name in MODULES:
        return name
    owner = name.rpartition(".")[0]
    return owner if owner in MODULES else None


IMPORTS = {
    module: {found for name in names_imported(parse(path)) if (found := module_of(name))} - {module}
    for module, path in MODULES.items()
}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_in_one_direction(module):
    stage = stage_of(module)
    if stage in (None, "collect"):
        return
    allowed = STAGES[: STAGES.index(stage) + 1]
    wrong = [found for found in IMPORTS[module] if stage_of(found) not in allowed]
    if module == "featurediff.cli.collect":
        wrong = [found for found in wrong if stage_of(found) != "collect"]
    assert wrong == []


def test_collect_uses_the_ground_and_sources():
    used = {stage_of(found) for module in MODULES if stage_of(module) == "collect" for found in IMPORTS[module]}
    assert used <= {"collect", "ground", "sources"}


def test_collect_is_imported_only_when_it_is_run():
    """Its packages take seconds to import, and may not be there."""
    users = [m for m in MODULES if stage_of(m) != "collect" and any(stage_of(i) == "collect" for i in IMPORTS[m])]
    assert users == ["featurediff.cli.collect"]
    tree = parse(MODULES["featurediff.cli.collect"])
    at_once = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    for_types = [node for node in at_once if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    tree.body = [node for node in at_once if node not in for_types]
    assert not [name for name in names_imported(tree) if name.startswith("featurediff.collect")]


def test_no_module_imports_itself_by_way_of_others():
    left = {module: set(imports) for module, imports in IMPORTS.items()}
    while free := [module for module, imports in left.items() if not imports & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_only_the_app_imports_streamlit():
    users = [
        module
        for module, path in MODULES.items()
        if any(n.split(".")[0] == "streamlit" for n in names_imported(parse(path)))
    ]
    assert [module for module in users if stage_of(module) != "app"] == []
    assert users != []


def test_only_the_ground_study_loading_and_export_stand_outside_of_folders():
    flat = {path.name for path in PACKAGE.iterdir() if path.is_file()} - {"py.typed"}
    assert flat == {f"{name}.py" for name in (*GROUND, "study", "loading", "export", "__init__", "__main__")}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*STAGES, "collect"} - {"ground", "study", "loading", "export"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_no_init_holds_logic(path):
    """A docstring, imports, `__all__` and `__version__`; the command line's registers its commands."""
    if path.parent.name == "cli":
        return
    for node in parse(path).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
        is_listed = names in (["__all__"], ["__version__"])
        assert is_text or is_listed or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)
