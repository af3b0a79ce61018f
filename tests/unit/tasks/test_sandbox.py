"""What generated code can't do: cheat at its tests, reach anything outside, or outlive its judgement."""

import ctypes
import os
import re
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from unmask.errors import UserError
from unmask.tasks import sandbox
from unmask.tasks.sandbox import Checks, Limits, confine, run, syscalls

pytestmark = pytest.mark.skipif(
    confine.what_is_missing() is not None, reason=f"this kernel lacks {confine.what_is_missing()}"
)
DOUBLE = Checks(
    names=("f",), code="assert f(2) == 4\nassert abs(f(1.5) - 3) < 1e-9\nassert sorted(f([2, 1])) == [1, 1, 2, 2]"
)
GOOD = "def f(x):\n    return x * 2\n"
SHORT = Limits(seconds=20, cpu_seconds=1, memory_mib=256, file_mib=1)

# Each wants to be taken for right without being so.
CHEATS = {
    "ends well before the tests": "import os; os._exit(0)",
    "asks to end": "import sys; sys.exit(0)",
    "ends when asked": "import os\ndef f(x): os._exit(0)",
    "raises SystemExit when asked": "def f(x): raise SystemExit(0)",
    "ends at exit": "import atexit, os; atexit.register(os._exit, 0)\ndef f(x): raise SystemExit",
    "equals everything": "class A:\n def __eq__(s, o): return True\n def __sub__(s, o): return 0\ndef f(x): return A()",
    "is a number that equals everything": "class A(int):\n def __eq__(s, o): return True\ndef f(x): return A(1)",
    "patches builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.sorted = lambda x: [1, 1, 2, 2]\n"
    "builtins.AssertionError = KeyError\ndef f(x): return 4",
    "patches what compares": "import sys, operator\nfor m in list(sys.modules.values()):\n"
    " vars(m).update(_verdict=print)\n"
    "def f(x): return 0",
    "prints a verdict": "import os\nfor fd in range(64):\n"
    " try: os.write(fd, b'{\"passed\": true, \"why\": \"\", \"broken\": \"\"}\\n')\n"
    " except OSError: pass\ndef f(x): return 0",
    "says that the sandbox is broken": "import os\nfor fd in range(3, 64):\n try: os.write(fd, b'\\x03\\0\\0\\0N.')\n"
    " except OSError: pass\ndef f(x): return 0",
    "sends a pickle that runs code": "import os, struct\n"
    "p = b\"cos\\nsystem\\n(S'true'\\ntR.\"\nfor fd in range(3, 64):\n"
    " try: os.write(fd, struct.pack('I', len(p)) + p)\n except OSError: pass\ndef f(x): return 0",
    "returns a pickle that runs code": "import os\nclass A:\n def __reduce__(s): return os.system, ('true',)\n"
    "def f(x): return A()",
    "has no f": "g = 1",
    "is no Python": "def f(x) return",
    "has a null byte": "\0",
    "is a lone surrogate": "\ud800 = 1",
    "is empty": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Give each test a place of its own for sandboxes, and see that nothing is left there, running or on disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "sandboxes"))
    (tmp_path / "sandboxes").mkdir()
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    (tmp_path / "secret").write_text("hidden")
    yield
    assert not list((tmp_path / "sandboxes").iterdir())
    assert not running_below(tmp_path)
    assert (tmp_path / "secret").read_text() == "hidden"
    assert {p.name for p in tmp_path.iterdir()} == {"secret", "sandboxes"}


def running_below(folder):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def test_a_right_answer_passes_and_a_wrong_one_says_why():
    assert run(GOOD, DOUBLE).passed
    wrong = run("def f(x):\n    return x", DOUBLE)
    assert not wrong.passed
    assert wrong.why.startswith("AssertionError")
    assert "boom" in run("def f(x):\n    raise KeyError('boom')", DOUBLE).why


@pytest.mark.parametrize("source", CHEATS.values(), ids=CHEATS)
def test_a_cheat_does_not_pass(source):
    assert not run(source, DOUBLE, SHORT).passed


