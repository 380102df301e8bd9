"""The pictures of a campaign: how tight the bounds are, whether intervals cover, which distance explains the gap."""

from collections.abc import Iterable

from kd2m_theory.paper_figures import campaign_correlation, campaign_coverage, campaign_tightness, campaign_training
from kd2m_theory.paper_figures.figure import LacksNumbersError
from kd2m_theory.validation.campaigns.findings import Findings

_MODULES = (campaign_tightness, campaign_training, campaign_coverage, campaign_correlation)


def pictures(found: Findings, formats: Iterable[str]) -> dict[str, bytes]:
    """Files by name, in each of the formats, of each picture that the campaign has numbers for.

    "json" is its numbers, "txt" its caption.
    """
    formats = tuple(formats)
    made = {}
    for module in _MODULES:
        try:
            numbers = module.FIGURE.table(found)
        except LacksNumbersError:
            continue
        files = module.FIGURE.rendered(numbers, formats)
        made.update({f"{module.FIGURE.name}.{word}": data for word, data in files.items()})
    return made
