#!/usr/bin/env bash
# The official gRPC stubs against the model server: grpc_stubs.sh CANARY_LAB CACHE
#
# CACHE/tf25 is the virtual environment that models.sh makes; CACHE/stubs adds tensorflow-serving-api 2.5.1 to it.
set -euo pipefail
program=$(realpath "${1:?usage: grpc_stubs.sh CANARY_LAB CACHE}")
cache=$(realpath "${2:?usage: grpc_stubs.sh CANARY_LAB CACHE}")
here=$(dirname "$(realpath "$0")")
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= PYTHONDONTWRITEBYTECODE=1

[ -x "$cache/tf25/bin/python" ] || { echo "skipped: TensorFlow 2.5.3 could not be had"; exit 0; }
works() { "$cache/stubs/bin/python" -c 'import tensorflow, tensorflow_serving.apis.predict_pb2' 2>/dev/null; }
if ! works; then
    "$cache/tf25/bin/python" -m venv "$cache/stubs"
    "$cache/stubs/bin/pip" install --quiet --no-deps tensorflow-serving-api==2.5.1 >&2 || true
    "$cache/tf25/bin/python" -c 'import site; print(site.getsitepackages()[0])' > \
        "$("$cache/stubs/bin/python" -c 'import site; print(site.getsitepackages()[0])')/tensorflow.pth"
    works || { echo "skipped: tensorflow-serving-api could not be had"; exit 0; }
fi
exec "$cache/stubs/bin/python" "$here/grpc_stubs.py" "$program"
