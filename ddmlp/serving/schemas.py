"""What /openapi.json says of the routes beyond what FastAPI finds out itself (OpenAPI 3.1)."""

from typing import Any

Schema = dict[str, Any]

API = (
    "Recognises handwritten digits, drawn or photographed. What is wrong is said by the member error of a JSON object."
)
SEEN = "Whether to answer with the pixels that the network saw, too."

ROWS: Schema = {
    "type": "array",
    "description": "rows of pixels, 0 (paper) to 255 (ink), of the shape that the model takes: 28 x 28 for MNIST. They "
    "are taken as they are.",
    "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
}
PICTURE: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "a picture of one digit, dark on light or light on dark. It is scaled and centred as MNIST's digits "
    "were.",
}
IMAGE: Schema = {"oneOf": [ROWS, PICTURE]}
BATCH: Schema = {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": 100, "description": "a batch of images"}
MODEL: Schema = {
    "type": "object",
    "properties": {
        "step": {"type": ["integer", "null"], "description": "how many steps it was trained, where that is known"},
        "weights_sha256": {"type": "string"},
        "image_shape": {"type": "array", "items": {"type": "integer"}, "description": "height and width"},
        "classes": {"type": "integer"},
    },
}
PREDICTION: Schema = {
    "type": "object",
    "properties": {
        "class": {"type": "integer", "description": "the most probable class"},
        "probabilities": {"type": "array", "items": {"type": "number"}, "description": "of each class"},
        "seen": {**ROWS, "description": "the pixels that the network saw, where asked for"},
    },
}
ONE: Schema = {"type": "object", "properties": {**PREDICTION["properties"], "model": MODEL}}
MANY: Schema = {
    "type": "object",
    "properties": {"predictions": {"type": "array", "items": PREDICTION}, "model": MODEL},
}
ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}}


def _json(schema: Schema, description: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _errors(**descriptions: str) -> Schema:
    return {status.removeprefix("e"): _json(ERROR, said) for status, said in descriptions.items()}


BUSY = "too many requests at once"
NONE_YET = "the run has no checkpoint yet"
PREDICT: Schema = {
    "description": "Of one image, or of a batch of them.",
    "responses": {
        "200": _json({"oneOf": [ONE, MANY]}, "the answer: of one image, or of each of a batch"),
        **_errors(
            e400="the body is no JSON, or was cut short",
            e408="the body came too slowly",
            e413="the body is too large",
            e415="the body is of another type",
            e422="the body holds no images, or others than the model takes",
            e429=BUSY,
            e503=NONE_YET,
        ),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [ROWS, PICTURE, BATCH]}},
                "image/png": {"schema": {"type": "string", "format": "binary", "description": PICTURE["description"]}},
            },
        }
    },
}
SERVED: Schema = {
    "responses": {
        "200": _json(
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "live": {"type": "boolean", "description": "whether a run is watched"},
                    "model": {"oneOf": [MODEL, {"type": "null"}]},
                },
            },
            "what is served; model is null while the run has no checkpoint",
        ),
        **_errors(e429=BUSY),
    }
}
EVENTS: Schema = {
    "description": "Server-sent events. again: forget what was told; events: lines of the run's metrics.jsonl; state: "
    "whether it has begun, for how many seconds nothing was written, and its result.",
    "responses": {
        "200": {"description": "the news, without an end", "content": {"text/event-stream": {}}},
        **_errors(e429="too many watch already"),
    },
}
