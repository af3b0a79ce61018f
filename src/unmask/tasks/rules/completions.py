"""One request to a chat model behind an address of OpenAI's shape, repeated with pauses where that may help."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unmask.errors import UserError, shorten

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
"""Codes of HTTP after which the same request may succeed."""
_LONGEST_PAUSE = 60.0
_MOST_BYTES = 2**24


class _PassingError(Exception):
    """A failure after which the same request may succeed; ``pause`` is how long the server wants us to wait."""

    def __init__(self, said: str, pause: float | None = None) -> None:
        super().__init__(said)
        self.pause = pause


@dataclass(frozen=True, kw_only=True)
class ChatModel:
    """A model that answers ``POST {url}/chat/completions``.

    Args:
        url: such as ``http://localhost:8000/v1``.
        model: its name there.
        key: sent as a bearer token; None: none is sent.
        key_name: the environment variable that holds the key, for messages.
        body: further fields of each request; None as a value takes a field out.
        seconds: longest wait for an answer.
        tries: requests before it is given up.
        pause: seconds before the second try; each further pause is twice as long.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_name: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 60.0
    tries: int = 5
    pause: float = 1.0

    def reply(self, content: str, *, tries: int | None = None) -> str:
        """Return what the model answers to one message, at temperature 0.

        Args:
            content: the message.
            tries: in place of its own number.

        Returns:
            The text of the first choice; empty where the model refused to answer.

        Raises:
            UserError: no answer came, or the server refused the request.
        """
        fields = {"model": self.model, "messages": [{"role": "user", "content": content}], "temperature": 0}
        body = {name: value for name, value in {**fields, **self.body}.items() if value is not None}
        tries, number = tries or self.tries, 0
        while True:
            number += 1
            try:
                return self._once(json.dumps(body).encode())
            except _PassingError as error:
                if number >= tries:
                    often = "" if tries == 1 else f", {tries} times"
                    raise UserError(
                        f"{self.url}: expected an answer of the judge {self.model}, found {error}{often}; see that the "
                        "server runs and that the address ends before /chat/completions"
                    ) from error
                wait = error.pause if error.pause is not None else self.pause * 2 ** (number - 1)
                time.sleep(min(wait, _LONGEST_PAUSE))

    def _once(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json", "User-Agent": "unmask"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, data=body, headers=headers)  # noqa: S310  # http or https, as checked
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as answer:  # noqa: S310
                return _content(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise self._meaning(error) from error
        except TimeoutError as error:
            raise _PassingError(f"none within {self.seconds:g} s") from error
        except urllib.error.URLError as error:
            is_late = isinstance(error.reason, TimeoutError)
            said = f"none within {self.seconds:g} s" if is_late else f"no server ({shorten(error.reason, 80)})"
            raise _PassingError(said) from error
        except (OSError, http.client.HTTPException) as error:
            raise _PassingError(f"a broken connection ({type(error).__name__})") from error

    def _meaning(self, error: urllib.error.HTTPError) -> Exception:
        """Return what an answer with an error code means."""
        said = shorten(_said(error), 160)
        if error.code in _AGAIN:
            pause = error.headers.get("Retry-After", "")
            return _PassingError(f"HTTP {error.code} ({said})", float(pause) if pause.isdigit() else None)
        remedy = "see the address, the name of the model, and the fields under body"
        if error.code in (401, 403):
            remedy = f"put a valid key into {self.key_name}" if self.key_name else "write key_env: NAME_OF_A_VARIABLE"
        return UserError(
            f"{self.url}: expected an answer of the judge {self.model}, found HTTP {error.code} ({said}); {remedy}"
        )


def _content(raw: bytes) -> str:
    """Return the text of a completion; what is none counts as passing, as servers under load send halves."""
    try:
        message = json.loads(raw)["choices"][0]["message"]
        content = message["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        found = shorten(raw[:200].decode("utf-8", "replace"), 60)
        raise _PassingError(f"no JSON of a chat completion ('{found}')") from None
    return content if isinstance(content, str) else ""


def _said(error: urllib.error.HTTPError) -> str:
    """Return the message that a server sends with an error code, else the code's own name."""
    try:
        found = json.loads(error.read(10_000))
        inner = found.get("error", found)
        return str(inner.get("message", inner) if isinstance(inner, dict) else inner)
    except (ValueError, AttributeError, OSError, http.client.HTTPException):
        return str(error.reason)
