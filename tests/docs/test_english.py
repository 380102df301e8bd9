"""The project's English: phrases that a reader stumbles over are refused, and every word is in a dictionary or in `words.txt`.

Pages, docstrings, comments, messages and help texts are read; code is not.
"""

import re
from pathlib import Path

import prose
import pytest
from spellchecker import SpellChecker

# A count, then what each of them belongs to: "one page a theorem" instead of "one page per theorem".
_COUNTED = r"(?:one|once|twice|two|three|nats|a (?:row|dot|line|page|file|column|panel|curve|figure))"
_OWNER = (
    "batch|block|cell|class|comparison|core|device|dimension|dot|entry|epoch|family|figure|file|group|hour|input|layer|line|machine"
    "|minute|module|network|objective|page|pair|row|run|sample|second|seed|side|step|student|teacher|terminal|theorem|unit|verb|worker"
)
# Words after which "a" begins another part of the sentence.
_BETWEEN = (
    "about after and are as at before but by for from gives has have if in into is makes may names needs not of on or over runs says "
    "takes than that to under was when where which with without"
).replace(" ", "|")

# Each with what to write instead.
PHRASES = {
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\banew\b": "again",
    r"\bfor ?ever\b": "unlimited, or never ends",
    r"\bwhole or (?:not|none)\b": "written atomically",
    r"\bpromis\w+ (?:nothing|no)\b": "no guarantee",
    r"\bwould keep to\b": "would satisfy",
    r"\bassumptions? (?:that )?carr(?:y|ies) (?:it|them|the)\b": "depends on",
    r"\bthat nothing (?:was|is) \w+ed\b": "held-out, or the verb without 'nothing'",
    r"\bto be had\b": "available, unavailable",
    r"\bstands? ready\b": "is configured",
    r"\bonly you can know\b": "assumptions the data cannot check",
    r"\bgiv(?:e|es|en|ing) back as\b": "left unchanged",
    r"\bwhat is raised\b": "exceptions",
    r"\bsays? about (?:itself|themselves)\b": "provenance",
    r"\bthat (?:is|are) none\b": "invalid, or is not one",
    # "There is no file" is English; so are "is no reason" and "is no longer".
    r"(?<!there )\b(?:is|are|was|were) no (?!reason|better|closer|fewer|greater|harder|higher|larger|less|longer|lower|more|nearer|"
    r"other|sharper|slower|smaller|steeper|such|tighter|wider|worse)\w+": "is not a",
    rf"\b{_COUNTED}(?: (?!(?:{_BETWEEN})\b)[\w-]+){{0,2}} an? (?:{_OWNER})\b(?!')": "per",
}

# A docstring, a comment or a help text without a subject. A message may begin with "Of the 12 bounds".
FRAGMENT = re.compile(r"\A\s*Of (?!(?:the|these|those) .*\b(?:do|does|has|have|hold|needed)\b)\w+")

# The project writes British English.
AMERICAN = re.compile(
    r"(?<![\w.])(?:\w*(?:behavior|color|favor|honor|neighbor)\w*|(?:re|un)?center(?:s|ed|ing)?|(?:un|re)?labell?ing(?<!labelling)|"
    r"(?:un|re)?labeled|model(?:ed|ing)|cancel(?:ed|ing)|gray|catalog|artifact\w*|defense|license(?=d? (?:of|is))|learnt|"
    r"(?!re?siz|siz|priz|seiz|horiz|capsiz)[a-z]+iz(?:e[sd]?|ing|ations?|ers?))(?![\w.]\w)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?<![\w.\\'’/_-])[A-Za-z]{3,}(?:['’][a-z]+)?(?![\w\\/_(]|\.\w)")
WORDS = Path(__file__).with_name("words.txt")


def complaints(words, kind="string"):
    for pattern, better in PHRASES.items():
        yield from (f"{match[0]!r}: write {better}" for match in re.finditer(pattern, words, re.IGNORECASE))
    if kind != "page" and FRAGMENT.search(words):
        yield f"{words!r} begins without a subject"
    yield from (f"{match[0]!r}: write British English" for match in AMERICAN.finditer(words))


def everything():
    return [*prose.pages(), *prose.sources()]


def own_words():
    return [line for line in WORDS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def words_of(text):
    """The words of a passage as a dictionary has them: small letters, no genitive. Two capitals make an acronym or a class."""
    found = (word[0] for word in _WORD.finditer(text) if sum(map(str.isupper, word[0])) < 2)
    return {word.lower().replace("’", "'").removesuffix("'s") for word in found}


def test_no_passage_has_a_phrase_of_the_table():
    assert [f"{text}: {fault}" for text in everything() for fault in complaints(text.words, text.kind)] == []


@pytest.mark.parametrize(
    "words",
    [
        "The message says how to mend it.",
        "It is computed anew.",
        "A lock is kept for ever.",
        "The file is whole or not there.",
        "Outside of it the theorem promises nothing.",
        "The assumption that carries it.",
        "Images that nothing was trained on.",
        "The images were not to be had.",
        "What only you can know.",
        "They are given back as they were.",
        "What the pair says about itself.",
        "A change that is none.",
        "The path is no file.",
        "An entry that is no JSON.",
        "One page a theorem.",
        "Two nats a unit.",
        "One process a core.",
        "One row of numbers, a dot a seed.",
        "Of the population.",
        "Of every search.",
        "The color of the line.",
        "The center of a class.",
        "Normalized features.",
    ],
)
def test_each_phrase_is_noticed(words):
    assert list(complaints(words))


@pytest.mark.parametrize(
    "words",
    [
        "There is no file of that name.",
        "It is no longer needed.",
        "One page per theorem.",
        "It names one pair that a reader has.",
        "Of the 12 bounds that could be checked, 11 hold.",
        "The size of a batch.",
        "The mean of the two is a batch of its own.",
    ],
)
def test_good_sentences_pass(words):
    assert list(complaints(words)) == []


def test_every_word_is_known():
    known = SpellChecker().word_frequency
    ours = set(own_words())
    unknown = {}
    for text in everything():
        for word in words_of(text.words):
            if word not in known and word not in ours:
                unknown.setdefault(word, str(text))
    assert unknown == {}, "correct them, or add them to words.txt in their place"


@pytest.mark.parametrize("word", ["recieve", "teh", "seperate", "distilation", "guarenteed", "occured"])
def test_misspellings_are_noticed(word):
    assert word not in SpellChecker().word_frequency
    assert word not in own_words()


def test_the_word_list_is_sorted_and_has_nothing_that_no_text_needs():
    ours = own_words()
    assert ours == sorted(set(ours))
    known = SpellChecker().word_frequency
    used = set().union(*(words_of(text.words) for text in everything()))
    assert [word for word in ours if word in known or word not in used] == []
