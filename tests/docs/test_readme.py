"""What README shows of an audit is what the command prints."""

from pathlib import Path

import pytest

from kd2m_theory import Pair, audit

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- screen: what `kd2m audit tests/data/demo-alone.npz` prints -->", "<!-- end of screen -->"


@pytest.mark.long
def test_the_first_screen_is_that_of_the_stored_pair():
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    shown, end, _ = rest.partition(END)
    assert end
    screen = audit(Pair.load(ROOT / "tests" / "data" / "demo-alone.npz")).table(104)
    assert shown.strip().splitlines() == ["```text", *screen.splitlines(), "```"]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 95