# Each tries something that must fail; f says what came of it, and its test expects the refusal.
ATTACKS = {
    "forks": ("os.fork()", "PermissionError"),
    "forks by the raw call": ("libc(57)", "refused"),
    "starts a program": ("subprocess.run(['/bin/true'])", "PermissionError"),
    "becomes a program": ("os.execv('/bin/true', ['true'])", "PermissionError"),
    "kills its parent": ("os.kill(os.getppid(), 9)", "PermissionError"),
    "kills its group": ("os.killpg(0, 9)", "PermissionError"),
    "kills everything": ("os.kill(-1, 9)", "PermissionError"),
    "traces the tests": ("libc(101, 16, os.getpid() + 1, 0, 0)", "refused"),
    "opens a handle on its parent": ("os.pidfd_open(os.getppid())", "PermissionError"),
    "limits its parent": ("resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))", "PermissionError"),
    "outlives its parent": ("libc(157, 1, 0)", "refused"),
    "lifts its limits": ("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError"),
    "connects": ("socket.create_connection(('127.0.0.1', PORT), 2)", "PermissionError"),
    "sends a datagram": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "PermissionError"),
    "opens a local socket": ("socket.socket(socket.AF_UNIX)", "PermissionError"),
    "asks for a name": ("socket.getaddrinfo('example.org', 80)", "gaierror"),
    "opens a ring": ("libc(425, 8, 0)", "refused"),
    "writes beside its folder": ("open(os.path.join('..', 'made'), 'w')", "PermissionError"),
    "overwrites a file": ("open(SECRET, 'w')", "PermissionError"),
    "empties a file": ("os.truncate(SECRET, 0)", "PermissionError"),
    "empties a file by opening it": ("os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)", "PermissionError"),
    "changes a mode": ("os.chmod(SECRET, 0)", "PermissionError"),
    "changes a time": ("os.utime(SECRET)", "PermissionError"),
    "deletes a file": ("os.unlink(SECRET)", "PermissionError"),
    "links a file into its folder": ("os.link(SECRET, 'mine')", "(PermissionError|.*cross-device)"),
    "points a link outside": ("os.symlink(SECRET, 'mine')", "PermissionError"),
    "makes a folder": ("os.mkdir('deep')", "PermissionError"),
    "reads a secret": ("open(SECRET).read()", "PermissionError"),
    "reads the users": ("open('/etc/passwd').read()", "PermissionError"),
    "looks around at home": ("os.listdir(os.path.expanduser('~root'))", "(PermissionError|FileNotFoundError)"),
    "reads its parent's environment": ("open(f'/proc/{os.getppid()}/environ').read()", "PermissionError"),
    "reads its parent's memory": ("open(f'/proc/{os.getppid()}/mem', 'rb').read()", "PermissionError"),
    "looks for a secret in its environment": ("os.environ['SECRET_TOKEN']", "KeyError"),
    "deletes its folder": ("shutil.rmtree(os.getcwd())", "PermissionError"),
    "shares memory for ever": ("libc(29, 1234, 4096, 0o1666)", "refused"),
    "makes a file in memory": ("os.memfd_create('x')", "PermissionError"),
    "leaves its user namespace": ("libc(272, 0x10000000)", "refused"),
    "reads what is typed": ("input()", "EOFError"),
    "takes 8 GiB": ("bytearray(8 << 30)", "MemoryError"),
    "writes 2 GiB": ("open('big', 'wb').write(bytes(2 << 20)) and open('big', 'ab').write(bytes(2 << 20))", "OSError"),
    "opens a thousand files": ("[open('n', 'w') for _ in range(1000)]", "OSError"),
    "recurses": ("(lambda g: g(g))(lambda g: g(g))", "RecursionError"),
}  # fmt: skip
PREAMBLE = """
import ctypes, os, resource, shutil, socket, subprocess
SECRET, PORT = {secret!r}, {port}
def libc(number, *args):
    if ctypes.CDLL(None, use_errno=True).syscall(number, *map(ctypes.c_long, args)) < 0:
        raise OSError("refused")
def f():
    return [{attack}, "done"][1]
"""
REFUSED = """
try:
    f()
except Exception as error:
    got = f"{{type(error).__name__}}: {{error}}"
else:
    got = "done"
assert any(re.match({refusal!r}, text) for text in (got, got.partition(": ")[2])), got
"""


