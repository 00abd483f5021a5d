"""Makes SavedModels as this TensorFlow writes them, with what it answers: savedmodels_make.py FOLDER

FOLDER gets one folder a case: `1/` (the version directory), `request.json` (the body of a predict request in columns),
`answer.json` (what this TensorFlow gives for it), or `refused.json` (what canary-lab must name when it refuses the model).
Weights are seeded. Networks are small: what counts is which ops a TensorFlow writes and what they mean.
"""

import json
import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

keras = tf.keras
layers = keras.layers
KERAS_3 = not hasattr(keras, "__version__") or keras.__version__.startswith("3")
random = np.random.default_rng(20240229)
FOLDER = pathlib.Path(sys.argv[1])
CASES = {}
LARGE = []  # These come last.


def case(function):
    CASES[function.__name__] = function
    return function


def wild(model):
    """Weights as after training: statistics of batch norms are not zeros and ones."""
    values = []
    for weight in model.weights:
        name, shape = getattr(weight, "path", weight.name), tuple(weight.shape)
        if "variance" in name:
            values.append(random.uniform(0.5, 2.0, shape))
        elif len(shape) <= 1:
            values.append(random.normal(1.0 if "gamma" in name or "scale" in name else 0.0, 0.3, shape))
        else:
            values.append(random.normal(0.0, 1.0, shape) * (2.0 / max(1, np.prod(shape[:-1]))) ** 0.5)
    model.set_weights([np.asarray(value, np.float32) for value in values])
    return model


def save_keras(model, directory):
    if KERAS_3:
        model.export(str(directory), verbose=False)
    else:
        model.save(str(directory))


def pictures(batch, *shape):
    return random.uniform(0.0, 1.0, (batch, *shape)).astype(np.float32)


def sequence(shape, *parts):
    return wild(keras.Sequential([keras.Input(shape), *parts]))


def application(name, size=32, scale=1.0, **options):
    def make():
        network = getattr(keras.applications, name)
        model = wild(network(weights=None, input_shape=(size, size, 3), classes=7, **options))
        return model, {"input": pictures(2, size, size, 3) * scale}

    CASES[name.lower()] = make
    LARGE.append(name.lower())


application("ResNet50")
application("ResNet50V2")
application("MobileNet", alpha=0.25)
application("MobileNetV2", alpha=0.35)
application("MobileNetV3Small", alpha=0.75, scale=255.0)
application("EfficientNetB0", scale=255.0)
application("DenseNet121")
application("InceptionV3", size=75)
application("Xception", size=71)


@case
def vgg16():
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(48, 48, 3))
    top = layers.Dense(9, activation="softmax")(layers.Dropout(0.5)(layers.Flatten()(base.output)))
    return wild(keras.Model(base.input, top)), {"input": pictures(2, 48, 48, 3)}


@case
def perceptron():
    model = sequence((6, 5), layers.Flatten(), layers.Dense(16, activation="relu"), layers.BatchNormalization(),
                     layers.Dropout(0.3), layers.Dense(12, activation="tanh"), layers.GaussianNoise(0.1),
                     layers.Dense(4, activation="softmax"))
    return model, {"input": pictures(3, 6, 5) - 0.5}


@case
def two_inputs_two_outputs():
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    joined = layers.Concatenate()([left, right, layers.Multiply()([left, right]), layers.Subtract()([left, right])])
    joined = layers.Maximum()([joined, layers.Dense(32)(joined)])
    outputs = {"a": layers.Dense(3, name="a")(joined), "b": layers.Average(name="b")([left, right])}
    return wild(keras.Model([left, right], outputs)), {"left": pictures(2, 8), "right": pictures(2, 8)}


for activation in ["relu", "relu6", "sigmoid", "tanh", "elu", "selu", "gelu", "swish", "softplus", "softsign", "exponential",
                   "hard_sigmoid", "linear", "softmax", "leaky_relu", "silu", "hard_silu", "log_softmax", "mish"]:
    if not hasattr(keras.activations, activation) and not hasattr(tf.nn, activation):
        continue

    def activate(activation=activation):
        function = getattr(keras.activations, activation, None) or getattr(tf.nn, activation)
        return sequence((7,), layers.Dense(24), layers.Activation(function)), {"input": pictures(4, 7) * 6 - 3}

    CASES[f"activation_{activation}"] = activate


@case
def gelu_approximate():
    def function(x):
        return tf.nn.gelu(x, approximate=True)

    return sequence((7,), layers.Dense(24), layers.Activation(function)), {"input": pictures(4, 7) * 6 - 3}


def picture_layers(name, *make, size=(9, 11), channels=4, scale=1.0):
    def build():
        return sequence((*size, channels), *[part() for part in make]), {"input": pictures(2, *size, channels) * scale}

    CASES[name] = build


