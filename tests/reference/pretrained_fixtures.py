"""Makes the Keras weight files in tests/data/pretrained and records what Keras answers with them.

Run it twice: with TensorFlow 2.5.3 (`pretrained_fixtures.py keras2`) for what Keras 2 writes, then with a current one
(`keras3`). The values are coarse, so that the files pack well; they are packed because they are committed.
"""

import gzip
import json
import pathlib
import sys
import tempfile

import keras_networks as networks
import lab_pictures

FOLDER = lab_pictures.ROOT / "tests" / "data" / "pretrained"
SEEDS = {"tiny-a": 21, "tiny-b": 22}
# What is saved, by which Keras, under which name.
FILES = {
    "keras2": [("tiny-a", "weights-of-keras-2.h5", "save_weights"), ("tiny-b", "whole-of-keras-2.h5", "save")],
    "keras3": [("tiny-a", "counted-of-keras-3.weights.h5", "save_weights"), ("tiny-b", "whole-of-keras-3.h5", "save")],
}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    golden_file = FOLDER / "golden.json"
    golden = json.loads(golden_file.read_text()) if golden_file.exists() else {"files": {}, "answers": {}}
    pictures = lab_pictures.pictures()
    for network, name, save in FILES[sys.argv[1]]:
        keras = networks.model(network)
        networks.randomise(keras, SEEDS[network], quantum=1 / 64)
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch) / name
            getattr(keras, save)(str(path))
            with open(FOLDER / f"{name}.gz", "wb") as out, gzip.GzipFile("", "wb", 9, out, 0) as packed:
                packed.write(path.read_bytes())
        golden["files"][name] = network
        free = networks.flexible(network, keras)
        of_network = golden["answers"].setdefault(network, {})
        of_network[sys.argv[1]] = [round(float(value), 9) for value in networks.answer(free, pictures["small"])]
    text = json.dumps(golden, sort_keys=True).replace('"keras', '\n"keras').replace('"tiny', '\n"tiny')
    golden_file.write_text(text + "\n")


main()
