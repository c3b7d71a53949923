"""The web application: recognition of digits, pages, and the events of a run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from ddmlp import __version__
from ddmlp.errors import DdmlpError, ImageError, RequestError
from ddmlp.files import shown
from ddmlp.inference.committee import Committee
from ddmlp.inference.images import Fit, Picture
from ddmlp.inference.model import Model
from ddmlp.runs import REPORT, timeline
from ddmlp.runs.run import Run
from ddmlp.serving.events import watch
from ddmlp.serving.explanation import explained
from ddmlp.serving.limits import Admission
from ddmlp.serving.models import Served
from ddmlp.serving.schemas import REQUEST, About, Answer, BatchAnswer, Prediction, errors
from ddmlp.serving.security import REPORT_POLICY, Guard
from ddmlp.serving.trace import read_part
from ddmlp.serving.uploads import body_of, kind_of, read_images

T = TypeVar("T")
DESCRIPTION = (
    "Recognises handwritten digits, drawn or photographed. If a request fails, the answer is a JSON object whose "
    "member error says why."
)
PAGES = Path(__file__).parent / "static"
MAX_REQUESTS, MAX_WAITING = 16, 256  # requests at once, each of up to uploads.MAX_BYTES; waiting requests per client
MAX_WATCHERS = 16  # event streams at once
Seen = Annotated[bool, Query(description="Whether the answer includes the pixels that the network saw.")]
Explained = Annotated[bool, Query(description="Whether the answer includes the hidden units and the pixels that it "
                                  "depends on. Only for one image.")]  # fmt: skip
Fitted = Annotated[Fit, Query(description="When to fit a picture to the look of the training images: only if its look "
                              "differs (auto), never, or always.")]  # fmt: skip


def application(
    served: Served,
    name: str,
    run: Run | None = None,
    hosts: frozenset[str] | None = None,
    over: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    served
        Returns the model that answers.
    name
        Its name on the page.
    run
        The run to show, if any.
    hosts
        The host names that the server answers to; None for all.
    over
        Returns whether the server is shutting down; event streams end then.

    Examples
    --------
    >>> def served():
    ...     raise RequestError(503, "no checkpoint yet")
    >>> application(served, "runs/one").title
    'ddmlp'
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="recogniser")  # a Version is not thread-safe
    requests = Admission(MAX_REQUESTS, MAX_WAITING)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        thread.shutdown(cancel_futures=True)

    async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)

    app = FastAPI(
        title="ddmlp", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.add_middleware(Guard, hosts=hosts)
    for kind in (DdmlpError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refusal)
    _add_pages(app)

    @app.post("/predict", summary="Recognise digits", openapi_extra=REQUEST,
              response_description="the prediction for one image, or for each image of a batch",
              responses=errors(400, 408, 413, 415, 422, 429, 503), response_model_exclude_unset=True)  # fmt: skip
    async def predict(
        request: Request, seen: Seen = False, explain: Explained = False, fit: Fitted = Fit.AUTO
    ) -> Answer | BatchAnswer:
        """Takes one image, or a batch of images."""
        kind = kind_of(request)
        async with body_of(request, requests) as body:
            return await in_thread(recognised, served, kind, body, seen, explain, fit)

    @app.get("/about", summary="Describe the model", dependencies=[Depends(requests.turn)], responses=errors(429),
             response_description="the model; null while the run has no checkpoint")  # fmt: skip
    async def about() -> About:
        """Describes the model that answers, and says whether a run is shown."""
        try:
            model = (await in_thread(served)).info
        except RequestError:
            model = None
        return About(name=shown(name), live=run is not None, model=model)

    if run is not None:
        _add_run(app, run, over)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGES / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGES / "docs.html")

    for path in timeline.FILES:
        app.add_route(f"/pages/{path.name}", _sends(path))
    app.mount("/pages", StaticFiles(directory=PAGES))


def _sends(path: Path) -> Callable[[Request], Awaitable[FileResponse]]:
    """Return what answers with a file."""

    async def send(_request: Request) -> FileResponse:
        return FileResponse(path)

    return send


def _add_run(app: FastAPI, run: Run, over: Callable[[], bool]) -> None:
    watchers, readers = Admission(MAX_WATCHERS), Admission(MAX_REQUESTS, MAX_WAITING)

    @app.get("/events", summary="Follow a run", dependencies=[Depends(watchers.turn)],
             response_class=StreamingResponse, response_description="an endless stream of server-sent events",
             responses={200: {"content": {"text/event-stream": {}}}, **errors(429)})  # fmt: skip
    async def events() -> StreamingResponse:
        """Sends server-sent events. again: discard all earlier events; events: lines of the run's metrics.jsonl;
        state: whether the run has begun, how many seconds ago it last wrote, its result, and how far it is behind its
        stream."""
        return StreamingResponse(watch(run, over), media_type="text/event-stream")

    @app.get("/trace", summary="Follow the trace of a run", dependencies=[Depends(readers.turn)],
             response_description="a part of the trace", responses=errors(404, 429))  # fmt: skip
    async def trace(
        file: Annotated[str, Query(max_length=32)] = "", offset: Annotated[int, Query(ge=0)] = 0
    ) -> Response:
        """Returns the events after an earlier part: at most 256 kB, the newest ones. file, offset: those of the earlier
        part, as it has them; without them, the newest part."""
        found = read_part(run.path, file, offset)
        if found is None:
            raise HTTPException(404, f"{shown(run.path)} has no trace: it is written by a run with a trace")
        return Response(msgspec.json.encode(found), media_type="application/json")

    @app.get("/report", include_in_schema=False)
    async def report() -> FileResponse:
        if not (run.path / REPORT).is_file():
            raise HTTPException(404, f"{shown(run.path)} has no report yet: it is written when the run ends")
        return FileResponse(run.path / REPORT, headers={"Content-Security-Policy": REPORT_POLICY})


def recognised(served: Served, kind: str, body: bytes, seen: bool, explain: bool, fit: Fit) -> Answer | BatchAnswer:
    """Return the answer to a body of this media type. Raises RequestError and ImageError."""
    version = served()
    images, batch = read_images(kind, body, version.model, fit)
    if batch and explain:
        raise RequestError(
            422, f"the body is a list of images ({len(images)}), but only the answer to one image is explained"
        )
    probabilities = version.model.predict_proba(np.stack([image.pixels for image in images]))
    found = [_prediction(version.model, *each, seen) for each in zip(images, probabilities, strict=True)]
    if batch:
        return BatchAnswer(predictions=[Prediction(**each) for each in found], model=version.info)
    if explain:
        found[0]["explanation"] = explained(version.model, images[0].pixels)
    return Answer(**found[0], model=version.info)


def _prediction(
    model: Model | Committee, image: Picture, probabilities: NDArray[np.floating], seen: bool
) -> dict[str, Any]:
    label = int(probabilities.argmax())
    return {
        "class": label,
        **({"name": model.class_names[label]} if model.class_names else {}),
        "probabilities": probabilities.tolist(),
        **({"done": list(image.done)} if image.done else {}),
        **({"seen": image.pixels.tolist()} if seen else {}),
    }


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    """Answer an error as JSON."""
    status, said, headers = 500, str(error), dict[str, str]()
    match error:
        case RequestError():
            status = error.status
        case ImageError():
            status = 422
        case HTTPException():
            status, said, headers = error.status_code, error.detail, dict(error.headers or {})
        case RequestValidationError():
            status, said = 422, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    if status in (429, 503):
        headers["Retry-After"] = "1"
    if status in (408, 413):  # the rest of the body will not be read
        headers["Connection"] = "close"
    return JSONResponse({"error": said}, status, headers)
