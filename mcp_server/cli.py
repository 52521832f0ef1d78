"""The `kernel-skills-mcp` command: start options, then the server on stdio or HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

EPILOG = "Exit codes: 0 ok, 2 usage, 5 missing dependency, 130 interrupt. KWIKI_HOME and KWIKI_CHROMA_URL as for kwiki."


def parser() -> argparse.ArgumentParser:
    """The start options."""
    found = argparse.ArgumentParser(
        "kernel-skills-mcp", description="MCP server: GPU kernel knowledge base, Nsight Compute analysis, kernel lab.", epilog=EPILOG
    )
    found.add_argument("--version", action="store_true", help="print the version and exit")
    add = found.add_argument
    roots = "folder whose reports may be read; repeat for several (default: working directory and the client's roots)"
    add("--root", action="append", default=[], metavar="DIR", help=roots)
    add("--lab", metavar="DIR", help="add the lab tools on this workspace")
    add("--toolset", action="append", default=[], choices=["wiki", "ncu"], help="only these tools (default: both)")
    add("--http", metavar="[HOST:]PORT", help="serve HTTP at /mcp instead of stdio; any host but loopback needs a token")
    add("--token-file", metavar="FILE", help="file with the bearer token of HTTP clients (or KERNEL_SKILLS_TOKEN)")
    add("--allow-host", action="append", default=[], metavar="HOST[:PORT]", help="Host header to accept too")
    add("--allow-origin", action="append", default=[], metavar="URL", help="Origin header to accept too")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server until its client is gone; start errors become one line on stderr and an exit code."""
    options = parser().parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(version("kernel-skills"))
        return
    from mcp_server.errors import BadSettings
    from mcp_server.settings import make_settings

    try:
        settings = make_settings(options.root, options.lab, options.toolset, local=options.http is None)
        if options.http is None:
            from mcp_server.server import build_server

            build_server(settings).run("stdio")
        else:
            from mcp_server.http import make_address, serve

            serve(
                settings, make_address(options.http, options.token_file, os.environ, hosts=options.allow_host, origins=options.allow_origin)
            )
    except BadSettings as error:
        print(f"kernel-skills-mcp: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
