#!/usr/bin/env python3
"""Walks through the whole lab on a pseudo-terminal, letting the walk do each stage, and prints the pages as they end.

    python3 tests/rig/walk.py COMMAND...

COMMAND starts `canary-lab walk`, with whatever it needs before and after. Ends with 1 if a stage does not come to its end.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

ROWS, COLUMNS = 40, 100
STAGES = 13
# Seconds that one stage may take.
PATIENCE = 400.0
ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78])")


class Walk:
    def __init__(self, command):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = dict(os.environ, TERM="xterm-256color")
        self.child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.written = b""

    def press(self, key):
        """Types a key; what is expected from then on has to be written after it."""
        self.written = b""
        os.write(self.master, key)

    def expect(self, words):
        """Reads until these words stand in what was written since the last key."""
        end = time.monotonic() + PATIENCE
        while words not in self.text():
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                self.give_up(f"{words!r} did not appear within {PATIENCE:.0f} s")
            try:
                chunk = os.read(self.master, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                self.give_up(f"it ended before {words!r}")
            self.written += chunk

    def text(self):
        return ESCAPES.sub(b"", self.written).decode("utf-8", "replace")

    def give_up(self, why):
        print(self.text()[-4000:])
        print(why)
        self.child.kill()
        sys.exit(1)


def main():
    walk = Walk(sys.argv[1:])
    walk.expect("begin")
    walk.press(b"\r")
    for stage in range(1, STAGES + 1):
        walk.expect(f"{stage}/{STAGES}")
        begun = time.monotonic()
        # A stage that stands already, or that needs nothing done, is gone on from at once.
        walk.press(b"\r")
        walk.expect("go on")
        print(f"{stage}/{STAGES} stands after {time.monotonic() - begun:.1f} s")
        walk.press(b"\r")
    walk.expect("What was learned")
    walk.press(b"q")
    code = walk.child.wait(30)
    print(f"ended with {code}")
    sys.exit(code)


if __name__ == "__main__":
    main()
