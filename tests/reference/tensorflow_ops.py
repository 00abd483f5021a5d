"""Writes models/tensorflow-2.5-ops.txt: every op that this TensorFlow registers, with its attributes.

Run with TensorFlow 2.5.3. One line an op: its name, then the names of its attributes.
"""

import pathlib

import tensorflow as tf
from tensorflow.python import pywrap_tensorflow  # noqa: F401  (loads the kernels and their ops)
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

assert tf.__version__.startswith("2.5."), tf.__version__
ops = op_def_pb2.OpList()
ops.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
lines = [" ".join([op.name, *sorted(attr.name for attr in op.attr)]) for op in sorted(ops.op, key=lambda op: op.name)]
target = pathlib.Path(__file__).resolve().parent.parent.parent / "models" / "tensorflow-2.5-ops.txt"
target.write_text("\n".join(lines) + "\n")
