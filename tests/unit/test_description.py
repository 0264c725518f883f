"""The description of the API: whole, and its examples are what it says they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from deputize.api.describing_routes import ROUTES
from deputize.api.shapes.shape import Told
from tests.support.conforming import description

METHODS = {"get", "post", "delete"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description()["paths"].items():
        for method, told in methods.items():
            yield method, path, told


def test_every_route_is_described_and_nothing_else() -> None:
    ids = [told["operationId"] for _, _, told in operations()]
    assert sorted(ids) == sorted(ROUTES) and {method for method, _, _ in operations()} <= METHODS
    assert description()["openapi"] == "3.1.0"


def test_every_route_says_in_a_short_sentence_what_it_does() -> None:
    for method, path, told in operations():
        summary = told["summary"]
        assert 4 < len(summary) <= 110 and "\n" not in summary and summary[0].isupper(), (
            method,
            path,
            summary,
        )
        assert told["tags"][0] in {tag["name"] for tag in description()["tags"]}
        for parameter in told.get("parameters", ()):
            if parameter["in"] == "query":
                assert parameter.get("description"), (path, parameter["name"])


def test_every_answer_has_an_example_that_fits_its_schema() -> None:
    whole = description()
    for method, path, told in operations():
        for status, answer in told["responses"].items():
            for media, content in answer.get("content", {}).items():
                examples = [one["value"] for one in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                assert examples, (method, path, status)
                for example in examples:
                    fits(whole, content["schema"], example, f"{method} {path} {status} {media}")
        for media, content in told.get("requestBody", {}).get("content", {}).items():
            assert content["examples"], (method, path, media)
            for example in content["examples"].values():
                fits(whole, content["schema"], example["value"], f"{method} {path} {media}")


def fits(whole: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> None:
    found = Draft202012Validator(schema | {"components": whole["components"]})
    errors = [error.message for error in found.iter_errors(value)]
    assert not errors, (where, errors)


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_an_example_has_no_field_that_its_shape_has_not(name: str) -> None:
    told: Told = ROUTES[name]
    for answer in told.answers.values():
        if answer.shape is not None:
            answer.shape.model_validate_json(json.dumps(answer.example))
    if told.body is not None:
        for example in told.body.examples.values():
            assert told.body.shape.model_validate(example)


def test_refusals_say_what_to_do_and_examples_hold_no_token() -> None:
    for method, path, told in operations():
        for status, answer in told["responses"].items():
            if int(status) >= 400:
                (content,) = answer["content"].items()
                assert content[0] == "application/problem+json", (method, path, status)
                assert content[1]["example"]["status"] == int(status)
    assert not re.search(r"dp[to]_[0-9A-Za-z]", json.dumps(description()))
