"""The official Python stubs (tensorflow-serving-api 2.5.1) against the model server, alone and behind the gateway.

    python grpc_stubs.py CANARY_LAB

The SavedModels are written by TensorFlow itself. Ends with `N passed, N failed` and a non-zero exit code where
something failed. Needs TensorFlow 2.5 and the stubs in the Python that runs it (see grpc_stubs.sh).
"""

import base64
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import grpc
import numpy as np
import tensorflow as tf

tf.get_logger().setLevel("ERROR")
from google.protobuf import json_format, text_format
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2,
                                     inference_pb2, model_management_pb2, model_service_pb2_grpc, predict_pb2,
                                     prediction_service_pb2_grpc, regression_pb2)

PATIENCE = 60
TYPES = [tf.float32, tf.float64, tf.float16, tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32,
         tf.uint64, tf.bool, tf.string]


class Score:
    """What held and what did not."""

    passed = failed = 0

    def same(self, what, got, expected):
        if np.all(got == expected):
            self.passed += 1
        else:
            self.failed += 1
            print(f"!! {what}: {got!r} instead of {expected!r}")

    def fails(self, what, call, code, text):
        try:
            got = call()
        except grpc.RpcError as error:
            self.same(what, (error.code(), error.details()), (code, text))
        else:
            self.same(what, got, (code, text))


SCORE = Score()
INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PRECONDITION, UNIMPLEMENTED = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNIMPLEMENTED


