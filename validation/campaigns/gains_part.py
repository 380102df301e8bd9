"""What docs/campaign.md says of the experiment on real images, made of its table."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from kd2m_theory.validation.campaigns.gains import LEVEL, Comparison, Decision, Learned, comparison, plus_minus
from kd2m_theory.validation.campaigns.stored_campaigns import MNIST, trainings_in

BEGIN, END = "<!-- gains: made of its table -->", "<!-- end of gains -->"
_END = r" \*"  # the λ is the smallest or largest that was tried
_SAID: dict[Decision, str] = {"a gain": "gain", "a loss": "lose", "undecided": "cannot be told from no gain"}


def block(tables: Path | None) -> str:
    """What the page says about it, between its two marks.

    Raises:
        InputError: the table is not there, or is not that of a campaign.
    """
    return written(*map(comparison, trainings_in(MNIST.path(tables)).settings))


def written(*compared: Comparison) -> str:
    """The same from the settings of a campaign."""
    return "\n".join([BEGIN, "", *(line for each in compared for line in (*_verdict(each), *_table(each), "")), END])


def _verdict(compared: Comparison) -> Iterator[str]:
    gains = {each.name: each.gain for each in compared.learned if each.gain is not None}
    setting = compared.setting
    words = f"{setting.name}, {setting.teacher} to {setting.student}: of {len(gains)} objectives, all intervals at once at "
    words += f"{100 * LEVEL:.0f} %, "
    said = []
    for decision, verb in _SAID.items():
        names = [f"`{name}`" for name, gain in gains.items() if gain.decision == decision]
        said.append(f"{len(names)} {verb}" + (f" ({', '.join(names)})" if names else ""))
    yield from textwrap.wrap(f"{words}{'; '.join(said)}.", 88, break_on_hyphens=False)
    if halves := [gain.points.half for gain in gains.values() if gain.points.half is not None]:
        yield f"Half-widths of single intervals are {min(halves):.2f} to {max(halves):.2f} points."
    yield ""


def _table(compared: Comparison) -> Iterator[str]:
    yield "| objective | λ | accuracy (%) | gain (points) | at once | this is |"
    yield "|---|--:|--:|--:|--:|---|"
    if compared.teacher is not None:
        yield f"| teacher | | {compared.teacher:.2f} | | | |"
    if compared.alone is not None:
        yield f"| none (λ = 0) | | {plus_minus(compared.alone.mean, compared.alone.half)} | | | |"
    for each in compared.learned:
        yield "| " + " | ".join(_cells(each)) + " |"


def _cells(each: Learned) -> tuple[str, ...]:
    weight = each.students.weight
    chosen = "" if weight is None else f"{weight:g}{_END * each.at_an_end}"
    first = each.name, chosen, plus_minus(each.accuracy.mean, each.accuracy.half)
    if each.gain is None:
        return (*first, "", "", "")
    once = "" if each.gain.at_once is None else f"± {each.gain.at_once:.2f}"
    return (*first, plus_minus(each.gain.points.mean, each.gain.points.half, "+"), once, each.gain.decision)
