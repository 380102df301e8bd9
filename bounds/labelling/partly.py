"""A file of which some inputs have a label: what these say, if they were chosen at random and not for their labels."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import hypergeom

from kd2m_theory.arrays import IGNORED, Float64, Int64, class_labels, to_numpy
from kd2m_theory.bounds.labelling.drawn import Drawn
from kd2m_theory.bounds.labelling.estimate import LabelEstimate, estimate
from kd2m_theory.bounds.labelling.plan import in_order, refuse_other_classes, view_and_pool
from kd2m_theory.bounds.labelling.pool import End, Pool, Target
from kd2m_theory.bounds.view import View
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.interval_inputs import check_chosen_delta
from kd2m_theory.pair import Pair
from kd2m_theory.side_by_side import by_rows

Bool = NDArray[np.bool_]
Chosen = Literal["at random"]
# Probability that labelled inputs that were chosen at random are refused because they do not look like it.
FALSE_ALARM = 1e-6


class _AtRandom(Drawn):
    """The labelled rows of a file, in an order that was made up after they were labelled."""

    ASSUMPTION: ClassVar[str] = "labelled inputs chosen at random, without regard to their labels"
    ANYTIME: ClassVar[bool] = False


def partly_labelled(
    pair: Pair,
    labels: Sequence[int | None] | Mapping[int, int] | Any,
    target: Target = "gap",
    delta: float = 0.05,
    *,
    chosen: Chosen | None = None,
    end: End = "both",
    loss_bound: float | None = None,
) -> LabelEstimate:
    """What the labels that a file happens to have say about student less teacher, in this file and in the population.

    That takes inputs that were chosen for labelling at random: whatever their number, every set of as many inputs was as
    likely. No data can show that, so it has to be said: `chosen="at random"`. Inputs whose labels were chosen otherwise (hard
    ones first, those that labellers agreed on) say nothing about the others. Where every label is there that can matter, the
    file's answer is exact, and nothing has to be said. A choice that does not look random in the logits is refused: in the
    number of disagreements, of inputs at which a label can matter much, of those at which the teacher is unsure, or of those
    that it gives a class. Random choices are refused with probability at most 10⁻⁶.

    The labelled inputs are put in an order that depends on the logits and on which inputs are labelled, by SHA-256, never on
    a label: if SHA-256 acts as a random function, they are draws without replacement. All orders of the file give the same
    numbers, but for rounding.

    Args:
        pair: both networks on the same N inputs. Labels that it has are not looked at.
        labels: N classes 0 … K − 1, with None, NaN, −100 or a mask where there is none; or classes by position in the pair.
        target: "gap" for the difference of cross-entropies, clipped at `loss_bound`, or "error" for that of error rates.
        delta: failure probability of each interval. It covers one look: if more inputs are labelled later, say which number
            of labels counts before the first look, or use a `label_plan`.
        chosen: "at random" if the labelled inputs were chosen so.
        end: "both", or "upper" to spend all of δ on how much worse the student can be.
        loss_bound: B in nats, chosen before the file was seen; 2 ln K if None.

    Raises:
        InputError: `chosen` is not given and a label that can matter is missing, labelled inputs that do not look chosen at
            random, no labels, labels that are not classes or positions, or a pair or argument that `label_plan` refuses.

    Source:
        As `label_plan`, with one chance for all inputs.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 3, 500)
        >>> teacher = rng.normal(size=(500, 3)) + 3 * np.eye(3)[labels]
        >>> pair = Pair(logits_teacher=teacher, logits_student=teacher + rng.normal(size=(500, 3)))
        >>> known = np.where(rng.random(500) < 0.5, labels, -100)
        >>> partly_labelled(pair, known, target="error", chosen="at random").file
        Confidence(0.1004 in [0.07, 0.106], probability, guaranteed at 95 %)
    """
    one_of(target, get_args(Target), "target")
    one_of(end, get_args(End), "end")
    delta = check_chosen_delta(delta)
    if chosen is not None:
        one_of(chosen, get_args(Chosen), "chosen")
    view, pool = view_and_pool(pair, target, loss_bound)
    positions, known = _known(labels, view.samples[1], view.classes)
    has_label = np.isin(np.arange(view.samples[1]), positions)
    matters = (pool.rises > 0) | (pool.falls > 0)
    missing = int(np.count_nonzero(matters & ~has_label))
    if missing:
        if chosen is None:
            raise InputError(
                f"{missing:,} labels that can matter are missing; if the labelled inputs were chosen at random, without regard "
                "to their labels, say chosen='at random' (on the command line --chosen-at-random); of labels chosen otherwise "
                "nothing follows for the others. Where inputs can still be chosen, use kd2m.label_plan"
            )
        _refuse_other_choices(view, pool, has_label)
    label_of = np.full(len(has_label), IGNORED)
    label_of[positions] = known
    order, seed = _order(view, has_label, label_of)
    order = np.concatenate((order[matters[order]], np.flatnonzero(matters & ~has_label)))
    count = len(order) - missing
    rows = in_order(
        _AtRandom,
        view,
        pool,
        matters.astype(np.float64),
        order,
        kept=count,
        budget=count,
        target=target,
        delta=delta,
        end=end,
        seed=seed,
    )
    return estimate(rows, label_of[rows.order])


def _known(labels: Any, n: int, classes: int) -> tuple[Int64, Int64]:
    """Positions of the inputs that have a label, ascending, and the labels."""
    if isinstance(labels, Mapping):
        outside = [each for each in labels if not isinstance(each, int | np.integer) or not 0 <= each < n]
        if outside:
            raise InputError(f"position {outside[0]!r} has a label; positions are whole numbers from 0 to {n - 1}")
        places = np.array(sorted(labels), dtype=np.int64)
        values: Any = [labels[place] for place in places.tolist()]
    else:
        places, values = np.arange(n), labels
    masked = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if masked is not None:
        values = values.data
    if isinstance(values, list | tuple) or getattr(values, "dtype", None) == np.dtype(object):
        values = [IGNORED if each is None else each for each in values]
    array = to_numpy(values, "labels")
    if array.shape != places.shape:
        raise InputError(
            f"labels has shape {array.shape}, and there are {n} inputs; give one label per input, -100 where there is none, or "
            "a mapping from positions to labels"
        )
    there = array != IGNORED
    if array.dtype.kind == "f":
        there &= ~np.isnan(array)
    if masked is not None:
        there &= ~masked
    if not there.any():
        raise InputError("no input has a label; kd2m.label_plan says which to label first")
    places, found = places[there], class_labels(array[there], int(there.sum()), "labels")
    refuse_other_classes(found, places, classes)
    return places, found


def _order(view: View, has_label: Bool, label_of: Int64) -> tuple[Int64, str]:
    """The labelled rows in an order that no label decides, and its seed.

    Which rows are labelled decides the seed, too: one fixed order for all choices would read a random choice as sorted.
    """
    logits = np.hstack((view.stored_logits_teacher[:], view.stored_logits_student[:])) + 0.0  # one zero
    # Labels only put rows in line that nothing else distinguishes, before chance puts them in any order.
    line = np.lexsort((label_of, has_label, *logits.T))
    content = hashlib.sha256(np.ascontiguousarray(logits[line], dtype="<f8").data)
    content.update(np.packbits(has_label[line]).data)
    seed = content.hexdigest()
    labelled = line[has_label[line]]
    return np.asarray(labelled[np.random.default_rng(int(seed, 16)).permutation(len(labelled))]), seed


def _refuse_other_choices(view: View, pool: Pool, has_label: Bool) -> None:
    """Refuse labelled inputs of which too few or too many have a property that the logits show.

    The number of inputs with a property among m of N that were chosen at random is hypergeometric; each of the two tails of
    each property has its share of the false alarm.
    """
    names, of_all, of_chosen = zip(*_counts(view, pool, has_label), strict=True)
    n, chosen = len(has_label), int(has_label.sum())
    law = hypergeom(n, np.array(of_all), chosen)
    tails = np.minimum(law.cdf(of_chosen), law.sf(np.array(of_chosen) - 1))
    worst = int(np.argmin(tails))
    if 2 * len(names) * tails[worst] <= FALSE_ALARM:
        raise InputError(
            f"the labelled inputs were not chosen at random: {of_chosen[worst]:,} of {chosen:,} are inputs {names[worst]}, and "
            f"{of_all[worst]:,} of all {n:,} are (by chance with probability {tails[worst]:.1g}); from such a choice nothing "
            "follows for the inputs without a label. Where inputs can still be chosen, use kd2m.label_plan"
        )


def _counts(view: View, pool: Pool, has_label: Bool) -> Iterator[tuple[str, int, int]]:
    """Properties that the logits show, in words that follow "inputs"; how many of all have each, and how many labelled ones."""
    answers = view.stored_logits_teacher.argmax(axis=1)
    surest = by_rows(lambda part: log_softmax(part, axis=1).max(axis=1), view.stored_logits_teacher)
    for name, property_ in (
        ("at which the networks disagree", answers != view.stored_logits_student.argmax(axis=1)),
        ("at which a label can matter more than at the median one", _above_half(pool.rises + pool.falls)),
        ("at which the teacher is less sure than at the median one", _above_half(-surest)),
    ):
        yield name, int(property_.sum()), int(property_[has_label].sum())
    of_all, of_chosen = (np.bincount(each, minlength=view.classes) for each in (answers, answers[has_label]))
    for given in np.flatnonzero(of_all):
        yield f"that the teacher puts in class {given}", int(of_all[given]), int(of_chosen[given])


def _above_half(values: Float64) -> Bool:
    return np.asarray(values > np.median(values))