def write_models(home):
    """A model with one signature per element type, and half_plus_two with signatures for examples, its second version
    in text form."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = {}
        for dtype in TYPES:
            given = v1.placeholder(dtype, name=f"{dtype.name}_in")
            signatures[dtype.name] = v1.saved_model.predict_signature_def({"x": given}, {"x": tf.identity(given)})
        a, b = v1.placeholder(tf.float32, name="a"), v1.placeholder(tf.float32, name="b")
        signatures["serving_default"] = v1.saved_model.predict_signature_def({"a": a, "b": b}, {"sum": a + b, "a": a * 1})
        builder = v1.saved_model.Builder(str(home / "types/1"))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    for version in (1, 2):
        with tf.Graph().as_default(), v1.Session() as session:
            half, two = tf.Variable(0.5), tf.Variable(2.0 * version)
            examples = v1.placeholder(tf.string, [None], name="tf_example")
            parsed = v1.parse_example(examples, {"x": v1.FixedLenFeature([1], tf.float32)})["x"]
            x = v1.placeholder(tf.float32, name="x")
            score = parsed * half + two
            classes = tf.fill(tf.shape(score), "class")
            signatures = {
                "serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": x * half + two}),
                "classify": v1.saved_model.classification_signature_def(examples, classes, score),
                "regress": v1.saved_model.regression_signature_def(examples, score),
            }
            session.run(v1.global_variables_initializer())
            builder = v1.saved_model.Builder(str(home / f"half/{version}"))
            builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
            builder.save(as_text=version == 2)


def named(request, model, signature="", version=None, label=None):
    spec = request.model_spec
    spec.name, spec.signature_name = model, signature
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return request


def prediction(model, inputs, outputs=(), **choice):
    request = named(predict_pb2.PredictRequest(), model, **choice)
    for name, value in inputs.items():
        tensor = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(tensor)
    request.output_filter.extend(outputs)
    return request


def examples(request, values):
    for value in values:
        feature = request.input.example_list.examples.add().features.feature["x"]
        feature.float_list.value.append(value)
    return request


def values_of(dtype):
    if dtype == tf.string:
        return np.array([[b"a", b"\xff\x00"]], dtype=object)
    if dtype == tf.bool:
        return np.array([[True, False]])
    return np.array([[0, 1], [2, 100]]).astype(dtype.as_numpy_dtype)


def predictions(stub):
    for dtype in TYPES:
        values = values_of(dtype)
        typed = TensorProto(dtype=dtype.as_datatype_enum)
        typed.CopyFrom(tf.make_tensor_proto(values, dtype=dtype))
        answer = stub.Predict(prediction("types", {"x": typed}, signature=dtype.name))
        SCORE.same(f"{dtype.name}: values", tf.make_ndarray(answer.outputs["x"]), values)
        SCORE.same(f"{dtype.name}: no tensor_content", answer.outputs["x"].tensor_content, b"")
        SCORE.same(f"{dtype.name}: signature", answer.model_spec.signature_name, dtype.name)
        SCORE.same(f"{dtype.name}: version", answer.model_spec.version.value, 1)
        if dtype != tf.string:
            content = TensorProto(dtype=dtype.as_datatype_enum, tensor_content=values.tobytes())
            content.tensor_shape.CopyFrom(tf.TensorShape(values.shape).as_proto())
            answer = stub.Predict(prediction("types", {"x": content}, signature=dtype.name))
            SCORE.same(f"{dtype.name}: from content", tf.make_ndarray(answer.outputs["x"]), values)
    one = np.float32([1, 2])
    answer = stub.Predict(prediction("types", {"a": one, "b": one}))
    SCORE.same("all outputs", sorted(answer.outputs), ["a", "sum"])
    SCORE.same("sum", tf.make_ndarray(answer.outputs["sum"]), [2, 4])
    answer = stub.Predict(prediction("types", {"a": one, "b": one}, ["sum"]))
    SCORE.same("one output", sorted(answer.outputs), ["sum"])
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        answer = stub.Predict(prediction("types", {"a": one, "b": one}), compression=compression)
        SCORE.same(f"compressed: {compression}", tf.make_ndarray(answer.outputs["sum"]), [2, 4])
    large = np.arange(6 << 20, dtype=np.float32)
    answer = stub.Predict(prediction("types", {"x": large}, signature="float32"))
    SCORE.same("24 MiB", tf.make_ndarray(answer.outputs["x"]), large)
    answer = stub.Predict(prediction("half", {"x": one}))
    SCORE.same("the latest version", (answer.model_spec.version.value, *answer.outputs["y"].float_val), (2, 4.5, 5.0))
    answer = stub.Predict(prediction("half", {"x": one}, version=1))
    SCORE.same("a version", (answer.model_spec.version.value, *answer.outputs["y"].float_val), (1, 2.5, 3.0))
    answer = stub.Predict(prediction("half", {"x": one}, label="stable"))
    SCORE.same("a label", answer.model_spec.version.value, 1)

    fails = SCORE.fails
    predict = lambda *args, **kwargs: lambda: stub.Predict(prediction(*args, **kwargs))
    fails("no model", lambda: stub.Predict(predict_pb2.PredictRequest()), INVALID, "Missing ModelSpec")
    fails("unknown model", predict("none", {}), MISSING, "Servable not found for request: Latest(none)")
    fails("unknown version", predict("half", {}, version=9), MISSING, "Servable not found for request: Specific(half, 9)")
    fails("unknown label", predict("half", {}, label="new"), INVALID, "Unrecognized servable version label: new")
    fails("unknown signature", predict("half", {}, signature="none"), PRECONDITION,
          'Serving signature key "none" not found.')
    fails("an input too few", predict("types", {"a": one}), INVALID,
          "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}.")
    fails("another input", predict("types", {"a": one, "c": one}), INVALID,
          "input tensor alias not found in signature: c. Inputs expected to be in the set {a,b}.")
    fails("another type", predict("half", {"x": np.uint8([1])}), INVALID,
          "Expects arg[0] to be float but uint8 is provided")
    broken = TensorProto(dtype=1, tensor_content=b"123")
    fails("no tensor", predict("half", {"x": broken}), INVALID, "tensor parsing error: x")
    fails("another output", predict("half", {"x": one}, ["z"]), INVALID,
          "output tensor alias not found in signature: z Outputs expected to be in the set {y}.")
    fails("an output twice", predict("half", {"x": one}, ["y", "y"]), INVALID, "duplicate output tensor alias: y")


def classifications(stub):
    request = examples(named(classification_pb2.ClassificationRequest(), "half", "classify"), [2, 4])
    result = stub.Classify(request).result.classifications
    SCORE.same("classes", [(one.classes[0].label, one.classes[0].score) for one in result], [("class", 5), ("class", 6)])
    request = examples(named(regression_pb2.RegressionRequest(), "half", "regress", version=1), [2, 4])
    SCORE.same("values", [one.value for one in stub.Regress(request).result.regressions], [3, 4])
    context = named(regression_pb2.RegressionRequest(), "half", "regress")
    context.input.example_list_with_context.context.features.feature["x"].float_list.value.append(8)
    context.input.example_list_with_context.examples.add()
    SCORE.same("context", [one.value for one in stub.Regress(context).result.regressions], [8])
    multi = inference_pb2.MultiInferenceRequest()
    for kind in ("classify", "regress"):
        named(multi.tasks.add(method_name=f"tensorflow/serving/{kind}"), "half", kind)
    results = stub.MultiInference(examples(multi, [2])).results
    SCORE.same("several", [results[0].classification_result.classifications[0].classes[0].score,
                           results[1].regression_result.regressions[0].value], [5, 5])
    SCORE.same("several: signatures", [one.model_spec.signature_name for one in results], ["classify", "regress"])

    fails = SCORE.fails
    empty = named(classification_pb2.ClassificationRequest(), "half", "classify")
    fails("no examples", lambda: stub.Classify(empty), INVALID, "Input is empty.")
    fails("no such signature", lambda: stub.Regress(named(regression_pb2.RegressionRequest(), "half", "none")), INVALID,
          "No signature was found with the name: none")
    other = examples(named(regression_pb2.RegressionRequest(), "half", "classify"), [1])
    fails("not a regression", lambda: stub.Regress(other), INVALID, "Expected one output Tensor.")
    fails("no tasks", lambda: stub.MultiInference(inference_pb2.MultiInferenceRequest()), INVALID,
          "ModelSpec has no name specified.")


def models(stub, service, home):
    request = named(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), "half")
    answer = stub.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    SCORE.same("metadata: type", answer.metadata["signature_def"].Unpack(signatures), True)
    SCORE.same("metadata: signatures", sorted(signatures.signature_def), ["classify", "regress", "serving_default"])
    SCORE.same("metadata: version", (answer.model_spec.name, answer.model_spec.version.value), ("half", 2))
    saved = text_format.Parse((home / "half/2/saved_model.pbtxt").read_text(), SavedModel())
    SCORE.same("metadata: as saved", dict(signatures.signature_def), dict(saved.meta_graphs[0].signature_def))
    no_field = named(get_model_metadata_pb2.GetModelMetadataRequest(), "half")
    SCORE.fails("metadata: no field", lambda: stub.GetModelMetadata(no_field), INVALID,
                "GetModelMetadataRequest must specify at least one metadata_field")

    def states(model, **choice):
        answer = service.GetModelStatus(named(get_model_status_pb2.GetModelStatusRequest(), model, **choice))
        status = json_format.MessageToDict(answer, preserving_proto_field_name=True)["model_version_status"]
        return [(one["version"], one["state"]) for one in status]

    SCORE.same("states", states("half"), [("2", "AVAILABLE"), ("1", "AVAILABLE")])
    SCORE.same("a state", states("half", version=1), [("1", "AVAILABLE")])
    SCORE.fails("states: unknown", lambda: states("none"), MISSING, "Could not find any versions of model none")
    SCORE.fails("states: no model", lambda: service.GetModelStatus(get_model_status_pb2.GetModelStatusRequest()),
                INVALID, "Missing ModelSpec")

    reload = model_management_pb2.ReloadConfigRequest()
    SCORE.fails("reload: nothing", lambda: service.HandleReloadConfigRequest(reload), INVALID,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported")
    config = reload.config.model_config_list.config.add(
        name="half", base_path=str(home / "half"), model_platform="tensorflow")
    config.model_version_policy.all.SetInParent()
    config.version_labels["stable"] = 2
    SCORE.same("reload", service.HandleReloadConfigRequest(reload).status.error_code, 0)
    answer = stub.Predict(prediction("half", {"x": np.float32([2])}, label="stable"))
    SCORE.same("reload: the label moved", answer.model_spec.version.value, 2)
    SCORE.fails("reload: a model gone", lambda: stub.Predict(prediction("types", {})), MISSING,
                "Servable not found for request: Latest(types)")
    config.version_labels["stable"] = 7
    SCORE.fails("reload: no such version", lambda: service.HandleReloadConfigRequest(reload), PRECONDITION,
                "Request to assign label to version 7 of model half, which is not currently available for inference")
    health = stub_of_health(service)
    SCORE.fails("no health service", lambda: health(b""), UNIMPLEMENTED, "")


def stub_of_health(service):
    return service.channel.unary_unary("/grpc.health.v1.Health/Check")


def alone(program, home):
    write_models(home)
    config = "".join(
        f"config {{ name: '{name}' base_path: '{home / name}' model_platform: 'tensorflow' {more} }}\n"
        for name, more in [("types", ""), ("half", "model_version_policy { all {} } version_labels { key: 'stable' value: 1 }")])
    (home / "models.config").write_text(f"model_config_list {{ {config} }}")
    server = subprocess.Popen([program, "model-server", "--port=-1", f"--model_config_file={home / 'models.config'}",
                               "--allow_version_labels_for_unavailable_models"], stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if found := re.search(r"Running gRPC ModelServer at 0\.0\.0\.0:(\d+)", line):
                break
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{found[1]}", options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            service = model_service_pb2_grpc.ModelServiceStub(channel)
            service.channel = channel
            predictions(stub)
            classifications(stub)
            models(stub, service, home)
    finally:
        server.kill()
        server.wait()


class Cluster:
    """The lab's API server, as far as it is needed here."""

    def __init__(self, kubeconfig):
        text = pathlib.Path(kubeconfig).read_text()
        field = lambda name: re.search(rf"{name}: *\"?([^\s\"]+)", text)[1]
        self.server, self.token = field("server"), field("token")
        authority = base64.b64decode(field("certificate-authority-data")).decode()
        context = ssl.create_default_context(cadata=authority)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def patch(self, path, patch):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/merge-patch+json"}
        request = urllib.request.Request(self.server + path, json.dumps(patch).encode(), headers, method="PATCH")
        return json.loads(self.opener.open(request).read())


