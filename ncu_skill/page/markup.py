"""Markup: HTML elements from Python values; every string is escaped unless it is Markup, control characters become visible."""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID = frozenset({"meta", "br", "hr", "link"})
MAX_TEXT = 2000


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def visible(text: object, limit: int = MAX_TEXT) -> str:
    """Printable text: control and bidirectional characters as their escapes, length cut."""
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text).expandtabs(4))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def escape(text: object, limit: int = MAX_TEXT) -> Markup:
    """Text made inert for element content and attribute values."""
    return Markup(html.escape(visible(text, limit), quote=True))


def join(children: Iterable[object]) -> Markup:
    """The children one after the other; strings are escaped, nested lists opened, None left out."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, list | tuple):
            parts.append(join(child))
        else:
            parts.append(escape(child))
    return Markup("".join(parts))


def tag(name: str, /, *children: object, **attributes: str | int | bool | None) -> Markup:
    """One element. Attributes: `class_` for class, `aria_label` for aria-label; True writes the bare name, None and False leave it out."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def table(head: list[str], rows: Iterable[list[object]], *, label: str, class_: str = "") -> Markup:
    """A table in a region that scrolls sideways on narrow screens, reachable by keyboard."""
    body = [tag("tr", [tag("th", row[0], scope="row"), *(cell(item) for item in row[1:])]) for row in rows]
    made = tag("table", tag("thead", tag("tr", [tag("th", text, scope="col") for text in head])), tag("tbody", body), class_=class_ or None)
    return tag("div", made, class_="scroll", role="region", tabindex=0, aria_label=label)


def cell(item: object) -> Markup:
    number = isinstance(item, int | float) and not isinstance(item, bool)
    return tag("td", item, class_="number" if number else None)
