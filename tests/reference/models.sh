#!/usr/bin/env bash
# The SavedModels that canary-lab writes, answered by real TensorFlows: models.sh CANARY_LAB CACHE [--write]
#
# Builds the catalogue's models, loads each with TensorFlow 2.5.3 (what tensorflow/serving:2.5.1 embeds) and with a
# current one, asks both and canary-lab about the same pictures, and fails where they disagree by more than the
# tolerance. With --write the current TensorFlow's answers become the golden data in tests/data/models.
# CACHE/tf25 and CACHE/tfnew are virtual environments; they are made when missing (2.5 GB). The first needs Python 3.9.
set -euo pipefail
program=$(realpath "${1:?usage: models.sh CANARY_LAB CACHE [--write]}")
cache=${2:?usage: models.sh CANARY_LAB CACHE [--write]}
write=${3:-}
here=$(dirname "$(realpath "$0")")
mkdir -p "$cache"
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=

python39() {
    command -v python3.9 >/dev/null && python3.9 -c pass 2>/dev/null && { echo python3.9; return; }
    local found
    for found in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.9.*/bin/python3; do
        [ -x "$found" ] && { echo "$found"; return; }
    done
    return 1
}

environment() { # NAME PYTHON PACKAGE...
    local name=$1 python=$2
    shift 2
    [ -x "$cache/$name/bin/python" ] && "$cache/$name/bin/python" -c 'import tensorflow' 2>/dev/null && return 0
    "$python" -m venv "$cache/$name" && "$cache/$name/bin/pip" install --quiet "$@" >&2
}

skip() {
    echo "skipped: $*"
    exit 0
}

old=$(python39) || skip "TensorFlow 2.5.3 needs Python 3.9, which is not here"
environment tf25 "$old" "tensorflow==2.5.3" "protobuf<3.21" || skip "TensorFlow 2.5.3 could not be had"
environment tfnew "${PYTHON3:-python3}" tensorflow || skip "a current TensorFlow could not be had"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for network in resnet50 resnet101 tiny-a tiny-b; do
    "$program" models build "$network" "$scratch/$network" --weights synthetic >/dev/null
done
"$cache/tfnew/bin/python" "$here/models_answers.py" "$scratch" "$scratch/tfnew.json" --pictures "$scratch/pictures" 2>/dev/null
"$cache/tf25/bin/python" "$here/models_answers.py" "$scratch" "$scratch/tf25.json" 2>/dev/null
python3 "$here/models_compare.py" "$program" "$scratch" $write
