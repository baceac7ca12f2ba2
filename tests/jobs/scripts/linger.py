"""Start a child that leaves its process group and ignores SIGTERM, and print the pids of both."""

import os
import signal
import subprocess
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(
    [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"],
    start_new_session=True,
)
print(os.getpid(), child.pid, flush=True)
time.sleep(3600)
