"""Compares what Keras, TensorFlow 2.5.3 and canary-lab answer with the same weights: pretrained_compare.py CANARY_LAB FOLDER

What Keras answers in double precision is taken for true. Two things are judged, as docs/inference.md explains:

* the logits' errors, as their root mean square over the classes, may not be larger than MARGIN times those of Keras itself
  in single precision (of the TensorFlow that is further off);
* no probability may be further off than the larger of 1e-5 and DEVIATIONS standard deviations of what errors of Keras' own
  size make of it.
"""

import json
import pathlib
import sys

from compared import FLOOR, ask, difference, logit_errors, spread_of_error, top

# Errors over a thousand classes give their spread to a few per cent; the rest is for processors with shorter vectors.
MARGIN = 1.25
# One error in two million is larger; 24 times a thousand probabilities are compared.
DEVIATIONS = 5


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    keras = [json.loads((folder / f"keras.{tag}.json").read_text()) for tag in ("tf25", "tfnew")]
    served = json.loads((folder / "ours.json").read_text())
    failed = False
    print(f"Keras of TensorFlow {keras[0]['tensorflow']} and {keras[1]['tensorflow']}; largest differences of probabilities from "
          "those in double precision")
    models = sorted((folder / "built").glob("*/1"))
    assert len(models) == 8, "two networks, two Keras, two ways of saving"
    for directory in models:
        name = directory.parent.name
        network = name.split(".")[0]
        for picture in sorted(keras[0]["answers"][network]):
            exact = keras[1]["exact"][network][picture]
            answers = [one["answers"][network][picture] for one in keras]
            compared = [served["answers"][name][picture], ask(program, directory, folder / f"{picture}.png")]
            keras_logits = max(logit_errors(answer, exact) for answer in answers)
            logits = [logit_errors(answer, exact) / keras_logits for answer in compared]
            keras_off = max(difference(answer, exact) for answer in answers)
            off = [difference(answer, exact) for answer in compared]
            allowed = max(FLOOR, DEVIATIONS * spread_of_error(exact, keras_logits))
            best = exact[top(exact)[0]]
            good = max(logits) <= MARGIN and max(off) <= allowed and best < 0.99
            failed |= not good
            print(f"{'ok  ' if good else 'FAIL'} {name:33} {picture:8} logits: Keras itself {keras_logits:.1e}, in times of it "
                  f"our SavedModel in 2.5.3 {logits[0]:.2f}, our inference {logits[1]:.2f}; probabilities: {keras_off:.1e}, "
                  f"{off[0]:.1e}, {off[1]:.1e}, allowed {allowed:.1e}, likeliest {best:.3f}")
    sys.exit(failed)


main()
