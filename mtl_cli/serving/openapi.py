"""The addresses of a server in OpenAPI 3.1, with a schema of the rows of each model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mtl_cli import __version__
from mtl_cli.data.feature import Field
from mtl_cli.serving.limits import Limits
from mtl_cli.serving.rows import CSV, JSON, LINES
from mtl_cli.serving.served import Served
from mtl_cli.tasks.answer_columns import ColumnKind
from mtl_cli.tasks.task import Task

TYPES = {"numeric": "number", "boolean": "boolean"}
ERRORS = {
    400: "The body is not JSON", 404: "There is no such model", 408: "The body came too slowly",
    413: "More bytes or rows than a request may have", 415: "The body is of another type",
    422: "A column or value is not what the model reads", 429: "Too many requests wait",
    503: "The server is stopping", 504: "The answer took too long",
}  # fmt: skip
Schema = dict[str, Any]
ANY: Schema = {"type": ["number", "string", "boolean", "null"]}
CELLS: dict[str, Schema] = {
    "number": {"type": ["number", "null"]},
    "probability": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "text": {"type": ["string", "null"]},
}
"""The schema of a cell, by what a kind of column ``holds``."""


def openapi(models: Mapping[str, Served], limits: Limits, token: bool) -> Schema:
    """Return the description of a server.

    Parameters
    ----------
    models : mapping of str to Served
    limits : Limits
    token : bool
        Whether requests need one.
    """
    schemas: Schema = {"Errors": _errors()}
    paths: Schema = {}
    for number, (name, served) in enumerate(models.items(), 1):
        key = name if re.fullmatch(r"[\w.-]+", name, re.ASCII) else f"model{number}"
        schemas |= {f"{key}.row": row_schema(served), f"{key}.answer": answer_schema(served)}
        paths[f"/models/{quote(name)}/predict"] = {"post": _predict(name, key, served, limits)}
    if len(models) == 1:
        paths["/predict"] = dict(next(iter(paths.values())))
    paths |= {
        "/models": {"get": _get("The models and their tasks")},
        "/models/{name}": {"get": _get("A model's fields and tasks") | {"parameters": [_name()]}},
        "/health": {"get": _get("Whether rows are taken; 503 while the server stops")},
        "/health/live": {"get": _get("Whether the process answers")},
        "/metrics": {"get": {"summary": "Metrics for Prometheus", "responses": _ok("text/plain", {"type": "string"})}},
        "/reload": {"post": _get("Load all models again; needs the token")},
    }
    found: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "mtl serve", "version": __version__, "description": "Rows in, predictions out."},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def row_schema(served: Served) -> Schema:
    """Return the JSON Schema of a row that a model takes; other keys are not read."""
    fields = {one.name: _field(one) for one in served.fields}
    required = [one.name for one in served.fields if one.kind != "id"]
    return {"type": "object", "properties": fields, "required": required}


def _field(one: Field) -> Schema:
    if one.kind == "id":
        return {"description": "names the row, and is not a feature"}
    found: Schema = {"type": [TYPES.get(one.kind, "string"), *(["null"] if one.empty else [])]}
    if one.kind == "categorical":
        found["description"] = f"levels: {', '.join(one.levels)}" + ("; another is read as a rare one" * one.others)
        found["type"] = ["string", "number", "boolean", "null"]
    if one.kind == "date":
        found["description"] = f"a date or an instant, such as {one.usual}; in training {one.low} to {one.high}"
    if one.kind == "numeric" and one.low is not None:
        found["description"] = f"in training {one.low:.6g} to {one.high:.6g}"
    if one.longest is not None:
        found["description"] = f"at most {one.longest:,} {'letters' if one.kind == 'sequence' else 'words'}"
    return found | ({"examples": [one.usual]} if one.usual is not None else {})


def answer_schema(served: Served) -> Schema:
    """Return the JSON Schema of a row of a model's answer."""
    found: Schema = {}
    for name, task in served.tasks.items():
        own = {column.name: column.kind for column in task.answer_columns()}
        found |= {column: _column(own[column], task) if column in own else ANY for column in served.columns[name]}
    return {"type": "object", "properties": found}


def _column(kind: ColumnKind, task: Task) -> Schema:
    return {"description": kind.meaning} | (_answered(task) if kind.holds == "answer" else CELLS[kind.holds])


def _answered(task: Task) -> Schema:
    if task.learns == "class" and task.class_labels:
        return {"enum": [*(_plain(label) for label in task.class_labels), None]}
    return CELLS["number"] if task.learns == "number" else ANY


def _plain(label: Any) -> Any:
    return label if isinstance(label, bool | int | float | str) else str(label)


def _predict(name: str, key: str, served: Served, limits: Limits) -> Schema:
    row, answer = {"$ref": f"#/components/schemas/{key}.row"}, {"$ref": f"#/components/schemas/{key}.answer"}
    rows = {"type": "array", "items": row, "maxItems": limits.rows}
    either = {"oneOf": [rows, {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}]}
    done = {
        "type": "object",
        "properties": {
            "model": {"const": name},
            "rows": {"type": "array", "items": answer},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["model", "rows", "notes"],
    }
    errors = {str(status): _answer(text, {"$ref": "#/components/schemas/Errors"}) for status, text in ERRORS.items()}
    text = {"schema": {"type": "string"}}
    return {
        "summary": f"Predict {', '.join(served.tasks)}",
        "parameters": [
            {
                "name": "probabilities", "in": "query",
                "schema": {"enum": ["predicted", "all"], "default": "predicted"},
                "description": "of the predicted class alone, or of every class",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": either, "example": [served.usual_row()]}, LINES: text, CSV: text},
        },
        "responses": {
            "200": {"description": "A row for each row", "content": {JSON: {"schema": done}, CSV: text}},
            **errors,
        },
    }  # fmt: skip


def _errors() -> Schema:
    problem = {"type": "object", "properties": {key: {"type": "string"} for key in ("where", "what", "hint")}}
    return {"type": "object", "properties": {"errors": {"type": "array", "items": problem}}, "required": ["errors"]}


def _answer(text: str, schema: Schema) -> Schema:
    return {"description": text, "content": {JSON: {"schema": schema}}}


def _ok(form: str, schema: Schema) -> Schema:
    return {"200": {"description": "done", "content": {form: {"schema": schema}}}}


def _get(text: str) -> Schema:
    return {"summary": text, "responses": _ok(JSON, {"type": "object"})}


def _name() -> Schema:
    return {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
