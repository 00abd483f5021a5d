"""Measures a whole lab: python3 benches/lab.py [CANARY_LAB] [--lab DIR] [--idle SECONDS]

Brings a lab up in an empty home, again on top of itself, looks at the processes while nothing happens, and takes it
down. Prints one line a figure: what, measured, wanted. Needs only python3 on Linux; the program defaults to
target/release/canary-lab.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


def run(program, environment, *arguments):
    """Runs a command; returns seconds and standard output."""
    started = time.monotonic()
    done = subprocess.run([program, *arguments], env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=True)
    return time.monotonic() - started, done.stdout


def processes(program):
    """Processes of this program: pid, arguments, resident bytes, CPU seconds so far."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or os.readlink(folder / "exe") != program:
                continue
            arguments = (folder / "cmdline").read_bytes().decode().split("\0")[1:-1]
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            found.append({"pid": int(folder.name), "arguments": arguments,
                          "resident": int(status["VmRSS"].split()[0]) * 1024,
                          "cpu": (int(fields[11]) + int(fields[12])) / TICKS})
        except (OSError, KeyError):
            continue
    return found


def size(folder):
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def line(what, measured, wanted=""):
    print(f"{what:<46} {measured:>16}   {wanted}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default="target/release/canary-lab")
    parser.add_argument("--lab")
    parser.add_argument("--idle", type=float, default=10)
    options = parser.parse_args()
    program = str(pathlib.Path(options.program).resolve())
    lab = ["--lab", options.lab] if options.lab else []
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"PATH": os.environ["PATH"], "HOME": scratch}
        home = pathlib.Path(scratch) / "home"
        at = ["--home", str(home)]
        try:
            seconds, _ = run(program, environment, "up", *lab, *at)
            line("up, empty home", f"{seconds:.1f} s", "at most 20 s")
            seconds, _ = run(program, environment, "up", *lab, *at)
            line("up again, sampling included", f"{seconds:.1f} s", "at most 1.5 s plus sampling")
            seconds, _ = run(program, environment, "status", *at)
            line("status", f"{seconds:.2f} s")
            before = {entry["pid"]: entry for entry in processes(program)}
            time.sleep(options.idle)  # An idle stretch is what is being measured.
            after = processes(program)
            weights = {model.name: size(model) for model in (home / "models").iterdir()}
            for entry in after:
                name = next((word for word in entry["arguments"] if not word.startswith("-")), "?")
                cpu = 100 * (entry["cpu"] - before.get(entry["pid"], entry)["cpu"]) / options.idle
                wanted = {"daemon": "at most 60 MB, 1 %"}.get(name, "")
                if name == "model-server":
                    model = next((known for known in sorted(weights, key=len, reverse=True)
                                  if any(known in word for word in entry["arguments"])), None)
                    if model:
                        wanted = f"at most 2.5 × {weights[model] / 1e6:.0f} MB"
                line(f"{name} {entry['pid']}, idle", f"{entry['resident'] / 1e6:.0f} MB, {cpu:.1f} %", wanted)
        finally:
            seconds, _ = run(program, environment, "down", *at)
        line("down", f"{seconds:.1f} s", "at most 2 s")
        line("processes left", str(len(processes(program))), "0")
        line("kept in the home", json.dumps(sorted(entry.name for entry in home.iterdir())) if home.exists() else "nothing")


main()
