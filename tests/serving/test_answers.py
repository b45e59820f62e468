"""A server answers what `mtl predict` says, to the last digit, however rows are sent."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mtl_cli.data.files import resolve
from tests import proteins, texts
from tests.conftest import InProcess, houses
from tests.serving.conftest import HOUSE, Serve, Server

WINE = str(resolve("builtin:winequality-red.csv"))


def as_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as a client would send them: numbers as they are, null where a cell is empty."""
    plain = table.astype(object).where(table.notna(), None)
    return [{key: getattr(value, "item", lambda value=value: value)() for key, value in row.items()} for row in
            plain.to_dict("records")]  # fmt: skip


def predicted(mtl: InProcess, run: Path, file: str, *options: str) -> list[dict[str, str]]:
    """Return the rows that `mtl predict` prints."""
    status, out, err = mtl("predict", str(run), file, *options)
    assert status == 0, err
    return list(csv.DictReader(io.StringIO(out)))


def same(row: dict[str, Any], printed: dict[str, str]) -> None:
    """Assert that a row of JSON has the values of a row of CSV, every digit of them."""
    assert list(row) == list(printed)
    for name, value in row.items():
        text = "" if value is None else repr(value) if isinstance(value, float) else str(value)
        assert text == printed[name] or float(text) == float(printed[name]), name


def test_rows_of_every_kind_of_column_with_missing_values(mtl: InProcess, shared: Server, houses_run: Path) -> None:
    table = houses(101, seed=5)
    table.to_csv("new.csv", index=False)
    printed = predicted(mtl, houses_run, "new.csv", "--probabilities", "all")
    labels = ["price", "sold", "kind", "tags"]
    answer = shared.post(as_json(table.drop(columns=labels)), "/models/houses/predict?probabilities=all").json()
    assert len(answer["rows"]) == len(printed) == 101
    for row, line in zip(answer["rows"], printed, strict=True):
        same(row, line)
    # one row at a time, each with its own types
    for number in (0, 1, 11, 13, 100):
        one = table.drop(columns=labels).iloc[number : number + 1]
        if not one["area"].isna().all() and not one["city"].isna().all():
            row = shared.post(as_json(one), "/models/houses/predict?probabilities=all").json()["rows"][0]
            same(row, printed[number])


def test_wine_as_json_csv_and_lines(mtl: InProcess, shared: Server, wine_run: Path) -> None:
    table = pd.read_csv(WINE, sep=";").iloc[:203]
    table.to_csv("new.csv", index=False, sep=";")
    printed = predicted(mtl, wine_run, "new.csv")
    rows = as_json(table)
    path = "/models/wine/predict"
    bodies = {
        "application/json": json.dumps({"rows": rows}).encode(),
        "application/x-ndjson": "\n".join(map(json.dumps, rows)).encode(),
        "text/csv": Path("new.csv").read_bytes(),
        "text/csv; charset=utf-8": Path("new.csv").read_bytes(),
    }
    for form, body in bodies.items():
        answer = shared.post(body, path, headers={"Content-Type": form})
        assert answer.status_code == 200, answer.text
        for row, line in zip(answer.json()["rows"], printed, strict=True):
            same(row, line)
    _, out, _ = mtl("predict", str(wine_run), "new.csv")
    answer = shared.post(bodies["text/csv"], path, headers={"Content-Type": "text/csv", "Accept": "text/csv"})
    assert answer.text == out and answer.headers["content-type"].startswith("text/csv")
    single = [shared.post([row], path).json()["rows"][0] for row in rows[::40]]
    for row, line in zip(single, printed[::40], strict=True):
        same({**row, "row": int(line["row"])}, line)


def test_requests_at_once_are_answered_as_if_each_were_alone(shared: Server) -> None:
    """Different types, levels, errors and numbers of rows in one batch."""
    path = "/models/houses/predict?probabilities=all"
    cases: list[Any] = []
    for number in range(12):
        cases.append([{**HOUSE, "area": 30.25 + number}])
        cases.append([{**HOUSE, "area": 30 + number}])
        cases.append([{**HOUSE, "area": None, "rooms": 1 + number % 5}])
        cases.append([{**HOUSE, "house": f"id{number}"}, {**HOUSE, "house": None, "area": 3.5}])
    cases += [
        [{**HOUSE, "area": "90.5"}], [{**HOUSE, "area": None}], [{**HOUSE, "city": "Atlantis"}],
        [{**HOUSE, "area": "wide"}], [{"area": 1}], [HOUSE] * 7, [{**HOUSE, "area": 1e6}], [{**HOUSE, "rooms": 2**63}],
        [{**HOUSE, "built": "soon"}], [{**HOUSE, "garden": "yes"}], [], [{**HOUSE, "area": 1e308}],
        [{**HOUSE, "garden": 1}], [{**HOUSE, "city": 5}], [{**HOUSE, "built": "3 Feb 2001"}],
    ]  # fmt: skip
    alone = [shared.post(case, path) for case in cases]

    async def together(client: Any) -> list[Any]:
        asks = [client.post(path, json=case) for case in cases]
        return list(await asyncio.gather(*asks))

    before = shared.state.metrics.text().decode()
    for case, one, other in zip(cases, alone, shared.run(together), strict=True):
        assert (one.status_code, one.text) == (other.status_code, other.text), case
    assert {one.status_code for one in alone} == {200, 422}
    after = shared.state.metrics.text().decode()
    batches = [float(text.split('mtl_batch_rows_count{model="houses"} ')[1].split()[0]) for text in (before, after)]
    assert batches[1] - batches[0] < len(cases) / 2, "they were not predicted together"


