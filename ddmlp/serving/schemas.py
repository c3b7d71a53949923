"""What requests and answers hold: requests are checked by these types, and /openapi.json is made from them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from ddmlp.inference.model import PREDICT_ROWS

MAX_IMAGES = PREDICT_ROWS  # of a batch

Pixel = Annotated[int, Field(strict=True, ge=0, le=255)]
PixelRows = Annotated[
    list[Annotated[list[Pixel], Field(fail_fast=True)]],
    Field(
        fail_fast=True,  # a hostile body could have a million errors
        description="rows of pixels, 0 (paper) to 255 (ink), of the shape that the model takes: 28 x 28 for MNIST. "
        "They are taken as they are.",
    ),
]
DRAWN = (
    "a picture of one digit, dark on light or light on dark. It is fitted to how the images that the model learnt look."
)
Picture = Annotated[str, Field(description=DRAWN, json_schema_extra={"contentEncoding": "base64"})]

Image = PixelRows | Picture
Batch = Annotated[
    list[Image], Field(min_length=1, max_length=MAX_IMAGES, fail_fast=True, description="a batch of images")
]
IMAGE: TypeAdapter[list[list[int]] | str] = TypeAdapter(Image)
BATCH: TypeAdapter[list[list[list[int]] | str]] = TypeAdapter(Batch)
REQUEST = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": TypeAdapter(PixelRows | Picture | Batch).json_schema()},
            "image/png": {"schema": {"type": "string", "format": "binary", "description": DRAWN}},
        },
    }
}


class ModelInfo(BaseModel):
    """The version of the model that answers."""

    step: int | None = Field(description="how many steps it was trained, if that is known")
    weights_sha256: str
    image_shape: tuple[int, int] = Field(description="height and width")
    classes: int
    class_names: list[str] | None = Field(None, description="what they are called, if the model knows")


class Prediction(BaseModel):
    """What an image shows."""

    class_: int = Field(alias="class", description="the most probable class")
    name: str = Field("", description="what that class is called, if the model knows")
    probabilities: list[float] = Field(description="of each class")
    done: list[str] = Field([], description="what was done to a picture before the network saw it, if anything was")
    seen: PixelRows = Field([], description="the pixels that the network saw, if asked for")


class Answer(Prediction):
    """The answer to one image."""

    model: ModelInfo


class BatchAnswer(BaseModel):
    """The answers to a batch, in its order."""

    predictions: list[Prediction]
    model: ModelInfo


class About(BaseModel):
    """What is served; model is null while the run has no checkpoint."""

    name: str
    live: bool = Field(description="whether a run is watched")
    model: ModelInfo | None


class Error(BaseModel):
    """What is wrong."""

    error: str


ERRORS = {
    400: "the body is not JSON, or was cut short",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is of another type",
    422: "the body holds no images, others than the model takes, or a picture without a single digit",
    429: "too many requests at once",
    503: "the run has no checkpoint yet",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These ERRORS as FastAPI takes them."""
    return {status: {"model": Error, "description": ERRORS[status]} for status in statuses}
