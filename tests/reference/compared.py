"""What comparisons of answers share: the order of classes, the difference of two answers, and canary-lab's own answer."""

import json
import subprocess

# What two programs may differ by, in probabilities, where TensorFlows differ by less than a third of it.
FLOOR = 1e-5


def top(scores, count=10):
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:count]


def difference(one, other):
    assert len(one) == len(other)
    return max(abs(a - b) for a, b in zip(one, other))


def ask(program, model, picture):
    command = [program, "--output", "json", "models", "predict", str(model), str(picture)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["probabilities"]
