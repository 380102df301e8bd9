"""What docs/campaign.md says of the experiment on real images, made of its table."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from kd2m_theory.validation.campaigns.gains import LEVEL, Comparison, Decision, Learned, comparison, plus_minus
from kd2m_theory.validation.campaigns.stored_campaigns import MNIST, trainings_in
from kd2m_theory.validation.campaigns.trainings import Setting

BEGIN, END = "<!-- gains: made of its table -->", "<!-- end of gains -->"
_DECISIONS: tuple[Decision, ...] = ("a gain", "a loss", "undecided")
_END = r" \*"  # the λ is the smallest or largest that was tried
# Seeds of the pilots that chose population and recipe (the head of mnist.toml).
_PILOTS = (0, 1, 2)


def block(tables: Path | None) -> str:
    """What the page says about it, between its two marks.

    Raises:
        InputError: the table is not there, or is not that of a campaign.
    """
    return written(*trainings_in(MNIST.path(tables)).settings)


def written(*settings: Setting) -> str:
    """The same from the settings of a campaign."""
    return "\n".join([BEGIN, "", *(line for each in settings for line in (*_verdict(each), "", *_table(each), "")), END])


def _verdict(setting: Setting) -> Iterator[str]:
    compared = comparison(setting)
    gains = [each.gain.points for each in compared.learned if each.gain is not None]
    if compared.alone is None or not gains:
        yield f"{setting.name}, {setting.teacher} to {setting.student}: nothing to compare with."
        return
    later = [seed for seed in setting.alone.seeds if seed not in _PILOTS] if setting.alone is not None else []
    said = [
        f"{setting.name}, {setting.teacher} to {setting.student}, {compared.alone.seeds} seeds, {len(gains)} objectives.",
        f"By intervals that hold for all of them at all λ at once, at {100 * LEVEL:.0f} %, there is {_decided(compared)}.",
        f"Seeds {later[0]} to {later[-1]} alone, which no pilot saw, give {_decided(comparison(setting, later))}."
        if later
        else "",
    ]
    if halves := [each.half for each in gains if each.half is not None]:
        said.append(f"Half-widths of single intervals are {min(halves):.2f} to {max(halves):.2f} points.")
    yield from textwrap.wrap(" ".join(said), 128, break_on_hyphens=False)


def _decided(compared: Comparison) -> str:
    found = []
    for decision in _DECISIONS:
        names = [f"`{each.name}`" for each in compared.learned if each.gain is not None and each.gain.decision == decision]
        words = "no decision" if decision == "undecided" else decision
        found += [f"{words} for {', '.join(names)}"] if names else []
    return "; ".join(found)


def _table(setting: Setting) -> Iterator[str]:
    compared = comparison(setting)
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
