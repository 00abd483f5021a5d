"""The pictures that the lab and its references ask about, decoded by TensorFlow as the lab decodes them."""

import pathlib

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
