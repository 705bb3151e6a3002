"""Compiled kernels are kept by the state of all sources that they depend on."""

from pathlib import Path

import pytest

from markets import kernel
from markets.spot import messages

ROOT = Path(__file__).resolve().parent.parent


def test_a_kernel_depends_on_what_it_imports_however_far() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in kernel.sources(Path(messages.__file__))}
    assert {"markets/spot/messages.py", "markets/spot/book.py", "markets/intents.py"} <= names
    assert not any(name.startswith(("agents", "runner", "markets/pools")) for name in names)


def test_compiled_code_lies_in_the_folder_of_its_state() -> None:
    folder = kernel.cache_folder(Path(messages.__file__))
    assert Path(messages.execute_batch.stats.cache_path).is_relative_to(folder)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "ROOT", tmp_path)
    package = tmp_path / "markets"
    package.mkdir()
    (package / "leaf.py").write_text("LIMIT = 1\n")
    (package / "branch.py").write_text("from markets.leaf import (\n    LIMIT,\n)\n")
    (package / "root.py").write_text("from markets import (\n    branch,\n)\nimport math\n")
    (package / "other.py").write_text("x = 1\n")
    return package


def state(path: Path) -> str:
    kernel._read.cache_clear()
    kernel._state.cache_clear()
    return kernel._state(path)


def test_a_change_far_away_is_seen_and_an_unrelated_one_is_not(tree: Path) -> None:
    before = state(tree / "root.py")
    (tree / "other.py").write_text("x = 2\n")
    assert state(tree / "root.py") == before
    (tree / "leaf.py").write_text("LIMIT = 2\n")
    assert state(tree / "root.py") != before
    kernel._read.cache_clear()
    kernel._state.cache_clear()
