"""Asks canary-lab's model server about the models of savedmodels_make.py: savedmodels_compare.py CANARY_LAB FOLDER [PYTHON25]

Each case is served by its own `model-server` and asked over REST. An answer may differ from TensorFlow's by 1e-5, or by
2e-5 of the largest value, whichever is more. A model that must be refused must be refused by name. With PYTHON25, a Python
that has TensorFlow 2.5, each model is also rewritten by `models build --from`, and that TensorFlow must load what was
written and give the same answers.
"""

import json
import pathlib
import queue
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

PROGRAM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
PYTHON25 = sys.argv[3] if len(sys.argv) > 3 else None
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
OLD_TENSORFLOW = """
import json, pathlib, sys
import numpy as np
import tensorflow as tf
for name in sys.stdin.read().split():
    folder = pathlib.Path(name)
    try:
        model = tf.saved_model.load(str(folder / "rewritten" / "1"))
        signature = model.signatures["serving_default"]
        specs = signature.structured_input_signature[1]
        inputs = json.loads((folder / "request.json").read_text())["inputs"]
        result = signature(**{key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()})
        answer = {key: value.numpy().tolist() for key, value in result.items()}
    except Exception as error:
        answer = {"error": str(error)[:300]}
    print(json.dumps([name, answer]), flush=True)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A model server for one model; `state` is its answer once the model is loaded or refused."""

    def __init__(self, folder):
        ports = [f"--port={free_port()}", f"--rest_api_port={free_port()}"]
        command = [PROGRAM, "model-server", *ports, "--model_name=m", f"--model_base_path={folder}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True)
        self.lines, self.log = queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()
        self.port = None
        self.loaded = None
        while self.loaded is None or (self.loaded and self.port is None):
            line = self.lines.get(timeout=120)
            if line is None:
                self.loaded = False
                break
            self.log.append(line)
            found = re.search(r"Exporting HTTP/REST API at:localhost:(\d+)", line)
            self.port = int(found[1]) if found else self.port
            if "Successfully loaded servable version" in line:
                self.loaded = True
            elif "failed: " in line or "Loading servable: {name: m version: 1} failed" in line:
                self.loaded = False

    def read(self):
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def predict(self, request):
        url = f"http://127.0.0.1:{self.port}/v1/models/m:predict"
        try:
            return json.loads(OPENER.open(urllib.request.Request(url, request), timeout=120).read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def close(self):
        self.process.kill()
        self.process.wait()


def flat(value):
    if isinstance(value, list):
        for part in value:
            yield from flat(part)
    else:
        yield float(value)


def shape(value):
    return [len(value), *shape(value[0])] if isinstance(value, list) and value else [0] if value == [] else []


def difference(ours, expected):
    """The largest difference and what is allowed; infinite for another shape."""
    if not isinstance(ours, dict) or set(ours) != set(expected):
        ours = {next(iter(expected)): ours} if len(expected) == 1 else {}
    worst, allowed = 0.0, 1e-5
    for name, value in expected.items():
        if name not in ours or shape(ours[name]) != shape(value):
            return float("inf"), allowed
        theirs = list(flat(value))
        allowed = max(allowed, 2e-5 * max(map(abs, theirs), default=0))
        worst = max([worst, *(abs(a - b) for a, b in zip(flat(ours[name]), theirs))])
    return worst, allowed


def judge(folder):
    """A verdict and its text."""
    refused = folder / "refused.json"
    refused = json.loads(refused.read_text()) if refused.exists() else None
    server = Server(folder)
    try:
        if refused and refused["when"] == "refused":
            log = "".join(server.log)
            named = [name for name in refused["named"] if name in log]
            return not server.loaded and bool(named), f"refused by name: {', '.join(named) or log[-300:]}"
        if not server.loaded:
            return False, "not loaded: " + "".join(server.log)[-500:].strip()
        answer = server.predict((folder / "request.json").read_bytes())
        if refused:
            text = answer.get("error", "")
            return any(name in text for name in refused["named"]), f"refused at run time: {text[:160]}"
        if "outputs" not in answer:
            return False, str(answer)[:300]
        worst, allowed = difference(answer["outputs"], json.loads((folder / "answer.json").read_text()))
        return worst <= allowed, f"differs by {worst:.1e}, allowed {allowed:.1e}"
    finally:
        server.close()


def rewrite(folder):
    command = [PROGRAM, "models", "build", "--from", str(folder / "1"), str(folder / "rewritten")]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode == 0, done.stderr.strip()


def main():
    folders = sorted(folder for folder in FOLDER.iterdir() if (folder / "1").is_dir())
    failed, rewritten = 0, []
    for folder in folders:
        good, text = judge(folder)
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {folder.name:32} {text}", flush=True)
        if PYTHON25 and good and (folder / "answer.json").exists():
            done, text = rewrite(folder)
            if done:
                rewritten.append(folder)
            elif "cannot be written without functions" in text:
                print(f"     {folder.name:32} not rewritten: branches and loops")
            else:
                failed += 1
                print(f"FAIL {folder.name:32} not rewritten: {text[:300]}")
    if rewritten:
        done = subprocess.run([PYTHON25, "-c", OLD_TENSORFLOW], input="\n".join(map(str, rewritten)), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        answers = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
        for folder in rewritten:
            answer = answers.get(str(folder), {"error": "no answer"})
            worst, allowed = difference(answer, json.loads((folder / "answer.json").read_text()))
            good = "error" not in answer and worst <= allowed
            failed += not good
            if not good:
                print(f"FAIL {folder.name:32} rewritten, in TensorFlow 2.5: {answer.get('error', worst)}")
        print(f"{len(rewritten)} models rewritten, loaded and answered by TensorFlow 2.5")
    print(f"{len(folders)} models, {failed} failures")
    sys.exit(1 if failed else 0)


main()
