"""What this TensorFlow answers for the lab's SavedModels: models_answers.py MODELS ANSWERS.json [--pictures FOLDER]

MODELS holds NETWORK/1 for each network. With --pictures also writes the pictures as PNG, for others to ask about.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from lab_pictures import pictures


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
