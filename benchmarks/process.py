"""What one process costs. It imports little: a child begins with its parent's peak of memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile


def measured(*words: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of one Python process with these words."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([sys.executable, *words], stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        assert status == 0, out.read()[-2000:].decode()
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
