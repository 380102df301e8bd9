"""What each row of an audit means, in one sentence for people who do not read formulas."""

from kd2m_theory.errors import InputError

# In braces: what differs between rows about features under the teacher's head and rows about logits of own heads.
_WORDS = {
    "T0": "Averaged over the inputs: the most and the least that the loss could grow from teacher to student whatever the "
    "true label is, so no labels are needed.",
    "T0.error": "The two error rates differ by at most the share of inputs on which the networks predict different classes.",
    "T1.directed": "Mean of the most, and of the least, that any class's logit gains on the true class's, {heads}: the loss "
    "grows by no more and no less.",
    "T1.head_aware": "The loss of an input changes by at most the largest change of a logit against the true class's, {heads}; "
    "this is its mean.",
    "T1.class_lipschitz": "Mean distance between the two networks' {points} of an input, each times the steepness of the loss "
    "of its true class.",
    "T1.l1": "Mean distance between the two networks' {points} of an input, times the steepness L of the loss.",
    "T1.l2": "Root mean square distance between the two networks' {points} of an input, times the steepness L of the loss: "
    "the paper's theorem with the constant that it lacks.",
    "T1.literal": "The paper's theorem as printed, without the steepness of the loss: it promises something only where the "
    "loss is no steeper than 1.",
    "T2.head_aware": "Within each class the cheapest way to move the teacher's {points} onto the student's, where a move costs "
    "as much as it can change the loss.",
    "T2.class_lipschitz": "Transport distance (W₁) of the {points} within each class, times the steepness of its loss.",
    "T2.lipschitz": "Transport distance (W₁) of the {points} within each class, times the steepness L of the loss.",
    "T2.spectral": "Transport distance (W₁) of the {points} within each class, times √2 and the operator norm of the head: the "
    "coarsest constant, of the paper's type.",
    "T2.w2": "As T2.{prefix}lipschitz with the quadratic distance W₂, which is never smaller.",
    "T2.cw2": "The paper's class-conditional distance CW₂ of the {points}, times L and a factor for unequal classes.",
    "T3.directed": "Transport of {points} without regard to class, where a move costs the most that a logit gains by it; what "
    "the labels add is known exactly.",
    "T3.head_aware": "Transport of {points} and labels together: a move costs as much as it can change the loss, and a change "
    "of label what it does change it.",
    "T3.lipschitz": "Transport of {points} and labels together: a move costs its length times L, a change of label what it "
    "changes the loss.",
    "T4": "Transport distance of the {points} without regard to class, times L, moved by what the plan's exchange of labels "
    "does to the loss.",
    "T5": "Two-sided: what the slopes of the loss at the teacher's and the student's end say about the way between, {heads}, "
    "with the best matching within a class.",
    "T5.curved": "As T5{infix}, and the curvature of the loss at both ends is used as well.",
    "T6": "Squared loss: differences of the means and covariances of the features in each class, times the head's norms.",
    "T6.brier": "Brier's score: differences of the means and covariances of the predicted probabilities in each class.",
    "T7.prediction": "The two error rates differ by at most as much as the two confusion matrices, class by class.",
    "T7.gaussian": "If the logits of each class were Gaussian: how far the error rates could differ, from the divergence (KL) "
    "of the two Gaussians.",
    "T8.directed": "The student errs at most where some logit gains more than the teacher's margin, and at least where "
    "every one does, with the best matching of points of a class.",
    "T8.ramp": "The student's error is at most the teacher's share of small margins, plus a transport cost that counts moves "
    "in units of the margin.",
    "T9.largest": "The mean probability of the true class changes by at most the largest and at least the least change of any "
    "class's probability.",
    "T9.tv": "The mean probability of the true class changes by at most the total variation between the two predictions.",
    "T9.pinsker": "As T9.tv, from the divergence KL of teacher and student by Pinsker's inequality.",
    "T9.bretagnolle_huber": "As T9.tv, from the divergence KL of teacher and student by Bretagnolle and Huber's inequality.",
    "T9.ttm": "As T9.tv for the teacher softened by the temperature: the term that the training loss TTM makes small.",
    "T9.kl": "An identity: the gap is the divergence KL of teacher and student, plus how far the true labels depart from the "
    "teacher's predictions.",
    "T10.risk": "From the means and covariances of the {points} in each class alone, times the steepness L of the loss.",
    "T10.gelbrich": "The quadratic distance between the features is at least what their means and covariances call for.",
    "T10.moments": "The quadratic distance between the features is at most what their means and covariances allow.",
    "F1.gap": "The yardstick: the interval that labelled samples give directly for the difference of the clipped losses.",
    "F1.risk": "The yardstick: the interval that labelled samples give directly for the student's clipped loss.",
    "F1.error_gap": "The yardstick: the interval that labelled samples give directly for the difference of the error rates.",
    "F1.error": "The yardstick: the interval that labelled samples give directly for the student's error rate.",
    "F2.T0": "The student's clipped loss on the population: the teacher's on the sample, plus T0, plus what chance may add.",
    "F2.T1": "The student's clipped loss on the population: the teacher's on the sample, plus T1.logits.head_aware, plus what "
    "chance may add.",
    "F2.T2": "The student's clipped loss on the population: the teacher's on the sample, plus T2.logits.head_aware, plus what "
    "chance may add.",
    "F2.T5": "The student's clipped loss on the population: the teacher's on the sample, plus T5.logits.curved, plus what "
    "chance may add.",
    "F2.T0.error": "The student's error on the population: the teacher's on the sample, plus the disagreement, plus what "
    "chance may add.",
    "F2.T8": "The student's error on the population: T8.directed on the sample, plus what chance may add.",
    "F3.T0": "T0 for the population, with clipped losses: how much worse the student can be, from unlabelled samples alone.",
    "F3.T1": "T1.logits.head_aware for the population, with clipped changes of the loss.",
    "F3.T0.error": "The error rates on the population differ by at most the upper limit of the disagreement: from unlabelled "
    "samples alone.",
    "F3.T8": "The student's error on the population: how often the teacher's margin is smaller than what a logit gains.",
    "F4.brier": "Brier's score on the population: the kernel distance of the sample plus an allowance for chance, times the "
    "norm of the score.",
    "F5.T2": "T2.logits.head_aware for the population, with clipped costs and an allowance for chance.",
    "F5.brier": "Brier's score on the population: transport of the predicted probabilities within each class, plus what "
    "chance may add.",
}


def meaning(row: str) -> str:
    """What the row of that name means, in one sentence.

    Raises:
        InputError: no row has that name.
    """
    theorem, *rest = row.split(".")
    own_head = rest[:1] == ["logits"]
    base = ".".join([theorem, *rest[1:]]) if own_head else row
    if base not in _WORDS:
        raise InputError(f"there are no words for row {row!r}; rows with words are {', '.join(_WORDS)}")
    if own_head:
        return _WORDS[base].format(points="logits", heads="each network with its own head", prefix="logits.", infix=".logits")
    return _WORDS[base].format(points="features", heads="both under the teacher's head", prefix="", infix="")
