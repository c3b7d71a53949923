"""An S3 server on this machine."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The bucket is made here, because this process is to have nothing of boto3, which keeps connections open.
SERVER = """
import boto3, logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bucket")
print(f"at {host}:{port}", flush=True)
sys.stdin.read()
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key-of-the-test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server with a bucket named `bucket`; yields HOST:PORT."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = next((found[1] for line in process.stdout if (found := re.match(r"at (\S+)", line))), None)
            assert address, "the server has ended"
            yield address
        finally:
            process.kill()
