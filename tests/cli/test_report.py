"""`mtl report`: one HTML file about a run or a study, also in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from mtl_cli.studies.study_file import StudyFile, write_study
from tests.browser import browser
from tests.conftest import InProcess
from tests.studies.made import make_run

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def report(houses_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the houses' run as a file."""
    from mtl_cli.cli.main import run

    file = tmp_path_factory.mktemp("report") / "houses.html"
    assert run(["report", str(houses_run), "-o", str(file)]) == 0
    return file


def made_study(folder: Path, broken: bool = True) -> Path:
    """Make the folder of a study of two balancers and three seeds, of which one run failed and one is missing."""
    jobs = [{"balancer": balancer, "seed": str(seed)} for balancer in ("uniform", "gradnorm") for seed in range(3)]
    for number, job in enumerate(jobs):
        score = 0.3 + 0.01 * ((7 * number) % 5)
        failed = broken and number == 4
        if broken and number == 5:
            continue
        path = make_run(
            folder / str(number), score=score, seed=int(job["seed"]), balancer=job["balancer"],
            tasks={"price": {"rmse": 10 * number + 2.0}, "sold": {"accuracy": score}},
            status="failed" if failed else "done",
        )  # fmt: skip
        if failed:
            (path / "metrics.json").unlink()
            (path / "run.json").write_text('{"status": "failed", "seconds": 2.0, "error": "the loss is inf"}')
    write_study(folder, StudyFile("mtl train -m balancer=uniform,gradnorm seed=0,1,2", jobs, "d"))
    return folder


def test_a_run_in_a_pipe(mtl: InProcess, houses_run: Path, report: Path) -> None:
    status, out, err = mtl("report", str(houses_run))
    assert (status, err) == (0, "")
    assert out == report.read_text(), "one run makes one file"
    metrics = json.loads((houses_run / "metrics.json").read_text())["splits"]["test"]["tasks"]
    assert re.search(r"price: rmse [\d,]+ ± [\d,]+ on \d+ test rows, where the best constant has", out)
    assert f'<td data-key="{metrics["price"]["rmse"]!r}" class="number">' in out
    assert f'<td data-key="{metrics["kind"]["constant"]["accuracy"]!r}" class="number">' in out
    assert "<h3>A leak: a feature may give an answer away</h3><p>&#39;garden&#39; alone determines tags" in out
    assert "<h3>Few validation rows</h3>" in out
    for text in ("houses.csv, fingerprint", "CC-BY-4.0", "mtl predict", "balancer=pcgrad", "2 labels: no, yes"):
        assert text in out, text
    figures = re.findall(r"<figcaption>(.*?)</figcaption>", out)
    assert len(figures) == out.count("<svg ") and "<img" not in out
    assert {"price: predicted, test rows", "sold: confusion, test rows", "kind: calibration, test rows"} <= set(figures)
    assert any(caption.startswith("Loss of each task") for caption in figures)


def test_without_the_test_rows_the_pictures_of_the_run_are_shown(mtl: InProcess, houses_run: Path) -> None:
    shutil.copytree(houses_run, "run")
    Path("run/splits.csv").unlink()
    Path("run/plots").mkdir()
    for name in ("losses.png", "confusion_sold.png"):
        Path("run/plots", name).write_bytes(PIXEL)
    status, out, err = mtl("report", "run")
    assert status == 0 and err == (
        "note: predictions of the test rows were not made again: its test rows cannot be read again; "
        "give a table to evaluate on\n"
    )
    assert re.findall(r'<img src="data:image/png;base64,[\w+/=]+" alt="(.*?)">', out) == ["confusion_sold"]
    assert "Not in this report: predictions of the test rows" in out
    assert re.search(r"price: rmse [\d,]+ on \d+ test rows", out), "without an interval"


def test_data_that_are_no_longer_those_of_the_training(mtl: InProcess, houses_run: Path) -> None:
    """Their look would be at other rows; nor is anything predicted on them."""
    shutil.copytree(houses_run, "run")
    config = Path("run/config.yaml")
    table = (houses_run.parent / "houses.csv").read_text().splitlines()
    Path("houses.csv").write_text("\n".join(table[:-20]) + "\n")
    config.write_text(config.read_text().replace(str(houses_run.parent), str(Path.cwd())))
    status, out, err = mtl("report", "run")
    assert status == 0 and "they are no longer those of the training" in err
    assert "A leak" not in out and "Labels in" in out


def test_a_run_that_failed_says_why(mtl: InProcess) -> None:
    words = ["dataset=wine", "optimizer=sgd", "optimizer.lr=1e5", "trainer.epochs=3", "plots=false", "run_dir=run"]
    assert mtl("train", *words)[0] == 2
    status, out, err = mtl("report", "run")
    assert (status, err) == (0, "")
    error = json.loads(Path("run/run.json").read_text())["error"]
    assert "optimizer.lr" in error and f"had ended: {error}</p>" in out
    assert "The run failed" in out and "It has no metrics" in out and "How well it was learnt" not in out


