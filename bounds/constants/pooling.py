"""Windows of pooling, axis by axis: a window of several axes is a product of windows of one."""

import numpy as np
import scipy.sparse as sp

from kd2m_theory.arrays import Int64
from kd2m_theory.errors import InputError


def window_starts(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Int64:
    """First position of every pooling window on an axis; −padding is the first. Rules are those of torch.

    Raises:
        InputError: the axis is shorter than a window.
    """
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1  # a window must start inside the input or its left padding
    if count < 1 or span < 0:
        raise InputError(f"an axis of size {size} is shorter than a pooling window of {kernel}; enlarge the input")
    return stride * np.arange(count) - padding


def shared_windows(starts: Int64, size: int, kernel: int, dilation: int) -> int:
    """Largest number of windows that read one position of an axis.

    √ of the product over axes is the exact Lipschitz constant of max pooling. Above: a maximum moves by at most the
    largest move within its window, so ‖Δy‖² ≤ Σ_windows Σ_{i in it} Δx_i² ≤ (largest number) ‖Δx‖². Attained: where
    the position in most windows exceeds all others, they all follow it.
    """
    reads = (starts[:, None] + dilation * np.arange(kernel)).ravel()
    return int(np.bincount(reads[(reads >= 0) & (reads < size)], minlength=size).max())


def average_matrix(starts: Int64, size: int, kernel: int, padding: int, count_include_pad: bool) -> sp.csr_array:
    """Average pooling of one axis as a matrix (windows × positions)."""
    ends = np.minimum(starts + kernel, size + padding)
    inside = np.maximum(starts, 0), np.minimum(ends, size)
    return _means(*inside, ends - starts if count_include_pad else inside[1] - inside[0], size)


def adaptive_windows(size: int, windows: int) -> tuple[Int64, Int64]:
    """Starts and ends of the windows of adaptive pooling: ⌊i·size/windows⌋ to ⌈(i + 1)·size/windows⌉."""
    index = np.arange(windows)
    return index * size // windows, -(-(index + 1) * size // windows)


def adaptive_average_matrix(size: int, windows: int) -> sp.csr_array:
    """Adaptive average pooling of one axis as a matrix (windows × positions)."""
    starts, ends = adaptive_windows(size, windows)
    return _means(starts, ends, ends - starts, size)


def _means(starts: Int64, ends: Int64, divisor: Int64, size: int) -> sp.csr_array:
    lengths = ends - starts
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    columns = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - starts, lengths)
    return sp.csr_array((np.repeat(1.0 / divisor, lengths), columns, indptr), shape=(len(starts), size))
