"""What is there after a kill at any moment: the old or the new, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills import VICTIMS, kill


@pytest.mark.parametrize("name", VICTIMS)
def test_a_few_kills(name: str, tmp_path: Path) -> None:
    assert kill(name, tmp_path, 3).total() == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", VICTIMS)
def test_many_kills(name: str, tmp_path: Path) -> None:
    assert kill(name, tmp_path, 200, seed=1).total() == 200
