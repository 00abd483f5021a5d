#!/usr/bin/env bash
# Fuzzes the readers of strangers' files for a while: fuzz.sh SECONDS [RUNS]
#
# Each target of fuzz/ gets SECONDS, or until RUNS executions are done. The seeds are the committed fixtures; what is
# found in between is kept in fuzz/corpus, and an input that fails in fuzz/artifacts. cargo-fuzz is installed beside the
# other references when it is not there; --sanitizer none lets it work with a stable compiler. CANARY_LAB_FUZZ_TARGETS
# names some of the targets.
set -euo pipefail
seconds=${1:?usage: fuzz.sh SECONDS [RUNS]}
runs=${2:--1}
root=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
cache=${CANARY_LAB_REFERENCE_CACHE:-$HOME/.cache/canary-lab-reference}
export PATH="$cache/cargo-fuzz/bin:$PATH"
if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install --quiet --locked --root "$cache/cargo-fuzz" cargo-fuzz >/dev/null 2>&1 \
        || { echo "skipped: cargo-fuzz could not be installed"; exit 0; }
fi
command -v c++ >/dev/null || { echo "skipped: libFuzzer needs a C++ compiler"; exit 0; }

memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
FUZZ_SCRATCH=$(mktemp -d "$memory/canary-lab-fuzz.XXXXXX")
export FUZZ_SCRATCH
trap 'rm -rf "$FUZZ_SCRATCH"' EXIT
cd "$root"
seed() { # TARGET FILE...
    local target=$1
    shift
    mkdir -p "fuzz/corpus/$target"
    cp "$@" "fuzz/corpus/$target/"
}
seed hdf5 tests/data/hdf5/*.h5
seed jpeg tests/data/jpeg/*.jpg
mkdir -p fuzz/corpus/saved_model fuzz/corpus/bundle
# The lab's smallest network, whole; and for a quick start its meta graph without a graph.
gzip -dc fuzz/seeds/saved_model.pb.gz >fuzz/corpus/saved_model/tiny
printf '\x08\x01\x12\x09\x0a\x07\x22\x05serve' >fuzz/corpus/saved_model/serve
# The first byte says what follows: its index as a file, or one tensor of 16 floats behind the header, as a block.
{ printf '\x00'; cat fuzz/seeds/variables.index; } >fuzz/corpus/bundle/tiny
printf '\x01\x00\x00\x06\x08\x01\x1a\x02\x08\x01\x00\x01\x0aa\x08\x01\x12\x04\x12\x02\x08\x10\x28\x40\x00\x00\x00\x00\x01\x00\x00\x00' \
    >fuzz/corpus/bundle/tensor

failed=0
for target in ${CANARY_LAB_FUZZ_TARGETS:-hdf5 jpeg saved_model bundle}; do
    log="$FUZZ_SCRATCH/$target.log"
    if cargo fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -runs="$runs" -max_len=65536 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
        number() { sed -n "s/^stat::$1: *//p" "$log"; }
        echo "ok   $target: $(number number_of_executed_units) executions, $(number average_exec_per_sec) a second"
    else
        echo "FAIL $target"
        grep -a "panicked at" -A 1 "$log" || true
        cut -c 1-200 "$log" | tail -n 40
        failed=1
    fi
done
exit "$failed"
