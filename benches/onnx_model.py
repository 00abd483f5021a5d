#!/usr/bin/env python3
"""The ResNets of the lab as ONNX models, so that ONNX Runtime can be timed on the same weights.

    PYTHON_WITH_TENSORFLOW benches/onnx_model.py freeze DIR FROZEN.npz
    PYTHON_WITH_ONNX benches/onnx_model.py build FROZEN.npz MODEL.onnx

The first step lets TensorFlow load the SavedModel in DIR with its variables; the second writes the same operations as ONNX (opset 17) with channels first, behind one transposition of the input. Batch norms and biases stay
nodes of their own where the SavedModel has them: ONNX Runtime folds them itself when it loads the model.
"""

import json
import sys

import numpy as np


def freeze(directory, target):
    import tensorflow as tf

    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        model = tf.compat.v1.saved_model.load(session, ["serve"], directory)
        output = next(iter(model.signature_def["serving_default"].outputs.values())).name.split(":")[0]
        needed = tf.compat.v1.graph_util.extract_sub_graph(session.graph.as_graph_def(), [output])
        reads = [node.name for node in needed.node if node.op == "ReadVariableOp"]
        arrays = dict(zip(reads, session.run([f"{name}:0" for name in reads])))
    nodes = []
    for node in needed.node:
        entry = {"name": node.name, "op": node.op, "inputs": [i.split(":")[0] for i in node.input if i[0] != "^"]}
        for name in ("strides", "ksize"):
            if name in node.attr:
                entry[name] = list(node.attr[name].list.i)[1:3]
        if "padding" in node.attr:
            entry["padding"] = node.attr["padding"].s.decode()
        if "epsilon" in node.attr:
            entry["epsilon"] = node.attr["epsilon"].f
        if node.op == "Const":
            arrays[node.name] = tf.make_ndarray(node.attr["value"].tensor)
        nodes.append(entry)
    np.savez(target, __graph__=np.array(json.dumps({"nodes": nodes, "output": output})), **arrays)


def build(source, target):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = dict(np.load(source))
    graph = json.loads(str(arrays.pop("__graph__")))
    made, initializers, value_info = [], [], []
    alias = {}  # What stands for a tensor of the frozen graph.

    def resolve(name):
        while name in alias:
            name = alias[name]
        return name

    def weight(name, array):
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(op, inputs, name, **attributes):
        made.append(helper.make_node(op, inputs, [name], name=name, **attributes))

    for entry in graph["nodes"]:
        name, op = entry["name"], entry["op"]
        inputs = [resolve(i) for i in entry["inputs"]]
        if op == "Placeholder":
            if name == "input" or not value_info:
                shape = ["batch", "height", "width", 3]
                value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
                node("Transpose", [name], f"{name}/channels_first", perm=[0, 3, 1, 2])
                alias[name] = f"{name}/channels_first"
        elif op in ("Const", "NoOp", "VarHandleOp", "ReadVariableOp"):
            pass
        elif op == "Identity":
            alias[name] = inputs[0]
        elif op == "Conv2D":
            filters = weight(f"{name}/filters", arrays[inputs[1]].transpose(3, 2, 0, 1))
            # Pads and dilations are what ONNX supposes without them, but rten asks for them.
            pads = {"auto_pad": "SAME_UPPER"} if entry["padding"] == "SAME" else {"pads": [0, 0, 0, 0]}
            node("Conv", [inputs[0], filters], name, strides=entry["strides"], dilations=[1, 1], **pads)
        elif op == "BiasAdd":
            array = arrays[inputs[1]]
            convolution = made[-1] if made[-1].op_type == "Conv" and made[-1].output[0] == inputs[0] else None
            if convolution is not None:
                convolution.input.append(weight(f"{name}/bias", array))
                alias[name] = inputs[0]
            else:
                node("Add", [inputs[0], weight(f"{name}/bias", array)], name)
        elif op == "FusedBatchNormV3":
            parts = [weight(f"{name}/{index}", arrays[i]) for index, i in enumerate(inputs[1:])]
            node("BatchNormalization", [inputs[0], *parts], name, epsilon=entry["epsilon"])
        elif op in ("Relu", "AddV2"):
            node({"Relu": "Relu", "AddV2": "Add"}[op], inputs, name)
        elif op == "Pad":
            amounts = arrays[inputs[1]][[0, 3, 1, 2]]
            pads = weight(f"{name}/pads", amounts.T.reshape(-1).astype(np.int64))
            node("Pad", [inputs[0], pads], name)
        elif op == "MaxPool":
            padding = "SAME_UPPER" if entry["padding"] == "SAME" else "VALID"
            node("MaxPool", inputs[:1], name, kernel_shape=entry["ksize"], strides=entry["strides"], auto_pad=padding)
        elif op == "Mean":
            assert sorted(arrays[inputs[1]].tolist()) == [1, 2], "only a mean over height and width"
            node("ReduceMean", inputs[:1], name, axes=[2, 3], keepdims=0)
        elif op == "MatMul":
            node("MatMul", [inputs[0], weight(f"{name}/matrix", arrays[inputs[1]])], name)
        elif op == "Softmax":
            node("Softmax", inputs, name, axis=-1)
        else:
            raise SystemExit(f"{op} of {name} is not translated here")
    output = resolve(graph["output"])
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "classes"])
    model = helper.make_model(
        helper.make_graph(made, "network", value_info, [result], initializers),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 9
    onnx.checker.check_model(model)
    onnx.save(model, target)


def main():
    step, source, target = sys.argv[1:]
    {"freeze": freeze, "build": build}[step](source, target)


if __name__ == "__main__":
    main()
