"""The house rules that a machine can hold: budgets, the arrow, one home for Mesa, plain words."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("markets", "agents", "experiments", "runner")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MESA_FILES = {"agents/trader.py", "experiments/world.py"}
FORBIDDEN = {
    "markets": {"mesa", "ray", "pyarrow", "agents", "experiments", "runner", "random"},
    "agents": {"ray", "pyarrow", "pandas", "experiments", "runner"},
    "experiments": {"ray", "pyarrow", "runner"},
    "runner": {"mesa"},
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=named)
def test_budgets(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 500
    assert max(map(len, lines), default=0) <= 100
    for function in functions(ast.parse(path.read_text())):
        arguments = function.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        count -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
        assert body_lines(function) <= 60, function.name
        assert count <= MOST_PARAMETERS.get(named(path), 6), function.name


MOST_PARAMETERS: dict[str, int] = {"runner/cli.py": 9}
"""A command has as many parameters as the command line gives it options."""


def test_functions_are_mostly_small() -> None:
    sizes = sorted(
        body_lines(function)
        for path in FILES
        for function in functions(ast.parse(path.read_text()))
    )
    assert sizes[len(sizes) // 2] <= 8
    assert sizes[int(len(sizes) * 0.9)] <= 30


@pytest.mark.parametrize("path", FILES, ids=named)
def test_imports_follow_the_arrow(path: Path) -> None:
    found = imports(ast.parse(path.read_text()))
    assert not found & FORBIDDEN[path.relative_to(ROOT).parts[0]]
    assert ("mesa" in found) == (named(path) in MESA_FILES)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_module_and_public_function_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), "module docstring"
    for node in tree.body:
        public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"
        if public:
            assert ast.get_docstring(node), node.name


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "common", "manager", "misc", "base"}
    assert not {path.stem for path in FILES} & drawers


def test_nothing_is_left_undone() -> None:
    marks = re.compile("TO" + "DO|FIX" + "ME|NotImplemented" + "Error|XX" + "X")
    assert not [named(path) for path in FILES if marks.search(path.read_text())]
