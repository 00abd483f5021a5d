"""Compares what Keras, TensorFlow 2.5.3 and canary-lab answer with the same weights: pretrained_compare.py CANARY_LAB FOLDER

Any two may differ by the larger of 1e-5 and three times the difference between Keras's answers in the two TensorFlows.
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
    print(f"Keras of TensorFlow {keras[0]['tensorflow']} and {keras[1]['tensorflow']}; largest differences of probabilities")
    models = sorted((folder / "built").glob("*/1"))
    assert len(models) == 8, "two networks, two Keras, two ways of saving"
    for directory in models:
        name = directory.parent.name
        network = name.split(".")[0]
        for picture in sorted(keras[0]["answers"][network]):
            expected = [one["answers"][network][picture] for one in keras]
            between = difference(*expected)
            tolerance = max(FLOOR, 3 * between)
            by_tensorflow = max(difference(served["answers"][name][picture], one) for one in expected)
            ours = ask(program, directory, folder / f"{picture}.png")
            by_us = max(difference(ours, one) for one in expected)
            best = expected[0][top(expected[0])[0]]
            good = max(by_tensorflow, by_us) <= tolerance and best < 0.99
            failed |= not good
            print(f"{'ok  ' if good else 'FAIL'} {name:33} {picture:8} between them {between:.1e}, our SavedModel in 2.5.3 "
                  f"{by_tensorflow:.1e}, our inference {by_us:.1e}, allowed {tolerance:.1e}, likeliest {best:.3f}")
    sys.exit(failed)


main()
