"""Drives the verbs of a real kubectl against the embedded cluster, one row a command.

    python3 kubectl_verbs.py CANARY_LAB KUBECTL [--lab DIR] [--transcript FILE]

A row says what must be printed, on which stream, and with which exit code. What the cluster does not serve must still
answer with a Status that says so: a row that hangs, or that meets a bare 404, fails. Where kubectls word a thing
differently, the row's pattern holds what they share. Ends with `N passed, N failed`.
"""

import re
import shutil
import subprocess
import sys

import typed_lab

# No command of the table may take longer: none waits for more than a rollout.
LIMIT = 45

SCRATCH_FILES = {
    "two.yaml": """apiVersion: v1
kind: ConfigMap
metadata: {name: first, labels: {set: two}}
data: {a: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: second, labels: {set: two}}
data: {b: two}
""",
    "one.yaml": """apiVersion: v1
kind: ConfigMap
metadata: {name: first, labels: {set: two}}
data: {a: one}
""",
    "misspelt.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd}\ndatum: {a: b}\n",
    "kust/kustomization.yaml": "namePrefix: k-\nresources: [cm.yaml]\n",
    "kust/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: built}\ndata: {a: b}\n",
    "folder/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-a}\n",
    "folder/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-b}\n",
    "edit.sh": "#!/bin/sh\nsed -i 's/a: one/a: edited/' \"$1\"\n",
}

# What kubectl makes of a 404 without a Status that names a kind or an object.
BARE_404 = "the server could not find the requested resource"

D = "deployment/image-classifier-resnet50 -n tf-serving"
ANY = r"."
POD = "$(kubectl get pods -n tf-serving -o name | head -1 | cut -d/ -f2)"
# What somebody else would write into the first map.
OTHERS = "sed 's/a: one/a: theirs/' one.yaml"
NOT_SERVED = r"is not served by the embedded cluster"

