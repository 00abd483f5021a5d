"""The model server under load, with `wrk` (Debian package of that name); everything on loopback.

    python3 benches/serving_load.py CANARY_LAB YARDSTICK [PART...] [--seconds N] [--runs N]

CANARY_LAB is the release binary, YARDSTICK the release example `serving_yardstick`. Parts: throughput, minute, fair,
memory, switch, kill; all of them when none is named. Prints one line per figure; ends with a non-zero exit code where
something that must hold does not.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import zlib

BODY = json.dumps({"instances": [1.0, 2.0, 5.0]})
PATH = "/v1/models/half:predict"
MIB = 1 << 20


class Bench:
    def __init__(self, options):
        self.options = options
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="canary-lab-load-"))
        self.children = []
        self.broken = []
        subprocess.run([options.yardstick, "model", self.home / "half/1"], check=True)
        (self.home / "post.lua").write_text(
            f"wrk.method = 'POST'\nwrk.body = '{BODY}'\nwrk.headers['Content-Type'] = 'application/json'\n")

    def must(self, what, holds):
        if not holds:
            self.broken.append(what)
            print(f"  DOES NOT HOLD: {what}")

    def spawn(self, *words):
        child = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        return child

    def server(self, base, name="half"):
        child = self.spawn(self.options.program, "model-server", "--port=-1", "--rest_api_port=-2",
                           f"--model_name={name}", f"--model_base_path={base}")
        for line in child.stderr:
            if found := re.search(r"Exporting HTTP/REST API at:localhost:(\d+)", line):
                threading.Thread(target=collections.deque, args=(child.stderr, 0), daemon=True).start()
                return child, int(found[1])
        raise SystemExit("the model server did not start")

    def bare(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        child = self.spawn(self.options.yardstick, "axum", port)
        until(lambda: connects(port))
        return child, port

    def wrk(self, port, seconds, clients=64):
        """Requests per second, and how many went wrong."""
        output = subprocess.run(
            ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", self.home / "post.lua",
             f"http://127.0.0.1:{port}{PATH}"], check=True, capture_output=True, text=True).stdout
        rate = float(re.search(r"Requests/sec: +([\d.]+)", output)[1])
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        wrong = sum(map(int, errors.groups())) if errors else 0
        if found := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
            wrong += int(found[1])
        return rate, wrong

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
    return value


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def memory(child, field="VmRSS"):
    """Resident memory in MiB: now (VmRSS) or at most so far (VmHWM)."""
    status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024


def forget_peak(child):
    pathlib.Path(f"/proc/{child.pid}/clear_refs").write_text("5")


def processor_seconds(child):
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(connection, body=BODY, path=PATH, headers=None):
    connection.request("POST", path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def connection(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=300)


def throughput(bench):
    server, bare = bench.server(bench.home / "half"), bench.bare()
    rates = {"model server": [], "bare axum": []}
    for port in (server[1], bare[1]):
        bench.wrk(port, 1)
    for _ in range(bench.options.runs):
        for name, port in (("model server", server[1]), ("bare axum", bare[1])):
            rate, wrong = bench.wrk(port, bench.options.seconds)
            rates[name].append(rate)
            bench.must(f"{name}: no error in {wrong} cases", wrong == 0)
    ours, theirs = (statistics.median(rates[name]) for name in rates)
    print(f"throughput, 64 clients, medians of {bench.options.runs}: model server {ours:.0f}/s, bare axum handler "
          f"{theirs:.0f}/s, share {ours / theirs:.2f}")
    bench.must("at least half of a bare handler", ours >= 0.5 * theirs)


def minute(bench):
    server, port = bench.server(bench.home / "half")
    rate, wrong = bench.wrk(port, 60)
    print(f"one minute, 64 clients: {rate * 60:.0f} requests, {wrong} errors, {memory(server, 'VmHWM'):.0f} MiB at most")
    bench.must("a minute without one error", wrong == 0)


def fair(bench):
    """ResNet50 under 16 clients: processors busy, and every client gets its turn."""
    base = bench.home / "resnet50"
    subprocess.run([bench.options.program, "models", "build", "resnet50", base], check=True, capture_output=True)
    server, port = bench.server(base, "resnet50")
    picture = json.dumps({"instances": [[[[7, 8, 9]] * 224] * 224]})
    path = "/v1/models/resnet50:predict"
    ask(connection(port), picture, path)
    seconds = max(20, bench.options.seconds)
    start, used = time.monotonic(), processor_seconds(server)
    times = [[] for _ in range(16)]

    def client(own):
        line = connection(port)
        while time.monotonic() - start < seconds:
            began = time.monotonic()
            status, _ = ask(line, picture, path)
            own.append(time.monotonic() - began)
            bench.must("every prediction is answered", status == 200)

    threads = [threading.Thread(target=client, args=(own,)) for own in times]
    for thread in threads:
        thread.start()
    until(lambda: time.monotonic() - start >= seconds, seconds + 60)
    busy = (processor_seconds(server) - used) / (time.monotonic() - start)
    for thread in threads:
        thread.join()
    counts = [len(own) for own in times]
    medians = [statistics.median(own) for own in times]
    print(f"ResNet50, 16 clients, {seconds} s: {sum(counts) / seconds:.2f}/s, {busy:.2f} of {os.cpu_count()} processors "
          f"busy, {min(counts)} to {max(counts)} answers per client, median times {min(medians):.2f} to {max(medians):.2f} s, "
          f"longest {max(map(max, times)):.2f} s, {memory(server, 'VmHWM'):.0f} MiB at most")
    bench.must("the processors are busy", busy > 0.9 * os.cpu_count() - 0.15)
    bench.must("clients get the same", max(counts) - min(counts) <= 2)


def bodies(bench):
    """Requests that take memory, many at once; the peak in MiB that each kind leads to."""
    def together(count, task):
        threads = [threading.Thread(target=task) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    large = ('{"inputs": [' + "0.5," * (4 * MIB) + "1]}").encode()
    bomb, limit = (zlib.compressobj(9, zlib.DEFLATED, 31) for _ in range(2))
    too_much = bomb.compress(b" " * (100 * MIB + 1)) + bomb.flush()
    just_so = limit.compress(b'{"inputs": [1]}' + b" " * (100 * MIB - 15)) + limit.flush()
    gzip = {"Content-Encoding": "gzip"}
    for name, count, body, headers, expected in [
        (f"32 bodies of {len(large) // MIB} MiB", 32, large, {}, 200),
        (f"64 gzip bombs, {len(too_much)} bytes for over 100 MiB", 64, too_much, gzip, 400),
        (f"64 gzip bodies, {len(just_so)} bytes for 100 MiB", 64, just_so, gzip, 200),
    ]:
        server, port = bench.server(bench.home / "half")
        codes = collections.Counter()

        def one():
            codes[ask(connection(port), body, headers=headers)[0]] += 1

        began = time.monotonic()
        together(count, one)
        print(f"{name}: {dict(codes)}, {memory(server, 'VmHWM'):.0f} MiB at most, {time.monotonic() - began:.1f} s")
        bench.must(name, codes == {expected: count} and memory(server, "VmHWM") < 4096)
        server.kill()


def readers(bench):
    server, port = bench.server(bench.home / "half")
    body = ('{"instances": [' + "0.5," * (MIB - 1) + "1]}").encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    lines = []
    for _ in range(200):
        line = socket.create_connection(("127.0.0.1", port))
        line.settimeout(1)
        lines.append(line)

    def send(line):
        try:
            line.sendall(head + body)
        except OSError:
            pass  # It is not read while there is no room: that is the point.

    threads = [threading.Thread(target=send, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(5)
    status, _ = ask(connection(port))
    print(f"200 clients that read nothing of answers of 5 MiB: {memory(server, 'VmHWM'):.0f} MiB at most, another client "
          f"gets {status}")
    bench.must("slow readers keep nobody else out", status == 200 and memory(server, "VmHWM") < 4096)
    for line in lines:
        line.close()


def idle(bench):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard - 200)
    server, port = bench.server(bench.home / "half")
    before = memory(server)
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
    for line in lines:
        line.sendall(request)
        line.recv(4096)
    rate, wrong = bench.wrk(port, 5)
    print(f"{count} idle connections that were used once: {before:.0f} MiB before, {memory(server):.0f} MiB with them; "
          f"64 others meanwhile {rate:.0f}/s, {wrong} errors")
    bench.must("idle connections cost little", wrong == 0 and memory(server) - before < 1024)
    for line in lines:
        line.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_bounds(bench):
    bodies(bench)
    readers(bench)
    idle(bench)


def switch(bench):
    base = bench.home / "switched"
    subprocess.run([bench.options.yardstick, "model", base / "1"], check=True)
    server, port = bench.server(base)
    outcome = []
    load = threading.Thread(target=lambda: outcome.append(bench.wrk(port, 14)))
    load.start()
    latest = lambda: json.loads(status(port))["model_version_status"][0]
    for version in range(2, 6):
        subprocess.run([bench.options.yardstick, "model", base / str(version)], check=True)
        until(lambda: latest()["version"] == str(version) and latest()["state"] == "AVAILABLE")
        time.sleep(0.5)
        shutil.rmtree(base / str(version - 1))
    load.join()
    rate, wrong = outcome[0]
    print(f"four switches of versions under 64 clients: {rate * 14:.0f} requests, {wrong} lost")
    bench.must("a switch loses no request", wrong == 0)


def status(port):
    line = connection(port)
    line.request("GET", "/v1/models/half")
    return line.getresponse().read()


def kill(bench):
    """kill -9 of a served model in the lab, seen through the ingress gateway."""
    lab = pathlib.Path(__file__).resolve().parents[1] / "lab/tiny"
    environment = {**os.environ, "HOME": str(bench.home), "CANARY_LAB_HOME": str(bench.home / "lab")}
    run = lambda *words: subprocess.run([bench.options.program, "--lab", lab, *words], env=environment, check=True,
                                        stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    try:
        run("up", "--until", "predict")
        env = dict(re.findall(r"export (\w+)=['\"]?([^'\"\n]*)", run("env")))
        body = json.dumps({"instances": [[[[7, 8, 9]] * 24] * 24]})
        answers, ended = [], threading.Event()

        def client():
            line = http.client.HTTPConnection(env["INGRESS_HOST"], int(env["INGRESS_PORT"]), timeout=30)
            while not ended.is_set():
                code, text = ask(line, body, "/v1/models/image_classifier:predict")
                answers.append((time.monotonic(), code, "" if code == 200 else text.decode()))

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 200)
        victim = model_server_of(bench.home)
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        until(lambda: model_server_of(bench.home) not in (None, victim))
        until(lambda: answers[-1][1] == 200 and answers[-1][0] > killed + 1)
        time.sleep(1)
        ended.set()
        for thread in threads:
            thread.join()
        wrong = [(at, code, text) for at, code, text in answers if code != 200]
        kinds = collections.Counter((code, text) for _, code, text in wrong)
        last = max((at for at, _, _ in wrong), default=killed) - killed
        print(f"kill -9 of the model server behind the gateway, 8 clients: {len(answers)} answers, the last that is not 200 "
              f"after {last:.2f} s")
        for (code, text), count in kinds.most_common():
            print(f"  {count} x {code} {text!r}")
        expected = ("upstream connect error or disconnect/reset before headers. reset reason: ", "no healthy upstream")
        bench.must("only what Istio shows", all(code == 503 and text.startswith(expected) for code, text in kinds))
    finally:
        run("down", "--purge")


def model_server_of(home):
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"model-server" in words and str(home).encode() in environment:
            return int(entry.name)
    return None


PARTS = {"throughput": throughput, "minute": minute, "fair": fair, "memory": memory_bounds, "switch": switch, "kill": kill}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("yardstick", type=pathlib.Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    options.program, options.yardstick = options.program.resolve(), options.yardstick.resolve()
    broken = []
    for part in options.parts or PARTS:
        bench = Bench(options)
        try:
            PARTS[part](bench)
        finally:
            broken += bench.broken
            bench.close()
    raise SystemExit(bool(broken))


main()