@pytest.mark.parametrize(("attack", "refusal"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused(attack, refusal, tmp_path):
    if "libc(" in attack and os.uname().machine != "x86_64":
        pytest.skip("the numbers of the calls are those of x86_64")
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = PREAMBLE.format(secret=str(tmp_path / "secret"), port=server.getsockname()[1], attack=attack)
        checks = Checks(before="import re", names=("f",), code=REFUSED.format(refusal=refusal))
        verdict = run(source, checks, Limits(seconds=20, file_mib=1))
        assert verdict.passed, verdict.why
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


# Each wants to go on for ever, or to take the judge down with it. What it does to itself is its own affair.
PESTS = {
    "loops": "while True: pass",
    "loops when asked": "def f(x):\n while True: pass",
    "loops in C": "def f(x): return 9 ** 9 ** 9",
    "takes ever more memory": "a = []\nwhile True: a.append(bytearray(1 << 20))",
    "prints for ever": "while True: print('x' * 10_000)",
    "fills its folder with files": "i = 0\nwhile True:\n i += 1; open(str(i), 'wb').write(bytes(1 << 19))",
    "makes files without end": "i = 0\nwhile True:\n i += 1; open(str(i), 'w').close()",
    "starts threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1e6,)).start()",
    "reads address 0": "import ctypes; ctypes.string_at(0)",
    "recurses through the stack": "import sys; sys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "raises a huge message": "def f(x): raise ValueError('x' * 10**8)",
    "raises what can't be printed": "class E(Exception):\n def __str__(s): raise E\ndef f(x): raise E",
    "raises what prints for ever": "class E(Exception):\n def __str__(s):\n  while True: pass\ndef f(x): raise E",
    "returns without end": "import itertools\ndef f(x): return itertools.count()",
    "returns very much": "def f(x): return [0] * 10**8",
    "returns a tree that grows when compared": "def f(x):\n a = [1]\n for _ in range(60): a = [a, a]\n return a",
    "returns itself": "def f(x):\n a = []\n a.append(a)\n return a",
    "sends without end": "import os\nwhile True:\n for fd in range(3, 9):\n"
    "  try: os.write(fd, b'\\xff' * 4096)\n  except OSError: pass",
    "aborts": "import os; os.abort()",
    "catches signals and loops": "import signal\nfor s in range(1, 65):\n try: signal.signal(s, signal.SIG_IGN)\n"
    " except (OSError, ValueError): pass\nwhile True: pass",
}  # fmt: skip


@pytest.mark.parametrize("source", PESTS.values(), ids=PESTS)
def test_a_pest_comes_to_its_end(source):
    assert not run(source, DOUBLE, SHORT).passed


@pytest.mark.parametrize("source", ["import time; time.sleep(1e6)", "import threading\nthreading.Event().wait()"])
def test_who_sleeps_is_woken_by_the_wall_clock(source):
    verdict = run(source, DOUBLE, Limits(seconds=1.5))
    assert verdict == sandbox.Verdict(passed=False, why="ended or out of time before the tests had passed")


def test_a_thread_left_behind_ends():
    assert run(f"import threading\nthreading.Thread(target=threading.Event().wait).start()\n{GOOD}", DOUBLE).passed


def test_endless_tests_end_too():
    assert not run(GOOD, Checks(names=("f",), code="while True: pass"), SHORT).passed


def test_the_folder_can_be_written_to():
    source = "import os, tempfile\ndef f(x):\n with tempfile.TemporaryFile('w+') as a:\n"
    source += "  a.write('ab'); a.seek(0)\n  return a.read()"
    assert run(source, Checks(names=("f",), code="assert f(0) == 'ab'")).passed


def test_iterators_and_views_can_be_read():
    source = "def f(x): return map(str, x)\ndef g(x): return dict(enumerate(x)).values()\ndef h(x):\n yield from x"
    code = "assert list(f([1, 2])) == ['1', '2']\nassert f([1]) != ['1']\nassert sorted(g([2, 1])) == [1, 2]\n"
    code += "assert list(h('ab')) == ['a', 'b']"
    assert run(source, Checks(names=("f", "g", "h"), code=code)).passed


def test_objects_stay_where_they_are_made():
    source = "class Node:\n def __init__(s, v): s.v = v; s.left = None\n"
    source += " def total(s): return s.v + (s.left.total() if s.left else 0)\ndef total(n): return n.total()"
    code = "a = Node(1)\na.left = Node(2)\nassert total(a) == 3\n"
    code += "assert a.total() == 3\nassert a.left.v == 2\nassert a != 3"
    verdict = run(source, Checks(names=("Node", "total"), code=code))
    assert verdict.passed, verdict.why


def test_tests_see_what_was_raised():
    code = "try:\n    f(0)\nexcept ZeroDivisionError:\n    pass\nelse:\n    assert False"
    assert run("def f(x): return 1 / x", Checks(names=("f",), code=code)).passed


def test_an_assertion_of_the_answer_is_no_assertion_of_the_tests():
    code = "try:\n    f()\nexcept AssertionError:\n    raise SystemExit\nexcept RuntimeError:\n    pass"
    assert run("def f(): assert False", Checks(names=("f",), code=code)).passed


def test_verdicts_do_not_depend_on_hash_seeds():
    checks = Checks(names=("f",), code="assert f() == f()")
    sources = {
        run("def f(): return str(set('abcdefgh'))", Checks(names=("f",), code="raise KeyError(f())")).why
        for _ in range(3)
    }
    assert len(sources) == 1
    assert run("def f(): return str(set('abcdefgh'))", checks).passed


def test_several_at_once():
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: run(GOOD if i % 2 else "1/0", DOUBLE).passed}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: False, 1: True, 2: False, 3: True}


