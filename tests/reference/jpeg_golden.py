"""Makes the small JPEG fixtures in tests/data/jpeg and records what TensorFlow decodes them to.

Needs tensorflow and Pillow. Usage: python jpeg_golden.py [FURTHER.jpeg ...]
The further pictures are decoded and recorded by name, but not copied.
"""

import hashlib
import io
import json
import pathlib
import sys

import numpy
import tensorflow as tf
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "data" / "jpeg"
GOLDEN = FOLDER / "golden.json"

# name, size, mode, options of Pillow's encoder
FIXTURES = [
    ("420", (37, 29), "RGB", {"quality": 80, "subsampling": "4:2:0"}),
    ("422", (40, 23), "RGB", {"quality": 60, "subsampling": "4:2:2"}),
    ("444", (33, 31), "RGB", {"quality": 95, "subsampling": "4:4:4"}),
    ("grey", (19, 45), "L", {"quality": 75}),
    ("restart", (64, 48), "RGB", {"quality": 70, "subsampling": "4:2:0", "restart_marker_blocks": 3}),
    ("rough", (24, 24), "RGB", {"quality": 3, "subsampling": "4:2:0"}),
    ("progressive", (24, 24), "RGB", {"quality": 80, "progressive": True}),
]


def picture(width, height, seed):
    """A picture with flat, smooth, sharp and noisy parts."""
    random = numpy.random.RandomState(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    smooth = numpy.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=2)
    sharp = ((x // 5 + y // 7) % 2 * 200)[:, :, None]
    noise = random.randint(0, 80, (height, width, 3))
    return numpy.clip(0.5 * smooth + 0.3 * sharp + noise, 0, 255).astype(numpy.uint8)


def decoded(data):
    """Shape and sha256 of the RGB samples as TensorFlow decodes them."""
    samples = tf.io.decode_jpeg(data, channels=3, fancy_upscaling=False, dct_method="INTEGER_ACCURATE").numpy()
    height, width, _ = samples.shape
    return {"width": width, "height": height, "sha256": hashlib.sha256(samples.tobytes()).hexdigest()}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    golden = {}
    for seed, (name, size, mode, options) in enumerate(FIXTURES):
        file = FOLDER / f"{name}.jpg"
        if not file.exists():
            buffer = io.BytesIO()
            Image.fromarray(picture(*size, seed)).convert(mode).save(buffer, "JPEG", **options)
            file.write_bytes(buffer.getvalue())
        golden[file.name] = decoded(file.read_bytes())
    for further in sys.argv[1:]:
        data = pathlib.Path(further).read_bytes()
        golden[pathlib.Path(further).name] = decoded(data)
    golden = {"tensorflow": tf.__version__, "pictures": golden}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


main()
