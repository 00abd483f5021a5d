"""Computes models/calibration/NETWORK.yaml for a network's synthetic weights.

Filters do not depend on the calibration, only the statistics of batch normalisation and the classifier do. So the
script takes a SavedModel built with the constants as they are, runs its graph node by node on the lab's pictures,
and replaces each constant by what fits:

- a batch normalisation's variance by the mean square of what it sees, over all pictures, in the order of the graph;
- the classifier's scale so that logits spread as wanted;
- the bias' seed by a search for the one that keeps the eleven most likely classes of every picture farthest apart.

Needs tensorflow. Usage: python calibrate.py NETWORK SAVED_MODEL_DIR [FURTHER_PICTURE.jpeg ...]
Build again afterwards and run it once more: the constants must not change.
"""

import math
import pathlib
import re
import sys

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PORTRAIT = ROOT / "models" / "pictures" / "grace_hopper.jpg"
# Standard deviations of the portrait's logits over the classes, before the bias, that are tried.
SPREADS = (0.7, 0.85, 1.0, 1.15, 1.3)
SEEDS = 200_000
TOP = 11
MASK = (1 << 64) - 1


def decode(path):
    """RGB samples as the lab decodes them."""
    data = pathlib.Path(path).read_bytes()
    return tf.io.decode_jpeg(data, channels=3, fancy_upscaling=False, dct_method="INTEGER_ACCURATE").numpy()


