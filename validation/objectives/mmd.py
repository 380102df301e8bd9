"""KD²M with the maximum mean discrepancy (arXiv 2504.01757), of the batch or of each class."""

from torch import Tensor

from kd2m_theory.arrays import IGNORED
from kd2m_theory.checks import above_zero, one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.kernels import RBF, Kernel, Linear, median_bandwidth
from kd2m_theory.estimators.losses.kernel import squared_conditional_mmd, squared_mmd
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs


class MMD(FeatureObjective):
    """CE + λ·MMD² (V-statistic) between the batch's student and teacher features, a squared distance in the kernel's space.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        kernel: "rbf", exp(−‖z − z'‖²/(2σ²)), or "linear", which matches means only.
        bandwidth: σ > 0 of "rbf", or "median": the median distance between the images of the *teacher's* batch, taken again
            for every batch and held fixed in the backward pass. Of the teacher's, so that the student cannot move its
            yardstick.
        projector: as `FeatureObjective`.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: as `FeatureObjective`; an unknown kernel; a bandwidth that is not positive, or one for "linear"; in
            training, a teacher batch without a median distance, or features that are not finite.
    """

    part = "mmd"
    refuses = True

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        kernel: str = "rbf",
        bandwidth: float | str = "median",
        projector: str | None = None,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(sizes, weight=weight, projector=projector, cross_entropy=cross_entropy)
        self.kernel = one_of(kernel, ("rbf", "linear"), "kernel")
        if isinstance(bandwidth, str):
            one_of(bandwidth, ("median",), "bandwidth")
        elif kernel == "linear":
            raise InputError(
                f'bandwidth is {bandwidth!r}, but a linear kernel has none; leave it out, or choose kernel = "rbf"'
            )
        else:
            above_zero(bandwidth, "bandwidth")
        self.bandwidth = bandwidth

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """MMD²."""
        return squared_mmd(student.features, teacher.features, self._kernel_for(teacher.features))

    def _kernel_for(self, teacher: Tensor) -> Kernel:
        if self.kernel == "linear":
            return Linear()
        if not isinstance(self.bandwidth, str):
            return RBF(self.bandwidth)
        if len(teacher) < 2:
            raise InputError("a batch of one image has no median distance; set bandwidth to a number, or use larger batches")
        # Two halves that are pooled again: each distance between two images once.
        known = teacher.cpu()
        return RBF(median_bandwidth(known[:1], known[1:]))


class ConditionalMMD(MMD):
    """CE + λ times the mean of MMD² over the classes present in the batch; one kernel for all classes. Options as `MMD`."""

    part = "conditional_mmd"
    compares = "classes"
    skips_ignored = True

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """Conditional MMD²."""
        # On the host, where the median is taken: elsewhere the host would wait for the number of rows.
        known = teacher.features.cpu()[labels.cpu() != IGNORED]
        if not len(known):
            return student.features[:0].sum()
        return squared_conditional_mmd(student.features, teacher.features, labels, self._kernel_for(known))