def test_what_predict_would_tell_is_in_the_answer(shared: Server) -> None:
    answer = shared.post([{**HOUSE, "city": "Atlantis", "area": 100_000}], "/models/houses/predict").json()
    assert any("area above all of training" in note for note in answer["notes"])
    answer = shared.post([{**HOUSE, "area": 1e308}], "/models/houses/predict").json()
    assert answer["rows"][0]["predicted_price"] is None
    assert any("get no prediction" in note for note in answer["notes"])


TRAIN = {
    "proteins.csv": ["dataset.sequence=sequence", "dataset.id=id", "model=sequence_cnn",
                     "tasks={family: multiclass, structure: residue}"],
    "reviews.csv": ["dataset=text", "dataset.text=review", "dataset.id=id", "dataset.features.exclude=[upos,entities]",
                    "model=text_cnn", "tasks={rating: regression, topic: multiclass}"],
}  # fmt: skip


@pytest.mark.parametrize("file", TRAIN)
def test_sequences_and_texts_are_strings(file: str, mtl: InProcess, serve: Serve) -> None:
    if file == "proteins.csv":
        proteins.proteins(50).to_csv(file, index=False)
    else:
        texts.texts(50).to_csv(file, index=False)
    words = [f"dataset.path={file}", *TRAIN[file]]
    words = words if "dataset=text" in words else [f"dataset={file}", *words[1:]]
    assert mtl("train", *words, "trainer.epochs=1", "plots=false", "run_dir=run")[0] == 0
    server = serve({"run": Path("run")})
    table = pd.read_csv(file).iloc[:9]
    printed = predicted(mtl, Path("run"), file)
    answer = server.post(as_json(table))
    assert answer.status_code == 200, answer.text
    for row, line in zip(answer.json()["rows"], printed, strict=False):
        for name, value in row.items():
            assert (
                value == pytest.approx(float(line[name]), abs=1e-4)
                if isinstance(value, float)
                else str(value) == line[name]
            )
    wrong = server.post(
        [
            {
                **as_json(table)[0],
                next(f.name for f in server.state.models.first.fields if f.kind in ("sequence", "text")): 17,
            }
        ]
    )
    assert wrong.status_code in (200, 422)
    page = server.ask("GET", "/").text
    assert page.count("<textarea") == 1


def test_joined_data_sets_are_models_of_their_own(mtl: InProcess, serve: Serve) -> None:
    houses(60).to_csv("houses.csv", index=False)
    pd.read_csv(WINE, sep=";").iloc[:60].to_csv("wines.csv", index=False)
    data = "{homes: {kind: csv, path: houses.csv, id: house}, wines: {kind: csv, path: wines.csv}}"
    tasks = "{price: {kind: regression, dataset: homes}, quality: {kind: regression, dataset: wines}}"
    words = ["dataset=joint", f"dataset.datasets={data}", f"tasks={tasks}", "trainer.epochs=1", "plots=false"]
    status, _, err = mtl("train", *words, "run_dir=run")
    assert status == 0, err
    server = serve({"run": Path("run")})
    assert list(server.state.models.found) == ["run.homes", "run.wines"]
    for name in ("homes", "wines"):
        file = {"homes": "houses.csv", "wines": "wines.csv"}[name]
        printed = predicted(mtl, Path("run"), f"{name}={file}")
        rows = as_json(pd.read_csv(file))
        path, csv_type = f"/models/run.{name}/predict", {"Content-Type": "text/csv"}
        body = Path(file).read_bytes()
        for answer in (server.post(rows, path), server.post(body, path, headers=csv_type)):
            assert answer.status_code == 200, answer.text
            for row, line in zip(answer.json()["rows"], printed, strict=True):
                same(
                    {key: value for key, value in row.items() if key != "dataset"},
                    {k: v for k, v in line.items() if k != "dataset"},
                )

        async def together(client: Any, path: str = path, rows: list[Any] = rows) -> list[Any]:
            return list(await asyncio.gather(*(client.post(path, json=[row]) for row in rows[1:11:3])))

        for number, answer in zip(range(1, 11, 3), server.run(together), strict=True):
            [row] = answer.json()["rows"]
            task = {"homes": "price", "wines": "quality"}[name]
            assert row[f"predicted_{task}"] == pytest.approx(float(printed[number][f"predicted_{task}"]), rel=1e-6)
            assert row.get("row", 0) == 0 and row["dataset"] == name
        assert [one["name"] for one in server.ask("GET", f"/models/run.{name}").json()["tasks"]] == [task]
        assert server.ask("GET", f"/?model=run.{name}").status_code == 200
        found = server.ask("POST", f"/models/run.{name}/importance").json()
        assert {one["task"] for one in found["importance"]} == {task}
    assert server.post([{}], "/models/run.homes/predict").status_code == 422


def test_a_column_of_ids_that_is_called_row(mtl: InProcess, serve: Serve) -> None:
    table = houses(60).drop(columns="house").assign(row=range(60))
    table.to_csv("houses.csv", index=False)
    words = ["dataset=houses.csv", "dataset.id=row", "tasks={sold: binary}", "trainer.epochs=1", "plots=false"]
    assert mtl("train", *words, "run_dir=run")[0] == 0
    server = serve({"run": Path("run")})
    rows = as_json(table.drop(columns="sold"))[1:3]

    async def together(client: Any) -> list[Any]:
        return list(await asyncio.gather(*(client.post("/predict", json=[row]) for row in [rows[1], rows[0]] * 4)))

    assert [one.json()["rows"][0]["row"] for one in server.run(together)] == [2, 1] * 4