def behind_the_gateway(program, home):
    """The tiny lab, with its Service's gRPC port named so that Istio knows the protocol, and a Gateway that says it."""
    lab = pathlib.Path(__file__).parents[2] / "lab/tiny"
    environment = {**os.environ, "HOME": str(home), "CANARY_LAB_HOME": str(home / "lab")}
    run = lambda *words: subprocess.run([program, "--lab", str(lab), *words], env=environment, check=True, text=True,
                                        stdin=subprocess.DEVNULL, capture_output=True).stdout
    try:
        run("up", "--until", "predict")
        env = dict(re.findall(r"export (\w+)=['\"]?([^'\"\n]*)", run("env")))
        cluster = Cluster(env["KUBECONFIG"])
        mesh = "/apis/networking.istio.io/v1alpha3/namespaces/tf-serving"
        cluster.patch("/api/v1/namespaces/tf-serving/services/image-classifier", {"spec": {"ports": [
            {"name": "grpc", "port": 8500, "protocol": "TCP"}, {"name": "http", "port": 8501, "protocol": "TCP"}]}})
        cluster.patch(f"{mesh}/virtualservices/image-classifier", {"spec": {"http": [
            {"route": [{"destination": {"host": "image-classifier", "port": {"number": 8500}}}]}]}})
        for protocol in ("GRPC", "HTTP2"):
            cluster.patch(f"{mesh}/gateways/image-classifier-gateway", {"spec": {"servers": [
                {"port": {"number": 80, "name": "http", "protocol": protocol}, "hosts": ["*"]}]}})
            with grpc.insecure_channel(f"{env['INGRESS_HOST']}:{env['INGRESS_PORT']}") as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
                answer = patiently(lambda: stub.GetModelMetadata(named(metadata, "image_classifier")))
                SCORE.same(f"{protocol}: metadata", answer.model_spec.version.value, 1)
                signatures = get_model_metadata_pb2.SignatureDefMap()
                answer.metadata["signature_def"].Unpack(signatures)
                (alias,) = signatures.signature_def["serving_default"].inputs
                picture = np.full((1, 24, 24, 3), 128, np.float32)
                answer = stub.Predict(prediction("image_classifier", {alias: picture}))
                (output,) = answer.outputs.values()
                SCORE.same(f"{protocol}: classes", [dim.size for dim in output.tensor_shape.dim][0], 1)
                SCORE.same(f"{protocol}: a distribution", abs(sum(output.float_val) - 1) < 1e-4, True)
                SCORE.fails(f"{protocol}: an error", lambda: stub.Predict(prediction("none", {})), MISSING,
                            "Servable not found for request: Latest(none)")
    finally:
        run("down", "--purge")


def patiently(call):
    """Asks again until routes have arrived."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    for part in (alone, behind_the_gateway):
        home = pathlib.Path(tempfile.mkdtemp(prefix="canary-lab-stubs-"))
        try:
            part(program, home)
        finally:
            shutil.rmtree(home, ignore_errors=True)
    print(f"{SCORE.passed} passed, {SCORE.failed} failed")
    sys.exit(SCORE.failed > 0)


main()
