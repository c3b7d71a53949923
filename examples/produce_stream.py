"""Send rows as an Arrow IPC stream, a few at a time, as a camera or a form that is filled in would.

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
    pixels, labels = map(read_idx, find_pairs(folder)[0])
    table = pa.table({"pixels": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels), "label": labels})
    with pa.ipc.new_stream(out, table.schema) as writer:  # at its end it writes the end-of-stream marker
        for batch in table.to_batches(rows):
            writer.write_batch(batch)
            out.flush()
            time.sleep(pause)


def main() -> None:
    parser = Parser(description="Send the training rows of four IDX files as an Arrow IPC stream.")
    parser.add_argument("folder", type=Path, help="with the four files")
    parser.add_argument("--rows", type=int, default=500, help="of a record batch")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds after each")
    parser.add_argument("--port", type=int, help="send to the first who connects: --data tcp://localhost:PORT")
    args = parser.parse_args()
    if args.rows < 1 or args.pause < 0:
        parser.error("--rows must be 1 or more, and --pause 0 or more")
    if args.port is None:
        send(sys.stdout.buffer, args.folder, args.rows, args.pause)
    else:
        with socket.create_server(("localhost", args.port)) as port, port.accept()[0] as to, to.makefile("wb") as out:
            send(out, args.folder, args.rows, args.pause)


if __name__ == "__main__":
    command(main)
