"""Types the tutorial's commands with a real kubectl, curl and Python against the embedded cluster.

    python3 tutorial.py CANARY_LAB KUBECTL [--lab DIR] [--transcript FILE]

The lab's engine only prepares the cluster (`up --until models`); every object is then made by typed commands, in the
folder that the lab writes, and what they print is compared with what the real stack prints (patterns, since hashes,
ages and addresses differ). Ends with `N passed, N failed` and a non-zero exit code where something failed.
"""

import re
import shutil
import subprocess
import sys
import time

import typed_lab

TOP10 = """
import json, sys, urllib.request
url, body, count, header = sys.argv[1], open(sys.argv[2], "rb").read(), int(sys.argv[3]), sys.argv[4:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(count):
    request = urllib.request.Request(url, body, dict(zip(header[::2], header[1::2])))
    answer = json.loads(opener.open(request).read())["predictions"][0]
    print(len(answer), sorted(range(len(answer)), key=lambda index: -answer[index])[:10])
"""


class Learner:
    """A shell that remembers what was typed and what was wrong."""

    def __init__(self, environment, folder, transcript):
        self.environment, self.folder, self.transcript = environment, folder, transcript
        self.passed = self.failed = 0

    def type(self, command, *patterns, code=0, errors=None, within=0):
        """Runs a command; each pattern must be found in its output. With `within`, tries again until then."""
        deadline = time.monotonic() + within
        while True:
            done = subprocess.run(command, shell=True, cwd=self.folder, env=self.environment, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
            problems = [f"no match for {pattern!r}" for pattern in patterns
                        if not re.search(pattern, done.stdout, re.MULTILINE)]
            if errors is not None and not re.search(errors, done.stderr, re.MULTILINE):
                problems.append(f"no match for {errors!r} on standard error")
            if done.returncode != code:
                problems.append(f"exit code {done.returncode}, not {code}")
            if not problems or time.monotonic() >= deadline:
                break
        text = f"$ {command}\n{done.stdout[:3000]}{done.stderr[:2000]}"
        text += "".join(f"!! {problem}\n" for problem in problems)
        self.transcript.write(text + "\n")
        self.transcript.flush()
        if problems:
            self.failed += 1
            print(text)
        else:
            self.passed += 1
        return done.stdout


def answers(learner, python, count, *header):
    """The top-10 lists of some predictions, as typed in the tutorial's Python."""
    words = " ".join(f"'{word}'" for word in header)
    output = learner.type(
        f"{python} top10.py http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier/versions/1:predict "
        f"request-body.json {count} {words}", r"^\d+ \[[\d, ]+\]$")
    return [line.split(" ", 1)[1] for line in output.splitlines()]


def expect(learner, ask, condition, what, within=0):
    """A judgement on several answers; with `within`, asks again until then, as routes take a moment to change."""
    deadline = time.monotonic() + within
    while not condition(seen := ask()):
        if time.monotonic() >= deadline:
            learner.failed += 1
            print(f"!! {what}: {seen}")
            return seen
    learner.passed += 1
    return seen


def lesson(learner, python):
    """The tutorial, from the Istio check to the header rule."""
    age = r"\d+[smhd]\S*"
    say = learner.type
    say("kubectl get nodes", rf"^\S+ +Ready +\S+ +{age} +v1\.24\.3$")
    say("kubectl get pods -n istio-system",
        r"^NAME +READY +STATUS +RESTARTS +AGE$", rf"^istio-ingressgateway-[0-9a-z]+-[0-9a-z]{{5}} +1/1 +Running +0 +{age}$",
        rf"^istiod-[0-9a-z]+-[0-9a-z]{{5}} +1/1 +Running +0 +{age}$")
    say("kubectl get svc -n istio-system istio-ingressgateway",
        rf"^istio-ingressgateway +LoadBalancer +[\d.]+ +[\d.]+ +15021:3\d{{4}}/TCP,\d+:3\d{{4}}/TCP,443:3\d{{4}}/TCP +{age}$")
    say("kubectl create ns tf-serving", r"^namespace/tf-serving created$")
    say("kubectl create ns tf-serving", code=1,
        errors=r'^Error from server \(AlreadyExists\): namespaces "tf-serving" already exists$')
    say("kubectl label ns tf-serving istio-injection=enabled", r"^namespace/tf-serving labeled$")
    say("kubectl get ns --show-labels", r"^NAME +STATUS +AGE +LABELS$",
        rf"^default +Active +{age} +kubernetes.io/metadata.name=default$",
        rf"^tf-serving +Active +{age} +istio-injection=enabled,kubernetes.io/metadata.name=tf-serving$")
    say("kubectl apply -f configmap-resnet50.yaml", r"^configmap/resnet50-configs created$")
    say("kubectl apply -f deployment-resnet50.yaml", r"^deployment.apps/image-classifier-resnet50 created$")
    say("kubectl rollout status deployment/image-classifier-resnet50 -n tf-serving --timeout=60s",
        r'^deployment "image-classifier-resnet50" successfully rolled out$')
    say("kubectl get deployments.apps -n tf-serving", r"^NAME +READY +UP-TO-DATE +AVAILABLE +AGE$",
        rf"^image-classifier-resnet50 +1/1 +1 +1 +{age}$")
    say("kubectl get pods -n tf-serving", rf"^image-classifier-resnet50-[0-9a-z]+-[0-9a-z]{{5}} +2/2 +Running +0 +{age}$")
    say("kubectl get pods -n tf-serving -o wide --show-labels", r"app=image-classifier,pod-template-hash=")
    say("kubectl apply -f service.yaml", r"^service/image-classifier created$")
    say("kubectl get svc -n tf-serving", rf"^image-classifier +ClusterIP +[\d.]+ +<none> +8500/TCP,8501/TCP +{age}$")
    say("kubectl get endpoints -n tf-serving", r"^image-classifier +[\d.]+:850[01],[\d.]+:850[01] ", within=5)
    say("kubectl apply -f gateway.yaml", r"^gateway.networking.istio.io/image-classifier-gateway created$")
    say("kubectl get gateways.networking.istio.io -n tf-serving", r"^NAME +AGE$", rf"^image-classifier-gateway +{age}$")
    say("kubectl apply -f virtual-service.yaml", r"^virtualservice.networking.istio.io/image-classifier created$")
    say("kubectl get vs -n tf-serving", r"^NAME +GATEWAYS +HOSTS +AGE$",
        rf'^image-classifier +\["image-classifier-gateway"\] +\["\*"\] +{age}$')
    say("kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.status.loadBalancer.ingress[0].ip}'",
        r"^\d+\.\d+\.\d+\.\d+$")
    say("""kubectl -n istio-system get service istio-ingressgateway -o jsonpath='{.spec.ports[?(@.name=="http2")].port}'""",
        r"^\d+$")
    say("curl -s -i http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier", r"^HTTP/1.1 200 OK",
        r'"state": "AVAILABLE"', r"^server: istio-envoy", r"^x-envoy-upstream-service-time: \d+", within=10)
    say("curl -s -d @request-body.json -X POST "
        "http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier/versions/1:predict | head -c 40",
        r'^\{\n    "predictions": \[\[')
    fifty = set(expect(learner, lambda: answers(learner, python, 2), lambda seen: len(set(seen)) == 1,
                       "resnet50 answers differ"))

    say("kubectl apply -f destinationrule.yaml", r"^destinationrule.networking.istio.io/image-classifier created$")
    say("kubectl apply -f virtualservice-weight-100.yaml", r"^virtualservice.networking.istio.io/image-classifier configured$")
    say("kubectl apply -f virtualservice-weight-100.yaml", r"^virtualservice.networking.istio.io/image-classifier unchanged$")
    say("kubectl apply -f configmap-resnet101.yaml", r"^configmap/resnet101-configs created$")
    say("kubectl apply -f deployment-resnet101.yaml", r"^deployment.apps/image-classifier-resnet101 created$")
    say("kubectl wait --for=condition=Available deployment/image-classifier-resnet101 -n tf-serving --timeout=60s",
        r"^deployment.apps/image-classifier-resnet101 condition met$")
    say("kubectl get deployments.apps -n tf-serving", rf"^image-classifier-resnet101 +1/1 +1 +1 +{age}$",
        rf"^image-classifier-resnet50 +1/1 +1 +1 +{age}$")
    expect(learner, lambda: answers(learner, python, 4), lambda seen: set(seen) == fifty,
           "at 100/0 another model answers")

    say("kubectl diff -f virtualservice-weight-70.yaml", r"^\+ +weight: 70$", code=1)
    say("kubectl apply -f virtualservice-weight-70.yaml", r"^virtualservice.networking.istio.io/image-classifier configured$")
    both = set(expect(learner, lambda: answers(learner, python, 40),
                      lambda seen: len(set(seen)) == 2 and fifty < set(seen), "at 70/30 not both models answer", within=5))
    say("kubectl apply -f virtualservice-focused-routing.yaml",
        r"^virtualservice.networking.istio.io/image-classifier configured$")
    expect(learner, lambda: answers(learner, python, 6, "user-group", "canary"),
           lambda seen: set(seen) == both - fifty, "with the header not only resnet101 answers", within=5)
    expect(learner, lambda: answers(learner, python, 6), lambda seen: set(seen) == fifty,
           "without the header another model answers", within=5)

    inspect(learner, age)
    mistakes(learner)
    tidy(learner)


def inspect(learner, age):
    """What a curious learner types next."""
    say = learner.type
    say("kubectl describe deployment image-classifier-resnet50 -n tf-serving", r"^Name: +image-classifier-resnet50$",
        r"^ +Image: +tensorflow/serving:2.5.1$", r"^ +Normal +ScalingReplicaSet ")
    say("kubectl describe pod -l version=resnet50 -n tf-serving", r"^Status: +Running$", r"^ +resnet50-configs +ConfigMap ",
        r"^ +Normal +Started ")
    say("kubectl logs deployment/image-classifier-resnet50 -n tf-serving -c tf-serving",
        r"Successfully loaded servable version \{name: image_classifier version: 1\}")
    say("kubectl logs -n istio-system deployment/istio-ingressgateway --tail=5", r".")
    say("kubectl get all -n tf-serving", r"^deployment.apps/image-classifier-resnet50 ", r"^service/image-classifier ")
    say("kubectl get deploy -n tf-serving -o name", r"^deployment.apps/image-classifier-resnet101$")
    say("kubectl get pods -A -o wide", r"^istio-system +istiod-")
    say("kubectl get pods -n tf-serving -l version=resnet101 -o yaml", r"^ +image: tensorflow/serving:2.5.1$")
    say("kubectl get deploy image-classifier-resnet50 -n tf-serving -o json", r'"observedGeneration": \d+')
    say("kubectl get events -n tf-serving", r"Scheduled +pod/image-classifier-resnet50-")
    say("kubectl explain deployment.spec.replicas", r"integer")
    say("kubectl explain virtualservice.spec", r"VirtualService", r"gateways")
    say("kubectl api-resources --api-group=networking.istio.io", r"^virtualservices +vs ")
    say("kubectl scale deployment image-classifier-resnet50 --replicas=2 -n tf-serving",
        r"^deployment.apps/image-classifier-resnet50 scaled$")
    say("kubectl rollout status deployment/image-classifier-resnet50 -n tf-serving --timeout=60s", r"successfully rolled out")
    say("kubectl scale deployment image-classifier-resnet50 --replicas=1 -n tf-serving", r"scaled$")
    say("kubectl rollout restart deployment/image-classifier-resnet50 -n tf-serving", r"restarted$")
    say("kubectl rollout status deployment/image-classifier-resnet50 -n tf-serving --timeout=60s", r"successfully rolled out")
    say("timeout 3 kubectl get pods -n tf-serving -w", r"image-classifier-resnet50", code=124)


def mistakes(learner):
    """What a learner gets wrong."""
    say = learner.type
    say("sed 's/weight: 30/weight: 20/' virtualservice-weight-70.yaml | kubectl apply -f -", code=1,
        errors=r'admission webhook "validation.istio.io" denied the request: configuration is invalid: total destination weight 90 != 100')
    say("sed 's/replicas: 1/replicas: one/' deployment-resnet50.yaml | kubectl apply -f -", code=1, errors=r".")
    say("sed 's/replicas: 1/replicaz: 1/' deployment-resnet50.yaml | kubectl apply -f -", code=1, errors=r"replicaz")
    say("sed 's/namespace: tf-serving/namespace: nowhere/' service.yaml | kubectl apply -f -", code=1,
        errors=r'namespaces "nowhere" not found')
    say("kubectl get pods -n tf-serving nothing", code=1,
        errors=r'^Error from server \(NotFound\): pods "nothing" not found$')
    say("kubectl get nothing", code=1, errors=r"the server doesn't have a resource type \"nothing\"")
    say("kubectl delete -f virtualservice-focused-routing.yaml", r'^virtualservice.networking.istio.io "image-classifier" deleted')
    say("curl -s -o /dev/null -w '%{http_code} %{size_download}' http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier",
        r"^404 0$", within=5)
    say("kubectl delete -f gateway.yaml", r'^gateway.networking.istio.io "image-classifier-gateway" deleted')
    say("curl -s http://$INGRESS_HOST:$INGRESS_PORT/", code=7, within=5)


def tidy(learner):
    """Taking it away by hand."""
    learner.type("kubectl delete ns tf-serving", r'^namespace "tf-serving" deleted')
    learner.type("kubectl get ns tf-serving", code=1, errors=r'namespaces "tf-serving" not found')


def main():
    options = typed_lab.arguments()
    with (open(options.transcript, "w", encoding="utf-8") as transcript,
          typed_lab.standing(options, "models") as (environment, scratch)):
        work = scratch / "home" / "work"
        learner = Learner(environment, work, transcript)
        (work / "top10.py").write_text(TOP10)
        lesson(learner, shutil.which("python3"))
    print(f"{learner.passed} passed, {learner.failed} failed")
    sys.exit(1 if learner.failed else 0)


main()
