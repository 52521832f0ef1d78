"""Facade of pages: a report to one self-contained HTML file or to Markdown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ncu_skill.errors import BadArgument
from ncu_skill.facade import groups
from ncu_skill.page import sections
from ncu_skill.page.content import Content
from ncu_skill.page.markdown import markdown
from ncu_skill.page.markup import Markup, escape, tag
from ncu_skill.page.source import SourceSection
from ncu_skill.report import Report, open_report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def write_report(
    report: Report | str | Path,
    path: str | Path,
    *,
    kernel: str | None = None,
    launch: int | None = None,
    source_root: Path | None = None,
    redact: bool = True,
    only: tuple[str, ...] = (),
) -> Path:
    """Write the page about one launch (the median one of the longest kernel by default), beside first, then renamed.

    The ending chooses: .html or .md. `only` names the sections of an HTML page to write (findings, kernels, charts, timeline, source, sass,
    next). Raises BadArgument for another ending.
    """
    target = Path(path)
    opened = report if isinstance(report, Report) else open_report(report)
    one = opened.kernel(launch if launch is not None else groups(opened, kernel)[0].launch)
    if not target.parent.is_dir():
        raise BadArgument(f"the folder {target.parent} does not exist; make it first")
    kind = target.suffix.lower()
    if kind not in {".html", ".htm", ".md"} or (kind == ".md" and only):
        raise BadArgument(f"{target.name} has no known ending; a report is written as .html or .md")
    if kind != ".md":
        one.expect_sass()
    content = Content(opened, one, redact, source_root)
    text = markdown(content) if kind == ".md" else page(content, only)
    beside = target.with_name(f".{target.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)
    return target


def page(content: Content, only: tuple[str, ...] = ()) -> str:
    """The HTML document: no script, no network, light and dark."""
    from ncu_skill.page import figures  # here, while the vendor's reader works: importing matplotlib takes a third of the time

    source = SourceSection(content)
    made: list[tuple[str, str, Callable[[], Markup]]] = [
        ("findings", "Findings", lambda: sections.findings(content, source.anchors)),
        ("charts", "Charts", lambda: figures.charts(content)),
        ("timeline", "Timeline", lambda: figures.timeline(content)),
        ("source", "Source", source.html),
        ("sass", "SASS and PTX", source.sass),
        ("kernels", "Kernels", lambda: sections.kernels(content)),
        ("next", "Next commands", lambda: sections.commands(content)),
    ]
    chosen = only or tuple(name for name, _, _ in made if name != "kernels" or len(content.groups) > 1)
    return _document(content, [(name, title, make()) for name, title, make in made if name in chosen])


def _document(content: Content, parts: list[tuple[str, str, Markup]]) -> str:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", escape(content.kernel.name, 80), " - ncu-skill report"),
        tag("style", Markup(style)),
    )
    body = tag(
        "body",
        tag("a", "To the content", href=f"#{parts[0][0]}", class_="skip"),
        sections.header(content),
        sections.navigation([(name, title) for name, title, _ in parts]),
        tag(
            "main",
            [
                tag("section", tag("h2", title, id=f"{name}-title"), inner, id=name, aria_labelledby=f"{name}-title")
                for name, title, inner in parts
            ],
        ),
        sections.footer(content),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
