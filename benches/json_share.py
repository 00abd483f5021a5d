"""What JSON costs a prediction over REST, in per cent of the inference: json_share.py CANARY_LAB [MODEL_DIR] [--runs N]

A model server is asked about pictures of 224x224 and of 600x512, written as compact integers (`canary-lab payload`) and as
Python writes floats (the tutorial's way), one after another. The server's own metrics tell the time of the
whole request (reading the body's numbers, running the model, writing the answer) and of the model's run; what is
between them is JSON. MODEL_DIR holds version directories; ResNet50 with synthetic weights is built without it. Ends with
a non-zero exit code where JSON takes more than 10 % of the inference.
"""

import argparse
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile

LIMIT = 0.10
SIZES = [(224, 224), (600, 512)]


def bodies(height, width):
    """The same picture in both spellings."""
    pixels = [[[(7919 * (3 * (y * width + x) + c)) % 256 for c in range(3)] for x in range(width)] for y in range(height)]
    floats = [[[float(value) for value in pixel] for pixel in row] for row in pixels]
    yield "integers", json.dumps({"instances": [pixels]}, separators=(",", ":")).encode()
    yield "Python's floats", json.dumps({"instances": [floats]}).encode()


class Server:
    def __init__(self, program, models, scratch):
        monitoring = scratch / "monitoring.txt"
        monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
        command = [program, "model-server", "--port=-1", "--rest_api_port=-2", "--model_name=m",
                   f"--model_base_path={models}", f"--monitoring_config_file={monitoring}"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"Exporting HTTP/REST API at:localhost:(\d+)", line):
                break
        else:
            raise SystemExit("the model server did not start")
        self.connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=600)

    def call(self, method, path, body=None):
        self.connection.request(method, path, body)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status} {answer[:300]}")
        return answer

    def microseconds(self):
        """The sums of all requests' and all runs' times so far."""
        page = self.call("GET", "/metrics").decode()
        of = lambda name: sum(float(value) for value in re.findall(rf"{name}_sum\{{[^}}]*\}} ([0-9.e+]+)", page))
        return of("request_latency"), of("runtime_latency")

    def close(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("models", nargs="?", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    over = False
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        models = options.models
        if models is None:
            models = scratch / "resnet50"
            build = [options.program, "models", "build", "resnet50", str(models), "--weights", "synthetic"]
            subprocess.run(build, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = Server(options.program, models.resolve(), scratch)
        try:
            for height, width in SIZES:
                for spelling, body in bodies(height, width):
                    server.call("POST", "/v1/models/m:predict", body)
                    shares = []
                    for _ in range(options.runs):
                        before = server.microseconds()
                        server.call("POST", "/v1/models/m:predict", body)
                        whole, run = (after - earlier for after, earlier in zip(server.microseconds(), before))
                        shares.append(((whole - run) / run, whole - run, run))
                    share, text, run = sorted(shares)[len(shares) // 2]
                    over |= share > LIMIT
                    print(f"{height}x{width} as {spelling:15} {len(body) / 1e6:5.2f} MB: JSON {text / 1e3:6.2f} ms, "
                          f"inference {run / 1e3:6.1f} ms, {100 * share:.1f} % (median of {options.runs})", flush=True)
        finally:
            server.close()
    sys.exit(over)


main()
