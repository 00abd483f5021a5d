#!/usr/bin/env python3
"""Records what a real kubectl sends for `kubectl apply`: apply_patches.py KUBECTL KUBECONFIG > tests/data/apply/patches.jsonl

Every case applies a manifest, lets somebody change the object meanwhile if the case says so, and applies another one.
Each line holds the live object before, the manifest, and the request that kubectl 1.24 made: media type and exact body,
or none. `objects::apply` is held against it byte by byte. Runs against any cluster with Istio's definitions; the
embedded one will do. Works in a namespace of its own.
"""
import copy, json, re, subprocess, sys

KUBECTL, KUBECONFIG = sys.argv[1:3]
NAMESPACE = "apply-patches"


def kubectl(*words, stdin=None, check=True):
    done = subprocess.run([KUBECTL, "--kubeconfig", KUBECONFIG, "-n", NAMESPACE, *words],
                          input=stdin, text=True, capture_output=True)
    if check and done.returncode:
        sys.exit(f"kubectl {' '.join(words)}: {done.stderr}")
    return done


def obj(api, kind, name, namespaced=True, metadata=None, **fields):
    meta = {"name": name, **({"namespace": NAMESPACE} if namespaced else {}), **(metadata or {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **fields}


def container(name="c", image="i:1", **more):
    return {"name": name, "image": image, **more}


def deployment(containers=None, template=None, labels=None, pod=None, **spec):
    labels = {"app": "d"} if labels is None else labels
    return obj("apps/v1", "Deployment", "d", metadata={"labels": labels}, spec={
        "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d", **(template or {})}},
                     "spec": {"containers": containers or [container()], **(pod or {})}},
        **spec})


def config(data, **metadata):
    return obj("v1", "ConfigMap", "m", metadata=metadata, data=data)


def service(ports, kind="ClusterIP", selector=None, **more):
    return obj("v1", "Service", "s", spec={"type": kind, "ports": ports, "selector": selector or {"app": "d"}, **more})


def virtual_service(**spec):
    return obj("networking.istio.io/v1alpha3", "VirtualService", "v",
               spec={"hosts": ["a.com"], "http": [{"route": [{"destination": {"host": "a"}}]}], **spec})


def rule(*subsets, **spec):
    return obj("networking.istio.io/v1alpha3", "DestinationRule", "r", spec={
        "host": "a", "subsets": [{"name": name, "labels": {"version": name}} for name in subsets], **spec})


def env(**variables):
    return [container(env=[{"name": name, "value": value} for name, value in variables.items()])]


def ports(*numbers, **more):
    return [container(ports=[{"containerPort": number, **more} for number in numbers])]


def budget(value, selector):
    return obj("policy/v1", "PodDisruptionBudget", "b", spec={"minAvailable": value, "selector": {"matchLabels": selector}})


HOST = {"volumes": [{"name": "v", "hostPath": {"path": "/a"}}]}
EMPTY = {"volumes": [{"name": "v", "emptyDir": {}}]}
ROLLING = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
HTTP = {"name": "http", "port": 80, "targetPort": 8080}
GRPC = {"name": "grpc", "port": 9000}
SCALE = ["scale", "deployment/d", "--replicas=3"]
GATEWAY = {"selector": {"istio": "ingressgateway"}}
SERVER = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}


def gateway(*hosts):
    return obj("networking.istio.io/v1alpha3", "Gateway", "g", spec={**GATEWAY, "servers": [{**SERVER, "hosts": list(hosts)}]})


