"""The table of the shipped campaign `standard`, from which its figures and the numbers of docs/campaign.md come."""

from pathlib import Path
from typing import TYPE_CHECKING

from kd2m_theory.errors import require
from kd2m_theory.validation.stored_tables import StoredTable

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings


def findings_in(path: Path) -> "Findings":
    """What a campaign's table says.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        InputError: the file is not a table of a campaign.
    """
    require("a campaign's table", "pyarrow")
    from kd2m_theory.validation.campaigns import findings

    return findings.findings_in(path)


STANDARD = StoredTable(
    file="standard.parquet",
    command="kd2m validate standard; cp campaigns/standard/table.parquet standard.parquet",
    read=findings_in,
    in_store="table.parquet",
)
