"""The tour is what the code is, and what its commands print."""

import re

import pytest

from tests.tour import BLOCK, ROOT, TOUR, filled

NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
VARYING = re.compile(r"tokens/s|seconds?|MB|\d s in all|measured on this machine")


def alike(here, there):
    """The same but for numbers that a processor of another kind rounds otherwise"""
    if VARYING.search(here) and VARYING.search(there):
        return True
    words = NUMBER.split(here), NUMBER.split(there)
    numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(line)] for line in (here, there)]
    spaces = re.compile(r"[\s█▓▒░·-]+")
    same = [spaces.sub(" ", w) for w in words[0]] == [spaces.sub(" ", w) for w in words[1]]
    return same and numbers[0] == pytest.approx(numbers[1], abs=0.02, rel=0.02)


def test_the_tour_is_as_it_was_built(tmp_path):
    text = TOUR.read_text("utf-8")
    again = filled(text, tmp_path)
    assert len(BLOCK.findall(text)) >= 24
    before, after = text.splitlines(), again.splitlines()
    assert len(before) == len(after)
    for here, there in zip(before, after, strict=True):
        assert alike(here, there), f"python -m tests.tour: {here!r} is now {there!r}"


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("  h  0.145 -0.158", "  h  0.146 -0.158", True),
        ("  h  0.145 -0.158", "  h  0.245 -0.158", False),
        ("loss.backward()", "loss.backwards()", False),
        ("x = x + 1", "x = x + 2", False),
        ("▓▓ 51 ▒▒ 49", "▒▒ 50 ▒▒ 50", True),
    ],
)
def test_what_counts_as_alike(here, there, same):
    assert alike(here, there) is same


def test_its_links_and_pictures_are_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TOUR.read_text("utf-8")):
        assert (TOUR.parent / target).exists(), target
    assert ROOT.joinpath("gpt", "tour", "page.png").exists()
