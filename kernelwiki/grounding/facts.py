"""Facts: the checkable items of a text (code names, numbers, pull requests, words) and lines of sources that can support them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from kernelwiki.tokens import STOP_WORDS, stem

ItemKind = Literal["name", "number", "pr", "word", "break"]

_PR = r"(?<![\w/#.-])(?:[A-Za-z][\w.-]*/)?[A-Za-z][\w.-]*#\d+\b"
_SHAPE = r"(?<![\w.])\d+(?:[x×]\d+)+(?!\w)"
_NUMBER = r"(?<![A-Za-z\d.$])[-+±]?(?:\d[\d,_]*\d|\d)(?:\.\d+)?(?:e[-+]?\d+)?(?:[A-Za-zµ%][A-Za-z/%]*)?(?![\w])"
_NAME = r"(?:(?<!\w)\.\d+[A-Za-z]|\.?[A-Za-z_%$])[\w$]*(?:(?:::|->|\.)[\w$*]+)*\*?"
_SCAN = re.compile(rf"(?P<pr>{_PR})|(?P<shape>{_SHAPE})|(?P<number>{_NUMBER})|(?P<name>{_NAME})|(?P<digits>\d+)|(?P<break>[;:](?=\s))")
_SCOPED = re.compile(r"::((?=[a-z_]*\d|\w*_)\w{3,})$")  # the last piece of kind::mxf4, which names it alone
_QUANTITY = re.compile(r"[-+±]?(\d[\d,_]*(?:\.\d+)?(?:e[-+]?\d+)?)([A-Za-zµ%][A-Za-z/%]*)?$")
_BACKTICKS = re.compile(r"`+([^`]+)`+")
_EDGE = re.compile(r"^[.:]+|[.:,;]+$")
_SM = re.compile(r"(?<![a-z])(?:sm|compute)_?(\d{2,3})(?:[af]?(?![\dx])|(?<=1[02])(x))", re.IGNORECASE)
_GFX = re.compile(r"gfx[0-9a-f]{3,4}", re.IGNORECASE)
_ARCH_NAME = re.compile(r"(?:sm|compute)_?\d+[af]?|gfx\w+|[a-z]+\d+[a-z]*", re.IGNORECASE)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*|\d+")


LEAD_WORDS = 3


@lru_cache(maxsize=1)
def tables() -> Mapping[str, Any]:
    """The word lists of the grounding check (`grounding.yaml`)."""
    data: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("grounding.yaml").read_text(encoding="utf-8"))
    return data


@lru_cache(maxsize=1)
def _products() -> frozenset[str]:
    return frozenset(str(name).lower() for name in tables()["products"])


@lru_cache(maxsize=1)
def _units() -> frozenset[str]:
    return frozenset(str(name) for name in tables()["units"])


@lru_cache(maxsize=1)
def number_words() -> Mapping[str, str]:
    """{number word: number}: `four` is 4."""
    return {str(word): str(value) for word, value in tables()["number_words"].items()}


@lru_cache(maxsize=1)
def _chips() -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = tables()["archs"].items()
    return tuple((re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE), arch) for arch, names in rows for name in names)


@lru_cache(maxsize=100_000)
def archs_in(text: str) -> frozenset[str]:
    """Architectures that a text names, also by chip or family: `SM_100a`, `SM10x` and `B200` are sm100."""
    found = {f"sm{digits}{'0' if family else ''}" for digits, family in _SM.findall(text)} | {match.lower() for match in _GFX.findall(text)}
    return frozenset(found | {arch for pattern, arch in _chips() if pattern.search(text)})


@dataclass(frozen=True)
class Item:
    """One unit of a text: as written, and in the form that is compared. Words are soft, a break ends a clause; the rest needs support."""

    kind: ItemKind
    text: str
    form: str


def is_arch(item: Item) -> bool:
    """Whether an item names an architecture or a chip: `sm_100a`, `gfx950`, `H200`."""
    return item.kind == "name" and bool(archs_in(item.text)) and bool(_ARCH_NAME.fullmatch(item.text))


def name_form(name: str) -> str:
    """A code name as it is compared: lower case, no call brackets, `sm_100a` as sm100a."""
    low = _EDGE.sub("", name.strip().lower().removesuffix("()"))
    return re.sub(r"^(sm|compute)_(?=\d)", r"\1", low)


def number_form(number: str) -> str:
    """A number as it is compared: no separators, no trailing zeros."""
    plain = number.replace(",", "").replace("_", "")
    try:
        return f"{float(plain):.10g}"
    except ValueError:
        return plain


@lru_cache(maxsize=50_000)
def items_of(text: str) -> tuple[Item, ...]:
    """Every item of a text in order. Inside backticks every name counts as code, outside only what looks like code."""
    found: list[Item] = []
    position = 0
    for span in _BACKTICKS.finditer(text):
        found += _scan(text[position : span.start()], code=False)
        found += _scan(span.group(1), code=True)
        position = span.end()
    found += _scan(text[position:], code=False)
    return tuple(found)


def tokens_of(text: str) -> list[Item]:
    """The items that a source must support, each once."""
    return list(dict.fromkeys(item for item in items_of(text) if item.kind not in ("word", "break")))


def _scan(text: str, code: bool) -> Iterator[Item]:
    if code and re.fullmatch(r"[\w.]+(?:-[\w.]+)+", text) and not re.fullmatch(r"[\d.-]+", text):
        yield Item("name", text, name_form(text))
        return
    for match in _SCAN.finditer(text):
        whole = match.group()
        if match["pr"]:
            yield Item("pr", whole, whole.rsplit("/", 1)[-1].lower())
        elif match["shape"]:
            yield from (Item("number", whole, number_form(piece)) for piece in re.split("[x×]", whole))
        elif match["number"]:
            yield _quantity(whole)
        elif match["name"]:
            yield from _name_items(whole, code)
        elif match["break"]:
            yield Item("break", whole, whole)


def _quantity(whole: str) -> Item:
    """A number with an optional unit; with other letters behind it (`2SM`) it is a name. `64xNxK` is the number 64."""
    shape = re.match(r"(\d+)(?:x[A-Z])+$", whole)
    if shape:
        return Item("number", whole, number_form(shape.group(1)))
    match = _QUANTITY.match(whole)
    if match is None or (match.group(2) and match.group(2) not in _units()):
        return Item("name", whole, name_form(whole.lstrip("+-±")))
    return Item("number", whole, number_form(match.group(1)))


def _name_items(whole: str, code: bool) -> Iterator[Item]:
    word = whole.rstrip(".:")
    form = name_form(word)
    if len(word) == 1 or re.fullmatch(r"[A-Z](?:x[A-Z])+", word):
        if word.isupper() and word != "A":
            yield Item("word", word, form)
    elif code or is_code_like(word):
        yield Item("name", word, form)
    elif form not in STOP_WORDS and len(form) > 2:
        yield Item("word", word, stem(form))


def is_code_like(word: str) -> bool:
    """Whether a word outside backticks is a code name: digits, `_`, `::`, an inner dot, inner capitals or six capitals."""
    low = word.lower()
    if low in _products() or low.rstrip("s") in _products() or low in ("e.g", "i.e"):
        return False
    if any(sign in word for sign in ("_", "::", "->")) or re.search(r"\w\.\w", word):
        return True
    if re.search(r"[A-Za-z]\d|\d[A-Za-z]", word) or re.search(r"[a-z][A-Z]", word):
        return True
    return len(word) >= 6 and word.isupper()


@lru_cache(maxsize=200_000)
def name_parts(form: str) -> frozenset[str]:
    """A dotted or scoped name with every run of its pieces: `tcgen05.mma.kind::f16` holds `mma`, `kind::f16`, `f16` …"""
    pieces = [piece for piece in re.split(r"\.|->", form) if piece]
    runs = {".".join(pieces[start:end]) for start in range(len(pieces)) for end in range(start + 1, len(pieces) + 1)}
    for piece in pieces:
        scoped = [part for part in piece.split("::") if part]
        runs |= {"::".join(scoped[start:end]) for start in range(len(scoped)) for end in range(start + 1, len(scoped) + 1)}
    return frozenset(runs)


@dataclass(frozen=True)
class FactLine:
    """One line of the source `key`.

    A loose line (title, path or name of a pull request) supports a name without further context. A rival line may say that a token of a
    sentence is wrong, because the sentence is otherwise about that line. `subject` names what all lines of the source are about, `fact`
    is the whole fact that the line is a clause of. Numbers of a line that is not `numbered` (paths, code names) support nothing, and
    architectures of one that does not name its architecture (a path of a pull request for several).
    """

    key: str
    text: str
    loose: bool = False
    rival: bool = False
    subject: str = ""
    fact: str = ""
    numbered: bool = True
    names_arch: bool = True

    @cached_property
    def items(self) -> tuple[frozenset[str], ...]:
        """Forms of each item of the line, in order: a name with its parts, a number, a stem."""
        return _line_items(self.text, self.loose)

    @cached_property
    def forms(self) -> frozenset[str]:
        return _line_forms(self.text, self.loose)

    def count(self, form: str) -> int:
        """How often the line has a form."""
        return sum(form in item for item in self.items)

    @cached_property
    def archs(self) -> frozenset[str]:
        return archs_in(self.text)

    def may_mean(self, item: Item) -> bool:
        """Whether the line can be about the item without naming it: its source is, and the line names nothing of the same family."""
        if item.kind != "name" or not self.subject or not FactLine(self.key, self.subject).holds(item):
            return False
        family = re.split(r"[.:]", item.form)[0]
        return not any(form.startswith(f"{family}.") for form in self.forms)

    def holds(self, item: Item) -> bool:
        """Whether the line has the item: the number, the name (whole, or all its pieces), an architecture by any of its names."""
        known = self._held.get(item)
        if known is None:
            known = self._held[item] = self._holds(item)
        return known

    @cached_property
    def _held(self) -> dict[Item, bool]:
        return {}

    def _holds(self, item: Item) -> bool:
        if item.kind == "number":
            return item.form in self.forms and (self.numbered or not self.loose)
        if is_arch(item):
            return self._holds_arch(item)
        return item.form in self.forms or (item.kind == "name" and self._holds_name(item.form, item.text))

    def _holds_arch(self, item: Item) -> bool:
        """An architecture by another name; `sm_100a` is not meant by a line that says `sm_100f`.

        A line that tells a plain target from `sm_100a` means each target as it spells it.
        """
        if not self.names_arch or not archs_in(item.text) & self.archs:
            return False
        if item.form in self.forms:
            return True
        if "plain sm_" in self.text and item.text.startswith("sm_"):
            return False
        other = {"a": "f", "f": "a"}.get(item.form[-1])
        return not (other and item.form[:-1] + other in self.forms)

    def _holds_name(self, form: str, text: str) -> bool:
        if form.rstrip("s") in self.forms:
            return True
        if "*" in form:
            return any(held.startswith(form.split("*", 1)[0]) for held in self.forms)
        scoped = _SCOPED.search(form)
        if (scoped and scoped.group(1) in self.forms) or any(pattern.fullmatch(text.lower()) for pattern in patterns(self.text)):
            return True
        *pieces, last = [piece for piece in re.split(r"\.|::|->|-", form) if piece] or [""]
        known = self.forms | (FactLine(self.key, self.subject).forms if self.subject else frozenset())
        return bool(pieces) and last in self.forms and all(piece in known for piece in pieces)


@lru_cache(maxsize=50_000)
def patterns(text: str) -> tuple[re.Pattern[str], ...]:
    """Names of a line with a gap (`smsp__warps_issue_stalled_<reason>.ratio`, `sm__ops_*`) as patterns of the names that they stand for."""
    gapped = re.findall(r"[\w.]*(?:<\w+>|\w\*)[\w.<>*]*", text.lower()) if "<" in text or "*" in text else []
    names = [re.split(r"<\w+>|\*", name) for name in gapped]
    return tuple(re.compile(r"\w+".join(re.escape(piece) for piece in pieces)) for pieces in names if len(max(pieces, key=len)) > 4)


@lru_cache(maxsize=100_000)
def _line_forms(text: str, loose: bool) -> frozenset[str]:
    return frozenset(form for item in _line_items(text, loose) for form in item)


@lru_cache(maxsize=100_000)
def _line_items(text: str, loose: bool) -> tuple[frozenset[str], ...]:
    found = []
    for match in _SCAN.finditer(text.replace("`", " ")):
        whole = match.group()
        if match["shape"]:
            found.append(frozenset([whole.lower(), *(number_form(piece) for piece in re.split("[x×]", whole))]))
        elif match["number"] or match["digits"]:
            found.append(frozenset([_quantity(whole).form]))
        elif match["name"]:
            found.append(_name_forms(whole, loose))
        elif match["pr"]:
            found.append(frozenset([whole.rsplit("/", 1)[-1].lower(), whole.split("#")[0].rsplit("/", 1)[-1].lower()]))
    return tuple(found)


@lru_cache(maxsize=200_000)
def _name_forms(whole: str, loose: bool) -> frozenset[str]:
    form = name_form(whole)
    forms = set(name_parts(form)) | {stem(form)}
    if form in number_words():
        forms.add(number_words()[form])
    if loose:
        for piece in re.split(r"[_.:>-]+", whole):
            forms |= {piece.lower(), *(stem(part.lower()) for part in _CAMEL.findall(piece))}
            forms |= {number_form(digits) for digits in re.findall(r"^\d+$", piece)}
    return frozenset(forms)


def fact_lines(key: str, texts: Iterable[str], *, loose: bool = False, rival: bool = False, subject: str = "") -> list[FactLine]:
    """Lines of one source. A fact of several clauses (`;`) gives one line each, with what stands before its first colon."""
    return [FactLine(key, part, loose, rival, subject, text) for text in texts if text for part in (_clauses(text) if rival else [text])]


def _clauses(text: str) -> list[str]:
    """A fact's clauses, each with the fact's subject: what stands before its first colon, else its first words."""
    first, *more = re.split(r";\s+", text)
    lead = first.partition(": ")[0] if ": " in first else " ".join(first.split()[:LEAD_WORDS])
    return [first, *(f"{lead}: {clause}" for clause in more)]
