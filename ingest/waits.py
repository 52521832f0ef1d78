"""Waits: how long a response asks us to wait, and the clock that does it.

The rules are GitHub's: `Retry-After` first, then `x-ratelimit-reset` when nothing remains, else a minute that doubles each time.
Server errors and broken connections are tried again after one second, two, four …
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

from ingest.errors import LimitReached

SECONDARY_SECONDS = 60.0
LIMIT_TRIES = 6
FAULT_TRIES = 5
DEFAULT_MAX_WAIT = 3_700.0  # the primary limit resets every hour
_LIMIT_WORDS = ("rate limit", "abuse detection", "too many requests", "please wait a few minutes")


class Clock(Protocol):
    """Where the time comes from and how it passes."""

    def now(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Waiter:
    """Waits on behalf of the server and says so. `max_wait` bounds one wait, in seconds; `say` gets one line for the user."""

    max_wait: float = DEFAULT_MAX_WAIT
    clock: Clock = field(default_factory=SystemClock)
    say: Callable[[str], None] = lambda line: None
    waited: float = 0.0

    def wait(self, seconds: float, reason: str) -> None:
        """Let `seconds` pass. Raises LimitReached at once when that is longer than `max_wait`."""
        if seconds > self.max_wait:
            raise LimitReached(
                f"{reason}: the server asks for {seconds:.0f} s, --max-wait is {self.max_wait:.0f} s. What was fetched is kept: "
                "run the same command later, or with a larger --max-wait."
            )
        self.pause(seconds, reason)

    def pause(self, seconds: float, reason: str) -> None:
        """Let `seconds` pass, at most `max_wait`: a pause of our own choice, which nobody asks for."""
        seconds = min(seconds, self.max_wait)
        if seconds >= 1:
            until = time.strftime("%H:%M:%S", time.localtime(self.clock.now() + seconds))
            self.say(f"{reason}: waiting {readable(seconds)}, until {until}")
        self.clock.sleep(seconds)
        self.waited += seconds


def readable(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 5 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def is_limit(status: int, headers: Mapping[str, str], message: str) -> bool:
    """Whether a 403 or 429 is a rate limit and not a refusal."""
    if status == 429:
        return True
    if status != 403:
        return False
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or any(word in message.lower() for word in _LIMIT_WORDS)


def limit_seconds(headers: Mapping[str, str], tries: int, now: float) -> float:
    """Seconds until the next request is welcome, after `tries` earlier waits for the same one."""
    asked = _retry_after(headers.get("retry-after", ""), now)
    if asked is not None:
        return asked
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.replace(".", "", 1).isdigit():
        return max(0.0, float(reset) - now) + 1.0  # the reset falls somewhere in that second
    return SECONDARY_SECONDS * 2.0**tries


def _retry_after(value: str, now: float) -> float | None:
    """Seconds of a `Retry-After` header: a number of seconds or a date."""
    text = value.strip()
    if text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now) if text else None
    except (TypeError, ValueError):
        return None


def fault_seconds(tries: int) -> float:
    """Seconds before a request that failed on the way is tried again."""
    return float(2**tries)