# name, applied first (or none), what somebody does meanwhile, applied then
CASES = [
    ("configmap create", None, [], config({"a": "1"})),
    ("configmap unchanged", config({"a": "1"}), [], config({"a": "1"})),
    ("configmap changed", config({"a": "1"}), [], config({"a": "2"})),
    ("configmap key added and removed", config({"a": "1", "b": "2"}), [], config({"a": "1", "c": "3"})),
    ("configmap all keys removed", config({"a": "1"}), [], config({})),
    ("configmap text", config({"a": "1"}), [], config({"a": "<b> & \"c\" \u2028 ü\n\ttwo: lines\n"})),
    ("configmap labels", config({"a": "1"}, labels={"x": "1", "y": "1"}), [], config({"a": "1"}, labels={"x": "2"})),
    ("configmap annotations", config({}, annotations={"x": "1"}), [], config({}, annotations={"y": "2"})),
    ("configmap drift", config({"a": "1"}), ["patch", "configmap/m", "--type=merge", "-p", '{"data":{"a":"9","z":"9"}}'], config({"a": "1"})),
    ("configmap without a record", config({"a": "1", "b": "2"}), ["annotate", "configmap/m", "kubectl.kubernetes.io/last-applied-configuration-"], config({"a": "2"})),
    ("namespace label", None, [], obj("v1", "Namespace", NAMESPACE + "-2", namespaced=False, metadata={"labels": {"istio-injection": "disabled"}})),
    ("secret", obj("v1", "Secret", "x", data={"a": "MQ=="}), [], obj("v1", "Secret", "x", data={"b": "Mg=="})),
    ("serviceaccount", obj("v1", "ServiceAccount", "x", imagePullSecrets=[{"name": "a"}, {"name": "b"}]), [], obj("v1", "ServiceAccount", "x", imagePullSecrets=[{"name": "b"}, {"name": "c"}])),
    ("deployment create", None, [], deployment()),
    ("deployment unchanged", deployment(), [], deployment()),
    ("deployment image", deployment(), [], deployment([container(image="i:2")])),
    ("deployment replicas", deployment(replicas=1), [], deployment(replicas=2)),
    ("deployment replicas no more", deployment(replicas=1), [], deployment()),
    ("deployment replicas null", deployment(replicas=1), [], deployment(replicas=None)),
    ("deployment scaled meanwhile", deployment(replicas=1), SCALE, deployment(replicas=1)),
    ("deployment scaled and not said", deployment(), SCALE, deployment(template={"v": "2"})),
    ("deployment env added", deployment(env(A="1")), [], deployment(env(A="1", B="2"))),
    ("deployment env removed", deployment(env(A="1", B="2", C="3")), [], deployment(env(A="1", C="3"))),
    ("deployment env changed", deployment(env(A="1", B="2")), [], deployment(env(A="1", B="3"))),
    ("deployment env reordered", deployment(env(A="1", B="2")), [], deployment(env(B="2", A="1"))),
    ("deployment env gone", deployment(env(A="1")), [], deployment()),
    ("deployment env from elsewhere", deployment(env(A="1")), ["set", "env", "deployment/d", "Z=9"], deployment(env(A="1", B="2"))),
    ("deployment port added", deployment(ports(80)), [], deployment(ports(80, 81))),
    ("deployment port removed", deployment(ports(80, 81)), [], deployment(ports(81))),
    ("deployment port named", deployment(ports(80)), [], deployment(ports(80, name="http"))),
    ("deployment container added", deployment(), [], deployment([container(), container("side", "s:1")])),
    ("deployment container removed", deployment([container(), container("side", "s:1")]), [], deployment()),
    ("deployment containers swapped", deployment([container(), container("side", "s:1")]), [], deployment([container("side", "s:1"), container()])),
    ("deployment args", deployment([container(args=["a", "b"])]), [], deployment([container(args=["a"])])),
    ("deployment args gone", deployment([container(args=["a", "b"])]), [], deployment()),
    ("deployment resources", deployment([container(resources={"limits": {"cpu": 1, "memory": "1Gi"}})]), [], deployment([container(resources={"limits": {"cpu": "500m"}})])),
    ("deployment volume added", deployment(), [], deployment([container(volumeMounts=[{"name": "v", "mountPath": "/m"}])], pod=HOST)),
    ("deployment volume of another kind", deployment(pod=HOST), [], deployment(pod=EMPTY)),
    ("deployment volume gone", deployment(pod=HOST), [], deployment()),
    ("deployment strategy", deployment(**ROLLING), [], deployment(strategy={"type": "Recreate"})),
    ("deployment strategy gone", deployment(**ROLLING), [], deployment()),
    ("deployment labels", deployment(labels={"app": "d", "x": "1"}), [], deployment(labels={"app": "d", "y": "2"})),
    ("deployment template label", deployment(), [], deployment(template={"version": "2"})),
    ("deployment tolerations", deployment(pod={"tolerations": [{"key": "a", "operator": "Exists"}]}), [], deployment(pod={"tolerations": [{"key": "b", "operator": "Exists"}]})),
    ("deployment probe", deployment([container(readinessProbe={"httpGet": {"path": "/a", "port": 80}})]), [], deployment([container(readinessProbe={"tcpSocket": {"port": 80}})])),
    ("service create", None, [], service([HTTP, GRPC])),
    ("service port removed", service([HTTP, GRPC]), [], service([HTTP])),
    ("service port changed", service([HTTP]), [], service([{**HTTP, "targetPort": "http"}])),
    ("service port added", service([HTTP]), [], service([HTTP, GRPC])),
    ("service selector", service([HTTP]), [], service([HTTP], selector={"app": "e", "x": "1"})),
    ("service type", service([HTTP]), [], service([HTTP], kind="NodePort")),
    ("budget unchanged", budget(1, {"app": "d"}), [], budget(1, {"app": "d"})),
    ("budget changed", budget(1, {"app": "d"}), [], budget("50%", {"app": "e"})),
    ("virtual service create", None, [], virtual_service()),
    ("virtual service unchanged", virtual_service(), [], virtual_service()),
    ("virtual service hosts", virtual_service(), [], virtual_service(hosts=["a.com", "b.com"])),
    ("virtual service field gone", virtual_service(gateways=["g"]), [], virtual_service()),
    ("virtual service weights", virtual_service(), [], virtual_service(http=[{"route": [
        {"destination": {"host": "a", "subset": "x"}, "weight": 70}, {"destination": {"host": "a", "subset": "y"}, "weight": 30}]}])),
    ("virtual service drift", virtual_service(), ["patch", "virtualservice/v", "--type=merge", "-p", '{"spec":{"hosts":["z.com"],"gateways":["z"]}}'], virtual_service()),
    ("destination rule", rule("x"), [], rule("x", "y", trafficPolicy={"loadBalancer": {"simple": "RANDOM"}})),
    ("destination rule policy gone", rule("x", trafficPolicy={"loadBalancer": {"simple": "RANDOM"}}), [], rule("x")),
    ("gateway", gateway("*"), [], gateway("a.com", "b.com")),
]