def test_a_kernel_without_the_means_is_refused(monkeypatch):
    monkeypatch.setattr(sandbox, "what_is_missing", lambda: "Landlock (Linux 5.13 or later, switched on)")
    with pytest.raises(UserError, match="generated code needs Landlock .* or write 'execute: limits', in a container"):
        run(GOOD, DOUBLE)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UserError, match="judge the answers on Linux"):
        run(GOOD, DOUBLE, strict=False)


def test_limits_alone_still_judge():
    assert run(GOOD, DOUBLE, strict=False).passed
    assert not run("while True: pass", DOUBLE, SHORT, strict=False).passed


def test_filters_are_assembled_for_both_machines():
    for machine in ("x86_64", "aarch64"):
        code = syscalls.filter_program(machine)
        assert len(code) % 8 == 0
        assert len(code) // 8 < 4096
    assert syscalls.filter_program("riscv64") is None


@pytest.mark.parametrize("column", [0, 1], ids=["x86_64", "aarch64"])
def test_the_numbers_of_calls_are_those_of_the_kernel(column):
    header = Path(("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h")[column])
    if not header.exists():
        pytest.skip("the kernel's headers are not here")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    listed = {**syscalls._REFUSED, **syscalls._ABSENT}
    assert len(listed) > 100
    for name, of_machines in listed.items():
        if name in numbers and of_machines[column] is not None:  # headers may be older than the call
            assert of_machines[column] == int(numbers[name]), name
        assert of_machines[column] is not None or name not in numbers, name


def test_memory_that_other_processes_share_is_out_of_reach():
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of the calls are those of x86_64")
    libc = ctypes.CDLL(None)
    segment = libc.shmget(0, 4096, 0o600)
    try:
        source = PREAMBLE.format(secret="", port=0, attack=f"libc(31, {segment}, 0, 0)")
        checks = Checks(before="import re", names=("f",), code=REFUSED.format(refusal="refused"))
        verdict = run(source, checks, Limits(seconds=20))
        assert verdict.passed, verdict.why
    finally:
        assert libc.shmctl(segment, 0, 0) == 0


def test_small_threads_are_counted_too():
    source = "import threading, time\nthreading.stack_size(65536)\nfor _ in range(200):\n"
    source += f" threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\ntime.sleep(1)\n{GOOD}"
    assert not run(source, DOUBLE, Limits(seconds=20)).passed


def test_an_end_of_iteration_of_the_answer_ends_nothing_of_the_tests():
    checks = Checks(names=("f",), code="assert all(map(f, [1, 2]))")
    assert not run("def f(x): raise StopIteration", checks).passed
