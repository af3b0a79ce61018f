"""One job of a study: ``python -m unmask.study FOLDER PARENT``; see ``worker.py``."""

import sys
from pathlib import Path

from unmask.study.worker import main

if __name__ == "__main__":  # not when a test imports every module
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