def requests(log):
    """Method, media type and body of every write in kubectl's log."""
    found, body, method = [], None, None
    for line in log.splitlines():
        if match := re.search(r"Request Body: (.*)$", line):
            body = match[1]
        if match := re.search(r'curl -v -X ?([A-Z]+) ', line):
            method = match[1]
            media = re.search(r'-H "Content-Type: ([^"]*)"', line)
            if method in ("POST", "PATCH", "PUT"):
                found.append((method, media and media[1], body))
    return found


def main():
    subprocess.run([KUBECTL, "--kubeconfig", KUBECONFIG, "delete", "namespace", NAMESPACE, NAMESPACE + "-2", "--ignore-not-found"],
                   capture_output=True)
    subprocess.run([KUBECTL, "--kubeconfig", KUBECONFIG, "create", "namespace", NAMESPACE], check=True, capture_output=True)
    for name, first, meanwhile, then in CASES:
        if first:
            kubectl("apply", "-f", "-", stdin=json.dumps(first))
        if meanwhile:
            kubectl(*meanwhile)
        resource = f"{then['kind']}.{then['apiVersion'].split('/')[-1]}"
        if "/" in then["apiVersion"]:
            resource += "." + then["apiVersion"].split("/")[0]
        live = kubectl("get", resource if "/" in then["apiVersion"] else then["kind"], then["metadata"]["name"], "-o", "json", check=False)
        live = json.loads(live.stdout) if live.returncode == 0 else None
        done = kubectl("apply", "-v=10", "-f", "-", stdin=json.dumps(then))
        sent = [request for request in requests(done.stderr) if request[0] in ("POST", "PATCH")]
        assert len(sent) <= 1, (name, sent)
        line = {"name": name, "live": live, "manifest": then}
        if sent:
            line["method"], line["mediaType"], line["body"] = sent[0]
        print(json.dumps(line, sort_keys=True))
        kubectl("delete", then["kind"], then["metadata"]["name"], "--ignore-not-found")
    subprocess.run([KUBECTL, "--kubeconfig", KUBECONFIG, "delete", "namespace", NAMESPACE], capture_output=True)


main()
