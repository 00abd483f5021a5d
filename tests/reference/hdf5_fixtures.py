"""Makes the small Keras weight files in tests/data/hdf5, and records shapes and sums of what they hold.

Needs TensorFlow with Keras 2 (2.5 to 2.15) or Keras 3, and h5py. Usage: python hdf5_fixtures.py TAG
"""

import json
import pathlib
import sys

import h5py
import numpy
import tensorflow as tf

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "data" / "hdf5"


def small_model():
    """Convolution, batch normalisation, activation without weights, dense: the kinds of layer that matter."""
    tf.keras.utils.set_random_seed(7) if hasattr(tf.keras.utils, "set_random_seed") else tf.random.set_seed(7)
    inputs = tf.keras.Input((None, None, 3), name="pixels")
    x = tf.keras.layers.Conv2D(4, 3, name="first_conv")(inputs)
    x = tf.keras.layers.BatchNormalization(name="first_bn")(x)
    x = tf.keras.layers.Activation("relu", name="first_relu")(x)
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(5, activation="softmax", name="predictions")(x))


def content(group):
    """Every layer with weights: name, and for each weight its name, shape and sum."""
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    layers = []
    for layer in map(text, group.attrs["layer_names"]):
        weights = [(text(name), numpy.asarray(group[layer][text(name)])) for name in group[layer].attrs["weight_names"]]
        if weights:
            layers.append([layer, [[name, list(data.shape), float(data.astype("float64").sum())] for name, data in weights]])
    return layers


def main():
    tag = sys.argv[1]
    FOLDER.mkdir(parents=True, exist_ok=True)
    golden_file = FOLDER / "golden.json"
    golden = json.loads(golden_file.read_text()) if golden_file.exists() else {}
    model = small_model()
    for name, save in {"weights": model.save_weights, "whole": model.save}.items():
        file = FOLDER / f"{name}_{tag}.h5"
        try:
            save(str(file))
        except ValueError as error:
            print(f"skipped {file.name}: {error}")
            continue
        with h5py.File(file) as opened:
            golden[file.name] = content(opened["model_weights"] if "model_weights" in opened else opened)
    golden_file.write_text(json.dumps(golden, indent=1) + "\n")


main()
