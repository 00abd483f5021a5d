#!/usr/bin/env bash
# All comparisons with real programs: run.sh CANARY_LAB CACHE
#
# CACHE keeps what the package registries give (kubectl, TensorFlow). What cannot be had is skipped with the reason;
# what can be had and disagrees fails.
set -euo pipefail
program=$(realpath "${1:?usage: run.sh CANARY_LAB CACHE}")
cache=${2:?usage: run.sh CANARY_LAB CACHE}
here=$(dirname "$(realpath "$0")")
mkdir -p "$cache"
failed=0

echo "-- the tutorial, typed with real kubectls"
kubectls=$("$here/kubectls.sh" "$cache/kubectl" || true)
[ -n "$kubectls" ] || echo "skipped: no kubectl could be had"
for kubectl in $kubectls; do
    echo "$kubectl:"
    python3 "$here/tutorial.py" "$program" "$kubectl" --transcript "$cache/tutorial-$(basename "$kubectl").txt" || failed=1
done

echo "-- kubectl's verbs, one by one"
for kubectl in $kubectls; do
    echo "$kubectl:"
    python3 "$here/kubectl_verbs.py" "$program" "$kubectl" --transcript "$cache/verbs-$(basename "$kubectl").txt" || failed=1
done

echo "-- the models, answered by real TensorFlows"
"$here/models.sh" "$program" "$cache" || failed=1

echo "-- the model server, asked through the official gRPC stubs"
"$here/grpc_stubs.sh" "$program" "$cache" || failed=1

exit "$failed"
