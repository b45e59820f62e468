"""The page to try a model by hand: as it is written, and in a browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.serving.openapi import openapi
from tests.conftest import InProcess, houses
from tests.outcomes import patients
from tests.serving.conftest import HOUSE, Serve, Server
from tests.serving.test_process import started

EVIL = '"><script>alert(1)</script>'


def test_a_form_of_the_fields_with_their_usual_values(shared: Server) -> None:
    page = shared.ask("GET", "/").text
    labels = re.findall(r'<label for="(field-\d+)">(.*?)</label>', page)
    assert [name for _, name in labels] == ["area", "rooms", "city", "garden", "built"]
    assert all(f'id="{place}"' in page for place, _ in labels)
    table = houses()
    numbers = re.findall(
        r'data-column="(\w+)" data-kind="numeric" type="number" step="any" inputmode="decimal" value="([^"]+)"', page
    )
    assert [name for name, _ in numbers] == ["area", "rooms"]
    assert float(numbers[0][1]) == pytest.approx(table["area"].median(), rel=0.1)
    assert '<option value="true"' in page and 'type="date" value="20' in page
    [city] = re.findall(r'<input id="field-3" .*? value="([^"]+)"', page)
    assert city == table["city"].value_counts().index[0] == "Lyon"
    assert page.count("<option") == 3 + len(shared.state.models["houses"].fields[3].levels)
    assert 'aria-current="page">houses</a>' in page and 'href="?model=wine"' in page
    assert "volatile acidity" in shared.ask("GET", "/?model=wine").text
    assert shared.ask("GET", "/?model=none").status_code == 404
    for name in ("page.css", "try.js"):
        assert shared.ask("GET", f"/static/{name}").status_code == 200
    for text in (page, *(shared.ask("GET", f"/static/{name}").text for name in ("page.css", "try.js"))):
        assert not re.search(r"https?://(?!127\.0\.0\.1)", text) and "innerHTML" not in text


def test_names_and_levels_are_escaped(mtl: InProcess, serve: Serve) -> None:
    random = np.random.default_rng(0)
    size = random.uniform(0, 1, 80)
    sort, big = np.where(size < 0.5, EVIL, "b</option>"), np.where(size > 0.5, EVIL, "</style>")
    table = pd.DataFrame({f"size {EVIL}": size, "sort": sort, f"big {EVIL}": big})
    table.to_csv("evil.csv", index=False)
    target = json.dumps(f"big {EVIL}")
    assert mtl("train", "dataset=evil.csv", f"tasks={{big: {{kind: binary, target: {target}}}}}", "trainer.epochs=1",
               "plots=false", "run_dir=run")[0] == 0  # fmt: skip
    server = serve({"run</title>": Path("run")})
    page = server.ask("GET", "/").text
    assert "<script>alert" not in page and page.count("<script") == 1
    assert html.escape(EVIL).replace("&quot;", "&#34;") in page and "&lt;/option&gt;" in page
    assert "run&lt;/title&gt;" in page and 'data-address="models/run%3C%2Ftitle%3E"' in page
    row = server.state.models.first.usual_row()
    assert server.post([row], "/models/run%3C%2Ftitle%3E/predict").status_code in (200, 404)
    assert server.post([row]).json()["rows"][0]["predicted_big"] in (EVIL, "</style>")


def test_openapi_describes_rows_and_answers(shared: Server) -> None:
    from jsonschema import Draft202012Validator

    found = shared.ask("GET", "/openapi.json").json()
    assert found["openapi"] == "3.1.0"
    schemas = found["components"]["schemas"]
    row, answer = schemas["houses.row"], schemas["houses.answer"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    takes = Draft202012Validator(row)
    assert takes.is_valid(HOUSE) and takes.is_valid(HOUSE | {"area": None, "city": None, "more": 1})
    for wrong in ({"area": "wide"}, {"garden": "perhaps"}, {"built": 5}):
        assert not takes.is_valid(HOUSE | wrong), wrong
    assert not takes.is_valid({"area": 1})
    assert "Lyon, Oslo, Riga" in row["properties"]["city"]["description"]
    assert row["properties"]["area"]["examples"][0] == shared.state.models["houses"].usual_row()["area"]
    rows = shared.post([HOUSE, HOUSE | {"area": None}], "/models/houses/predict?probabilities=all").json()["rows"]
    gives = Draft202012Validator(answer)
    assert all(gives.is_valid(one) for one in rows)
    assert set(answer["properties"]) == set(rows[0]) - {"row"}
    assert not gives.is_valid(rows[0] | {"predicted_sold": "perhaps"})
    assert answer["properties"]["predicted_kind"]["enum"] == ["flat", "house", "villa", None]
    for path in ("/models/wine/predict", "/metrics", "/health"):
        assert path in found["paths"]
    with_token = openapi(shared.state.models.found, shared.state.limits, token=True)
    assert with_token["security"] == [{"token": []}]


def test_what_a_model_is_described_as(shared: Server) -> None:
    found = shared.ask("GET", "/models/wine").json()
    quality, is_good = found["tasks"]
    assert (quality["low"], quality["high"]) == ("quality_low", "quality_high") and 5 < quality["usual"] < 6
    assert [one["label"] for one in is_good["labels"]] == ["False", "True"] and is_good["usual"] is None
    usual = shared.state.models["wine"].usual_row()
    row = shared.post([usual], "/models/wine/predict?probabilities=all").json()["rows"][0]
    for task in found["tasks"]:
        columns = [task["prediction"], *task["others"], *(one["column"] for one in task["labels"])]
        columns += [task[role] for role in ("probability", "low", "high", "set") if role in task]
        assert set(columns) <= set(row)


def test_quantiles_are_intervals_and_survival_is_a_curve(mtl: InProcess, serve: Serve) -> None:
    patients().to_csv("patients.csv", index=False)
    tasks = (
        "{outcome: {kind: survival, target: days, event: died, times: [365, 730]},"
        " age: {kind: quantile, quantiles: [0.1, 0.5, 0.9]}}"
    )
    words = ["dataset=patients.csv", f"tasks={tasks}", "trainer.epochs=1", "plots=false", "run_dir=run"]
    assert mtl("train", *words)[0] == 0
    server = serve({"run": Path("run")})
    outcome, age = server.ask("GET", "/models/run").json()["tasks"]
    assert (age["low"], age["high"]) == ("predicted_age_q10", "predicted_age_q90")
    times = [float(one["label"]) for one in outcome["curve"]]
    assert times == sorted(times) and {365, 730} <= set(times) and outcome["others"] == age["others"] == []
    row = server.post([server.state.models.first.usual_row()], "/predict?probabilities=all").json()["rows"][0]
    left = [row[one["column"]] for one in outcome["curve"]]
    assert left == sorted(left, reverse=True)


def test_importance_is_that_of_explain(shared: Server, serve: Serve, houses_run: Path, tmp_path: Path) -> None:
    found = shared.ask("POST", "/models/houses/importance").json()["importance"]
    assert next(one["feature"] for one in found if one["task"] == "price") == "area"
    assert {one["task"] for one in found} == {"price", "sold", "kind", "tags"}
    shutil.copytree(houses_run, tmp_path / "run")
    (tmp_path / "run/splits.csv").unlink()
    answer = serve({"run": tmp_path / "run"}).ask("POST", "/models/run/importance")
    assert answer.status_code == 409 and f"mtl explain {tmp_path / 'run'} DATA" in answer.text


def wait(found: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is found, and return it."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return value


@pytest.fixture
def chromium(tmp_path: Path) -> Any:
    """A browser without a window, driven by selenium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("chromium and chromium-driver are not installed")
    from tests.browser import FLAGS

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.mark.slow
def test_the_page_in_a_browser(chromium: Any, houses_run: Path, wine_run: Path, tmp_path: Path) -> None:
    """By keyboard alone: fill in the form, submit, read what the live region says; upload a file; importance."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    pictures = Path(os.environ.get("SERVE_PICTURES", tmp_path))

    def by_id(name: str) -> Any:
        return chromium.find_element(By.ID, name)

    def press(*keys: str) -> None:
        chromium.switch_to.active_element.send_keys(*keys)

    def focused() -> str:
        script = "const one = document.activeElement; return one.dataset.column ?? one.textContent"
        return str(chromium.execute_script(script))

    def picture(name: str) -> None:
        chromium.execute_script("scrollTo(0, 0)")
        chromium.save_screenshot(str(pictures / f"{name}.png"))

    with started(f"houses={houses_run}", f"wine={wine_run}") as server:
        chromium.set_window_size(1200, 1500)
        chromium.get(f"{server.address}/")
        order = []
        for _ in range(7):
            press(Keys.TAB)
            order.append(focused())
        assert order == ["houses", "wine", "area", "rooms", "city", "garden", "built"]
        by_id("field-1").click()
        press(Keys.CONTROL, "a")
        by_id("field-1").clear()
        by_id("field-1").send_keys("190.5", Keys.TAB)
        assert focused() == "rooms"
        press(Keys.ENTER)
        said = wait(lambda: (text := by_id("said").text) and "price:" in text and text)
        answer = json.loads(chromium.execute_async_script(
            "const done = arguments[0]; fetch('models/houses/predict', {method: 'POST', headers: {'Content-Type': "
            "'application/json'}, body: JSON.stringify([theRow()])}).then((r) => r.text()).then(done)"))  # fmt: skip
        row = answer["rows"][0]
        assert f"kind: {row['predicted_kind']}, " in said and "sold: yes, " in said
        assert by_id("said").get_attribute("role") == "status"
        assert len(chromium.find_elements(By.CSS_SELECTOR, "#tasks .task")) == 4
        assert len(chromium.find_elements(By.CSS_SELECTOR, "#tasks .bar")) >= 7
        assert focused() == "rooms", "the focus stays where it was"
        picture("light")
        by_id("field-1").clear()
        by_id("field-1").send_keys("-")  # no number
        by_id("field-1").send_keys(Keys.ENTER)
        assert wait(lambda: by_id("wrong").text).startswith("area: ")
        assert by_id("field-1").get_attribute("aria-invalid") == "true" and focused() == "area"
        chromium.find_element(By.CSS_SELECTOR, "#form [type=reset]").send_keys(Keys.SPACE)
        assert by_id("field-1").get_attribute("aria-invalid") is None
        houses(60, seed=3).to_csv(tmp_path / "new.csv", index=False)
        by_id("file").send_keys(str(tmp_path / "new.csv"))
        chromium.find_element(By.CSS_SELECTOR, "#file-form [type=submit]").send_keys(Keys.ENTER)
        text = wait(lambda: (found := by_id("file-said").text) and "predicted" in found and found)
        assert text.startswith("60 rows are predicted, the first 50 are shown.")
        assert len(chromium.find_elements(By.CSS_SELECTOR, "#file-rows tbody tr")) == 50
        (tmp_path / "bad.csv").write_text("area\n1\n")
        by_id("file").send_keys(str(tmp_path / "bad.csv"))
        chromium.find_element(By.CSS_SELECTOR, "#file-form [type=submit]").send_keys(Keys.ENTER)
        assert "is missing" in wait(lambda: by_id("file-wrong").text)
        by_id("explain").send_keys(Keys.SPACE)
        wait(lambda: "Skill lost" in by_id("explain-said").text)
        chromium.get(f"{server.address}/?model=wine")
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        by_id("field-1").send_keys(Keys.ENTER)
        assert "between" in wait(lambda: (text := by_id("said").text) and "quality:" in text and text)
        by_id("explain").send_keys(Keys.SPACE)
        wait(lambda: "Skill lost" in by_id("explain-said").text)
        picture("dark")
        assert chromium.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
        narrow = {"width": 400, "height": 3000, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
        picture("narrow")
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= 400
        script = "return [...document.querySelectorAll('input, select, textarea')].filter((one) => !one.labels.length)"
        assert chromium.execute_script(script) == []
        errors = [entry["message"] for entry in chromium.get_log("browser") if "422" not in entry["message"]]
        assert errors == []
        sent = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
        asked = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
        assert {url.split("/")[2] for url in asked if url.startswith("http")} == {f"127.0.0.1:{server.port}"}
