"""One look for all figures: colours that colour-blind readers can tell apart (Okabe and Ito), sizes for a paper."""

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

INK = "#222222"
MUTED = "#777777"
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"

RC: Any = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "kd2m-theory",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def render(figure: Figure, file_format: str) -> bytes:
    """The figure's bytes in "png", "svg" or "pdf": the same bytes every time."""
    undated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = io.BytesIO()
    with rc_context(RC):
        figure.savefig(buffer, format=file_format, dpi=200, metadata=undated[file_format])
    return buffer.getvalue()
