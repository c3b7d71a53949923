"""The web application: what recognises digits, the pages, and a run's news."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ddmlp import __version__
from ddmlp.errors import DdmlpError, ImageError, RequestError
from ddmlp.runs.run import Run
from ddmlp.serving import schemas
from ddmlp.serving.events import watch
from ddmlp.serving.limits import Admission
from ddmlp.serving.models import Served
from ddmlp.serving.security import Guard
from ddmlp.serving.uploads import kind_of, read_body, read_images

PAGES = Path(__file__).parent / "static"
AT_ONCE, WAITING = 16, 256  # requests; each of the former may hold upload.MOST_BYTES
WATCHERS = 16


def application(
    served: Served,
    name: str,
    run: Run | None = None,
    hosts: frozenset[str] | None = None,
    over: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """The application.

    served: the model that answers; name: what the page calls it; run: the run that is watched, if one is; hosts: the
    names that the server answers to, None for all; over: whether the server is about to end.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="recogniser")  # a Version is not for two at once
    requests, watchers = Admission(AT_ONCE, WAITING), Admission(WATCHERS)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        thread.shutdown(cancel_futures=True)

    async def aside(work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)

    app = FastAPI(
        title="ddmlp", version=__version__, description=schemas.API, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.add_middleware(Guard, hosts=hosts)
    for kind in (DdmlpError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refusal)

    @app.post("/predict", summary="Recognise digits", dependencies=[Depends(requests.turn)], **schemas.PREDICT)
    async def predict(request: Request, seen: bool = Query(False, description=schemas.SEEN)) -> JSONResponse:
        kind, body = kind_of(request), await read_body(request)
        return JSONResponse(await aside(recognised, served, kind, body, seen))

    @app.get("/about", summary="What is served", dependencies=[Depends(requests.turn)], **schemas.SERVED)
    async def about() -> JSONResponse:
        try:
            model = (await aside(served)).about()
        except RequestError:
            model = None
        return JSONResponse({"name": name, "live": run is not None, "model": model})

    if run is not None:

        @app.get(
            "/events",
            summary="A run's news",
            dependencies=[Depends(watchers.turn)],
            response_class=StreamingResponse,
            **schemas.EVENTS,
        )
        async def events() -> StreamingResponse:
            return StreamingResponse(watch(run, over), media_type="text/event-stream")

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGES / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGES / "docs.html")

    app.mount("/pages", StaticFiles(directory=PAGES))
    return app


def recognised(served: Served, kind: str, body: bytes, seen: bool) -> dict[str, Any]:
    """The answer to a body, as JSON; raises RequestError and ImageError."""
    version = served()
    images, batch = read_images(kind, body, version.model.image_shape)
    probabilities = version.recognise(images)
    answers = [
        {"class": int(each.argmax()), "probabilities": each.tolist(), **({"seen": image.tolist()} if seen else {})}
        for each, image in zip(probabilities, images, strict=True)
    ]
    return {**({"predictions": answers} if batch else answers[0]), "model": version.about()}


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong, as JSON."""
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
    if status in (408, 413):  # more may come, which nobody will read
        headers["Connection"] = "close"
    return JSONResponse({"error": said}, status, headers)
