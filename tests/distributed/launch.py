"""Runs a script in one process and in two gloo processes."""

import os
import socket
import subprocess
import sys


def alone(script, *arguments):
    """Run it in one process."""
    subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True)


def in_two(script, *arguments):
    """Run it in two, and show the ranks' own words if one fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, script, *arguments], capture_output=True, text=True, env=environment, check=False)
    own = "\n".join(line for line in done.stderr.splitlines() if "[rank" in line)
    assert done.returncode == 0, (own or done.stderr)[-5000:]
