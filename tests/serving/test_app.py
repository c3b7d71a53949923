"""The server: what it answers, what it refuses, and that it outlives both."""

import asyncio
import base64
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tomllib
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from starlette.requests import Request

from ddmlp.cli import serve
from ddmlp.config import TrainConfig
from ddmlp.data.convert import find_pairs
from ddmlp.data.idx import read_idx
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import RequestError
from ddmlp.files import write_whole
from ddmlp.inference.images import read_image
from ddmlp.inference.model import load_model
from ddmlp.inference.recogniser import Recogniser
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.run import Origin, Run
from ddmlp.serving import uploads
from ddmlp.serving.app import AT_ONCE, PAGES, WAITING
from ddmlp.serving.models import Newest
from ddmlp.serving.security import POLICY
from tests.support.helpers import inside
from tests.support.servers import JSON, PNG, Server, png, serving

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[Server]:
    with serving("--model", trained) as found:
        yield found


@pytest.fixture(scope="module")
def digits(sample: Path) -> np.ndarray:
    """Real digits of the test set, (40, 28, 28)."""
    return read_idx(find_pairs(sample)[1].images)[:40]


@pytest.fixture(scope="module")
def recognise(trained: Path) -> Recogniser:
    return Recogniser(load_model(trained))


def test_simple(server, digits, trained):
    found = server.predict(digits[0].tolist())
    assert found.status == 200
    answer = found.json
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert answer["class"] == int(np.argmax(answer["probabilities"]))
    model = load_model(trained)
    assert answer["model"] == {
        "step": None, "weights_sha256": model.weights.sha256(), "image_shape": [28, 28], "classes": 10
    }  # fmt: skip


def test_an_array_is_taken_as_it_is(server, digits, recognise):
    for digit in digits[:5]:
        assert server.predict(digit.tolist()).json["probabilities"] == recognise(digit[None])[0].tolist()


def test_a_batch_is_answered_in_its_order(server, digits, recognise):
    found = server.predict(digits.tolist()).json["predictions"]
    assert [each["probabilities"] for each in found] == recognise(digits).tolist()
    assert server.predict(digits[:1].tolist()).json.keys() == {"predictions", "model"}


