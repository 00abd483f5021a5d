"""What this TensorFlow answers for the lab's SavedModels: models_answers.py MODELS ANSWERS.json [--pictures FOLDER]

MODELS holds NETWORK/1 for each network. With --pictures also writes the pictures as PNG, for others to ask about.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TUTORIAL = ROOT.parent / "shared" / "data" / "test.jpeg"


def decode(path):
    """RGB samples as the lab decodes them."""
    return tf.io.decode_jpeg(path.read_bytes(), channels=3, fancy_upscaling=False, dct_method="INTEGER_ACCURATE").numpy()


def pictures():
    """The portrait, the lab's small picture, the portrait's middle at 224x224, and the tutorial's picture if there."""
    portrait = decode(ROOT / "models" / "pictures" / "grace_hopper.jpg")
    middle = portrait[4:596].astype(np.int64)
    small = (middle.reshape(37, 16, 32, 16, 3).sum(axis=(1, 3)) // 256).astype(np.uint8)
    found = {"portrait": portrait, "small": small, "middle": portrait[188:412, 144:368]}
    if TUTORIAL.exists():
        found["tutorial"] = decode(TUTORIAL)
    return found


def main():
    models, target, *rest = sys.argv[1:]
    answers = {"tensorflow": tf.__version__, "answers": {}}
    for directory in sorted(pathlib.Path(models).glob("*/1")):
        signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
        of_network = answers["answers"].setdefault(directory.parent.name, {})
        for name, picture in pictures().items():
            output = signature(input_1=tf.constant(picture[None].astype(np.float32)))["predictions"]
            of_network[name] = [float(value) for value in output.numpy()[0]]
    pathlib.Path(target).write_text(json.dumps(answers))
    if rest:
        folder = pathlib.Path(rest[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures().items():
            (folder / f"{name}.png").write_bytes(tf.io.encode_png(picture).numpy())


main()
