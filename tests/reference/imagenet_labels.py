"""Writes models/imagenet-labels.txt: the 1000 classes of ImageNet in the order of the networks' outputs.

One line a class: its WordNet synset and its names. Both come from the wheel of the `timm` package (Apache-2.0), which
carries the synsets in class order and the names that WordNet gives them. Usage: python imagenet_labels.py TIMM.whl
(`pip download --no-deps timm` brings one; nothing of it is installed or run).
"""

import pathlib
import sys
import zipfile

TARGET = pathlib.Path(__file__).resolve().parent.parent.parent / "models" / "imagenet-labels.txt"
FOLDER = "timm/data/_info/"


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        synsets = wheel.read(FOLDER + "imagenet_synsets.txt").decode().split()
        lemmas = wheel.read(FOLDER + "imagenet_synset_to_lemma.txt").decode().splitlines()
    names = dict(line.split("\t", 1) for line in lemmas if line)
    assert len(synsets) == len(set(synsets)) == 1000, len(synsets)
    TARGET.write_text("".join(f"{synset} {names[synset].strip()}\n" for synset in synsets))


main()
