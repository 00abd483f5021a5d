"""Keras weight files, and what TensorFlow answers: pretrained_answers.py make|ask TAG FOLDER

`make` saves ResNet50 and ResNet101 with seeded weights as FOLDER/NETWORK.TAG.WAY.h5, both ways of saving, and records in
FOLDER/keras.TAG.json what Keras answers with them. `ask` records in FOLDER/ours.json what this TensorFlow answers with
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
    answers = {}
    for network, seed in SEEDS.items():
        keras = networks.model(network)
        networks.randomise(keras, seed)
        # Keras 3 writes the published layout only for a whole model; its other way counts the layers by class.
        keras.save(str(folder / f"{network}.{tag}.whole.h5"))
        weights = "weights.h5" if tag == "tf25" else "counted.weights.h5"
        keras.save_weights(str(folder / f"{network}.{tag}.{weights}"))
        free = networks.flexible(network, keras)
        answers[network] = {name: [float(v) for v in networks.answer(free, pictures[name])] for name in PICTURES}
        del keras, free
    (folder / f"keras.{tag}.json").write_text(json.dumps({"tensorflow": tf.__version__, "answers": answers}))
    for name in PICTURES:
        (folder / f"{name}.png").write_bytes(tf.io.encode_png(pictures[name]).numpy())


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
