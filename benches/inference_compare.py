#!/usr/bin/env python3
"""Time canary-lab's inference beside TensorFlow and ONNX Runtime, in one run and in turns.

    benches/inference_compare.py DIR [--python NAME=INTERPRETER ...] [--rounds N] [--sizes BxHxW ...]

DIR is a version directory of a SavedModel. Each interpreter is a Python whose site has TensorFlow or, for a NAME that
begins with `onnx`, ONNX Runtime; that one also needs DIR/model.onnx beside saved_model.pb or the path in --onnx
(`benches/onnx_model.py` makes it). Every runtime gets two threads and loads the model once; then each round asks every runtime for one run of each
size, so that a noisy machine is noisy for all of them. Printed are medians, best times, and ratios of both to canary-lab.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

THREADS = 2
# Seconds between runs; ONNX Runtime's threads spin for a while after a run.
PAUSE = 0.15


def tensorflow_runner(directory):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    start = time.perf_counter()
    model = tf.saved_model.load(directory)
    function = model.signatures["serving_default"]
    name = next(iter(function.structured_input_signature[1]))

    def run(pixels):
        inputs = {name: tf.constant(pixels)}
        begin = time.perf_counter()
        for output in function(**inputs).values():
            output.numpy()
        return (time.perf_counter() - begin) * 1e3

    run.keep = model  # Its variables live as long as it does.
    return run, start


def onnx_runner(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pixels):
        begin = time.perf_counter()
        session.run(None, {name: pixels})
        return (time.perf_counter() - begin) * 1e3

    return run, start


def worker(kind, path):
    import numpy

    run, start = (onnx_runner if kind == "onnx" else tensorflow_runner)(path)

    def pixels(batch, height, width):
        count = batch * height * width * 3
        return (numpy.arange(count) * 7919 % 256).astype(numpy.float32).reshape(batch, height, width, 3)

    run(pixels(1, 224, 224))
    print((time.perf_counter() - start) * 1e3, flush=True)
    for line in sys.stdin:
        print(run(pixels(*map(int, line.split()))), flush=True)


class Runtime:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.load = float(self.process.stdout.readline())
        self.times = {}

    def run(self, size):
        print(*size, file=self.process.stdin, flush=True)
        self.times.setdefault(size, []).append(float(self.process.stdout.readline()))

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["VmRSS"].split()[0]) // 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def build():
    command = ["cargo", "bench", "--bench", "inference", "--no-run", "--message-format", "json-render-diagnostics"]
    import json

    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = map(json.loads, lines)
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "inference")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=INTERPRETER")
    parser.add_argument("--onnx", help="the model as ONNX; default: model.onnx in DIR")
    parser.add_argument("--binary", help="the built benchmark; default: build it")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", nargs="+", default=["1x224x224", "8x224x224", "1x600x512"])
    parser.add_argument("--worker", choices=["tensorflow", "onnx"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.directory)

    sizes = [tuple(map(int, size.split("x"))) for size in options.sizes]
    runtimes = [Runtime("canary-lab", [options.binary or build(), "worker", options.directory])]
    for entry in options.python:
        name, interpreter = entry.split("=", 1)
        kind = "onnx" if name.startswith("onnx") else "tensorflow"
        path = options.directory
        if kind == "onnx":
            path = options.onnx or os.path.join(options.directory, "model.onnx")
        runtimes.append(Runtime(name, [interpreter, __file__, "--worker", kind, path]))
    for turn in range(options.rounds):
        for size in sizes:
            # Whoever ran last may still keep a core busy waiting for more: everybody waits, and nobody always follows the same.
            for index in range(len(runtimes)):
                time.sleep(PAUSE)
                runtimes[(index + turn) % len(runtimes)].run(size)
    ours = runtimes[0]
    for runtime in runtimes:
        print(f"{runtime.name}: load to first answer {runtime.load:.0f} ms, resident {runtime.resident()} MiB")
        for size, times in runtime.times.items():
            median, best = statistics.median(times), min(times)
            ratio = statistics.median(ours.times[size]) / median, min(ours.times[size]) / best
            label = "x".join(map(str, size))
            print(f"  {label:>12}: median {median:8.1f} ms, best {best:8.1f} ms; canary-lab takes {ratio[0]:.2f} / {ratio[1]:.2f} of it")
    for runtime in runtimes:
        runtime.close()


if __name__ == "__main__":
    main()