# (command, patterns on standard output, exit code, pattern on standard error)
TABLE = [
    # get
    ("kubectl get pods -n tf-serving -o wide", [r"^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES$"], 0, None),
    ("kubectl get pods -A --show-labels", [r"^NAMESPACE +NAME ", r"app=image-classifier"], 0, None),
    ("kubectl get pods -n tf-serving -l app=image-classifier,version!=resnet101 -o name", [r"^pod/image-classifier-resnet50-"], 0, None),
    ("kubectl get pods -n tf-serving -l 'version in (resnet50)' -L version", [r"VERSION$", r"resnet50$"], 0, None),
    ("kubectl get pods -A --field-selector status.phase=Running -o name", [r"^pod/istiod-"], 0, None),
    ("kubectl get pods -A --field-selector spec.nothing=1", [], 1, r"field label not supported: spec.nothing"),
    ("kubectl get svc -A --sort-by=.metadata.name", [r"^tf-serving[\s\S]*istiod[\s\S]*kubernetes"], 0, None),
    ("kubectl get deploy -n tf-serving -o custom-columns=N:.metadata.name,R:.spec.replicas", [r"^N +R$", r"^image-classifier-resnet50 +1$"], 0, None),
    ("kubectl get deploy -n tf-serving -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'", [r"^image-classifier-resnet50$"], 0, None),
    ("kubectl get deploy -n tf-serving -o yaml --show-managed-fields", [r"managedFields:", r"manager: kubectl-client-side-apply"], 0, None),
    ("kubectl get nodes -o json", [r'"kubeletVersion": "v1.24.3"'], 0, None),
    ("kubectl get all -A", [r"^tf-serving +replicaset.apps/image-classifier-resnet50-"], 0, r"^$"),
    ("kubectl get gw,vs,dr -n tf-serving", [r"^gateway.networking.istio.io/", r"^virtualservice.networking.istio.io/", r"^destinationrule.networking.istio.io/"], 0, None),
    ("kubectl get cm,secret,sa,ep -n tf-serving", [r"^configmap/kube-root-ca.crt ", r"^serviceaccount/default "], 0, None),
    ("kubectl get --raw /readyz", [r"^ok$"], 0, None),
    ("kubectl get --raw /api/v1/nothing", [], 1, r"could not find the requested resource"),
    ("timeout 3 kubectl get deploy -n tf-serving -w --output-watch-events", [r"^ADDED +image-classifier-resnet50"], 124, None),
    # describe
    *[(f"kubectl describe {kind} -n tf-serving", [r"^Name: +\S+"], 0, r"^$") for kind in (
        "deploy", "rs", "pod", "svc", "ep", "cm", "sa", "gw", "vs", "dr", "ns/tf-serving")],
    ("kubectl describe node", [r"^Name: ", r"^Capacity:", r"^Allocated resources:"], 0, r"^$"),
    ("kubectl describe svc image-classifier -n tf-serving", [r"^Endpoints: +[\d.]+:8500$", r"^Session Affinity: +None$"], 0, None),
    # create, apply, diff
    ("kubectl create ns verbs", [r"^namespace/verbs created$"], 0, None),
    ("kubectl config set-context --current --namespace=verbs", [r"modified"], 0, None),
    ("kubectl apply -f two.yaml", [r"^configmap/first created$", r"^configmap/second created$"], 0, None),
    ("kubectl apply -f two.yaml", [r"^configmap/first unchanged$"], 0, None),
    ("kubectl apply -f two.yaml --dry-run=server", [r"^configmap/first unchanged \(server dry run\)$"], 0, None),
    ("kubectl apply -f two.yaml --server-side", [r"^configmap/first serverside-applied$"], 0, None),
    (f"{OTHERS} | kubectl apply --server-side --field-manager=other -f -", [], 1, r"^error: Apply failed with \d conflicts?"),
    (f"{OTHERS} | kubectl apply --server-side --field-manager=other --force-conflicts -f -",
     [r"^configmap/first serverside-applied$"], 0, None),
    # By its old name in kubectls that do not know the new one.
    ("kubectl apply -f one.yaml --prune -l set=two --prune-allowlist=core/v1/ConfigMap"
     " || kubectl apply -f one.yaml --prune -l set=two --prune-whitelist=core/v1/ConfigMap",
     [r"^configmap/first ", r"^configmap/second pruned$"], 0, None),
    ("kubectl apply -f misspelt.yaml", [], 1, r"unknown field.*datum"),
    ("kubectl apply -f misspelt.yaml --validate=false --dry-run=server", [r"^configmap/odd created \(server dry run\)$"], 0, None),
    ("kubectl apply -k kust", [r"^configmap/k-built created$"], 0, None),
    ("kubectl apply -f folder", [r"^configmap/from-a created$", r"^configmap/from-b created$"], 0, None),
    ("sed 's/a: one/a: new/' one.yaml | kubectl diff -f -", [r"^\+ +a: new$"], 1, None),
    ("kubectl create cm made --from-literal=k=v", [r"^configmap/made created$"], 0, None),
    ("kubectl create secret generic hidden --from-literal=k=v", [r"^secret/hidden created$"], 0, None),
    ("kubectl create sa robot", [r"^serviceaccount/robot created$"], 0, None),
    ("kubectl create deployment web --image=tensorflow/serving:2.5.1 --replicas=0", [r"^deployment.apps/web created$"], 0, None),
    ("kubectl create service clusterip web --tcp=8501:8501", [r"^service/web created$"], 0, None),
    ("kubectl create token robot", [], 1, r"^(Error from server|error:)"),
    ("kubectl create job j --image=tensorflow/serving:2.5.1", [], 1, NOT_SERVED),
    ("kubectl create quota q --hard=pods=1", [], 1, NOT_SERVED),
    ("kubectl create role r --verb=get --resource=pods", [r"^role.rbac.authorization.k8s.io/r created$"], 0, None),
    ("kubectl create rolebinding b --role=r --serviceaccount=verbs:robot", [r"^rolebinding.rbac.authorization.k8s.io/b created$"], 0, None),
    ("kubectl create pdb p --selector=app=web --min-available=1", [r"^poddisruptionbudget.policy/p created$"], 0, None),
    # change
    ("kubectl label cm made x=y", [r"^configmap/made labeled$"], 0, None),
    ("kubectl label cm made x=z", [], 1, r"already has a value \(y\), and --overwrite is false"),
    ("kubectl annotate cm made x=y", [r"^configmap/made annotated$"], 0, None),
    ("kubectl patch cm made -p '{\"data\":{\"k\":\"w\"}}'", [r"^configmap/made patched$"], 0, None),
    ("kubectl patch cm made --type=json -p '[{\"op\":\"remove\",\"path\":\"/data/nothing\"}]'", [], 1, r"(remove operation|Unable to remove|nonexistent|request is invalid)"),
    ("EDITOR=./edit.sh kubectl edit cm first", [r"^configmap/first edited$"], 0, None),
    ("kubectl get cm made -o yaml | kubectl replace -f -", [r"^configmap/made replaced$"], 0, None),
    ("kubectl replace --force -f one.yaml", [r"^configmap/first replaced$"], 0, None),
    ("kubectl set image deployment/web serving=tensorflow/serving:2.6.0", [r"image updated$"], 0, None),
    ("kubectl set env deployment/web A=b", [r"env updated$"], 0, None),
    ("kubectl set resources deployment/web --limits=cpu=1", [r"resource requirements updated$"], 0, None),
    ("kubectl expose deployment web --port=8500 --name=web2", [r"^service/web2 exposed$"], 0, None),
    ("kubectl autoscale deployment web --max=2", [r"autoscaled$"], 0, None),
    ("kubectl get hpa,pdb,role,rolebinding -o name", [r"horizontalpodautoscaler.*/web$", r"poddisruptionbudget.*/p$", r"role.*/r$", r"rolebinding.*/b$"], 0, r"^$"),
    ("kubectl get deployment web -o yaml", [r"^  replicas: 0$", r"^      - image: tensorflow/serving:2.6.0$|image: tensorflow/serving:2.6.0"], 0, None),
    ("kubectl get deployment web -o yaml | grep -E 'paused|minReadySeconds|generation: 0'", [], 1, None),
    ("kubectl scale deployment web --replicas=0 --current-replicas=3", [], 1, r"[Ee]xpected replicas to be 3, was 0"),
    # rollout and wait
    (f"kubectl rollout status {D} --timeout=30s", [r"successfully rolled out$"], 0, None),
    ("kubectl rollout history deployment/web", [r"^REVISION +CHANGE-CAUSE$", r"^4 "], 0, None),
    ("kubectl rollout history deployment/web --revision=1", [r"Image:\s+tensorflow/serving:2.5.1"], 0, None),
    ("kubectl rollout undo deployment/web", [r"rolled back$"], 0, None),
    ("kubectl rollout undo deployment/web --to-revision=99", [], 1, r"unable to find specified revision 99 in history"),
    ("kubectl rollout pause deployment/web", [r"paused$"], 0, None),
    ("kubectl rollout restart deployment/web", [], 1, r"can't restart paused deployment"),
    ("kubectl rollout resume deployment/web", [r"resumed$"], 0, None),
    (f"kubectl wait {D} --for=condition=Available --timeout=30s", [r"condition met$"], 0, None),
    (f"kubectl wait {D} --for=jsonpath='{{.status.readyReplicas}}'=1 --timeout=30s", [r"condition met$"], 0, None),
    # look inside
    (f"kubectl logs {D} -c tf-serving --tail=2 --timestamps", [r"^\d{4}-\d\d-\d\dT"], 0, None),
    (f"kubectl logs {D} -c tf-serving --since=1h", [ANY], 0, None),
    (f"timeout 3 kubectl logs -f {D} -c istio-proxy", [ANY], 124, None),
    (f"kubectl logs {D} -c tf-serving --previous", [], 1, r"previous terminated container \"tf-serving\" in pod .* not found"),
    (f"kubectl logs {D} -c nothing", [], 1, r"container nothing is not valid for pod"),
    (f"kubectl exec {D} -c tf-serving -- ls /models", [r"^image_classifier$|resnet"], 0, None),
    (f"kubectl exec {D} -c tf-serving -- nothing", [], 126, r"nothing"),
    ("timeout 15 kubectl attach " + D + " -c tf-serving", [], 1, r"^(Error from server|error:)[\s\S]*attach"),
    ("timeout 15 kubectl debug -n tf-serving " + POD + " --image=busybox", [], 1, r"(Error from server|error:)[\s\S]*ephemeral"),
    ("timeout 15 kubectl run lone --image=busybox --restart=Never", [r"^pod/lone created$"], 0, None),
    (f"model=$(kubectl exec {D} -c tf-serving -- ls /models | head -1); kubectl cp -n tf-serving -c tf-serving {POD}:/models/$model copied && ls copied", [r"^1$"], 0, None),
    ("(timeout 4 kubectl port-forward -n tf-serving svc/image-classifier :8501 & sleep 0) ; wait", [r"^Forwarding from 127.0.0.1:\d+ -> 8501$"], 0, None),
    ("kubectl top nodes", [], 1, r"[Mm]etrics API not available|metrics"),
    ("kubectl top pods", [], 1, r"[Mm]etrics API not available|metrics"),
    # about the cluster
    ("kubectl auth can-i create pods", [r"^yes$"], 0, None),
    ("kubectl auth can-i --list", [r"^Resources "], 0, None),
    ("kubectl api-resources -o name", [r"^deployments.apps$", r"^virtualservices.networking.istio.io$"], 0, r"^$"),
    ("kubectl api-versions", [r"^apps/v1$", r"^v1$"], 0, None),
    ("kubectl cluster-info", [r"Kubernetes control plane"], 0, None),
    ("kubectl version", [r"v?1\.24\.3|GitVersion:\"v1.24.3\""], 0, None),
    ("kubectl explain deployment --recursive", [r"^ +replicas\t? *<integer>"], 0, None),
    ("kubectl explain vs.spec.http", [r"FIELDS?:|DESCRIPTION:"], 0, None),
    ("kubectl explain pod.spec.nothing", [], 1, r'field "nothing" does not exist'),
    ("kubectl events -n tf-serving || kubectl alpha events -n tf-serving", [r"Scheduled"], 0, None),
    ("kubectl get events -n tf-serving --field-selector type=Normal", [r"Scheduled"], 0, None),
    # the node
    ("kubectl cordon $(kubectl get nodes -o name)", [r"cordoned$"], 0, None),
    ("kubectl get nodes", [r"Ready,SchedulingDisabled"], 0, None),
    ("kubectl uncordon $(kubectl get nodes -o name)", [r"uncordoned$"], 0, None),
    ("kubectl taint nodes --all k=v:PreferNoSchedule", [r"tainted$"], 0, None),
    ("kubectl taint nodes --all k:PreferNoSchedule-", [r"untainted$"], 0, None),
    ("timeout 20 kubectl drain $(kubectl get nodes -o name | cut -d/ -f2) --ignore-daemonsets --delete-emptydir-data --force --dry-run=client", [r"drained"], 0, None),
    # delete
    ("kubectl delete deployment web --cascade=orphan", [r'^deployment.apps "web" deleted'], 0, None),
    ("kubectl get rs -o name", [r"^replicaset.apps/web-"], 0, None),
    ("kubectl delete rs --all --cascade=foreground", [r'deleted'], 0, None),
    ("kubectl delete cm -l set=two", [r'^configmap "first" deleted'], 0, None),
    ("kubectl delete cm nothing", [], 1, r'configmaps "nothing" not found'),
    ("kubectl delete cm nothing --ignore-not-found", [], 0, r"^$"),
    ("kubectl delete cm made --dry-run=server", [r'^configmap "made" deleted.*\(server dry run\)'], 0, None),
    ("kubectl delete pod lone --now", [r'^pod "lone"'], 0, None),
    ("kubectl delete ns verbs --wait=false && kubectl wait --for=delete ns/verbs --timeout=30s", [r'^namespace "verbs" deleted'], 0, None),
]


