"""Resources: wiki pages, the vocabulary and what this server is, as text a client can attach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Resource

from kernelwiki.errors import KernelWikiError, NotFound
from mcp_server import fence
from mcp_server.app import App
from mcp_server.budget import HARD_CAP
from mcp_server.errors import ServerError

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from kernelwiki.wiki import Wiki

PAGE = "kwiki://page/{id}"


def add_resources(server: MCPServer[Any], app: App) -> None:
    """Registers the resources; the list of pages is made by `page_list` when a client asks for it."""

    template = PAGE.replace("{id}", "{+id}")  # an id holds a slash

    @server.resource(template, name="page", mime_type="text/markdown", description="A KernelWiki page by id, e.g. hardware/tcgen05")
    async def page(id: str) -> str:
        from kernelwiki.show import show_item

        try:
            item = await app.knowledge.ask(lambda wiki: show_item(wiki, id))
        except NotFound as error:
            raise ResourceNotFoundError(fence.line(error, 600)) from None
        except (KernelWikiError, ServerError) as error:
            raise ResourceError(fence.line(error, 600)) from None
        return _bounded(item.text(True))

    @server.resource("kwiki://vocabulary", mime_type="text/plain", description="Terms by kind: id and name; usable as tag= of kwiki_search")
    async def vocabulary() -> str:
        return _bounded(await app.knowledge.ask(_terms))

    @server.resource("kwiki://about", mime_type="text/plain", description="What the knowledge base holds and how recent it is")
    async def about() -> str:
        return _bounded(await app.knowledge.ask(_about))


def page_list() -> list[Resource]:
    """Every page as a resource, in order of id; reads file names only."""
    from kernelwiki.home import find_places
    from kernelwiki.reading.pages import page_files, page_id

    ids = sorted(page_id(path) for path in page_files(find_places().pages))
    return [Resource(uri=PAGE.format(id=name), name=name, mime_type="text/markdown") for name in ids]


def _bounded(text: str) -> str:
    visible = fence.lines(text)
    if len(visible) > HARD_CAP - 200:
        visible = visible[: HARD_CAP - 200].rsplit("\n", 1)[0] + "\n… cut; kwiki_read pages through the rest"
    return f"{fence.NOTICE}\n\n{visible}\n"


def _terms(wiki: Wiki) -> str:
    kinds: dict[str, list[str]] = {}
    for term in sorted(wiki.terms(), key=lambda term: term.id):
        kinds.setdefault(term.kind, []).append(f"{term.id}: {term.name}")
    return "\n\n".join(f"## {kind}\n" + "\n".join(rows) for kind, rows in sorted(kinds.items()))


def _about(wiki: Wiki) -> str:
    from kernelwiki.show import stats_text
    from kernelwiki.stats import stats

    return stats_text(stats(wiki))
