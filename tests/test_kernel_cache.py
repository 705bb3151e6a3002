"""Compiled kernels are kept by the state of the sources."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from markets import kernel_cache

SHOW = "import markets; from numba import config; print(config.CACHE_DIR)"


def folder(**environment: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def test_numba_uses_a_folder_named_after_the_sources(tmp_path: Path) -> None:
    name = f"kernels-{kernel_cache.sources_hash()}"
    assert folder(NUMBA_CACHE_DIR=str(tmp_path)) == tmp_path / name
    assert folder(NUMBA_CACHE_DIR=str(tmp_path / "kernels-000000000000")) == tmp_path / name


def test_any_change_of_a_source_changes_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in kernel_cache.PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(kernel_cache, "__file__", str(tmp_path / "markets" / "kernel_cache.py"))
    before = kernel_cache.sources_hash()
    assert kernel_cache.sources_hash() == before
    (tmp_path / "agents" / "one.py").write_text("x = 2\n")
    assert kernel_cache.sources_hash() != before
