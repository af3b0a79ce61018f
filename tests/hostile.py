"""Programs that want to be taken for right, or to reach out of the sandbox, and what holds them.

Each comes with tests that it can only pass by breaking out: by changing what judges it, by reading what it must not, or
by holding more than it may. So it is contained if it does not pass, in time, and leaves nothing behind.
"""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from unmask.tasks.sandbox import Checks, Limits, run

LIMITS = Limits(seconds=20, cpu_seconds=2, memory_mib=512)
DOUBLE = Checks(names=("f",), code="assert f(2) == 4\nassert abs(f(1.5) - 3) < 1e-9\nassert f([1]) == [1, 1]")
DONE = Checks(names=("f",), code="assert f() == 'done'")


@dataclass(frozen=True)
class Program:
    """A hostile program.

    Args:
        name: what it does.
        source: the answer.
        checks: what it passes only if it is not contained; as a rule, to double.
        limits: of the run.
    """

    name: str
    source: str
    checks: Checks = DOUBLE
    limits: Limits = field(default_factory=lambda: LIMITS)


def breach(program: Program, folder: Path) -> str:
    """Run a program; return what it broke, empty if it was contained.

    Args:
        program: to be run.
        folder: an empty one of the caller's; the program's own is made in it.
    """
    before, started = tempfile.tempdir, time.monotonic()
    tempfile.tempdir = str(folder)
    try:
        verdict = run(program.source, program.checks, program.limits)
    finally:
        tempfile.tempdir = before
    left = [path.name for path in folder.iterdir()]
    running = [
        name for name in (path.name for path in Path("/proc").iterdir()) if name.isdigit() and _is_below(name, folder)
    ]
    late = time.monotonic() - started > program.limits.seconds + 10
    found = {"passed": verdict.passed, f"left {left}": left, f"still runs: {running}": running, "was late": late}
    return ", ".join(what for what, is_so in found.items() if is_so)


def _is_below(pid: str, folder: Path) -> bool:
    try:
        return str(folder).encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


# Takes over the pipes of its own process and writes what the wire would not.
RAW = """
import fcntl, json, os, struct
ends = {}
for fd in range(3, 64):
    try: ends[fcntl.fcntl(fd, fcntl.F_GETFL) & 3] = fd
    except OSError: pass
def frame(data): os.write(ends[1], struct.pack("I", len(data)) + data)
def say(*nodes): frame(json.dumps(nodes).encode())
def answer(got): say(["list"], ["tuple", "value", got, [0]])
def hear():
    data, (size,) = b"", struct.unpack("I", os.read(ends[0], 4))
    while len(data) < size: data += os.read(ends[0], size - len(data))
    return json.loads(data)
"""
# What the tests of those below define and hand over.
OWN = """
class Point:
    limit = [7]
    def __init__(self, x=0): self.x, self._hidden = x, 'sesame'
    def size(self): return self.x
class Text(str): pass
class Meta(type): pass
class Made(metaclass=Meta): pass
class Many(list): pass
secret, seen = 'sesame', []
def judge(got): return got == secret
def lines():
    inside = secret
    yield inside
p = Point(3)
p.lines, p.run, p.globals = lines(), lambda *args: seen.append(args), globals
p.run.__module__ = 'builtins'
p.eval = eval
"""


def _asks(name: str, does: str, breached: str) -> Program:
    """Make a program that is handed ``(p, Point, Text, Made, judge)`` and the test that it is to pass."""
    code = f"got = None\ntry:\n    got = f(p, Point, Text, Made, judge)\nexcept Exception:\n    pass\nassert {breached}"
    return Program(
        name, f"{RAW}\ndef f(p, point, text, made, judge):\n    {does}", Checks(names=("f",), code=OWN + code)
    )


def _tries(name: str, *calls: str, before: str = "") -> Program:
    """Make a program that tries several things and is done if one of them is not refused."""
    lines = "".join(f"    try:\n        {call}\n        return 'done'\n    except OSError: pass\n" for call in calls)
    head = "import ctypes, fcntl, os, struct, threading, time\nc = ctypes.CDLL(None, use_errno=True)\n"
    head += "def ok(number):\n    if number < 0: raise OSError\n    return number\n"
    return Program(name, f"{head}{before}\ndef f():\n{lines}", DONE)


def _holds(name: str, file: str) -> Program:
    """Make a program that fills 40 files of 15 MiB and is done if it then still runs."""
    source = "import ctypes, mmap, os, threading, time\nc = ctypes.CDLL(None)\nheld, data = [], bytes(15 << 20)\n"
    source += (
        f"def f():\n    for i in range(40):\n        n = str(i)\n        {file}\n    time.sleep(0.3)\n    return 'done'"
    )
    return Program(name, source, DONE)


