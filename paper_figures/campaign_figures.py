"""The three pictures of a campaign: how tight the bounds are, whether intervals cover, which distance explains the gap."""

import io

from matplotlib import rc_context
from matplotlib.figure import Figure

from kd2m_theory.paper_figures import campaign_correlation, campaign_coverage, campaign_tightness
from kd2m_theory.paper_figures.style import RC
from kd2m_theory.validation.campaigns.findings import Findings

_UNDATED = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def pictures(found: Findings, file_format: str) -> dict[str, bytes]:
    """Bytes of each picture that the campaign has numbers for, by name: "png", "svg" or "pdf"."""
    tables = {
        "tightness": (campaign_tightness.table(found), campaign_tightness.draw),
        "coverage": (campaign_coverage.table(found), campaign_coverage.draw),
        "correlation": (campaign_correlation.table(found), campaign_correlation.draw),
    }
    made = {}
    with rc_context(RC):
        for name, (table, draw) in tables.items():
            if table["rows"]:
                made[name] = _bytes(draw(table), file_format)
    return made


def _bytes(figure: Figure, file_format: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=200, metadata=_UNDATED[file_format])
    return buffer.getvalue()
