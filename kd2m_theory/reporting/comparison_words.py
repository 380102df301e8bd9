"""A comparison of students in words: its headline, a sentence for each decision, and the words of one difference."""

from collections.abc import Mapping, Sequence
from typing import Any

from kd2m_theory.bounds.compare import MEASURES, TEACHER, Measure
from kd2m_theory.bounds.rows.row import BY_DESIGN
from kd2m_theory.plausibility import DOUBTS
from kd2m_theory.words import confidence, listed, number, outward, signed

Comparison = Mapping[str, Any]
Record = Mapping[str, Any]

UNITS: Mapping[Measure, str] = {"errors": "points", "cross_entropy": "nats"}
TITLES: Mapping[Measure, str] = {"errors": "Errors", "cross_entropy": "Clipped cross-entropy"}
_LESS: Mapping[Measure, str] = {"errors": "fewer errors", "cross_entropy": "a lower clipped cross-entropy"}


def students(comparison: Comparison) -> list[str]:
    """Names of the students, in order."""
    return [network["name"] for network in comparison["networks"] if network["name"] != TEACHER]


def headline(comparison: Comparison) -> str:
    """Which student is best, or that it is undecided."""
    names, best = students(comparison), comparison["best"]
    if any(each["key"] in DOUBTS for each in comparison["warnings"]):
        return "No verdict: the input looks wrong. Answer the question about it first."
    others = [name for name in names if name not in best]
    if len(best) == 1:
        return f"Best student: {best[0]}. Surely worse: {listed(others)}."
    if not others:
        return f"Undecided: these samples do not show which of {listed(names)} is best."
    return f"Best students: {listed(best)}, undecided among them. Surely worse: {listed(others)}."


def sentences(comparison: Comparison) -> list[str]:
    """What is decided between students and against the teacher, network by network."""
    said = []
    for better in (*students(comparison), TEACHER):
        who = "The teacher" if better == TEACHER else better
        worse = {m: [second for first, second in comparison["surely_better"][m] if first == better] for m in MEASURES}
        if worse["errors"] == worse["cross_entropy"]:
            both = listed(list(_LESS.values()))
            said += [_sentence(who, both, worse["errors"])] if worse["errors"] else []
        else:
            said += [_sentence(who, _LESS[measure], names) for measure, names in worse.items() if names]
    return said


def _sentence(who: str, what: str, others: Sequence[str]) -> str:
    return f"{who} surely has {what} than {listed([_called(name) for name in others])}."


def questions(comparison: Comparison) -> list[str]:
    """What about the pairs looks like a mistake, each question once with the students whose pairs raise it."""
    asked: dict[str, list[str]] = {}
    for each in comparison["warnings"]:
        asked.setdefault(each["sentence"], []).append(each["student"])
    return [f"Check the input ({listed(names)}): {sentence}" for sentence, names in asked.items()]


def opposed(comparison: Comparison) -> list[str]:
    """A sentence for each decision about clipped cross-entropy that the difference without clipping contradicts."""
    risks = {network["name"]: network["cross_entropy"] for network in comparison["networks"]}
    return [
        f"Without clipping, {_called(better)} has the higher mean cross-entropy on these samples "
        f"({number(risks[better])} against {number(risks[worse])} nats): a few large losses decide it."
        for better, worse in comparison["surely_better"]["cross_entropy"]
        if risks[better] > risks[worse]
    ]


def notes(comparison: Comparison) -> list[str]:
    """What the intervals and the decisions mean together, and what they are about."""
    level, each = confidence(1 - comparison["delta"]), confidence(1 - 2 * comparison["share"])
    said = [
        f"All intervals hold together at {level}, each at {each} (a union of all limits, F6.union). "
        f"All decisions are right together at {level} (Holm's method, F6.holm). A decision can be made although its interval "
        "contains 0.",
        f"Cross-entropy is clipped at {number(comparison['bound'])} nats, where a guarantee needs a bound.",
        f"Relies on what data cannot check: {', '.join((*BY_DESIGN, 'same inputs'))}. No student may have been trained, "
        "selected or tuned on these samples.",
    ]
    if comparison["groups"] is not None:
        said.insert(1, f"All numbers are means over {comparison['groups']:,} groups of the mean within a group.")
    return said


def subject(comparison: Comparison) -> str:
    """How many samples, classes and students there are."""
    groups = "" if comparison["groups"] is None else f" in {comparison['groups']:,} groups"
    many = len(students(comparison))
    return f"{comparison['n']:,} labelled samples{groups}, {comparison['classes']} classes, {many} students and their teacher"


def sign(comparison: Comparison, difference: Record, measure: Measure) -> int:
    """−1 where the first of the two is surely better in the measure, 1 where the second is, 0 where it is undecided."""
    found, (first, second) = comparison["surely_better"][measure], (difference["first"], difference["second"])
    return -1 if [first, second] in found else 1 if [second, first] in found else 0


def outcome(comparison: Comparison, difference: Record, measure: Measure) -> str:
    """The decision about a difference: which of the two is better, or "undecided"."""
    better = {-1: difference["first"], 1: difference["second"]}.get(sign(comparison, difference, measure))
    return "undecided" if better is None else f"{better} better"


def about(difference: Record) -> str:
    """The name of a difference."""
    return f"{difference['first']} − {difference['second']}"


def shown(value: float, measure: Measure) -> str:
    """A difference with its sign: errors in points of a hundred, cross-entropy in nats."""
    return signed(scaled(value, measure))


def shown_ends(found: Record, measure: Measure) -> tuple[str, str]:
    """The ends of an interval likewise, rounded outward."""
    low, high = outward(found["lower"], found["upper"], scaled(1.0, measure), 3)
    return signed(low, 4), signed(high, 4)


def scaled(value: float, measure: Measure) -> float:
    """A difference in the unit in which it is shown."""
    return 100 * value if measure == "errors" else value


def named(differences: Sequence[Record], most: int = 24) -> list[str]:
    """Names of the differences for a picture, with so many characters of each network's name."""

    def short(name: str) -> str:
        return name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - (most - 1) // 2 :]}"

    return [f"{short(each['first'])} − {short(each['second'])}" for each in differences]


def _called(name: str) -> str:
    return "the teacher" if name == TEACHER else name
