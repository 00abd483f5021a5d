#!/usr/bin/env bash
# Runs the lab on the real stack: minikube (driver none), Kubernetes 1.20.2, Istio 1.12.7, models in real TensorFlow.
#
#     RIG_HOME=DIR RIG_SCRIPTS=DIR tests/rig/run.sh CANARY_LAB [OUT]
#
# Root on a throwaway machine: this starts a Kubernetes cluster on the machine itself. RIG_HOME/bin holds minikube 1.26.1 (as
# `minikube`) and 1.36.0 (as `minikube-1.36.0`), istioctl, kubectl, kubeadm and kubelet; RIG_HOME/dist Istio's release archive with its
# .sha256. RIG_SCRIPTS holds prepare.sh, down.sh and deviation-envoyfilter.yaml, which make the machine ready, clean it, and suit
# Istio to the Envoy that is there. SCENARIOS chooses (first newer resets walk present context); RESETS_LAB is the lab that `resets`
# goes through (the tiny one unless it says otherwise); RIG_PICTURE a picture for the predictions.
#
# Prints a row a step: scenario, step, seconds, outcome; the steps' whole output is in OUT. Ends with 1 if a step failed.
set -uo pipefail
program=$(realpath "${1:?usage: run.sh CANARY_LAB [OUT]}")
out=${2:-$(mktemp -d)}
scripts=$(realpath "${RIG_SCRIPTS:?set RIG_SCRIPTS to the folder of prepare.sh}")
rig=${RIG_HOME:?set RIG_HOME to the prepared rig}
here=$(realpath "$(dirname "$0")")
labs=$here/../../lab
archive=istio-1.12.7-linux-amd64.tar.gz
deviations=(--set values.telemetry.enabled=false --set values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false)
kubernetes=v1.20.2
# No step may take longer.
limit=900

missing=0
for needed in "$rig"/bin/{minikube,minikube-1.36.0,istioctl,kubectl,kubeadm,kubelet} "$rig/dist/$archive" "$rig/dist/$archive.sha256" \
    "$scripts"/{prepare.sh,down.sh,deviation-envoyfilter.yaml}; do
    [ -e "$needed" ] || { echo "the rig is not complete: $needed is missing"; missing=1; }
done
[ "$(id -u)" = 0 ] || { echo "driver none wants root"; missing=1; }
[ "$missing" = 0 ] || exit 2
mkdir -p "$out/tools"
out=$(realpath "$out")
home=$out/home
failed=0
scenario=""
helpers=()
export PATH=$out/tools:$rig/bin:$PATH

cleanup() {
    lab down --purge >>"$out/cleanup.log" 2>&1
    for process in "${helpers[@]}"; do kill "$process" 2>/dev/null; done
    "$scripts/down.sh" all >>"$out/cleanup.log" 2>&1
}
trap cleanup EXIT

# Which minikube a scenario finds.
with_minikube() { ln -sfn "$rig/bin/$1" "$out/tools/minikube"; }

# The program in this run's home, as a command of its own; LAB names another lab.
printf '#!/bin/sh\nexec timeout %s "%s" --home "%s" ${LAB:+--lab "$LAB"} "$@"\n' "$limit" "$program" "$home" >"$out/tools/lab"
chmod +x "$out/tools/lab"

# row STEP COMMAND...: runs it, and prints how it went.
row() {
    local step=$1 name log begin outcome
    shift
    name=$(tr -cs '[:alnum:]\n' - <<<"$scenario $step")
    log="$out/$name.log"
    begin=$(date +%s%N)
    if "$@" >"$log" 2>&1 </dev/null; then outcome=ok; else outcome="FAILED ($?), see $name.log"; failed=1; fi
    printf '| %-8s | %-52s | %5d.%d | %s |\n' "$scenario" "$step" $((($(date +%s%N) - begin) / 1000000000)) \
        $((($(date +%s%N) - begin) / 100000000 % 10)) "$outcome"
}

# The proxies are newer here than istiod expects: the filter that reconciles them goes in as soon as Istio's kinds are there, on
# whichever cluster this kubeconfig leads to.
suit_istio() {
    local cluster=(kubectl --kubeconfig "$1" -n istio-system)
    while :; do
        "${cluster[@]}" get envoyfilter rig-no-istio-filters || "${cluster[@]}" apply -f "$scripts/deviation-envoyfilter.yaml"
        sleep 1
    done >/dev/null 2>&1
}

fresh() {
    "$scripts/down.sh" >>"$out/cleanup.log" 2>&1
    "$scripts/prepare.sh" >>"$out/cleanup.log" 2>&1 || { echo "prepare.sh failed, see cleanup.log"; exit 2; }
    rm -rf "$home"
}

# Istio's releases, from this machine.
python3 -u -m http.server --bind 127.0.0.1 --directory "$rig/dist" 0 >"$out/releases.log" 2>&1 &
helpers+=($!)
until port=$(grep -oP 'port \K[0-9]+' "$out/releases.log"); do
    kill -0 $! 2>/dev/null || { echo "the release server did not start"; exit 2; }
    sleep 0.1
done
from_nothing=(up --cluster minikube --kubernetes-version "$kubernetes" --istio-url "http://127.0.0.1:$port/$archive" "${deviations[@]}")
picture=()
[ -f "${RIG_PICTURE:-}" ] && picture=(--picture "$RIG_PICTURE")

