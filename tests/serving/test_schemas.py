"""openapi.json agrees with the answers of the server."""

from ddmlp.serving.schemas import BATCH, IMAGE
from tests.support.servers import JSON, PNG


def resolved(schema: dict, found: object) -> object:
    """`found` with its references resolved."""
    if isinstance(found, dict):
        if "$ref" in found:
            return resolved(schema, schema["components"]["schemas"][found["$ref"].rpartition("/")[2]])
        return {name: resolved(schema, each) for name, each in found.items()}
    return [resolved(schema, each) for each in found] if isinstance(found, list) else found


def test_simple(server, digits):
    schema = server.get("/openapi.json").json
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {"/predict", "/about"}
    predict = resolved(schema, schema["paths"]["/predict"]["post"])
    one, many = predict["responses"]["200"]["content"][JSON]["schema"]["anyOf"]
    sometimes = {"name", "done"}  # if the classes have names; if something was done to a picture
    answer = server.predict(digits[0].tolist(), path="/predict?seen=1&explain=1").json
    assert set(one["properties"]) == set(answer) | sometimes
    explanation = one["properties"]["explanation"]["anyOf"][0]["properties"]
    assert set(explanation) == set(answer["explanation"])
    assert set(explanation["supporting"]["items"]["properties"]) == set(answer["explanation"]["supporting"][0])
    assert set(many["properties"]) == set(server.predict(digits.tolist()).json)
    about = resolved(schema, schema["paths"]["/about"]["get"]["responses"]["200"]["content"][JSON]["schema"])
    found = server.get("/about").json
    assert set(about["properties"]) == set(found)
    assert set(about["properties"]["model"]["anyOf"][0]["properties"]) == set(found["model"])


def test_errors(server):
    schema = server.get("/openapi.json").json
    responses = resolved(schema, schema["paths"]["/predict"]["post"]["responses"])
    assert responses.keys() == {"200", "400", "408", "413", "415", "422", "429", "503"}
    for status in responses.keys() - {"200"}:
        assert set(responses[status]["content"][JSON]["schema"]["properties"]) == {"error"}


def test_body(server):
    body = server.get("/openapi.json").json["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {JSON, PNG}
    pixels, picture, batch = body[JSON]["schema"]["anyOf"]
    assert [pixels, picture] == IMAGE.json_schema()["anyOf"] == batch["items"]["anyOf"]
    assert (batch["minItems"], batch["maxItems"]) == (BATCH.json_schema()["minItems"], 100)
    assert pixels["items"]["items"] == {"type": "integer", "minimum": 0, "maximum": 255}
