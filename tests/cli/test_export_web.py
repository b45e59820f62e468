"""An exported model in onnxruntime-web, in Node and in a browser, beside `mtl predict`.

Needs npm's onnxruntime-web (`npm install onnxruntime-web` in any folder), and where it lies:
`MTL_ORT_WEB=node_modules/onnxruntime-web python -m pytest -m slow tests/cli/test_export_web.py`
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mtl_cli.inference.export.files import write_export
from mtl_cli.inference.export.graph import Graph
from mtl_cli.inference.trained import TrainedModel
from tests.browser import browser
from tests.exported import Feed, agree, feed_of, rows, said_by_predict

DIST = Path(os.environ.get("MTL_ORT_WEB", "node_modules/onnxruntime-web")) / "dist"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DIST / "ort.wasm.min.js").is_file(), reason="MTL_ORT_WEB names no onnxruntime-web of npm"),
    pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="needs onnx and onnxscript"),
]
ASK = """
async function ask(ort, model, rows) {
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
  const feeds = {};
  for (const [name, values] of Object.entries(rows)) {
    const text = typeof values[0] === "string";
    const data = text ? values : Float64Array.from(values, value => value === null ? NaN : value);
    feeds[name] = new ort.Tensor(text ? "string" : "float64", data, [values.length]);
  }
  const answers = await session.run(feeds);
  const found = {};
  for (const [name, answer] of Object.entries(answers)) found[name] = [answer.dims, Array.from(answer.data)];
  return found;
}
"""
NODE = """
const fs = require("fs");
const rows = JSON.parse(fs.readFileSync("rows.json"));
ask(require("./ort.node.min.js"), new Uint8Array(fs.readFileSync("model.onnx")), rows)
  .then(found => fs.writeFileSync("found.json", JSON.stringify(found)));
"""
PAGE = """<!doctype html><meta charset="utf-8"><title>asking</title>
<script src="ort.wasm.min.js"></script>
<script src="ask.js"></script>
<script>
fetch("rows.json").then(rows => rows.json())
  .then(rows => ask(ort, "model.onnx", rows))
  .then(found => { window.found = found; document.title = "done"; })
  .catch(error => { document.title = String(error); });
</script>
"""


@pytest.fixture(scope="module")
def site(houses_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Feed]:
    """A folder with a model, rows and onnxruntime-web; and what predict says of the rows."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("ort.wasm.min.js", "ort.node.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(DIST / name, folder)
    table = rows()
    table.to_csv(folder / "rows.csv", index=False)
    write_export(str(houses_run), "onnx", folder / "model.onnx")
    feed = feed_of(table, Graph(TrainedModel.load(str(houses_run))))
    plain = {name: [None if value != value else value for value in values.tolist()] for name, values in feed.items()}
    (folder / "rows.json").write_text(json.dumps(plain))
    (folder / "ask.js").write_text(ASK)
    (folder / "node.js").write_text(ASK + NODE)
    (folder / "page.html").write_text(PAGE)
    return folder, said_by_predict(houses_run, folder / "rows.csv")


@pytest.fixture
def address(site: tuple[Path, Feed]) -> Iterator[str]:
    """Where the folder is served, on this machine alone."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site[0]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def as_arrays(found: dict[str, tuple[list[int], list[float]]]) -> Feed:
    return {name: np.array(values, "float64").reshape(shape) for name, (shape, values) in found.items()}


def test_in_node(site: tuple[Path, Feed]) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder, said = site
    shutil.copytree(DIST.parent.parent / "onnxruntime-common", folder / "node_modules" / "onnxruntime-common")
    subprocess.run(["node", "node.js"], cwd=folder, check=True, timeout=120)
    agree(as_arrays(json.loads((folder / "found.json").read_text())), said)


def test_in_a_browser(site: tuple[Path, Feed], address: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as session:
        session.open(f"{address}/page.html")
        until = time.monotonic() + 60
        while session.run("return document.title") == "asking" and time.monotonic() < until:
            time.sleep(0.1)
        assert session.run("return document.title") == "done"
        agree(as_arrays(session.run("return window.found")), site[1])
        assert all(one.startswith(address) for one in session.asked_for()), "nothing is loaded from elsewhere"
