"""Files that are converted: each is read as it was, with the changed rows, or refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather, parquet

from ddmlp.data.picture import picture_pixels
from ddmlp.data.sources.registry import finite_parts
from tests.fuzz.kind import Kind, Meaning, of_file
from tests.support.source_files import (
    WRITTEN,
    csv_names,
    hugging_face,
    lists,
    picture,
    plain,
    some_rows,
    write_csv,
    write_stream,
)

ROWS = some_rows(12)


def sources(folder: Path) -> Iterator[Kind]:
    """Yield the kinds of files; they are written to and read from the folder."""
    folder.mkdir()
    path = folder / "some.csv"  # the suffix matters for text only

    def rows() -> Meaning:
        with finite_parts(path) as parts, parts.train.open() as source:
            found = [(batch.pixels.tobytes(), batch.labels.tobytes()) for batch in source.batches(10)]
            return source.image_shape, source.rows, found

    def written(*written: object) -> list[bytes]:
        """Return what each of these functions writes to the path that it is given."""
        found = []
        for write in written:
            write(path)  # type: ignore[operator]
            found.append(path.read_bytes())
        return found

    def of_tables(write: object, *tables: pa.Table) -> list[bytes]:
        return written(*((lambda place, table=table: write(table, place)) for table in tables))  # type: ignore[operator]

    tables = plain(ROWS), lists(ROWS), hugging_face(ROWS)
    packed = written(lambda place: feather.write_feather(lists(ROWS), place, compression="zstd"))
    yield Kind("Parquet", of_tables(parquet.write_table, *tables), of_file(path, rows))
    yield Kind("Feather", [*of_tables(feather.write_feather, *tables), *packed], of_file(path, rows))
    yield Kind("Arrow stream in a file", of_tables(write_stream, *tables), of_file(path, rows))
    arrays = []
    for save in (np.savez, np.savez_compressed):
        save(folder / "some.npz", x=ROWS[0], y=ROWS[1])
        arrays.append((folder / "some.npz").read_bytes())
    yield Kind(".npz of rows", arrays, of_file(path, rows), sealed=True)
    lines = written(*(lambda place, names=names: write_csv(place, ROWS, names) for names in (csv_names((4, 4)), None)))
    yield Kind("CSV", lines, of_file(path, rows))

    def image(content: bytes) -> Meaning:
        return picture_pixels(content, "the picture", None).tobytes()

    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    yield Kind("PNG of a row", [picture(pixels)], image, sealed=True)
    yield Kind("pictures of rows", [picture(pixels, form) for form in ("JPEG", "GIF", "BMP", "WEBP")], image)
    WRITTEN["QMNIST"](folder, {"train": ROWS, "test": ROWS})

    def qmnist() -> Meaning:
        with finite_parts(folder) as parts, parts.train.open() as source:
            return [batch.labels.tobytes() for batch in source.batches(source.count_classes())]

    labels = folder / "qmnist-train-labels-idx2-int"
    yield Kind("QMNIST's labels", [labels.read_bytes()], of_file(labels, qmnist))