@pytest.mark.parametrize("kind", ["png", "base64", "mixed"])
def test_a_picture_is_fitted_as_predict_does_it(server, digits, tmp_path, kind):
    sheet = np.full((300, 400), 255, np.uint8)
    sheet[40:264, 130:354] = 255 - digits[1].repeat(8, 0).repeat(8, 1)
    file = png(sheet)
    (tmp_path / "sheet.png").write_bytes(file)
    seen = read_image(tmp_path / "sheet.png", (28, 28)).tolist()
    text = base64.b64encode(file).decode()
    if kind == "mixed":
        found = server.predict([seen, text], path="/predict?seen=true").json["predictions"]
        assert found[0] == found[1]
        assert found[0]["seen"] == seen
        return
    body, type_ = (file, PNG) if kind == "png" else (text, JSON)
    found = server.predict(body, type_, "/predict?seen=true").json
    assert found["seen"] == seen
    assert found["probabilities"] == server.predict(seen).json["probabilities"]
    assert "seen" not in server.predict(body, type_).json


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, *others: bytes) -> bytes:
    """A small PNG file that claims to be so large, with `others` among its chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000_000)))
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(*chunks[0]), *others, chunk(*chunks[1]), chunk(b"IEND", b"")])


ROW = [0] * 28
FINE = [ROW] * 28
HOSTILE = {
    "nothing": (b"", JSON, 400, "the body is no JSON: "),
    "no picture": (b"", PNG, 422, "the picture is no image, expected PNG, JPEG, GIF, BMP"),
    "text": (b"hello", "text/plain", 415, "the content type is 'text/plain', expected application/json or image/png"),
    "no type": (b"hello", "", 415, "there is no content type, expected "),
    "form": (b"a=b", "multipart/form-data; boundary=x", 415, "the content type is 'multipart/form-data', "),
    "text as a picture": (b"hello", PNG, 422, "the picture is no image"),
    "tiff": (b"II*\0" + bytes(100), PNG, 422, "the picture is no image"),
    "cut JSON": (b"[[1,", JSON, 400, "the body is no JSON: "),
    "not UTF-8": (b"\xff\xfe\xfd", JSON, 400, "the body is no JSON: "),
    "deep": (b"[" * 1_000_000, JSON, 400, "the body is no JSON: "),
    "long number": (b"1" * 10_000, JSON, 400, "the body is no JSON: "),
    "a number": (7, JSON, 422, "the body is a int; expected one image or a list of images"),
    "an object": ({"image": FINE}, JSON, 422, "the body is a dict; "),
    "null": (None, JSON, 422, "the body is a NoneType; "),
    "no images": ([], JSON, 422, "the body has 0 images, expected 1 to 100"),
    "too many images": ([FINE] * 101, JSON, 422, "the body has 101 images, expected 1 to 100"),
    "a row": (ROW, JSON, 422, "image 0 is of shape ()"),
    "a row less": ([ROW] * 27, JSON, 422, "the image is of shape (27, 28); expected 28 rows of 28 whole numbers"),
    "ragged": ([*FINE[1:], [0]], JSON, 422, "the image has rows that differ in length; expected 28 rows"),
    "empty rows": ([[[]]], JSON, 422, "the image is of shape (1, 1, 0)"),
    "too deep": ([[[[0]]]], JSON, 422, "image 0 is of shape (1, 1, 1)"),
    "fractions": ([[0.5] * 28] * 28, JSON, 422, "the image has values other than whole numbers from 0 to 255"),
    "not a number": ([[float("nan")] * 28] * 28, JSON, 422, "the image has values other than whole numbers"),
    "truth": ([[True] * 28] * 28, JSON, 422, "the image has values other than whole numbers"),
    "nulls": ([[None] * 28] * 28, JSON, 422, "the image has values other than whole numbers"),
    "texts": ([["a"] * 28] * 28, JSON, 422, "the image has values other than whole numbers"),
    "objects": ([[{}] * 28] * 28, JSON, 422, "the image has values other than whole numbers"),
    "too bright": ([*FINE[1:], [256, *ROW[1:]]], JSON, 422, "the image has values other than whole numbers"),
    "too dark": ([*FINE[1:], [-1, *ROW[1:]]], JSON, 422, "the image has values other than whole numbers"),
    "enormous": ([*FINE[1:], [10**300, *ROW[1:]]], JSON, 422, "the image has values other than whole numbers"),
    "second": ([FINE, [ROW]], JSON, 422, "image 1 is of shape (1, 28)"),
    "no base64": ("%%%", JSON, 422, "the image is a text that is not base64: "),
    "base64 of text": ("aGVsbG8=", JSON, 422, "the image is no image, expected PNG"),
    "too large": (bytes(5 * MEGABYTE), PNG, 413, "the body has more than 4,194,304 bytes; send fewer or smaller"),
    "too large JSON": (b" " * 5 * MEGABYTE, JSON, 413, "the body has more than 4,194,304 bytes"),
    "many lists": (b"[" + b"[]," * 1_300_000 + b"[]]", JSON, 422, "the body has 1,300,001 images, expected 1 to 100"),
    "bomb": (bomb(60_000, 60_000), PNG, 422, "the picture is too large, expected 4,000,000 pixels at most"),
    "large": (bomb(3_000, 3_000), PNG, 422, "the picture has 3000 x 3000 pixels, expected 4,000,000 at most"),
    "many bombs": (
        [base64.b64encode(bomb(1_000, 1_000)).decode()] * 100, JSON, 422,
        "image 0 has 1000 x 1000 pixels, expected 160,000 at most",
    ),
    "long": (bomb(4_000_000, 1), PNG, 422, "the picture shows no digit"),
    "text bomb": (
        bomb(28, 28, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 * MEGABYTE)))), PNG, 422, "the picture ",
    ),
    "profile bomb": (
        bomb(28, 28, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 * MEGABYTE)))), PNG, 422, "the picture ",
    ),
    "cut": (png(np.eye(28, dtype=np.uint8) * 255)[:-30], PNG, 422, "the picture cannot be read: "),
    "blank": (png(np.zeros((28, 28), np.uint8)), PNG, 422, "the picture shows no digit: its pixels are all about"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_cannot_be_answered_is_refused(server, what):
    body, kind, status, said = HOSTILE[what]
    found = server.predict(body, kind)
    assert (found.status, found.headers["content-type"]) == (status, "application/json")
    assert found.json.keys() == {"error"}
    assert found.json["error"].startswith(said), found.json
    assert "\n" not in found.json["error"]


def test_after_all_that_it_is_there_and_small(server, digits):
    for body, kind, *_ in HOSTILE.values():
        server.predict(body, kind)
    before = server.memory
    for body, kind, *_ in HOSTILE.values():
        server.predict(body, kind)
    assert server.memory < before + 20 * MEGABYTE
    assert server.memory < 400 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_a_body_without_an_end_is_not_read_to_its_end(server, digits):
    before, sent = server.memory, 0
    with socket.create_connection(server.address, timeout=60) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n")  # fmt: skip
        piece = b"100000\r\n" + bytes(MEGABYTE) + b"\r\n"
        with suppress(OSError):  # which one depends on who is first
            while sent < 1_000:
                client.sendall(piece)
                sent += 1
    assert 64 <= sent < 100
    assert server.memory < before + 50 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def request(receive) -> Request:
    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def test_a_slow_body_is_not_waited_for(monkeypatch):
    async def receive():
        await asyncio.Event().wait()

    monkeypatch.setattr(uploads, "READ_SECONDS", 0.01)
    with pytest.raises(RequestError, match=r"the body did not come within 0\.01 s") as caught:
        asyncio.run(uploads.read_body(request(receive)))
    assert caught.value.status == 408


def test_a_client_that_leaves_is_no_accident(server, digits):
    for sent in (b"POST", b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                 b"Content-Length: 1000\r\n\r\nabc"):  # fmt: skip
        with socket.create_connection(server.address, timeout=60) as client:
            client.sendall(sent)
    assert server.predict(digits[0].tolist()).status == 200


async def at_once(address: tuple[str, int], body: bytes, kind: str, count: int) -> Counter[int]:
    """The statuses of so many requests on connections of their own, all open before the first is sent."""
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    sent = f"{head}Connection: close\r\n\r\n".encode() + body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(sent)
        await writer.drain()
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
        status, (_, said) = int(found.split()[1]), found.split(b"\r\n\r\n", 1)
        assert status == 200 or json.loads(said)["error"]
        return status

    ends = [await asyncio.open_connection(*address) for _ in range(count)]
    return Counter(await asyncio.gather(*(answer(*each) for each in ends)))


def test_a_thousand_requests_at_once(server, digits):
    before = server.memory
    body = json.dumps(digits[0].tolist()).encode()
    found = asyncio.run(at_once(server.address, body, JSON, 1_000))
    assert found.keys() <= {200, 429}
    assert found.total() == 1_000
    assert found[200] >= AT_ONCE + WAITING
    assert server.memory < before + 100 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_many_large_requests_at_once(server, digits):
    before = server.memory
    found = asyncio.run(at_once(server.address, b" " * 4_000_000, JSON, 100))
    assert found == {400: 100}
    assert server.memory < before + 250 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_every_answer_has_the_headers_that_browsers_heed(server):
    for path, status in [("/", 200), ("/pages/page.js", 200), ("/about", 200), ("/nowhere", 404), ("/predict", 405)]:
        found = server.get(path)
        assert found.status == status
        assert found.headers["content-security-policy"] == POLICY
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "server" not in found.headers
    assert "unsafe" not in POLICY
    assert server.get("/predict").json == {"error": "Method Not Allowed"}


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:8000", 200), ("evil.example", 421), ("", 421), ("[", 421)],
)
def test_it_answers_to_its_own_names_only(server, host, status):
    assert server.ask("GET", "/about", Host=host).status == status


def test_on_request_it_answers_to_any_name(trained):
    with serving("--model", trained, "--host", "0.0.0.0") as server:
        assert server.ask("GET", "/about", Host="digits.example").status == 200


def test_the_query_is_checked(server):
    found = server.predict(FINE, path="/predict?seen=perhaps")
    assert found.status == 422
    assert found.json["error"].startswith("query.seen: Input should be a valid boolean")


def test_files_outside_the_pages_are_not_served(server):
    for path in ("/pages/../serve.py", "/pages/..%2fserve.py", "/pages/%2e%2e/serve.py", "/pages//etc/passwd"):
        assert server.get(path).status == 404


def test_a_page_needs_nothing_from_elsewhere(server):
    names, found = ["", "docs"], set()
    while names:
        name = names.pop()
        answer = server.get(f"/{name}")
        assert answer.status == 200, name
        found.add(name)
        text = answer.body.decode()
        assert not re.search(r"(?:src|href|url|from|import|fetch)\W{1,3}(?:\w+:)?//", text), name
        imported = [f"pages/{each}" for each in re.findall(r'from "\./([^"]+)"', text)]
        wanted = re.findall(r'(?:src|href)="([^"#]+)"', text) + imported
        names += [each for each in wanted if each not in {*found, *names, "./"}]
    assert "openapi.json" in found
    unused = {path.name for path in PAGES.iterdir()} - {name.removeprefix("pages/") for name in found}
    assert unused == {"index.html", "docs.html"}


def test_the_pages_are_part_of_the_package():
    about = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    (pattern,) = about["package-data"]["ddmlp.serving"]
    assert {path for path in PAGES.rglob("*") if path.is_file()} == set(PAGES.parent.glob(pattern))


def test_the_schema_says_what_is_so(server, digits):
    schema = server.get("/openapi.json").json
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {"/predict", "/about"}
    predict = schema["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {JSON, PNG}
    statuses = {str(status) for _, _, status, _ in HOSTILE.values()}
    assert statuses <= set(predict["responses"])
    one, many = predict["responses"]["200"]["content"][JSON]["schema"]["oneOf"]
    assert set(one["properties"]) == set(server.predict(digits[0].tolist(), path="/predict?seen=1").json)
    assert set(many["properties"]) == set(server.predict(digits.tolist()).json)
    about = schema["paths"]["/about"]["get"]["responses"]["200"]["content"][JSON]["schema"]
    assert set(about["properties"]) == set(server.get("/about").json)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to(trained, number):
    with ExitStack() as stack, serving("--model", trained, end=number) as server:
        stack.enter_context(socket.create_connection(server.address, timeout=60))  # it holds nothing up
        assert server.get("/about").status == 200


def test_it_ends_when_it_has_hardly_begun(trained):
    with serving("--model", trained):
        pass


def complaint(*flags: object) -> tuple[int, str]:
    done = inside(serve.main, *flags)
    assert done.stdout == ""
    assert re.fullmatch(r"error: .+\n", done.stderr)
    return done.returncode, done.stderr.removeprefix("error: ").strip()


def test_a_port_in_use_is_one_line(trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = complaint("--model", trained, "--port", port)
    assert status == 2
    assert (
        said == f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose others by --host and --port"
    )


def test_bad_flags_are_one_line(trained, tmp_path):
    assert complaint("--model", trained, "--port", 70_000) == (2, "--port is 70000, expected 0 to 65535")
    status, said = complaint("--model", trained, "--host", "no.such.host.invalid")
    assert (status, said.startswith("cannot listen on no.such.host.invalid, port 8000: ")) == (2, True)
    assert complaint("--model", tmp_path / "none.npz")[1].endswith("none.npz cannot be read: No such file or directory")
    assert complaint()[0] == complaint("--model", trained, "--run", trained)[0] == 2


def test_a_missing_package_is_one_line(trained):
    with mock.patch.dict(sys.modules, {"uvicorn": None}):
        status, said = complaint("--model", trained)
    assert status == 2
    assert said.endswith("the package uvicorn, which is not installed; install it with: pip install 'ddmlp[serve]'")


def test_help_waits_for_nothing_heavy():
    heavy = "import sys, ddmlp.serve; sys.exit(any(name in sys.modules for name in ('numpy', 'fastapi', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", heavy]).returncode == 0


class TestNewest:
    """The newest checkpoint of a run."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Run:
        run = Run(tmp_path)
        run.create(Origin(TrainConfig(), tmp_path / "gone", ""))
        return run

    @staticmethod
    def save(run: Run, step: int, seed: int) -> str:
        weights = Weights.draw(Shape(784, 5, 10), seed)
        run.checkpoints.save(Checkpoint(weights, step, {}))
        return weights.sha256()

    def test_before_the_first_there_is_none(self, run):
        newest = Newest(run)
        for _ in range(2):
            with pytest.raises(RequestError, match="has no checkpoint yet") as caught:
                newest()
            assert caught.value.status == 503
        self.save(run, 0, seed=1)
        assert newest().step == 0

    def test_a_newer_one_is_taken_and_the_same_is_not_read_again(self, run):
        newest = Newest(run)
        for step in range(5):
            digest = self.save(run, step, seed=step)
            assert (newest().step, newest().weights_sha256) == (step, digest)
            assert newest() is newest()
        assert newest().about()["image_shape"] == (28, 28)

    def test_images_are_of_the_shape_that_the_data_say(self, run, data):
        self.save(run, 1, seed=1)
        manifest = Manifest.read(data / "train")
        folder = run.origin().data / "train"
        folder.mkdir(parents=True)
        write_whole(
            folder / NAME, json.dumps({**json.loads((data / "train" / NAME).read_text()), "image_shape": [14, 56]})
        )
        assert manifest.image_shape != Newest(run)().model.image_shape == (14, 56)

    def test_a_damaged_one_is_passed_over(self, run):
        newest = Newest(run)
        self.save(run, 1, seed=1)
        self.save(run, 2, seed=2)
        path = run.checkpoints.paths()[0]
        path.write_bytes(path.read_bytes()[:1_000])
        assert newest().step == 1
        assert newest() is newest()

    def test_a_run_that_begins_again_is_followed(self, run):
        newest = Newest(run)
        self.save(run, 7, seed=1)
        assert newest().step == 7
        shutil.rmtree(run.checkpoints.folder)
        with pytest.raises(RequestError):
            newest()
        digest = self.save(run, 7, seed=2)
        assert newest().weights_sha256 == digest

    def test_at_the_end_it_is_the_result(self, trained):
        assert Newest(Run(trained))().model.image_shape == (28, 28)
        result = json.loads((trained / "result.json").read_text())
        assert Newest(Run(trained))().step == result["steps"]
        assert Newest(Run(trained))().weights_sha256 == result["weights_sha256"]


def test_an_answer_does_not_wait_for_an_acknowledgement():
    with serve.listen("127.0.0.1", 0) as door, socket.create_connection(door.getsockname()):
        accepted, _ = door.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
