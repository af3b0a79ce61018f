"""The child process that renders chat templates: jinja2 and nothing else, under limits of memory and processor time.

It is run as a script by ``unmask.runtime.template_process`` and imports nothing of unmask. A request is the length of a
pickle, the seconds that it may take and the pickle (the parent is trusted, the template is not); a reply is a length,
the seconds that were used, a letter and text.
"""

import json
import os
import pickle
import signal
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

with suppress(ImportError):  # Windows has none: there the parent's clock is the only limit
    import resource

from jinja2 import Environment, Template, ext, nodes, utils
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = int(sys.argv[1] if __name__ == "__main__" else 512) * 2**20
MESSAGE = 300
DONE, REFUSED, STOPPED = b"d", b"r", b"s"


class TooLongError(Exception):
    """The text that a template writes is longer than allowed."""


def confine() -> None:
    """Limit the memory, file size, core dumps and open files of this process, where the system can."""
    if "resource" not in globals():
        return
    limits = [("RLIMIT_AS", MEMORY), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 16)]
    for name, limit in limits:
        hard = resource.getrlimit(getattr(resource, name))[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(getattr(resource, name), (limit, limit))


class Generation(ext.Extension):
    """The tag ``{% generation %}``, which marks an assistant's text; its content is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 asks for a set

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the node of a block, read up to ``{% endgeneration %}``."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_shown"), [], [], body).set_lineno(line)

    def _shown(self, caller: Callable[[], Any]) -> Any:
        return caller()


class Names(utils.Namespace):
    """A namespace without names that start with an underscore."""

    def __init__(*args: Any, **values: object) -> None:  # noqa: N805  # a template may name a value self
        for name in dict(*args[1:], **values):
            _check_name(name)
        utils.Namespace.__init__(*args, **values)

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}: names must not start with an underscore")


class Dict:
    """The function ``dict`` of templates, without the attributes of the class."""

    def __call__(self, *args: Any, **values: object) -> dict[Any, Any]:
        """Return a new dictionary of the arguments, as ``dict`` does."""
        return dict(*args, **values)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """Return a new dictionary with the given keys, all with one value."""
        return dict.fromkeys(*args)


def refuse(message: Any) -> None:
    """Raise a ``TemplateError``; templates call this ``raise_exception``."""
    raise TemplateError(message)


def to_json(
    value: object, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Return a value as JSON text, with the options of ``json.dumps``; jinja2's own filter escapes HTML in it."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form: str) -> str:
    """Return the local time in the form of ``strftime``, as transformers offers it to templates."""
    return datetime.now().strftime(form)


def new_environment() -> Environment:
    """Return a sandboxed jinja2 environment with the functions that transformers documents for chat templates."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols], cache_size=0
    )
    made.filters["tojson"] = to_json
    made.globals |= {"raise_exception": refuse, "strftime_now": strftime_now, "dict": Dict(), "namespace": Names}
    return made


def rendered(
    environment: Environment, compiled: dict[int, Template], request: tuple[int, str | None, int, bytes]
) -> str:
    """Return the text of a template that was sent with this request or an earlier one.

    Args:
        environment: of jinja2.
        compiled: templates by key; a new one is added.
        request: key, source (None if sent before), most characters to write, and the pickled variables.

    Returns:
        The text.

    Raises:
        TooLongError: the template writes more characters than allowed.
    """
    key, source, longest, packed = request
    if source is not None:
        compiled[key] = environment.from_string(source)
    chunks, length = [], 0
    # Only the parent writes to this pipe, and it packs plain values; nothing of a file is ever unpickled.
    for chunk in compiled[key].generate(**pickle.loads(packed)):
        chunks.append(chunk)
        length += len(chunk)
        if length > longest:
            raise TooLongError(longest)
    return "".join(chunks)


def answer(environment: Environment, compiled: dict[int, Template], body: bytes) -> tuple[bytes, str]:
    """Return a letter (done, refused, stopped) and the text for a pickled request, or the reason why there is none."""
    try:
        return DONE, rendered(environment, compiled, pickle.loads(body))  # of the parent alone, as above
    except TooLongError as error:
        return STOPPED, f"it wrote more than {error.args[0]:,} characters"
    except MemoryError:
        return STOPPED, f"it took more than {MEMORY >> 20} MiB of memory"
    except RecursionError:
        return REFUSED, "it is nested too deeply"
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "").strip()
        name = "" if type(error).__module__.startswith("jinja2") and first else type(error).__name__
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if isinstance(line, int) else ""
        return REFUSED, where + (": ".join(filter(None, (name, first))))[:MESSAGE]


def _limit_time(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def serve() -> None:
    """Answer the requests on standard input until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    environment, compiled = new_environment(), dict[int, Template]()
    confine()
    while header := source.read(16):
        size, seconds = struct.unpack("=Qd", header)
        body = source.read(size)
        before = time.process_time()
        _limit_time(seconds)  # its signal ends the process at any point
        letter, text = answer(environment, compiled, body)
        try:
            reply = text.encode("utf-8", "surrogatepass")
        except MemoryError:
            letter, reply = STOPPED, f"it took more than {MEMORY >> 20} MiB of memory".encode()
        _limit_time(0)
        sink.write(struct.pack("=Qd", len(reply), time.process_time() - before) + letter + reply)
        sink.flush()


if __name__ == "__main__":
    serve()
