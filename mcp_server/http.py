"""HTTP: streamable HTTP with Host and Origin checked, and a bearer token for every address but loopback."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_server.errors import BadSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mcp_server.settings import Settings

MIN_TOKEN = 16
MAX_BODY_BYTES = 1 << 20
MAX_SESSIONS = 200
IDLE_SECONDS = 900.0


@dataclass(frozen=True)
class Address:
    """Where to listen and whom to answer; `hosts` and `origins` are accepted besides the address itself and loopback."""

    host: str
    port: int
    token: str
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://{_bracketed(self.host)}:{self.port}/mcp"

    def accepted(self) -> tuple[list[str], list[str]]:
        """Values of the Host and of the Origin header that are answered."""
        local = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
        own = [] if self.host in {"0.0.0.0", "::"} else [f"{_bracketed(self.host)}:{self.port}"]
        return [*local, *own, *self.hosts], [*(f"http://{name}" for name in local), *self.origins]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def make_address(
    spec: str, token_file: str | None, environment: Mapping[str, str], *, hosts: Sequence[str] = (), origins: Sequence[str] = ()
) -> Address:
    """The address of `[HOST:]PORT` (port 0: any free one). Raises BadSettings for no port, or a reachable host without a token."""
    host, _, port = spec.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or not int(port) < 65536:
        raise BadSettings(f"--http {spec}: write PORT or HOST:PORT, for example 8765 or 127.0.0.1:8765.")
    token = _token(token_file, environment)
    if not is_loopback(host) and not token:
        raise BadSettings(f"--http {spec}: others can reach {host}, so a token is required: --token-file FILE or KERNEL_SKILLS_TOKEN.")
    if token and len(token) < MIN_TOKEN:
        raise BadSettings(
            f"the token is shorter than {MIN_TOKEN} characters. A good one: python -c 'import secrets; print(secrets.token_hex())'"
        )
    return Address(host, int(port), token, tuple(hosts), tuple(origins))


def _token(token_file: str | None, environment: Mapping[str, str]) -> str:
    if not token_file:
        return environment.get("KERNEL_SKILLS_TOKEN", "").strip()
    try:
        return Path(token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"--token-file {token_file}: cannot be read ({error}).") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class BearerToken:
    """Answers 401 to every request without the token; compares in constant time."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        if scope["type"] == "http" and not (len(given) == 1 and hmac.compare_digest(given[0], self._expected)):
            headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)


def make_app(settings: Settings, address: Address) -> Any:
    """The ASGI application: the MCP endpoint at /mcp behind the token, when there is one."""
    from mcp.server.transport_security import TransportSecuritySettings

    from mcp_server.server import build_server

    hosts, origins = address.accepted()
    application = build_server(settings).streamable_http_app(
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
        max_request_body_size=MAX_BODY_BYTES,
        max_sessions=MAX_SESSIONS,
        session_idle_timeout=IDLE_SECONDS,
    )
    return BearerToken(application, address.token) if address.token else application


def serve(settings: Settings, address: Address) -> None:
    """Serve until interrupted; says the address on stderr as soon as clients can connect. Raises BadSettings when it cannot listen."""
    import socket
    import sys

    import uvicorn

    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise BadSettings(f"--http {address.host}:{address.port}: cannot listen there ({error.strerror}). Choose another port.") from error
    bound = replace(address, port=listener.getsockname()[1])
    config = uvicorn.Config(make_app(settings, bound), log_level="warning", timeout_graceful_shutdown=3)
    print(f"kernel-skills-mcp: serving {bound.url}", file=sys.stderr, flush=True)
    uvicorn.Server(config).run(sockets=[listener])
