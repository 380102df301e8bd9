"""How to cite, for pages that are made where CITATION.cff is not: a test holds the two together."""

from dataclasses import dataclass


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


PAPER = Work(
    key="fernandesmontesuma2025kd2m",
    title="KD²M: A unifying framework for feature knowledge distillation",
    authors=("Fernandes Montesuma, Eduardo",),
    year="2025",
    identifier="arXiv:2504.01757",
    url="https://arxiv.org/abs/2504.01757",
    note="Accepted at Geometric Science of Information (GSI) 2025",
)
