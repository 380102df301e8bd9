"""What the project cites, from `references.toml`, and how to cite this where CITATION.cff is not (a test compares the two)."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Work:
    """Something to cite.

    Attributes:
        key: of its BibTeX entry.
        title: title.
        authors: "Family, Given" or the name of a group.
        year: of publication; empty for the software, which has a version.
        identifier: where it is known by.
        url: where it can be read; empty if nowhere yet.
        note: what else to say.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    year: str
    identifier: str
    url: str
    note: str

    def bibtex(self) -> str:
        """The work as a BibTeX entry of type misc."""
        fields = {
            # Double braces keep the capitals of the title, and the name of a group in one piece.
            "title": f"{{{self.title}}}",
            "author": " and ".join(name if "," in name else f"{{{name}}}" for name in self.authors),
            "year": self.year,
            "howpublished": self.identifier,
            "url": self.url,
            "note": self.note,
        }
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
        return f"@misc{{{self.key},\n{lines}}}"


def software(version: str) -> Work:
    """This software in one version."""
    return Work(
        key="kd2m-theory",
        title="kd2m-theory",
        authors=("The kd2m-theory authors",),
        year="",
        identifier="",
        url="",
        note=f"Software, version {version}",
    )


@cache
def works() -> dict[str, Work]:
    """Every work that the project cites, by key, in the order of the file.

    Example:
        >>> works()["hoeffding1963"].authors
        ('Hoeffding, Wassily',)
    """
    table = tomllib.loads((files("kd2m_theory.reporting") / "references.toml").read_text(encoding="utf-8"))
    return {
        key: Work(
            key=key,
            title=entry["title"],
            authors=tuple(entry["authors"]),
            year=str(entry["year"]),
            identifier=entry.get("identifier", ""),
            url=entry.get("url", ""),
            note=entry.get("note", ""),
        )
        for key, entry in table.items()
    }


PAPER = works()["fernandesmontesuma2025kd2m"]
