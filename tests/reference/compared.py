"""What comparisons of answers share: the order of classes, the difference of two answers, and canary-lab's own answer."""

import json
import math
import subprocess

# What two programs may differ by, in probabilities, where TensorFlows differ by less than a third of it.
FLOOR = 1e-5
# Probabilities from here on are normal numbers in single precision, with all their digits.
SMALLEST = 1e-30


def top(scores, count=10):
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:count]


def difference(one, other):
    assert len(one) == len(other)
    return max(abs(a - b) for a, b in zip(one, other))


def ask(program, model, picture):
    command = [program, "--output", "json", "models", "predict", str(model), str(picture)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["probabilities"]


def logit_errors(answer, exact):
    """The root mean square over the classes of what the logits behind an answer are off, in the mean of all classes.

    Probabilities say it in their logarithms, but for one summand that is common to all classes.
    """
    off = [math.log(one) - math.log(other) for one, other in zip(answer, exact) if min(one, other) > SMALLEST]
    mean = sum(off) / len(off)
    return math.sqrt(sum((one - mean) ** 2 for one in off) / len(off))


def spread_of_error(exact, logits):
    """The largest standard deviation of a probability's error when the logits' errors are independent and this large."""
    squares = sum(one * one for one in exact)
    return logits * max(one * math.sqrt((1 - one) ** 2 + squares - one * one) for one in exact)
