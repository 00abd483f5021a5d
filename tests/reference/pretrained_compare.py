"""Compares what Keras, TensorFlow 2.5.3 and canary-lab answer with the same weights: pretrained_compare.py CANARY_LAB FOLDER

What Keras answers in double precision is taken for true. From it any answer may be off by the larger of 1e-5 and three times
what Keras itself is off in single precision.
"""

import json
import pathlib
import sys

from compared import FLOOR, ask, difference, top


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
            single = max(difference(one["answers"][network][picture], exact) for one in keras)
            tolerance = max(FLOOR, 3 * single)
            by_tensorflow = difference(served["answers"][name][picture], exact)
            by_us = difference(ask(program, directory, folder / f"{picture}.png"), exact)
            best = exact[top(exact)[0]]
            good = max(by_tensorflow, by_us) <= tolerance and best < 0.99
            failed |= not good
            print(f"{'ok  ' if good else 'FAIL'} {name:33} {picture:8} Keras itself {single:.1e}, our SavedModel in 2.5.3 "
                  f"{by_tensorflow:.1e}, our inference {by_us:.1e}, allowed {tolerance:.1e}, likeliest {best:.3f}")
    sys.exit(failed)


main()
