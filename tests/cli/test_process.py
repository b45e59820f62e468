"""The command as a process: start-up, streams, signals, exit codes, completion."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MTL, Command, InProcess

LONG = ["train", "dataset=wine", "trainer.epochs=100000", "trainer.early_stopping=null", "plots=false", "run_dir=run"]


def imported(code: str, *names: str) -> list[str]:
    program = f"import sys\n{code}\nprint([n for n in {names!r} if n in sys.modules], file=sys.__stderr__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1].replace("'", '"'))


def test_help_imports_nothing_heavy() -> None:
    code = "from mtl_cli.cli.main import run\nrun(['--help'])"
    assert imported(code, "torch", "pandas", "sklearn", "hydra", "numpy", "rich") == []


def test_a_wrong_config_is_found_without_torch() -> None:
    code = (
        "from mtl_cli.cli.main import run\nassert run(['train', 'dataset=wine', 'optimizer.lr=abc', 'balancer=x']) == 2"
    )
    assert imported(code, "torch", "pandas", "sklearn") == []
    code = "from mtl_cli.cli.main import run\nassert run(['train', 'dataset=wine', 'optimizer.lr=abc']) == 2"
    assert imported(code, "torch", "pandas", "sklearn") == []


def test_training_imports_neither_torchs_compiler_nor_sympy(tmp_path: Path) -> None:
    alone = "trainer.folds=none"
    runs = [
        ["dataset=wine", "balancer=gradnorm", "scheduler=cosine"],
        ["dataset=wine", alone],
        ["dataset=wine", "balancer=upgrad", "balancer.backend=reference", alone],
        ["dataset=wine", "balancer=fairgrad", "model.sharing=mmoe", alone],
        ["dataset=digits", "model=cnn", "balancer=upgrad", alone],
    ]
    code = (
        f"import os; os.chdir({str(tmp_path)!r})\nfrom mtl_cli.cli.main import run\n"
        f"for number, words in enumerate({runs!r}):\n"
        "    common = ['trainer.epochs=1', 'plots=false', 'trainer.baselines=none', f'run_dir={number}']\n"
        "    assert run(['train', *words, *common]) == 0"
    )
    assert imported(code, "torch", "torch._dynamo", "sympy") == ["torch"]


def test_help_teaches(command: Command) -> None:
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"], ["evaluate", "--help"]):
        done = command(*arguments)
        assert done.returncode == 0
        assert done.stderr == ""
        assert "mtl train" in done.stdout or "examples:" in done.stdout
    groups = command("train", "--help").stdout
    for name in ("wine", "gradnorm", "warmup", "wine_baseline", "multilabel"):
        assert name in groups


def test_no_arguments_is_a_question(command: Command) -> None:
    done = command()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: mtl COMMAND" in done.stderr


def test_python_m(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "mtl_cli", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("mtl ")


def test_a_closed_pipe_is_141_and_the_run_is_whole(tmp_path: Path) -> None:
    """And where stderr is no terminal, progress is told in lines."""
    script = (
        f"'{MTL}' train dataset=wine trainer.epochs=1 plots=false run_dir=run 2>err | head -0; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "141\n"
    told = (tmp_path / "err").read_text()
    assert "Traceback" not in told
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"
    assert "\x1b" not in told
    assert "each 2 tasks" in told


def test_a_closed_pipe_while_completion_is_installed(tmp_path: Path) -> None:
    script = f"'{MTL}' -sc install=bash 2>err | head -0; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, (tmp_path / "err").read_text()) == ("141\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "status"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals_end_a_run_in_one_line_and_keep_its_model(
    tmp_path: Path, mtl: InProcess, number: signal.Signals, code: int, status: str
) -> None:
    process = subprocess.Popen([MTL, *LONG], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run" / "mtl_history.csv"
    deadline = time.monotonic() + 60
    while not (history.exists() and history.read_text().count("\n") > 5):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == {130: "mtl train: interrupted", 143: "mtl: terminated"}[code]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == status
    wine = Path(__file__).parents[2] / "mtl_cli/data/builtin/winequality-red.csv"
    assert mtl("predict", "run", str(wine))[0] == 0, "the model so far can be used"
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mtl tr", "train"),
        ("mtl train datas", "dataset="),
        ("mtl train dataset=wine balancer=gradno", "balancer=gradnorm"),
        ("mtl train dataset=wine optimizer.weight", "optimizer.weight_decay="),
        ("mtl train dataset=wine tasks.qual", "tasks.quality."),
        ("mtl train dataset=wine model.sharing=mm", "model.sharing=mmoe"),
        ("mtl train dataset=wine balancer=gradnorm balancer.alp", "balancer.alpha="),
        ("mtl train dataset=wine device=cu", "device=cuda"),
        ("mtl train dataset=wine -m balancer=uniform,gradno", "balancer=uniform,gradnorm"),
        ("mtl train dataset=wine -m launcher=p", "launcher=processes"),
        ("mtl train --config-d", "--config-dir"),
        ("mtl train dataset=wine optimizer=nope trainer.epo", "trainer.epochs="),
        ("mtl config sh", "show"),
        ("mtl config che", "check"),
        ("mtl config check dataset=wine trainer.epo", "trainer.epochs="),
        ("mtl explain run --meth", "--method"),
        ("mtl explain run --method integ", "integrated-gradients"),
        ("mtl predict run --format=js", "--format=jsonl"),
        ("mtl init houses.csv --tar", "--target"),
        ("mtl pac", "pack"),
        ("mtl report run --for", "--force"),
        ("mtl inspect win", "wine"),
        ("mtl inspect wine dataset.split.te", "dataset.split.test="),
        ("mtl inspect --form", "--format"),
        ("mtl list sched", "schedulers"),
        ("mtl help prot", "proteins"),
    ],
)
def test_completion(line: str, expected: str, mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    status, out, err = mtl("-sc", "query=bash")
    assert (status, out.split(), err) == (0, [expected], "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mtl train dataset=homes.csv tasks=", ["tasks='{area: ", "tasks='{price: ", 'tasks=\'{"sold on": ']),
        ("mtl train dataset=homes.csv tasks='{ar", "{area: regression"),
        ("mtl train tasks='{price: {kind: regr", ["{price: {kind: regression}, ", "{price: {kind: regression}}"]),
        ("mtl train dataset=homes.csv tasks='{price: regr", ["{price: regression, ", "{price: regression}"]),
        ("mtl train dataset=homes.csv tasks='{price: regression, a", "{price: regression, area: count"),
        ("mtl train dataset=homes.csv tasks.pr", ["tasks.price="]),
        ("mtl train dataset=homes.csv tasks.price=bin", ["tasks.price=binary"]),
        ("mtl train dataset=csv dataset.path=homes.csv dataset.split.group=ar", ["dataset.split.group=area"]),
        ("mtl train dataset=homes.csv dataset.features.exclude=[area,pr", ["dataset.features.exclude=[area,price"]),
        ("mtl train dataset=text dataset.path=homes.csv dataset.text=so", ["dataset.text='sold on"]),
        ("mtl train dataset=gone.csv tasks='{ar", []),
    ],
)
def test_completion_of_columns(
    line: str, expected: str | list[str], mtl: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("homes.csv").write_text("area;price;sold on\n1;2;x\n3;4;y\n")
    monkeypatch.setenv("COMP_LINE", line)
    status, out, err = mtl("-sc", "query=bash")
    found = out.splitlines()
    assert (status, err) == (0, "")
    assert found == expected if isinstance(expected, list) else expected in found


def test_completion_in_a_real_shell(tmp_path: Path) -> None:
    script = (
        f'PATH="{MTL.parent}:$PATH"; eval "$(mtl -sc install=bash)"; COMP_LINE="mtl train dataset="; COMP_POINT=18; '
        "COMP_WORDS=(mtl train dataset =); COMP_CWORD=3; _mtl_completion; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert any("wine" in word for word in done.stdout.split()), (done.stdout, done.stderr)
