"""Small files of images as the hub has them: PNG bytes in a struct, class labels, and the features in the schema's metadata."""

import io

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

LAYOUT = {
    "mnist": ("mnist", "image", ("label",), 10),
    "cifar10": ("plain_text", "img", ("label",), 10),
    "cifar100": ("cifar100", "img", ("fine_label", "coarse_label"), 100),
    "svhn": ("cropped_digits", "image", ("label",), 10),
}


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder, name, counts=None, side=None, spoilt=None, metadata=True, shards=1):
    """Small files as the hub has them: PNG bytes in a struct, class labels, and the features in the schema's metadata."""
    configuration, image, columns, classes = LAYOUT[name]
    pixels, labels = {}, {}
    place = folder / configuration
    place.mkdir(parents=True, exist_ok=True)
    for split, count in (counts or {"train": 2 * classes, "test": classes}).items():
        generator = np.random.default_rng(count)
        shape = (28, 28) if name == "mnist" else (side or 32, side or 32, 3)  # a grey PNG has no axis of channels
        pixels[split] = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
        labels[split] = generator.permutation(np.arange(count) % classes)
        rows = [{"bytes": encoded(each), "path": None} for each in pixels[split]]
        if spoilt is not None:
            rows[spoilt]["bytes"] = b"\x89PNG no picture"
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({image: pa.array(rows, kind)} | {column: pa.array(labels[split]) for column in columns})
        if metadata:
            features = datasets.Features(
                {image: datasets.Image(), **{c: datasets.ClassLabel(names=[str(k) for k in range(classes)]) for c in columns}}
            )
            table = table.cast(features.arrow_schema)
        for shard in range(shards):
            part = table.slice(shard * count // shards, (shard + 1) * count // shards - shard * count // shards)
            pq.write_table(part, place / f"{split}-{shard:05d}-of-{shards:05d}.parquet")
    return pixels, labels
