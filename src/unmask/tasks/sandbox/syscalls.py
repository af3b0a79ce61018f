"""The seccomp filter: which system calls code in the sandbox may not make.

A list of what is refused, since Python and its libraries make many harmless calls: a call that a later kernel adds is
let through until it is listed here. Files are Landlock's matter; here is what Landlock leaves open: the network, other
processes, the owner, mode and times of files, and whatever holds more than the limits count.
"""

import struct
from typing import NamedTuple

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_O_TRUNC, _O_ACCMODE, _O_TMPFILE = 0o1000, 0o3, 0o20000000
_CLONE_FILES, _CLONE_THREAD = 0x400, 0x10000

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
    # what tells of the files of others, or keeps a deleted file where nobody sees it
    "inotify_init": (253, None), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "lookup_dcookie": (212, 18),
    # memory and the state of other processes
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "get_robust_list": (274, 100),
    # the machine: its disks, clock, name, log, modules and power
    "sync": (162, 81), "syncfs": (306, 267), "quotactl": (179, 60), "quotactl_fd": (443, 443), "acct": (163, 89),
    "swapon": (167, 224), "swapoff": (168, 225), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "syslog": (103, 116), "vhangup": (153, 58), "reboot": (169, 142), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "iopl": (172, None), "ioperm": (173, None), "nfsservctl": (180, 42),
    # what is mounted where
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    # the kernel's large and rarely needed doors
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241), "modify_ldt": (154, None), "personality": (135, 92), "uselib": (134, None),
}  # fmt: skip
# Answered with "there is no such call", so that libraries take the plain one: which the filter can look into, and which
# does not wait with a deleted file in hand, nor keep pages in a pipe.
_ABSENT = {
    "clone3": (435, 435), "openat2": (437, 437), "sendfile": (40, 71), "splice": (275, 76), "tee": (276, 77),
    "vmsplice": (278, 75),
}  # fmt: skip


class _Rule(NamedTuple):
    """Refuse a call whose argument, under ``bits``, is one of ``values`` (or, with ``unless``, none of them)."""

    numbers: tuple[int | None, int | None]
    argument: int
    values: tuple[int, ...]
    bits: int = 0xFFFFFFFF
    unless: bool = False


_RULES = (
    # clone, but for a thread that shares the open files
    _Rule(
        numbers=(56, 220), argument=0, bits=_CLONE_THREAD | _CLONE_FILES, values=(_CLONE_THREAD | _CLONE_FILES,),
        unless=True,
    ),
    _Rule(numbers=(436, 436), argument=2, bits=2, values=(2,)),  # close_range that stops sharing them
    _Rule(numbers=(302, 261), argument=0, values=(0,), unless=True),  # prlimit64 of another process
    _Rule(numbers=(203, 122), argument=0, values=(0,), unless=True),  # sched_setaffinity of another
    # prctl: outlive the parent, hide from it, change what a process says of its memory, share a core's time
    _Rule(numbers=(157, 167), argument=0, values=(1, 4, 35, 62)),
    # fcntl: signals to the owner of a file, leases, watches, larger pipes (one account for all of a user's), hints
    _Rule(numbers=(72, 25), argument=1, values=(8, 10, 15, 1024, 1026, 1031, 1036, 1038)),
    # ioctl, but for: is it a terminal, its size, how much there is to read, block or not, close on exec or not.
    # Others change attributes of files that are open for reading only.
    _Rule(numbers=(16, 29), argument=1, values=(0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451), unless=True),
    _Rule(numbers=(285, 47), argument=1, values=(0,), unless=True),  # fallocate beyond the end: no limit holds it
    # Landlock before version 3 lets a file be opened for reading and emptied.
    _Rule(numbers=(2, None), argument=1, bits=_O_TRUNC | _O_ACCMODE, values=(_O_TRUNC,)),  # open
    _Rule(numbers=(257, 56), argument=2, bits=_O_TRUNC | _O_ACCMODE, values=(_O_TRUNC,)),  # openat
    _Rule(numbers=(2, None), argument=1, bits=_O_TMPFILE, values=(_O_TMPFILE,)),
    _Rule(numbers=(257, 56), argument=2, bits=_O_TMPFILE, values=(_O_TMPFILE,)),
)  # fmt: skip


def filter_program(machine: str) -> bytes | None:
    """Return the filter as an array of ``struct sock_filter``; None for a machine whose calls are not listed."""
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
    """Return the steps that refuse a call, or go on with its number loaded again for the next rule."""
    code = [_step(_LOAD, 16 + 8 * rule.argument), _step(_AND, rule.bits)]
    for index, value in enumerate(rule.values):
        if rule.unless:
            code.append(_step(_EQUAL, value, len(rule.values) - index, 0))
        else:
            code += [_step(_EQUAL, value, 0, 1), _step(_RETURN, _EPERM)]
    if rule.unless:
        code.append(_step(_RETURN, _EPERM))
    return [*code, _step(_LOAD, 0)]


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", operation, if_true, if_false, value)
