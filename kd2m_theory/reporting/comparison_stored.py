"""A stored comparison read back: every field of its JSON checked before a comparison is made of it."""

import math
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from kd2m_theory.bounds.compare import MEASURES, TEACHER, Difference, Measure, NetworkValues, check_names, hypotheses, levels
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence
from kd2m_theory.files import read_json
from kd2m_theory.plausibility import Finding
from kd2m_theory.reporting.stored_table import JsonTable, confidence_of, differences, finding_of, short
from kd2m_theory.version import __version__

SCHEMA = "kd2m-compare/1"
# Values that are computed in two ways agree up to this, relative to the terms that they are made of.
_ROUNDED = 1e-9
# Another version may say the same in other words.
_WORDS = ("headline", "sentences")
_UNITS: Mapping[Measure, str] = {"errors": "probability", "cross_entropy": "nats"}


def read_comparison(path: Path) -> dict[str, Any]:
    """The table of a stored comparison.

    Raises:
        InputError: no file, too large, not JSON, not a table, or of an unknown schema; one line that names the file.
    """
    table = read_json(path, f"{path} is not a comparison")
    if table.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a comparison (its schema is {short(table.get('schema'))}; {SCHEMA} can be read)")
    return table


def comparison_fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `StudentComparison`, by name, of a table that `read_comparison` returned.

    Raises:
        InputError: a field is missing, of the wrong type or out of range, or contradicts others; says which.
    """
    top = JsonTable(table, "")
    networks = tuple(_network(each) for each in top.tables("networks"))
    names = [network.name for network in networks]
    if names[-1:] != [TEACHER]:
        raise InputError(f"networks are {short(names)}; the last of them has to be {TEACHER}")
    check_names(names[:-1])
    delta, classes = top.number("delta", lambda value: 0 < value <= 0.5, "a number in (0, ½]"), top.whole("classes", 2)
    share = top.probability("share")
    _agree("share", share, delta / hypotheses(len(names)))
    loss_bound = None if top.get("loss_bound") is None else top.number("loss_bound", lambda value: value > 0, "a number > 0")
    bound = top.number("bound", lambda value: value > 0, "a number > 0")
    _agree("bound", bound, 2 * math.log(classes) if loss_bound is None else loss_bound)
    compared = tuple(_difference(each) for each in top.tables("differences"))
    _check_networks(networks, bound)
    _check_differences(compared, networks, share, bound)
    provenance = {key: each.words() for key, each in top.table("provenance").named()}
    if list(provenance) != names[:-1]:
        raise InputError(f"provenance is of {short(list(provenance))}, not of the students")
    return {
        "networks": networks,
        "differences": compared,
        "delta": delta,
        "share": share,
        "bound": bound,
        "n": top.whole("n", 1),
        "groups": None if top.get("groups") is None else top.whole("groups", 2),
        "classes": classes,
        "loss_bound": loss_bound,
        "provenance": provenance,
        "warnings": tuple(_warning(each, names[:-1]) for each in top.tables("warnings")),
        "version": top.text("version"),
    }


def check_derived(table: Mapping[str, Any], derived: Mapping[str, Any]) -> None:
    """Refuse a table that says something else than what follows from its numbers.

    Args:
        table: as `read_comparison` returned it.
        derived: of the comparison that was made of it.

    Raises:
        InputError: naming the first difference.
    """
    expected = dict(derived)
    if table["version"] != __version__:
        expected |= {key: table[key] for key in _WORDS if key in table}
        for mine, theirs in zip(table["warnings"], expected["warnings"], strict=True):
            theirs["sentence"] = mine["sentence"]
    difference = next(differences(dict(table), expected, ""), None)
    if difference is not None:
        raise InputError(difference)


def _network(table: JsonTable) -> NetworkValues:
    def share(key: str) -> float:
        return table.number(key, lambda value: 0 <= value <= 1, "a number from 0 to 1")

    return NetworkValues(
        name=table.text("name"),
        error=share("error"),
        cross_entropy=table.size("cross_entropy"),
        clipped_cross_entropy=table.size("clipped_cross_entropy"),
        clipped_share=share("clipped_share"),
        excess_confidence=table.number("excess_confidence", lambda value: -1 <= value <= 1, "a number from −1 to 1"),
    )


def _warning(table: JsonTable, students: list[str]) -> tuple[str, Finding]:
    return table.choice("student", students), finding_of(table)


def _difference(table: JsonTable) -> Difference:
    return Difference(
        first=table.text("first"),
        second=table.text("second"),
        errors=confidence_of(table.table("errors")),
        cross_entropy=confidence_of(table.table("cross_entropy")),
        errors_among=table.whole("errors_among", 0),
        cross_entropy_among=table.whole("cross_entropy_among", 0),
    )


def _check_networks(networks: tuple[NetworkValues, ...], bound: float) -> None:
    for each in networks:
        most = min(each.cross_entropy, bound) * (1 + _ROUNDED)
        if each.clipped_cross_entropy > most or each.clipped_cross_entropy < each.clipped_share * bound * (1 - _ROUNDED):
            raise InputError(
                f"the clipped cross-entropy of {each.name} is {each.clipped_cross_entropy:g}, which no losses make"
            )


def _check_differences(
    compared: tuple[Difference, ...], networks: tuple[NetworkValues, ...], share: float, bound: float
) -> None:
    names = [network.name for network in networks[:-1]]
    couples = [*combinations(names, 2), *((name, TEACHER) for name in names)]
    found = [(each.first, each.second) for each in compared]
    if found != couples:
        raise InputError(f"differences are {short(found)}, not {short(couples)}")
    of = {network.name: network for network in networks}
    for each in compared:
        first, second = of[each.first], of[each.second]
        terms = {
            "errors": (first.error, second.error, 1.0),
            "cross_entropy": (first.clipped_cross_entropy, second.clipped_cross_entropy, bound),
        }
        for measure in MEASURES:
            one, other, most = terms[measure]
            place = f"{measure} of {each.first} less {each.second}"
            _agree(f"the difference of {place}", each.value(measure).value, one - other, one + other)
            _check_interval(place, each.value(measure), _UNITS[measure], 1 - 2 * share, most)
            _check_among(place, each, measure, len(networks))


def _check_interval(place: str, found: Confidence, unit: str, level: float, most: float) -> None:
    if not -most <= found.lower <= found.value <= found.upper <= most:
        raise InputError(f"the interval of {place} does not lie around its value, between −{most:g} and {most:g}")
    if found.unit != unit or not found.guaranteed or (found.least, found.most) != (-most, most):
        raise InputError(f"the interval of {place} is not a guaranteed one for a difference in {unit}")
    _agree(f"the level of {place}", found.level, level)


def _check_among(place: str, difference: Difference, measure: Measure, networks: int) -> None:
    among, found = difference.among(measure), difference.value(measure)
    if among not in (0, *levels(networks)):
        raise InputError(f"{place} is decided among {among} hypotheses, which Holm's method does not try")
    if among and found.value == 0:
        raise InputError(f"{place} is 0, and its sign is said to be decided")
    if (among == hypotheses(networks)) == (found.lower <= 0 <= found.upper):
        raise InputError(f"{place} is decided among all hypotheses if and only if its interval excludes 0, and here it is not")


def _agree(what: str, found: float, expected: float, scale: float = 0.0) -> None:
    if abs(found - expected) > _ROUNDED * max(abs(expected), scale):
        raise InputError(f"{what} is {found:g}, but {expected:g} follows from the rest")
