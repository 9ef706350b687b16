"""Settings of the whole suite."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_COLOR", "1")


@pytest.fixture
def shakespeare():
    """Tiny Shakespeare where $GPT_DATA_DIR has it"""
    folder = os.environ.get("GPT_DATA_DIR")
    path = Path(folder or ".") / "tinyshakespeare.txt"
    if not folder or not path.exists():
        pytest.skip("tiny Shakespeare is not in $GPT_DATA_DIR")
    return path.read_text("utf-8")
