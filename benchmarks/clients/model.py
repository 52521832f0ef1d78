"""A scripted model on loopback: answers the Messages API with a fixed plan of tool calls, and keeps what the client sent it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Call = tuple[str, dict[str, Any]]


class ScriptedModel:
    """Asks for the calls of `plan` one after the other, then says `answer`. `requests` are the bodies that arrived, `asked` when."""

    def __init__(self, plan: Sequence[Call], answer: str) -> None:
        self.plan, self.answer = list(plan), answer
        self.requests: list[dict[str, Any]] = []
        self.asked: list[float] = []

    def results(self) -> list[dict[str, Any]]:
        """The tool results that the model was given, in order."""
        return _results(self.requests[-1]) if self.requests else []

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """The next message."""
        done = len(_results(body))
        if body.get("tools") and done < len(self.plan):
            name, arguments = self.plan[done]
            block, stop = {"type": "tool_use", "id": f"toolu_{done}", "name": name, "input": arguments}, "tool_use"
        else:
            block, stop = {"type": "text", "text": self.answer}, "end_turn"
        usage = {"input_tokens": 1, "output_tokens": 1}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model", "scripted")}
        return {**head, "content": [block], "stop_reason": stop, "stop_sequence": None, "usage": usage}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serves on a free loopback port; yields the base address."""
        model = self

        class Handler(_Handler):
            script = model

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def _results(body: dict[str, Any]) -> list[dict[str, Any]]:
    contents = [
        message["content"] for message in body.get("messages", []) if message["role"] == "user" and isinstance(message["content"], list)
    ]
    return [block for content in contents for block in content if block.get("type") == "tool_result"]


class _Handler(BaseHTTPRequestHandler):
    script: ScriptedModel

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if "count_tokens" in self.path:
            return self._json({"input_tokens": 10})
        if body.get("tools"):
            self.script.requests.append(body)
            self.script.asked.append(time.time())
        message = self.script.reply(body)
        return self._stream(message) if body.get("stream") else self._json(message)

    def _json(self, data: dict[str, Any]) -> None:
        encoded = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _stream(self, message: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in _events(message):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    block = message["content"][0]
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    if block["type"] == "text":
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": block["text"]}}
    else:
        yield {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None}, "usage": message["usage"]}
    yield {"type": "message_stop"}
