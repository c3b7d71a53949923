"""Send rows as an Arrow IPC stream, a few at a time, like a camera or a data entry form.

python examples/produce_stream.py mnist | python -m ddmlp.train --data - --run runs/stream
"""

import socket
import sys
import time
from pathlib import Path
from typing import IO

import pyarrow as pa

from ddmlp.cli.terminal import Parser, command
from ddmlp.data.idx import read_idx
from ddmlp.data.sources.idx_pair import find_pairs


def send(out: IO[bytes], folder: Path, rows: int, pause: float) -> None:
    """Send the training rows in `folder` in record batches of `rows`, with a pause in seconds after each."""
    pixels, labels = map(read_idx, find_pairs(folder)[0])
    table = pa.table({"pixels": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels), "label": labels})
    with pa.ipc.new_stream(out, table.schema) as writer:  # writes the end-of-stream marker when it closes
        for batch in table.to_batches(rows):
            writer.write_batch(batch)
            out.flush()
            time.sleep(pause)


def main() -> None:
    parser = Parser(description="Send the training rows of four IDX files as an Arrow IPC stream.")
    parser.add_argument("folder", type=Path, help="folder with the four IDX files")
    parser.add_argument("--rows", type=int, default=500, help="rows per record batch (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds after each batch (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, help="send to the first connection (train with --data tcp://localhost:PORT)"
    )
    args = parser.parse_args()
    if args.rows < 1 or args.pause < 0:
        parser.error(f"--rows is {args.rows} and --pause {args.pause:g}, expected at least 1 and at least 0")
    if args.port is None:
        send(sys.stdout.buffer, args.folder, args.rows, args.pause)
    else:
        with socket.create_server(("localhost", args.port)) as port, port.accept()[0] as to, to.makefile("wb") as out:
            send(out, args.folder, args.rows, args.pause)


if __name__ == "__main__":
    command(main)
