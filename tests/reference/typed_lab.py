"""A lab in a home of its own, for what is typed at a real kubectl."""

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile


def arguments():
    """CANARY_LAB KUBECTL [--lab DIR] [--transcript FILE], from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("canary_lab")
    parser.add_argument("kubectl")
    parser.add_argument("--lab")
    parser.add_argument("--transcript", default=os.devnull)
    return parser.parse_args()


@contextlib.contextmanager
def standing(options, until):
    """The lab up to a stage: the environment of its terminal, where `kubectl` is the one that was asked for, and a scratch
    folder, in which the lab's home is `home`. The lab is taken down at the end, whatever happened."""
    program = str(pathlib.Path(options.canary_lab).resolve())
    lab = ["--lab", str(pathlib.Path(options.lab).resolve())] if options.lab else []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        tools = scratch / "bin"
        tools.mkdir()
        (tools / "kubectl").symlink_to(pathlib.Path(options.kubectl).resolve())
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(scratch),
                       "CANARY_LAB_HOME": str(scratch / "home")}
        subprocess.run([program, "up", "--until", until, *lab], env=environment, check=True, stdin=subprocess.DEVNULL)
        try:
            for line in subprocess.run([program, "env"], env=environment, check=True, text=True,
                                       capture_output=True).stdout.splitlines():
                found = re.match(r"(?:export )?(\w+)=(.*)", line)
                if found:
                    environment[found[1]] = found[2].strip().strip("'\"")
            yield environment, scratch
        finally:
            subprocess.run([program, "down"], env=environment, check=False, stdin=subprocess.DEVNULL)
