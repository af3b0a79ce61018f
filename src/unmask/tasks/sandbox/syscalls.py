"""The seccomp filter: which system calls code in the sandbox may not make.

A list of what is refused, since Python and its libraries make many harmless calls. Files are Landlock's matter; here is
what Landlock leaves open: the network, other processes, and the owner, mode and times of files.
"""

import struct
from typing import NamedTuple

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_O_TRUNC, _O_ACCMODE = 0o1000, 0o3

# name: (number on x86_64, number on aarch64)
_REFUSED = {
    # the network, and what can open sockets by another way
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # new processes and programs
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # other processes
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # owner, mode, times and attributes of files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "truncate": (76, 45),
    # what outlives a process or is not counted as its memory
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # the shared memory, queues and semaphores of other processes, by number
    "shmat": (30, 196), "shmctl": (31, 195), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191), "mq_unlink": (241, 181),
    # what all processes share: contexts of asynchronous files, locks on files that can be read
    "io_setup": (206, 0), "flock": (73, 32),
    # the kernel's large and rarely needed doors
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "bpf": (321, 280), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
}  # fmt: skip
# Answered with "there is no such call", so that libc takes the older one, which the filter can look into.
_ABSENT = {"clone3": (435, 435), "openat2": (437, 437)}


class _Rule(NamedTuple):
    """Refuse a call whose argument, under ``bits``, is one of ``values`` (or, with ``unless``, none of them)."""

    numbers: tuple[int | None, int | None]
    argument: int
    values: tuple[int, ...]
    bits: int = 0xFFFFFFFF
    unless: bool = False


_RULES = (
    _Rule(numbers=(56, 220), argument=0, bits=0x10000, values=(0,)),  # clone that makes a process, not a thread
    _Rule(numbers=(302, 261), argument=0, values=(0,), unless=True),  # prlimit64 of another process
    _Rule(numbers=(203, 122), argument=0, values=(0,), unless=True),  # sched_setaffinity of another
    _Rule(numbers=(157, 167), argument=0, values=(1,)),  # prctl: outlive the parent
    _Rule(numbers=(72, 25), argument=1, values=(8, 10, 15)),  # fcntl: signals to the owner of a file
    # Landlock before version 3 lets a file be opened for reading and emptied.
    _Rule(numbers=(2, None), argument=1, bits=_O_TRUNC | _O_ACCMODE, values=(_O_TRUNC,)),  # open
    _Rule(numbers=(257, 56), argument=2, bits=_O_TRUNC | _O_ACCMODE, values=(_O_TRUNC,)),  # openat
)


def filter_program(machine: str) -> bytes | None:
    """Assemble the filter as an array of ``struct sock_filter``; None for a machine whose calls are not listed."""
    if machine not in _ARCHITECTURES:
        return None
    column = list(_ARCHITECTURES).index(machine)
    code = [_step(_LOAD, 4), _step(_EQUAL, _ARCHITECTURES[machine], 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    if machine == "x86_64":  # the x32 calls: the same doors under other numbers
        code += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, _EPERM)]
    for table, answer in ((_REFUSED, _EPERM), (_ABSENT, _ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                code += [_step(_EQUAL, number, 0, 1), _step(_RETURN, answer)]
    for rule in _RULES:
        number = rule.numbers[column]
        if number is not None:
            inside = _look_into(rule)
            code += [_step(_EQUAL, number, 0, len(inside)), *inside]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _look_into(rule: _Rule) -> list[bytes]:
    found, other = (_ALLOW, _EPERM) if rule.unless else (_EPERM, _ALLOW)
    code = [_step(_LOAD, 16 + 8 * rule.argument), _step(_AND, rule.bits)]
    for value in rule.values:
        code += [_step(_EQUAL, value, 0, 1), _step(_RETURN, found)]
    return [*code, _step(_RETURN, other)]


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", operation, if_true, if_false, value)
