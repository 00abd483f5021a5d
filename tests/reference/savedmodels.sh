#!/usr/bin/env bash
# SavedModels as TensorFlow and Keras write them, served by canary-lab: savedmodels.sh CANARY_LAB CACHE
#
# Makes some sixty small models with TensorFlow 2.5.3 and as many with a current TensorFlow (Keras 3), asks canary-lab's
# model server about each, and compares with the TensorFlow that made it. The current one's models are also rewritten with
# `models build --from`, and TensorFlow 2.5.3 must load the result and answer alike.
# CACHE/tf25 and CACHE/tfnew are the virtual environments of models.sh; without them this is skipped.
set -euo pipefail
program=$(realpath "${1:?usage: savedmodels.sh CANARY_LAB CACHE}")
cache=${2:?usage: savedmodels.sh CANARY_LAB CACHE}
here=$(dirname "$(realpath "$0")")
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
for name in tf25 tfnew; do
    python=$cache/$name/bin/python
    [ -x "$python" ] || { echo "skipped: $python is not there"; continue; }
    mkdir "$scratch/$name"
    "$python" "$here/savedmodels_make.py" "$scratch/$name" 2>/dev/null
    old=
    [ "$name" = tf25 ] || [ ! -x "$cache/tf25/bin/python" ] || old=$cache/tf25/bin/python
    python3 "$here/savedmodels_compare.py" "$program" "$scratch/$name" $old || failed=1
done
exit "$failed"