def test_a_study(mtl: InProcess, tmp_path: Path) -> None:
    made_study(tmp_path / "sweep")
    status, out, err = mtl("report", "sweep")
    assert (status, err) == (0, "")
    assert "4 of 6 runs are done." in out
    assert "<p>1 of 6. run 4: the loss is inf</p>" in out and "2 of 6" not in out
    assert "<p>1 of 6: 1 unfinished.</p>" in out and "run_dir=sweep" in out
    assert "Best score: 0.34, of run 2: balancer=uniform seed=2." in out
    rows = re.findall(r'<th scope="row" data-key="(\d)\.0">', out)
    assert rows == ["0", "1", "2", "3", "4", "5"]
    compared = mtl("compare", "sweep", "--format", "json")[1]
    for sentence in json.loads(compared)["sentences"]:
        assert f"{sentence[:1].upper()}{sentence[1:]}." in out
    assert out.count("<svg ") >= 2


def test_files_are_written_whole_and_none_is_replaced_unasked(mtl: InProcess, tmp_path: Path) -> None:
    made_study(tmp_path / "sweep")
    assert mtl("report", "sweep", "-o", "a.html")[:2] == (0, "a.html\n")
    first = Path("a.html").read_text()
    Path("b.html").write_text("mine")
    status, _, err = mtl("report", "sweep", "-o", "b.html")
    message = "mtl report: error: b.html: already exists; give another file, or add --force to replace it\n"
    assert (status, err) == (2, message)
    assert Path("b.html").read_text() == "mine"
    assert mtl("report", "sweep", "-o", "b.html", "--force")[0] == 0
    assert Path("b.html").read_text() == first and first.endswith("</html>\n")
    assert [path.name for path in Path.cwd().iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: there is no such run or study; choose from begun, damaged, run"),
        (["rum"], "rum: there is no such run or study; did you mean run?"),
        (["."], ".: is neither the folder of a run nor of a study; mtl list runs finds them"),
        (["run/config.yaml"], "run/config.yaml: is neither the folder of a run nor of a study"),
        (["packed.zip"], "packed.zip: is not a zip file; give the folder of a run, or a zip that mtl pack wrote"),
        (["begun"], "begun: is a run without metrics, and no epoch of it has ended: it is running"),
        (["damaged"], "damaged/metrics.json: is damaged: "),
        (["empty"], "empty: is a study of which no job has ended; run it first"),
        (["run", "-o", "no/x.html"], "no/x.html: its folder does not exist"),
        (["run", "-o", "run"], "run: is a folder, not a file"),
        (["run", "--outptu=x"], "did you mean --output?"),
        ([], "the following arguments are required: RUN|STUDY"),
    ],
)
def test_what_is_refused_in_one_line(mtl: InProcess, tmp_path: Path, words: list[str], message: str) -> None:
    tasks = {"price": {"rmse": 2.0}}
    make_run(tmp_path / "run", score=0.3, tasks=tasks)
    make_run(tmp_path / "damaged", score=0.3, tasks=tasks)
    (make_run(tmp_path / "begun", tasks=tasks, status="running") / "metrics.json").unlink()
    Path("damaged/metrics.json").write_text('{"score": ')
    Path("packed.zip").write_text("")
    Path("empty").mkdir()
    write_study(Path("empty"), StudyFile("mtl train -m seed=0,1", [{"seed": "0"}, {"seed": "1"}], "d"))
    status, out, err = mtl("report", *words)
    assert (status, out, err.count("\n")) == (2, "", 1) and message in err, err


@pytest.mark.slow
def test_in_a_browser(report: Path, tmp_path: Path, mtl: InProcess) -> None:
    """No error, no request but for the file, nothing wider than a phone, and tables that sort by keyboard."""
    made_study(tmp_path / "sweep")
    assert mtl("report", "sweep", "-o", "sweep.html")[0] == 0
    files = [report, tmp_path / "sweep.html"]
    with browser(tmp_path / "profile") as page:
        page.resize(400, 900)
        for file in files:
            page.open(file.as_uri())
            width, window = page.run("return [document.documentElement.scrollWidth, innerWidth]")
            assert width <= window <= 400
        ground = "return getComputedStyle(document.body).backgroundColor"
        page.emulate("light")
        light = page.run(ground)
        page.emulate("dark")
        assert (light, page.run(ground)) == ("rgb(255, 255, 255)", "rgb(20, 24, 28)")

        page.run("""
            window.table = [...document.querySelectorAll("table.sortable")].at(-1);
            window.column = (name) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent === name);
            window.rows = () => [...table.tBodies[0].rows];
            window.read = (name) => rows().map((row) => row.cells[column(name).cellIndex].textContent);
            column("Status").querySelector("button").focus();
        """)
        page.press("Tab")
        page.press("Enter")
        first = page.run("return [column('Score').getAttribute('aria-sort'), read('Run'), read('Score')]")
        page.press(" ")
        second = page.run("return [column('Score').getAttribute('aria-sort'), read('Run')]")
        assert first == ["ascending", ["0", "3", "1", "2", "4", "5"], ["0.3", "0.31", "0.32", "0.34", "", ""]]
        assert second == ["descending", ["2", "1", "3", "0", "4", "5"]], "what is not known stays below"
        page.run("column('price.rmse').querySelector('button').click()")
        assert page.run("return read('price.rmse')")[:4] == ["2", "12", "22", "32"], "as numbers, not as text"
        assert page.run("return column('Score').getAttribute('aria-sort')") == "none"

        assert page.console() == []
        assert page.asked_for() == [file.as_uri() for file in files]