picture_layers("leaky_and_parametric", lambda: layers.LeakyReLU(), lambda: layers.PReLU(shared_axes=[1, 2]),
               lambda: layers.ELU(), lambda: layers.ReLU(max_value=0.8, negative_slope=0.1, threshold=0.1))
picture_layers("poolings", lambda: layers.MaxPooling2D(3, 2, "same"), lambda: layers.AveragePooling2D(2, 1, "same"),
               lambda: layers.GlobalMaxPooling2D())
picture_layers("average_everywhere", lambda: layers.AveragePooling2D(3, 2), lambda: layers.GlobalAveragePooling2D())
picture_layers("dilated", lambda: layers.Conv2D(5, 3, dilation_rate=2, padding="same", activation="relu"),
               lambda: layers.Conv2D(3, 3, dilation_rate=(2, 1)))
picture_layers("dilated_depthwise", lambda: layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", depth_multiplier=2))
picture_layers("separable", lambda: layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, activation="relu"),
               lambda: layers.DepthwiseConv2D(3, strides=2, padding="same"))
picture_layers("transposed", lambda: layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
               lambda: layers.Conv2DTranspose(3, 4, strides=3))
picture_layers("crop_and_pad", lambda: layers.ZeroPadding2D(((1, 2), (0, 3))), lambda: layers.Cropping2D(((1, 1), (2, 0))),
               lambda: layers.Permute((3, 1, 2)), lambda: layers.Reshape((-1, 3)))
picture_layers("up_nearest", lambda: layers.UpSampling2D((2, 3)), lambda: layers.Conv2D(3, 3))
picture_layers("up_bilinear", lambda: layers.UpSampling2D(2, interpolation="bilinear"))
picture_layers("layer_norm", lambda: layers.LayerNormalization(), lambda: layers.LayerNormalization(axis=[1, 2, 3]))
picture_layers("batch_norm_alone", lambda: layers.BatchNormalization(), lambda: layers.Conv2D(3, 1, use_bias=False))
picture_layers("softmax_layer", lambda: layers.Conv2D(3, 3, strides=2, activation="softmax"), lambda: layers.Softmax(axis=1))
preprocessing = layers if hasattr(layers, "Rescaling") else layers.experimental.preprocessing
picture_layers("rescaling", lambda: preprocessing.Rescaling(1 / 127.5, offset=-1), lambda: layers.Conv2D(3, 3), scale=255.0)
picture_layers("resizing", lambda: preprocessing.Resizing(6, 7), lambda: layers.Conv2D(3, 3))
picture_layers("resizing_nearest", lambda: preprocessing.Resizing(6, 17, interpolation="nearest"))
picture_layers("center_crop", lambda: preprocessing.CenterCrop(6, 7), lambda: layers.Conv2D(3, 3))
picture_layers("augmentation", lambda: preprocessing.RandomFlip(), lambda: preprocessing.RandomRotation(0.1),
               lambda: layers.Conv2D(3, 3))
if hasattr(layers, "GroupNormalization"):
    picture_layers("group_norm", lambda: layers.GroupNormalization(2))
if hasattr(layers, "UnitNormalization"):
    picture_layers("unit_norm", lambda: layers.UnitNormalization(axis=-1))


@case
def normalization():
    layer = preprocessing.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.2, 0.3, 0.1]) if KERAS_3 else None
    if layer is None:
        layer = preprocessing.Normalization()
        layer.adapt(pictures(20, 4, 4, 3))
    model = keras.Sequential([keras.Input((8, 8, 3)), layer, layers.Conv2D(4, 3, strides=2)])
    return model, {"input": pictures(2, 8, 8, 3)}


@case
def squeeze_and_excite():
    start = keras.Input((8, 8, 6))
    scale = layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(start))
    scale = layers.Conv2D(6, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="swish")(scale))
    return wild(keras.Model(start, layers.Multiply()([start, scale]))), {"input": pictures(2, 8, 8, 6)}


@case
def attention():
    start = keras.Input((5, 8))
    mixed = layers.MultiHeadAttention(2, 4)(start, start)
    return wild(keras.Model(start, layers.LayerNormalization()(layers.Add()([start, mixed])))), {"input": pictures(2, 5, 8)}


# Functions written by hand: (function, inputs).


def module(function, *signature):
    holder = tf.Module()
    holder.serve = tf.function(function, input_signature=[tf.TensorSpec(*entry) for entry in signature])
    return holder


