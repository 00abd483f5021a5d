"""The lab's networks as Keras models, with weights from a seed; works with Keras 2 (TensorFlow 2.5.3) and Keras 3."""

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
# Blocks of each picture size, as src/models/network/architecture.rs has them.
TINY = {"tiny-a": [1, 1, 1], "tiny-b": [1, 1, 2]}


def tiny(network):
    """A very small residual network of the same family, with the layers and names of `keras.applications`."""
    normal = lambda name: layers.BatchNormalization(epsilon=1.001e-5, name=name)
    inputs = tf.keras.Input((224, 224, 3), name="input_1")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = layers.Activation("relu", name="conv1_relu")(
        normal("conv1_bn")(layers.Conv2D(16, 7, strides=4, name="conv1_conv")(x)))
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(layers.ZeroPadding2D(1, name="pool1_pad")(x))
    for stage, (filters, stride, blocks) in enumerate(zip([8, 16, 24], [1, 2, 2], TINY[network])):
        for block in range(blocks):
            name = f"conv{stage + 2}_block{block + 1}"
            step = stride if block == 0 else 1
            shortcut = x
            if block == 0:
                shortcut = normal(f"{name}_0_bn")(
                    layers.Conv2D(4 * filters, 1, strides=step, name=f"{name}_0_conv")(x))
            x = layers.Conv2D(filters, 1, strides=step, name=f"{name}_1_conv")(x)
            x = layers.Activation("relu", name=f"{name}_1_relu")(normal(f"{name}_1_bn")(x))
            x = layers.Conv2D(filters, 3, padding="SAME", name=f"{name}_2_conv")(x)
            x = layers.Activation("relu", name=f"{name}_2_relu")(normal(f"{name}_2_bn")(x))
            x = normal(f"{name}_3_bn")(layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x))
            x = layers.Activation("relu", name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return tf.keras.Model(inputs, layers.Dense(1000, activation="softmax", name="predictions")(x), name=network)


def model(network):
    """The network without weights of its own."""
    if network in TINY:
        return tiny(network)
    applications = {"resnet50": tf.keras.applications.ResNet50, "resnet101": tf.keras.applications.ResNet101}
    return applications[network](weights=None)


def answer(keras, picture):
    """The model's probabilities for raw pixels of any size; Keras itself insists on the declared 224x224."""
    call = tf.function(lambda x: keras(x, training=False), input_signature=[tf.TensorSpec([None, None, None, 3])])
    return call(tf.constant(picture[None].astype(np.float32))).numpy()[0]


def flexible(network, keras):
    """The same layers for pictures of any size: the weights of `keras` on an input of unknown height and width."""
    config = keras.get_config()
    first = config["layers"][0]["config"]
    key = "batch_input_shape" if "batch_input_shape" in first else "batch_shape"
    first[key] = [None, None, None, 3]
    for layer in config["layers"]:
        layer.pop("build_config", None)
    free = type(keras).from_config(config)
    free.set_weights(keras.get_weights())
    return free


def randomise(keras, seed, quantum=None):
    """Seeded weights with random statistics; the classifier is scaled so that no class has everything."""
    random = np.random.RandomState(seed)
    for layer in keras.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.BatchNormalization):
            channels = weights[0].shape[0]
            gain = 0.3 if layer.name.endswith("_3_bn") else 1.0
            weights = [gain * random.uniform(0.7, 1.3, channels), random.uniform(-0.3, 0.3, channels),
                       random.uniform(-0.3, 0.3, channels), random.uniform(0.6, 1.6, channels)]
            if layer.name == "conv1_bn":
                # What the raw pixels make of the first convolution has another size than what follows.
                weights[3] = weights[3] * 2.0 ** 14
        elif weights:
            inputs = np.prod(weights[0].shape[:-1])
            weights = [random.standard_normal(weights[0].shape) * np.sqrt(2.0 / inputs),
                       random.uniform(-0.05, 0.05, weights[1].shape)]
        if quantum:
            weights = [np.round(weight / quantum) * quantum for weight in weights]
        if weights:
            layer.set_weights([weight.astype(np.float32) for weight in weights])