def run(environment, folder, row):
    """What a row printed, and what was wrong with it."""
    command, patterns, code, errors = row
    try:
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"$ {command}\n", [f"hangs for more than {LIMIT} s"]
    problems = [f"no match for {pattern!r}" for pattern in patterns if not re.search(pattern, done.stdout, re.MULTILINE)]
    # An empty error stream is asked for of the whole stream, other patterns of a line.
    flags = 0 if errors == "^$" else re.MULTILINE
    if errors is not None and not re.search(errors, done.stderr, flags):
        problems.append(f"no match for {errors!r} on standard error")
    # A row whose subject is such an answer spells it out; no other may pass with it.
    if BARE_404 in done.stderr and not (errors and re.search(errors, BARE_404)):
        problems.append("a bare 404 instead of a Status")
    if done.returncode != code:
        problems.append(f"exit code {done.returncode}, not {code}")
    return f"$ {command}\n{done.stdout[:3000]}{done.stderr[:2000]}", problems


def main():
    options = typed_lab.arguments()
    passed = failed = 0
    with (open(options.transcript, "w", encoding="utf-8") as transcript,
          typed_lab.standing(options, "subsets") as (environment, scratch)):
        folder = scratch / "typed"
        for name, text in SCRATCH_FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (folder / "edit.sh").chmod(0o755)
        # The table changes the current namespace: in a copy, since the lab's own file is the lab's.
        shutil.copy(environment["KUBECONFIG"], scratch / "kubeconfig")
        environment["KUBECONFIG"] = str(scratch / "kubeconfig")
        for row in TABLE:
            text, problems = run(environment, folder, row)
            text += "".join(f"!! {problem}\n" for problem in problems)
            transcript.write(text + "\n")
            if problems:
                failed += 1
                print(text)
            else:
                passed += 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