@case
def conditional():
    def serve(x):
        return {"y": tf.cond(tf.reduce_sum(x) > 0.0, lambda: x * 2.0, lambda: x - 1.0)}

    return module(serve, ([None, 3], tf.float32, "x")), {"x": pictures(2, 3) - 0.9}


@case
def loop():
    def serve(x):
        _, y = tf.while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, y * 1.5 + x), [0, x])
        return {"y": y}

    return module(serve, ([None, 3], tf.float32, "x")), {"x": pictures(2, 3)}


@case
def loop_until():
    def serve(x):
        y = tf.while_loop(lambda y: tf.reduce_max(y) < 100.0, lambda y: y * 2.0, [x])
        return {"y": y[0] if isinstance(y, (list, tuple)) else y}

    return module(serve, ([None, 3], tf.float32, "x")), {"x": pictures(2, 3)}


@case
def branches():
    def serve(x, which):
        return {"y": tf.switch_case(which, [lambda: x + 1.0, lambda: x * 3.0, lambda: tf.nn.relu(x - 0.5)])}

    return module(serve, ([None, 3], tf.float32, "x"), ([], tf.int32, "which")), {
        "x": pictures(2, 3), "which": np.int32(1)}


@case
def assertion_that_holds():
    def serve(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 2.0, message="too bright"),
                                      tf.debugging.Assert(tf.shape(x)[0] < 9, ["too many", tf.shape(x)])]):
            return {"y": x * 2.0}

    return module(serve, ([None, 3], tf.float32, "x")), {"x": pictures(2, 3)}


@case
def assertion_that_fails():
    def serve(x):
        with tf.control_dependencies([tf.debugging.Assert(tf.shape(x)[0] < 2, ["too many", tf.shape(x)])]):
            return {"y": x * 2.0}

    return "refused at run time", ["assertion failed: [too many] [2 3]"], module(serve, ([None, 3], tf.float32, "x")), {
        "input": pictures(2, 3)}


@case
def assertion_behind_a_branch():
    def serve(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 0.5, message="too bright")]):
            return {"y": x * 2.0}

    return "refused at run time", ["too bright"], module(serve, ([None, 3], tf.float32, "x")), {"input": pictures(2, 3)}


@case
def shapes_at_run_time():
    def serve(x):
        shape = tf.shape(x)
        flat = tf.reshape(x, [shape[0], -1])
        top = tf.math.top_k(flat, 3)
        return {"flat": flat, "classes": top.indices, "scores": top.values, "best": tf.argmax(flat, -1),
                "hot": tf.one_hot(tf.argmax(flat, -1), 12), "clipped": tf.clip_by_value(flat, 0.2, 0.7),
                "steps": tf.cast(tf.range(shape[0]), tf.float32), "where": tf.where(flat > 0.5, flat, -flat)}

    return module(serve, ([None, 3, 4], tf.float32, "x")), {"x": pictures(2, 3, 4)}


@case
def reductions():
    def serve(x):
        return {"std": tf.math.reduce_std(x, [1, 2]), "sum": tf.reduce_sum(x, -1, keepdims=True),
                "logsumexp": tf.reduce_logsumexp(x, 1), "cumsum": tf.cumsum(x, 1), "norm": tf.norm(x, axis=-1),
                "l2": tf.math.l2_normalize(x, -1), "einsum": tf.einsum("bij,bkj->bik", x, x),
                "moments": tf.nn.moments(x, [1])[1]}

    return module(serve, ([None, 3, 4], tf.float32, "x")), {"x": pictures(2, 3, 4)}


@case
def preprocess_bytes():
    def serve(x):
        image = tf.cast(x, tf.float32)
        image = tf.image.resize(image, [8, 8])
        return {"y": tf.reverse(image, [-1]) - [103.9, 116.8, 123.7]}

    return module(serve, ([None, 12, 10, 3], tf.uint8, "x")), {
        "x": random.integers(0, 256, (2, 12, 10, 3)).astype(np.uint8)}


@case
def labels_from_a_table():
    names = ["ant", "bee", "cat", "dog"]

    def serve(x):
        return {"class": tf.gather(tf.constant(names), tf.argmax(x, -1)), "text": tf.strings.join(["a", "b"], "-")}

    return "refused", ["StringJoin"], module(serve, ([None, 4], tf.float32, "x"))


@case
def decodes_jpeg():
    def serve(data):
        def one(text):
            return tf.image.resize(tf.cast(tf.io.decode_jpeg(text, channels=3), tf.float32), [8, 8])

        return {"y": tf.map_fn(one, data, fn_output_signature=tf.float32)}

    return "refused", ["DecodeJpeg", "TensorListStack"], module(serve, ([None], tf.string, "data"))


