"""The types of requests and answers: they check requests, and /openapi.json is generated from them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from ddmlp.inference.model import PREDICT_ROWS

MAX_IMAGES = PREDICT_ROWS  # of a batch

Pixel = Annotated[int, Field(strict=True, ge=0, le=255)]
PixelRows = Annotated[
    list[Annotated[list[Pixel], Field(fail_fast=True)]],
    Field(
        fail_fast=True,  # a hostile body could have a million errors
        description="rows of pixels, 0 (paper) to 255 (ink), in the shape that the model takes: 28 x 28 for MNIST. "
        "They are not changed.",
    ),
]
DRAWN = (
    "a picture of one digit, dark on light or light on dark. It is fitted to the look of the model's training images."
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

    step: int | None = Field(description="the number of steps it was trained for, if known")
    weights_sha256: str = Field(description="SHA-256 of its weights; of a committee: of its members' SHA-256, as text")
    image_shape: tuple[int, int] = Field(description="height and width, in pixels")
    classes: int = Field(description="number of classes")
    class_names: list[str] | None = Field(None, description="the names of the classes, if they have names")
    explains: bool = Field(description="whether it explains its answers, if asked to")


class HiddenUnit(BaseModel):
    """A hidden unit that the answer depends on."""

    unit: int = Field(description="its number j")
    activation: float = Field(description="its value y1, 0 to 1")
    contribution: float = Field(description="what it adds to the output of the answer's class k: y1 W2[j, k]")
    weights: list[list[float]] = Field(description="its weights W1[:, j], in the shape of an image")


class Explanation(BaseModel):
    """What an answer depends on. The output of its class, before the softmax, is the sum of all contributions."""

    saliency: list[list[float]] = Field(
        description="the gradient of the output with respect to the pixels, in the shape of the image: how fast it "
        "grows with the ink of a pixel, 0 to 1"
    )
    supporting: list[HiddenUnit] = Field(description="the hidden units that contribute most, the largest first")
    opposing: list[HiddenUnit] = Field(description="those whose contribution is most negative, the lowest first")


class Prediction(BaseModel):
    """The prediction for an image."""

    class_: int = Field(alias="class", description="the most probable class")
    name: str = Field("", description="the name of that class, if classes have names")
    probabilities: list[float] = Field(description="the probability of each class")
    done: list[str] = Field([], description="what was done to a picture before the network saw it, if anything")
    seen: PixelRows = Field([], description="the pixels that the network saw, if asked for")
    explanation: Explanation | None = Field(None, description="what the answer depends on, if asked for")


class Answer(Prediction):
    """The answer to one image."""

    model: ModelInfo


class BatchAnswer(BaseModel):
    """The answer to a batch: predictions in the order of its images."""

    predictions: list[Prediction]
    model: ModelInfo


class About(BaseModel):
    """The model that answers; null while the run has no checkpoint."""

    name: str = Field(description="the name on the page")
    live: bool = Field(description="whether a run is shown")
    model: ModelInfo | None


class Error(BaseModel):
    """An error."""

    error: str = Field(description="what is wrong")


ERRORS = {
    400: "the body is not JSON, or is incomplete",
    404: "it does not exist",
    408: "the body arrived too slowly",
    413: "the body is too large",
    415: "the body has an unsupported media type",
    422: "the body holds no images, images of the wrong shape, or a picture without a single digit; or an answer "
    "that cannot be explained was asked to be",
    429: "too many requests at once",
    503: "the run has no checkpoint yet",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ERRORS with these statuses, as FastAPI takes them."""
    return {status: {"model": Error, "description": ERRORS[status]} for status in statuses}
