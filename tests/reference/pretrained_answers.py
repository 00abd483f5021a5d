"""Keras weight files, and what TensorFlow answers: pretrained_answers.py make|ask TAG FOLDER

`make` saves ResNet50 and ResNet101 with seeded weights as FOLDER/NETWORK.TAG.WAY.h5, both ways of saving, and records in
FOLDER/keras.TAG.json what Keras answers with them, the current one in double precision too. `ask` records in FOLDER/ours.json what this TensorFlow answers with
the SavedModels in FOLDER/built.
"""

import json
import pathlib
import sys

import keras_networks as networks
import lab_pictures
import numpy as np
import tensorflow as tf

SEEDS = {"resnet50": 50, "resnet101": 101}
# The middle has the networks' own size, the portrait the size of the tutorial's picture.
PICTURES = ("portrait", "small", "middle")


def make(tag, folder):
    pictures = lab_pictures.pictures()
    answers, exact = {}, {}
    for network, seed in SEEDS.items():
        keras = networks.model(network)
        networks.randomise(keras, seed)
        # Keras 3 writes the published layout only for a whole model; its other way counts the layers by class.
        keras.save(str(folder / f"{network}.{tag}.whole.h5"))
        weights = "weights.h5" if tag == "tf25" else "counted.weights.h5"
        keras.save_weights(str(folder / f"{network}.{tag}.{weights}"))
        free = networks.flexible(network, keras)
        answers[network] = answers_of(free, pictures)
        if tag == "tfnew":
            exact[network] = answers_of(doubled(network, keras), pictures)
        del keras, free
    told = {"tensorflow": tf.__version__, "answers": answers, "exact": exact}
    (folder / f"keras.{tag}.json").write_text(json.dumps(told))
    for name in PICTURES:
        (folder / f"{name}.png").write_bytes(tf.io.encode_png(pictures[name]).numpy())


def answers_of(keras, pictures):
    return {name: [float(value) for value in networks.answer(keras, pictures[name])] for name in PICTURES}


def doubled(network, keras):
    """The same weights, computed with in double precision (Keras 3)."""
    tf.keras.config.set_dtype_policy("float64")
    double = networks.model(network)
    double.set_weights([weight.astype(np.float64) for weight in keras.get_weights()])
    free = networks.flexible(network, double)
    tf.keras.config.set_dtype_policy("float32")
    assert all(weight.dtype == "float64" for weight in free.weights)
    return free


def ask(folder):
    pictures = lab_pictures.pictures()
    answers = {}
    for directory in sorted((folder / "built").glob("*/1")):
        signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
        of_model = answers.setdefault(directory.parent.name, {})
        for name in PICTURES:
            output = signature(input_1=tf.constant(pictures[name][None].astype(np.float32)))["predictions"]
            of_model[name] = [float(value) for value in output.numpy()[0]]
    (folder / "ours.json").write_text(json.dumps({"tensorflow": tf.__version__, "answers": answers}))


def main():
    what, tag, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    make(tag, folder) if what == "make" else ask(folder)


main()
