#!/usr/bin/env python3
"""How fast `canary-lab walk` answers a key: from writing the key to the terminal until the page has changed.

    python3 benches/keys.py target/release/canary-lab [presses]

Prints the median, the 95th percentile and the largest, in milliseconds; ends with 1 if the median is above 50.
"""

import fcntl
import os
import pty
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

LIMIT_MS = 50.0


def read_for(master, seconds):
    """Everything that comes within so many seconds of silence."""
    data = b""
    while select.select([master], [], [], seconds)[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    return data


def main():
    program = os.path.abspath(sys.argv[1])
    presses = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    home = tempfile.mkdtemp(prefix="canary-lab-keys-")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {"PATH": os.environ["PATH"], "HOME": home, "CANARY_LAB_HOME": home + "/lab", "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [program, "walk"], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    read_for(master, 2.0)
    times = []
    for press in range(presses):
        key = b"\r" if press == 0 else (b"n" if press % 2 else b"b")
        started = time.perf_counter()
        os.write(master, key)
        if not select.select([master], [], [], 5.0)[0]:
            sys.exit("no answer within 5 s")
        times.append((time.perf_counter() - started) * 1000.0)
        read_for(master, 0.02)
    os.write(master, b"q")
    read_for(master, 1.0)
    code = child.wait(10)
    shutil.rmtree(home)
    times.sort()
    median = statistics.median(times)
    print(f"{presses} keys   median {median:.1f} ms   95th percentile {times[int(0.95 * presses)]:.1f} ms   largest {times[-1]:.1f} ms   wanted {LIMIT_MS:.0f} ms")
    sys.exit(1 if code != 0 or median > LIMIT_MS else 0)


if __name__ == "__main__":
    main()