def small(picture):
    """The lab's small picture: means of 16x16 pixels, rounded down, of the middle of the portrait."""
    height, width = picture.shape[0] // 16 * 16, picture.shape[1] // 16 * 16
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    middle = picture[top:top + height, left:left + width].astype(np.int64)
    return (middle.reshape(height // 16, 16, width // 16, 16, 3).sum(axis=(1, 3)) // 256).astype(np.uint8)


def read_constants(path):
    """The constants as (mantissa, exponent) by name, and plain integers."""
    constants = {}
    for line in path.read_text().splitlines():
        pair = re.match(r"\s*([\w-]+): \[(-?\d+), (-?\d+)\]", line)
        single = re.match(r"([\w-]+): (\d+)$", line)
        if pair:
            constants[pair[1]] = (int(pair[2]), int(pair[3]))
        elif single:
            constants[single[1]] = int(single[2])
    return constants


def quantised(value):
    """The nearest mantissa × 2^exponent with a mantissa of 128 to 255."""
    exponent = math.floor(math.log2(value)) - 7
    mantissa = round(value / 2.0 ** exponent)
    return (128, exponent + 1) if mantissa == 256 else (mantissa, exponent)


def deviation_exponent(scale):
    return (scale[1] + 7) // 2


class Network:
    """A SavedModel of ours, run node by node."""

    def __init__(self, directory, built_with):
        self.built_with = built_with
        model = saved_model_pb2.SavedModel()
        model.ParseFromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
        self.graph = model.meta_graphs[0].graph_def
        self.nodes = {node.name: node for node in self.graph.node}
        self.checkpoint = tf.train.load_checkpoint(str(pathlib.Path(directory) / "variables" / "variables"))

    def weight(self, tensor):
        return self.checkpoint.get_tensor(self.nodes[tensor].input[0])

    def features(self, pictures, constants, calibrate=False):
        """Runs up to the classifier with other constants; when calibrating, computes them on the way."""
        values = {"serving_default_input_1": [tf.constant(p[None].astype(np.float32)) for p in pictures]}
        # The graph is in order, and the last use of each value is known, so that memory stays small.
        last = {name: node.name for node in self.graph.node for name in node.input}
        for node in self.graph.node:
            inputs = [values.get(name) for name in node.input]
            scope = node.name.split("/")[1] if "/" in node.name else ""
            if node.op == "Conv2D":
                kernel, stride = tf.constant(self.weight(node.input[1])), list(node.attr["strides"].list.i)
                padding = node.attr["padding"].s.decode()
                result = [tf.nn.conv2d(x, kernel, stride, padding) for x in inputs[0]]
            elif node.op == "BiasAdd" and scope != "predictions":
                result = [x + self.weight(node.input[1]) for x in inputs[0]]
            elif node.op == "FusedBatchNormV3":
                gamma, beta, mean, variance = (self.weight(name).astype(np.float64) for name in node.input[1:])
                if calibrate:
                    squares = [np.mean(np.square(x.numpy(), dtype=np.float64)) for x in inputs[0]]
                    constants[scope] = quantised(np.mean(squares))
                old, new = self.built_with[scope], constants[scope]
                mean *= 2.0 ** (deviation_exponent(new) - deviation_exponent(old))
                variance *= new[0] / old[0] * 2.0 ** (new[1] - old[1])
                factor = gamma / np.sqrt(variance + 1.001e-5)
                result = [tf.cast(x * factor.astype(np.float32) + (beta - mean * factor).astype(np.float32), tf.float32)
                          for x in inputs[0]]
                if calibrate:
                    moments = " ".join(f"{x.numpy().std():.2f}" for x in result)
                    print(f"{scope:24} {new[0]:4} × 2^{new[1]:<4} deviations {moments}")
            elif node.op == "Relu":
                result = [tf.nn.relu(x) for x in inputs[0]]
            elif node.op == "AddV2":
                result = [x + y for x, y in zip(*inputs)]
            elif node.op == "Pad":
                amounts = tf.make_ndarray(self.nodes[node.input[1]].attr["value"].tensor)
                result = [tf.pad(x, amounts) for x in inputs[0]]
            elif node.op == "MaxPool":
                result = [tf.nn.max_pool2d(x, 3, 2, "VALID") for x in inputs[0]]
            elif node.op == "Mean":
                return np.concatenate([x.numpy().mean(axis=(1, 2), dtype=np.float64) for x in inputs[0]])
            else:
                continue
            values[node.name] = result
            for name in node.input:
                if last[name] == node.name:
                    values.pop(name, None)
        raise ValueError("the graph has no Mean")


def mixed(z):
    z = ((z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    z = ((z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return z ^ (z >> np.uint64(31))


def biases(seeds, classes):
    """The classifier's bias for each seed: as src/models/synthetic/values.rs makes it."""
    counters = (np.arange(1, classes + 1, dtype=object) * 0x9E3779B97F4A7C15 & MASK).astype(np.uint64)
    hashes = mixed(seeds[:, None].astype(np.uint64) + counters[None, :])
    low, high = hashes & np.uint64(255), (hashes >> np.uint64(8)) & np.uint64(255)
    likely = (hashes >> np.uint64(60)) == 0
    return ((low + high).astype(np.int64) - 255 + 2048 * likely) / 512.0


def smallest_gaps(logits, bias):
    """The smallest difference between neighbours of the eleven most likely classes, for each row of bias."""
    smallest = np.full(len(bias), np.inf)
    for row in logits:
        z = row[None, :] + bias
        e = np.exp(z - z.max(axis=1, keepdims=True))
        total = e.sum(axis=1)
        top = -np.sort(-np.partition(e, -TOP, axis=1)[:, -TOP:], axis=1) / total[:, None]
        smallest = np.minimum(smallest, (top[:, :-1] - top[:, 1:]).min(axis=1))
    return smallest


def main():
    name, directory, *further = sys.argv[1:]
    path = ROOT / "models" / "calibration" / f"{name}.yaml"
    constants = read_constants(path)
    old_scale = constants["classifier"]
    portrait = decode(PORTRAIT)
    shown = [portrait, small(portrait)] + [decode(file) for file in further]
    at_224 = tf.image.resize(portrait, (224, 224)).numpy()
    # Pictures that show whether the answer depends on the picture at all.
    other = [portrait[::-1], 255 - portrait, np.random.RandomState(0).randint(0, 256, (224, 224, 3))]

    network = Network(directory, dict(constants))
    network.features(shown[:2] + [at_224], constants, calibrate=True)
    features = np.concatenate([network.features([picture], constants) for picture in shown + other])
    kernel = network.checkpoint.get_tensor("predictions/kernel").astype(np.float64)
    kernel /= old_scale[0] * 2.0 ** old_scale[1]
    raw = features @ kernel
    best = (-1.0,)
    for spread in SPREADS:
        scale = quantised(spread / raw[0].std())
        judged = raw[:len(shown)] * (scale[0] * 2.0 ** scale[1])
        for start in range(1, SEEDS, 1000):
            seeds = np.arange(start, start + 1000)
            gaps = smallest_gaps(judged, biases(seeds, raw.shape[1]))
            index = int(gaps.argmax())
            best = max(best, (float(gaps[index]), scale, int(seeds[index])))
        print(f"spread {spread}: best so far {best}")
    gap, scale, seed = best
    logits = raw * (scale[0] * 2.0 ** scale[1])
    print("spread of logits", logits.std(axis=1).round(2))
    print("correlation of pictures\n", np.corrcoef(logits).round(3))
    print(f"bias seed {seed}: neighbours are at least {gap:.6f} apart")
    judged = logits[:len(shown)]
    for row in judged:
        z = row + biases(np.array([seed]), logits.shape[1])[0]
        p = np.exp(z - z.max())
        p /= p.sum()
        print(np.argsort(-p)[:TOP], np.sort(p)[::-1][:TOP].round(4))

    lines = [
        "# Constants for synthetic weights, computed by tests/reference/calibrate.py: [mantissa, exponent of two].",
        f"branch_gain: {constants['branch_gain']}",
        f"classifier: [{scale[0]}, {scale[1]}]",
        f"bias_seed: {seed}",
        "variances:",
    ]
    norms = [key for key in constants if key.endswith("_bn")]
    lines += [f"  {key}: [{constants[key][0]}, {constants[key][1]}]" for key in norms]
    path.write_text("\n".join(lines) + "\n")


main()