nothing_left() {
    local left=0 process
    minikube status >/dev/null 2>&1 && { echo "minikube still has a cluster"; left=1; }
    pgrep -x kubelet && { echo "a kubelet still runs"; left=1; }
    ip route show | grep -F 10.96.0.0/12 && { echo "the tunnel's route is still there"; left=1; }
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/exe")" = "$program" ] && { echo "still running: $(tr '\0' ' ' <"$process/cmdline")"; left=1; }
    done
    return "$left"
}

# up is killed while a Deployment is being rolled out; the next one goes on.
killed_and_resumed() {
    local cluster=(kubectl --kubeconfig "$home/kubeconfig" -n tf-serving) up
    lab reset --to namespace || return 1
    "$program" --home "$home" up &
    up=$!
    until "${cluster[@]}" get deployment image-classifier-resnet50 >/dev/null 2>&1; do
        kill -0 "$up" || { echo "it ended before it was killed"; return 1; }
        sleep 0.1
    done
    kill -9 "$up"
    wait "$up"
    echo "== killed; the next one"
    lab up
}

drifted_and_repaired() {
    local cluster=(kubectl --kubeconfig "$home/kubeconfig" -n tf-serving)
    "${cluster[@]}" scale deployment image-classifier-resnet101 --replicas=0 || return 1
    "${cluster[@]}" delete destinationrule image-classifier || return 1
    lab verify && { echo "verify saw nothing"; return 1; }
    lab up && lab verify
}

ids() { lab status --output json | python3 -c 'import json, sys; print(*reversed([s["id"] for s in json.load(sys.stdin)["stages"]]))'; }

# What is there beside pods and what comes with them, by name.
others() {
    kubectl --kubeconfig "$HOME/.kube/config" get -A -o name \
        all,cm,secret,sa,ns,crd,pv,pvc,validatingwebhookconfigurations,mutatingwebhookconfigurations,envoyfilters,gateways,virtualservices |
        grep -v -E '^pod/|replicaset' | sort
}
unchanged() { minikube status && diff "$out/before.txt" <(others); }

first() {
    with_minikube minikube
    fresh
    row "up from nothing (minikube 1.26.1)" lab "${from_nothing[@]}" "${picture[@]}"
    row "up again" lab up
    row "verify" lab verify
    row "drift: scaled to 0, rule deleted; verify, up" drifted_and_repaired
    row "kill -9 during a rollout; up goes on" killed_and_resumed
    row "report" lab report
    row "down" lab down
    row "nothing left" nothing_left
}

walk() {
    with_minikube minikube
    fresh
    row "walk from nothing, letting it do every stage" python3 "$here/walk.py" lab walk "${from_nothing[@]:1}" "${picture[@]}"
    row "verify" lab verify
    row "down" lab down
    row "nothing left" nothing_left
}

newer() {
    with_minikube minikube-1.36.0
    fresh
    row "up from nothing (minikube 1.36.0)" lab "${from_nothing[@]}" "${picture[@]}"
    row "up again" lab up
    row "verify" lab verify
    row "down" lab down
    row "nothing left" nothing_left
}

resets() {
    local stage
    with_minikube minikube
    fresh
    export LAB=${RESETS_LAB:-$labs/tiny}
    row "up from nothing" lab "${from_nothing[@]}"
    for stage in $(ids); do row "reset --to $stage" lab reset --to "$stage"; done
    row "up" lab up
    row "down" lab down
    unset LAB
    row "nothing left" nothing_left
}

somebody_elses() {
    minikube start --driver=none --kubernetes-version=$kubernetes --container-runtime=docker &&
        istioctl install -y "${deviations[@]}" &&
        kubectl apply -f "$scripts/deviation-envoyfilter.yaml"
}

present() {
    with_minikube minikube
    fresh
    row "(somebody's profile and Istio)" somebody_elses
    others >"$out/before.txt"
    row "up on them" lab up --cluster minikube "${picture[@]}"
    row "up again" lab up
    row "down" lab down
    row "profile and Istio as they were" unchanged
}

context() {
    local way
    minikube status >/dev/null 2>&1 || {
        with_minikube minikube
        fresh
        row "(somebody's profile and Istio)" somebody_elses
        others >"$out/before.txt"
    }
    for way in node-port port-forward; do
        rm -rf "$home"
        row "up, --ingress $way" lab up --cluster context:minikube --ingress "$way" "${picture[@]}"
        row "verify" lab verify
        row "down" lab down
    done
    rm -rf "$home"
    row "up, models in a claim, 5 replicas, node port" lab up --cluster context:minikube --models-claim \
        --set resnet50.replicas=5 --ingress node-port "${picture[@]}"
    row "verify" lab verify
    row "down" lab down
    row "profile and Istio as they were" unchanged
}

suit_istio "$home/kubeconfig" &
helpers+=($!)
printf '| %-8s | %-52s | %7s | %s |\n|---|---|---|---|\n' scenario step seconds outcome
for scenario in ${SCENARIOS:-first newer resets walk present context}; do "$scenario"; done
[ "$failed" = 0 ] || echo "output of each step: $out"
exit "$failed"
