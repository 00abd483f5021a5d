"""Compares the answers of two TensorFlows and of canary-lab: models_compare.py CANARY_LAB FOLDER [--write]

FOLDER holds tf25.json, tfnew.json, pictures/*.png and the models. Any pair may differ by the larger of 1e-5 and three
times the difference between the TensorFlows, and the ten most likely classes must be the same.
"""

import json
import pathlib
import sys

from compared import FLOOR, ask, difference, top

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
# The gap between neighbours of the eleven most likely classes that the calibration guarantees for these pictures.
GAP = {"portrait": 1e-3, "small": 1e-3, "tutorial": 1e-3}


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    old, new = (json.loads((folder / f"{name}.json").read_text()) for name in ("tf25", "tfnew"))
    failed = False
    golden = {}
    print(f"TensorFlow {old['tensorflow']} and {new['tensorflow']}; largest difference of probabilities")
    for network, pictures in sorted(new["answers"].items()):
        for picture, expected in pictures.items():
            ours = ask(program, folder / network / "1", folder / "pictures" / f"{picture}.png")
            between = difference(old["answers"][network][picture], expected)
            tolerance = max(FLOOR, 3 * between)
            ours_off = max(difference(ours, expected), difference(ours, old["answers"][network][picture]))
            ranked = [expected[index] for index in top(expected, 11)]
            gap = min(a - b for a, b in zip(ranked, ranked[1:]))
            lists = {tuple(top(scores)) for scores in (ours, expected, old["answers"][network][picture])}
            good = ours_off <= tolerance and len(lists) == 1 and gap >= GAP.get(picture, 0)
            failed |= not good
            print(f"{'ok  ' if good else 'FAIL'} {network:10} {picture:9} between them {between:.1e}, ours {ours_off:.1e}, "
                  f"allowed {tolerance:.1e}, gap {gap:.1e}, top-10 {top(expected)}")
            golden.setdefault(network, {})[picture] = {
                "top_10": top(expected),
                "tolerance": tolerance,
                "probabilities": [round(value, 9) for value in expected],
            }
    for picture in GAP:
        both = [golden[network][picture]["top_10"] for network in ("resnet50", "resnet101") if picture in golden[network]]
        if both and len(set(both[0]) & set(both[1])) > 5:
            print(f"FAIL the networks answer alike for {picture}")
            failed = True
    if "--write" in sys.argv[3:] and not failed:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"tensorflow": [old["tensorflow"], new["tensorflow"]], "answers": golden})
        # One answer a line, so that a change shows which.
        text = text.replace(', "tolerance"', ',\n"tolerance"').replace('"top_10"', '\n"top_10"')
        (GOLDEN / "golden.json").write_text(text + "\n")
    sys.exit(failed)


main()