@case
def grouped():
    model = sequence((8, 8, 4), layers.Conv2D(6, 3, groups=2))
    return "refused at run time", ["grouped convolution", "Fused conv implementation"], model, {"input": pictures(1, 8, 8, 4)}


# TensorFlow 1.


def write_graph(directory, outputs, inputs, session):
    v1 = tf.compat.v1
    builder = v1.saved_model.builder.SavedModelBuilder(str(directory))
    signature = v1.saved_model.predict_signature_def(inputs, outputs)
    builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
    builder.save()


def tower(v1, x, variable):
    x = v1.nn.conv2d(x, variable("w1", (3, 3, 3, 8)), [1, 2, 2, 1], "SAME")
    x = v1.nn.bias_add(x, variable("b1", (8,)))
    norm = v1.nn.fused_batch_norm(x, variable("g", (8,)), variable("o", (8,)), variable("m", (8,)),
                                  tf.abs(variable("v", (8,))) + 0.5, is_training=False)
    x = v1.nn.max_pool(v1.nn.relu(norm[0]), [1, 2, 2, 1], [1, 2, 2, 1], "VALID")
    x = v1.nn.lrn(x, 2, 1.0, 0.1, 0.5) if variable is None else x
    x = v1.reshape(x, [-1, 8 * 2 * 2])
    x = v1.nn.dropout(x, rate=0.0)
    return v1.nn.softmax(v1.nn.xw_plus_b(x, variable("w2", (32, 5)), variable("b2", (5,))))


def graph_case(name, resources, frozen):
    def write(directory):
        v1 = tf.compat.v1
        with v1.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 8, 8, 3], "x")

            def variable(name, shape):
                value = random.normal(0.0, 0.4, shape).astype(np.float32)
                return v1.get_variable(name, initializer=value, use_resource=resources)

            y = tower(v1, x, variable)
            session.run(v1.global_variables_initializer())
            if frozen:
                graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, [y.op.name])
                with v1.Graph().as_default() as inner, v1.Session() as frozen_session:
                    v1.import_graph_def(graph, name="")
                    inputs = {"x": inner.get_tensor_by_name("x:0")}
                    write_graph(directory, {"y": inner.get_tensor_by_name(y.name)}, inputs, frozen_session)
            else:
                write_graph(directory, {"y": y}, {"x": x}, session)
        return {"x": pictures(3, 8, 8, 3)}

    CASES[name] = lambda: write


graph_case("graph_with_reference_variables", False, False)
graph_case("graph_with_resource_variables", True, False)
graph_case("graph_frozen", False, True)


def answers(directory, inputs):
    model = tf.saved_model.load(str(directory))  # Its variables live as long as it does.
    signature = model.signatures["serving_default"]
    names = list(signature.structured_input_signature[1])
    if list(inputs) == ["input"]:
        inputs = {names[0]: inputs["input"]}
    specs = signature.structured_input_signature[1]
    result = signature(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
    return inputs, {name: value.numpy() for name, value in result.items()}


def listed(array):
    return np.asarray(array).tolist()


def write(name, made):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    directory = folder / "1"
    refused = None
    if callable(made) and not isinstance(made, (keras.Model, tf.Module)):
        inputs = made(directory)
    else:
        kind = made[0] if isinstance(made[0], str) else None
        model, inputs = (made[2], (made + ({},))[3]) if kind else made
        if kind:
            refused = {"when": kind, "named": made[1]}
        if isinstance(model, keras.Model):
            save_keras(model, directory)
        else:
            tf.saved_model.save(model, str(directory), signatures=model.serve)
    if refused:
        (folder / "refused.json").write_text(json.dumps(refused))
        if inputs:
            signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
            name = next(iter(signature.structured_input_signature[1]))
            (folder / "request.json").write_text(json.dumps({"inputs": {name: listed(inputs["input"])}}))
        return
    inputs, outputs = answers(directory, inputs)
    (folder / "request.json").write_text(json.dumps({"inputs": {key: listed(value) for key, value in inputs.items()}}))
    (folder / "answer.json").write_text(json.dumps({key: listed(value) for key, value in outputs.items()}))


def main():
    wanted = sys.argv[2:]
    for name, make in sorted(CASES.items(), key=lambda entry: entry[0] in LARGE):
        if wanted and name not in wanted:
            continue
        tf.keras.utils.set_random_seed(7) if hasattr(tf.keras.utils, "set_random_seed") else tf.random.set_seed(7)
        try:
            write(name, make())
        except Exception as error:  # What a TensorFlow cannot make is not a case for it.
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            print(f"not made: {name}: {type(error).__name__}: {str(error).splitlines()[0][:160]}", flush=True)
    print(f"TensorFlow {tf.__version__}: {len(list(FOLDER.iterdir()))} models")


main()