OPEN = "fd = os.open(n, os.O_CREAT | os.O_RDWR); os.write(fd, data)"
GO_ON = "threading.Thread(target=fill, daemon=True).start(); time.sleep(0.1); c.syscall(60 if X86 else 93, 0)"
PROGRAMS = (
    # What it writes to the pipe
    Program("answers before it is asked", f"{RAW}\nfor _ in range(99): answer(True)\nos._exit(0)"),
    Program("answers in advance, then ends", f"{RAW}\ndef f(x):\n    for got in (4, 3, [1, 1], None): answer(got)\n"
            "    os._exit(0)", Checks(names=("f",), code="a = [f(i) for i in (2, 3, 4, 5, 6)]\nassert a")),
    Program("sends a pickle that builds", f"{RAW}\ndef f(x):\n"
            "    frame(b'\\x80\\x04ccollections\\nCounter\\nN}(S\"__eq__\"\\nK\\x01u\\x86b.')\n    return 4"),
    Program("sends a pickle that calls", f"{RAW}\nframe(b'cos\\nsystem\\n(S\"true\"\\ntR.')\ndef f(x): return 4"),
    Program("names what is no tag", f"{RAW}\ndef f(x):\n    say(['builtins.eval', '4'])\n    return 4"),
    Program("names a type that is not listed", f"{RAW}\ndef f(x):\n"
            "    say(['list'], ['type', 'Fraction'], ['tuple', 'value', [1], [0]])\n    return 4"),
    Program("fills what the tests hold", f"{RAW}\ndef f(many):\n"
            "    say(['list'], ['yours', 0], ['fill', [1], 9], ['tuple', 'value', 1, [0]])\n    return 1",
            Checks(names=("f",), code=OWN + "m = Many()\ntry:\n    f(m)\nexcept ValueError:\n    pass\nassert m")),
    Program("fills its argument twice", f"{RAW}\ndef f(x):\n"
            "    say(['list'], ['argument', 0], ['fill', [1], 9], ['tuple', 'value', 1, [0]])\n    return 1",
            Checks(names=("f",), code="x = [1]\ntry:\n    f(x)\nexcept ValueError:\n    pass\nassert x == [9]")),
    Program("counts from the end", f"{RAW}\ndef f(a, b):\n"
            "    say(['list'], ['yours', -1], ['tuple', 'value', [1], [0]])\n    return 1",
            Checks(names=("f",), code=OWN + "assert f(p, judge) is judge")),
    Program("changes what is no argument", f"{RAW}\ndef f(x):\n    say(['list', 5], ['tuple', -1, [0]], ['list', [1]], "
            "['tuple', 'value', 4, [2]])\n    return 4",
            Checks(names=("f",), code="a = [1]\ntry:\n    f(a)\nexcept ValueError:\n    pass\nassert a == [5]")),
    Program("says a length of 4 GiB", f"{RAW}\nos.write(ends[1], b'\\xff' * 4)\nos._exit(0)"),
    Program("cuts a message in half", f"{RAW}\ndef f(x):\n    os.write(ends[1], struct.pack('I', 99) + b'[[')\n"
            "    os._exit(0)"),
    Program("nests a message a million times", f"{RAW}\ndef f(x):\n    frame(b'[' * 10**6)\n    return 4"),
    Program("nests tuples until a hash overflows the stack", f"{RAW}\ndef f(x):\n"
            "    nodes = [['tuple'], *(['tuple', [i]] for i in range(300_000))]\n"
            "    say(*nodes, ['set', [300_000]], ['list'], ['tuple', 'value', [300_001], [300_002]])\n    return 4"),
    Program("sends a number of a million digits", f"{RAW}\ndef f(x):\n"
            f"    frame(b'[[\"tuple\",' + b'9' * 10**6 + b']]')\n"
            "    return 4"),
    Program("asks without end", f"{RAW}\ndef f(x):\n    while True: say(['tuple', 'get', 1, 'x']); hear()",
            limits=Limits(seconds=20, cpu_seconds=1)),
    Program("lets the tests end", f"{RAW}\ndef f(x):\n"
            "    say(['list'], ['tuple', 'raised', 'SystemExit', '0', [0]])\n    return 4"),
    Program("ends where an error is expected", "import os\ndef f(x): os._exit(0)",
            Checks(names=("f",), code="try:\n    f(0)\nexcept Exception:\n    pass\nelse:\n    assert False")),
    # What it does with objects and functions of the tests
    _asks("sets an attribute of a class", "p._wire.ask('set', point, 'limit', [])", "Point.limit != [7]"),
    _asks("sets one through a metaclass", "p._wire.ask('set', made, 'x', 1)", "hasattr(Made, 'x')"),
    _asks("makes a class by a metaclass",
          "return made._wire.ask('call', p._wire.ask('get', made, '__class__'), (), {})",
          "got"),
    _asks("changes what a class holds", "p.limit.append(8)", "Point.limit != [7]"),
    _asks("changes the class of an object", "p._wire.ask('set', p, '__class__', made)", "type(p) is not Point"),
    _asks("replaces a method", "p.size = lambda: 99", "p.size() == 99"),
    _asks("sets an attribute of a function", "p._wire.ask('set', judge, '__code__', p.lines)",
          "judge.__code__.co_name != 'judge'"),
    _asks("sends a pickle that builds a class of the tests",
          "frame(b\"\\x80\\x04(S'value'\\n(S'yours'\\nK\\x01tQN}(S'limit'\\nK\\x05u\\x86b]t.\")",
          "Point.limit == 5"),
    _asks("sends a pickle that calls what the tests hold",
          "n = bytes([p.run._number])\n"
          "    frame(b\"\\x80\\x04(S'value'\\n(S'yours'\\nK\" + n + b\"tQ\\x8c\\x06secret\\x85R]t.\")",
          "got == secret or seen"),
    _asks("reads globals in a format",
          "t = text('{0.__globals__[secret]}')\n    return t.format(judge)", "got == secret"),
    _asks("reads globals in a mapped format",
          "return text('{x.__globals__[secret]}').format_map({'x': judge})", "got == secret"),
    _asks("reads the globals of a function",
          "return p._wire.ask('get', judge, '__globals__')['secret']", "got == secret"),
    _asks("reads the frame of a generator", "return p._wire.ask('get', p.lines, 'gi_frame').f_globals['secret']",
          "got == secret"),
    _asks("reads what is behind a method", "return p._wire.ask('get', p.size, '__self__')._hidden", "got == secret"),
    _asks("reads a hidden attribute", "return p._hidden", "got == secret"),
    _asks("calls a builtin of the tests", "return p.eval('secret', p.globals())", "got == secret"),
    _asks("reduces an object", "return p._wire.ask('operate', p, '__reduce_ex__', (4,))", "got"),
    _asks("asks for a name of the tests", "return p._wire.ask('name', 'secret')", "got == secret"),
    # What it holds on the disk
    _holds("files without a name", "fd = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(fd, data)"),
    _holds("deleted files, open", f"{OPEN}; os.unlink(n)"),
    _holds("deleted files, mapped", f"{OPEN}; held.append(mmap.mmap(fd, 4096)); os.close(fd); os.unlink(n)"),
    _holds("files without contents", "fd = os.open(n, os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 15 << 20)"),
    Program("allocates beyond the end of a file", "import ctypes, os\ndef f():\n"
            "    fd = os.open('a', os.O_CREAT | os.O_RDWR)\n    ctypes.CDLL(None).fallocate(fd, 1, ctypes.c_long(0), "
            "ctypes.c_long(1 << 28))\n    return 'done' if os.fstat(fd).st_blocks else ''", DONE),
    Program("goes on without its first thread", f"{RAW}\nimport ctypes, threading, time\nc = ctypes.CDLL(None)\n"
            "X86, held = os.uname().machine == 'x86_64', []\n"
            "def fill():\n    data = bytes(15 << 20)\n    for i in range(40):\n        n = str(i)\n"
            f"        {OPEN}; os.unlink(n)\n    time.sleep(0.3)\n    answer('done')\n"
            f"def f(): {GO_ON}", DONE),
    # What it asks of the kernel
    _tries("watches files", "ok(c.inotify_init())", "ok(c.inotify_init1(0))", "ok(c.fanotify_init(0, 0))"),
    _tries("waits for others to open a file", "fcntl.fcntl(fd, 1024, 1)", "fcntl.fcntl(fd, 1026, 2)",
           before="fd = os.open('a', os.O_CREAT | os.O_RDWR)"),
    _tries("reads the kernel's log",
           "ok(c.klogctl(10, None, 0))", "ok(c.klogctl(3, ctypes.create_string_buffer(9), 9))"),
    _tries("changes attributes of the library", "fcntl.ioctl(fd, 0x40086602, fcntl.ioctl(fd, 0x80086601, bytes(8)))",
           before="fd = os.open(os.__file__, os.O_RDONLY)"),
    _tries("hides from who counts", "ok(c.prctl(4, 0, 0, 0, 0))"),
    _tries("has open files of its own in a thread", "ok(c.syscall(436, 60, 61, 2))", "ok(c.unshare(0x400))"),
    _tries("pins files by rules", "ok(c.syscall(444, struct.pack('Q', 4), ctypes.c_size_t(8), 0))"),
    _tries("makes pipes large", "fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)"),
    _tries("moves pages into pipes", "os.sendfile(w, fd, 0, 9)", "os.splice(fd, w, 9)",
           before="w, fd = os.pipe()[1], os.open(os.__file__, os.O_RDONLY)"),
    _tries("flushes all disks", "ok(c.syncfs(0))", "ok(c.personality(0))"),
    _tries("names the machine", "ok(c.sethostname(b'x', 1))", "ok(c.quotactl(0, None, 0, None))", "ok(c.acct(None))"),
    _tries("counts on a user's signals", "[t(i) for i in range(99)]", before="def t(i):\n"
           "    return ok(c.timer_create(1, None, ctypes.byref(ctypes.c_void_p())))"),
)  # fmt: skip
