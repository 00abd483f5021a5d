#!/usr/bin/env bash
# Keras weight files, turned into SavedModels by canary-lab and answered by real TensorFlows: pretrained.sh CANARY_LAB CACHE
#
# Makes .h5 files of ResNet50 and ResNet101 in the layout of the published ones, with TensorFlow 2.5.3 and a current one,
# both ways of saving; converts each; and compares answers about the same pictures: Keras's own (both versions, and in
# double precision), that of TensorFlow 2.5.3 with our SavedModel, and ours. CACHE/tf25 and CACHE/tfnew are the environments
# of models.sh.
set -euo pipefail
program=$(realpath "${1:?usage: pretrained.sh CANARY_LAB CACHE}")
cache=${2:?usage: pretrained.sh CANARY_LAB CACHE}
here=$(dirname "$(realpath "$0")")
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= PYTHONPATH="$here"
for name in tf25 tfnew; do
    "$cache/$name/bin/python" -c 'import tensorflow' 2>/dev/null || { echo "skipped: no TensorFlow at $cache/$name"; exit 0; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
answers() { # TAG WORD: TensorFlow's warnings are shown only when it fails.
    "$cache/$1/bin/python" "$here/pretrained_answers.py" "$2" "$1" "$scratch" 2>"$scratch/log" \
        || { tail -n 20 "$scratch/log"; exit 1; }
}
for name in tf25 tfnew; do
    answers "$name" make
done
for file in "$scratch"/*.h5; do
    network=$(basename "$file" | cut -d. -f1)
    "$program" models build "$network" "$scratch/built/$(basename "$file" .h5)" --weights "$file" >/dev/null 2>"$scratch/log" \
        || { cat "$scratch/log"; exit 1; }
    rm "$file"
done
answers tf25 ask
python3 "$here/pretrained_compare.py" "$program" "$scratch"
