"""Texts from a file to predictions: tables and CoNLL files, tasks of texts and of words at once."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mtl_cli.config.registry import names
from tests.conftest import InProcess
from tests.models.test_transformer import save_tiny
from tests.texts import conll, texts, write

TABLE = ["dataset=text", "dataset.path=reviews.csv", "dataset.text=review", "dataset.id=id", "model=text_cnn"]
CONLL = ["dataset=news.conll", "model=text_cnn"]
FAST = [
    "model.trunk.buckets=1000",
    "model.trunk.word_dropout=0.3",
    "model.trunk.input_dropout=0.2",
    "trainer.batch_size=16",
]
QUICK = ["plots=false", "model.trunk.width=32", "model.trunk.buckets=500"]
WORDS = "tasks={topic: multiclass, upos: token, entities: token}"
TEXTS = "tasks={rating: regression, recommended: binary, topic: multiclass}"


def metrics_of(out: str) -> dict:
    return json.loads(out.splitlines()[-1])["metrics"]


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on words and texts of a CoNLL file, and one on texts beside columns."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(folder, texts(200))
        assert run(["train", *CONLL, WORDS, *FAST, "trainer.epochs=20", "run_dir=words", "dataset.id=sent_id"]) == 0
        columns = "dataset.features.include=[price,shop]"
        assert run(["train", *TABLE, TEXTS, columns, "trainer.epochs=25", "run_dir=reviews", "plots=false", *FAST]) == 0
    return folder


def test_texts_and_words_are_learnt_at_once(learned: Path) -> None:
    metrics = json.loads((learned / "words/metrics.json").read_text())["splits"]["test"]["tasks"]
    assert metrics["topic"]["accuracy"] > 0.9
    assert metrics["upos"]["accuracy"] > 0.95
    assert metrics["entities"]["f1"] > 0.9
    assert set(metrics["entities"]["classes"]) == {"PER", "LOC"}
    assert {file.name for file in (learned / "words/plots").iterdir()} >= {
        "confusion_topic.png", "confusion_upos.png", "confusion_entities.png", "calibration_entities.png",
    }  # fmt: skip


def test_columns_beside_a_text_are_features(learned: Path) -> None:
    metrics = json.loads((learned / "reviews/metrics.json").read_text())["splits"]["test"]["tasks"]
    assert metrics["topic"]["accuracy"] > 0.9
    assert metrics["rating"]["r2"] > 0.5


def test_predictions_have_a_tag_per_word_and_can_be_evaluated(learned: Path, mtl: InProcess, tmp_path: Path) -> None:
    new = texts(12, seed=5)
    (tmp_path / "new.conll").write_text(conll(new))
    status, out, err = mtl("predict", str(learned / "words"), "new.conll")
    assert status == 0, err
    found = pd.read_csv(io.StringIO(out))
    assert found["sent_id"].tolist() == new["id"].tolist()
    assert found["predicted_upos"].str.split().str.len().tolist() == new["upos"].str.split().str.len().tolist()
    status, out, err = mtl("evaluate", str(learned / "words"), "new.conll")
    assert status == 0, err
    assert json.loads(out)["tasks"]["entities"]["f1"] > 0.8
    new[["id", "review"]].rename(columns={"review": "text", "id": "sent_id"}).to_csv(tmp_path / "new.csv", index=False)
    again = pd.read_csv(io.StringIO(mtl("predict", str(learned / "words"), "new.csv")[1]))
    assert again["predicted_entities"].tolist() == found["predicted_entities"].tolist()


def test_texts_of_every_script_and_none_are_predicted(learned: Path, mtl: InProcess, tmp_path: Path) -> None:
    odd = ["", "שלום עולם", "👩‍🚀🚀", "नमस्ते", "a" * 5000, "x " * 3000, "\u202eabc", "the great soup"]
    table = pd.DataFrame({"id": range(8), "review": odd, "price": 20.0, "shop": "north"})
    table.to_csv(tmp_path / "odd.csv", index=False)
    status, out, err = mtl("predict", str(learned / "reviews"), "odd.csv")
    assert status == 0
    assert "odd.csv: 1 of 8 texts are empty" in err
    found = pd.read_csv(io.StringIO(out))
    assert found["predicted_rating"].notna().all() and found["predicted_topic"].iloc[7] == "food"


def test_labels_may_be_missing_for_texts_and_for_words(mtl: InProcess, tmp_path: Path) -> None:
    table = texts(60)
    table.loc[::3, "topic"] = None
    table.loc[1::3, "entities"] = None
    table["upos"] = [" ".join("_" if i % 2 else tag for i, tag in enumerate(t.split())) for t in table["upos"]]
    table.to_csv(tmp_path / "reviews.csv", index=False)
    keys = [*TABLE, "tasks={topic: multiclass, upos: token, entities: token}", "trainer.epochs=2", *QUICK]
    status, out, err = mtl("train", *keys, "balancer=mgda", "trainer.folds=2")
    assert status == 0, err
    run = Path(json.loads(out.splitlines()[-1])["run_dir"])
    splits = json.loads((run / "metrics.json").read_text())["splits"]
    held = set(pd.read_csv(run / "splits.csv").query("split != 'test'")["id"])
    mine = table[table["id"].isin(held)]
    assert splits["val"]["tasks"]["topic"]["rows"] == mine["topic"].notna().sum()
    tokens = sum(tag != "_" for text in mine["upos"] for tag in text.split())
    assert splits["val"]["tasks"]["upos"]["tokens"] == tokens


@pytest.mark.parametrize("balancer", ["uw", "gradnorm", "pcgrad", "graddrop", "excess_mtl"])
def test_balancers_of_every_need_learn_texts_and_words_at_once(balancer: str, mtl: InProcess, tmp_path: Path) -> None:
    write(tmp_path, texts(24))
    keys = ["trainer.epochs=1", "trainer.batch_size=8", *QUICK, "model.trunk.width=8"]
    status, out, err = mtl("train", *CONLL, WORDS, f"balancer={balancer}", *keys)
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["status"] == "done"


@pytest.mark.parametrize("sharing", names("sharing"))
def test_every_sharing_scheme_learns_them_or_is_refused_in_a_line(sharing: str, mtl: InProcess, tmp_path: Path) -> None:
    write(tmp_path, texts(24))
    keys = ["trainer.epochs=1", *QUICK, f"model/sharing={sharing}"]
    status, _, err = mtl("train", *CONLL, WORDS, *keys)
    assert status == (0 if sharing in ("hard", "soft", "none") else 2), err
    if status:
        assert err.startswith(f"mtl train: error: model.sharing: {sharing} ")


def test_two_files_of_texts_are_joined(mtl: InProcess, tmp_path: Path) -> None:
    write(tmp_path, texts(60))
    (tmp_path / "both.yaml").write_text(
        """
dataset:
  kind: joint
  datasets:
    news: {kind: text, path: news.conll, features: {include: []}}
    reviews: {kind: text, path: reviews.csv, text: review, features: {include: []}}
tasks:
  entities: {kind: token, dataset: news}
  recommended: {kind: binary, dataset: reviews}
"""
    )
    beside = "dataset.datasets.reviews.features.include=[price]"
    status, _, err = mtl("train", "both.yaml", "model=text_cnn", "trainer.epochs=2", *QUICK, beside)
    assert (status, "text inputs with features beside them cannot be joined" in err) == (2, True), err
    status, out, err = mtl("train", "both.yaml", "model=text_cnn", "trainer.epochs=2", *QUICK)
    assert status == 0, err
    run = json.loads(out.splitlines()[-1])["run_dir"]
    status, out, err = mtl("predict", run, "news=news.conll")
    assert status == 0, err
    assert pd.read_csv(io.StringIO(out))["predicted_entities"].str.split().str.len().min() > 3


def test_an_encoder_from_a_folder_that_is_gone_when_it_predicts(
    mtl: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen with a cache, and with LoRA and GradNorm; the model file holds all that predicting needs."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = save_tiny(tmp_path / "tiny")
    table = texts(60)
    write(tmp_path, table)
    keys = ["model=transformer", "model.trunk.pretrained=tiny", "optimizer.lr=3e-3", "plots=false", "trainer.epochs=3"]
    words, beside = [*CONLL[:1], WORDS, *keys], [*TABLE[:4], TEXTS, "dataset.features.include=[price]", *keys]
    runs = [
        mtl("train", *words, "run_dir=plain"),
        mtl("train", *words, "run_dir=cached", "model.trunk.cache=cache"),
        mtl("train", *words, "run_dir=lora", "model.trunk.tune=lora", "balancer=gradnorm", "model.trunk.window=12"),
        mtl("train", *beside, "run_dir=beside", "trainer.folds=2"),
    ]
    assert [status for status, _, _ in runs] == [0] * 4, "".join(err for _, _, err in runs)
    first, second = metrics_of(runs[0][1]), metrics_of(runs[1][1])
    assert second["upos"]["log_loss"] == pytest.approx(first["upos"]["log_loss"], rel=1e-3)
    shutil.rmtree(folder)
    for run in ("plain", "lora"):
        status, out, err = mtl("predict", run, "news.conll")
        assert status == 0, err
        found = pd.read_csv(io.StringIO(out))
        assert found["predicted_upos"].str.split().str.len().tolist() == table["upos"].str.split().str.len().tolist()
    assert mtl("predict", "beside", "reviews.csv")[0] == 0
    status, _, err = mtl("train", "plain/config.yaml", "run_dir=again")
    assert (status, "there is no folder '" in err) == (2, True), err


BAD = {
    "tags too few": ("csv", "text,tag\na b,X Y\nc d,X\ne,Y\ng,X\n", [], "tasks.tag: the text of row 2 has 2 words and 1 tags; each word needs a tag"),
    "no text column": ("csv", "txt,tag\na b,X Y\nc d,X Y\n", [], "dataset.text: x.csv has no column 'text'; did you mean txt?"),
    "an empty file": ("conll", "", [], "x.conll: the file is empty"),
    "an I- alone": ("conll", "a\tO\n\nb\tI-PER\nc\tB-PER\n\nd\tO\n\ne\tO\n", [], "tasks.tag: token 1 of row 2: 'I-PER' continues no entity of type PER; tasks.tag.scheme=iob1"),
    "a scheme that is none": ("conll", "a\tO\n", ["tasks.tag.scheme=iob3"], "tasks.tag.scheme: "),
    "too long": ("conll", "a\tX\n\nb\tX\nc\tY\n", ["dataset.max_length=1"], "x.conll: the text of row 2 has 2 words, more than the 1 allowed"),
    "words and tags": ("csv", "text,tag\na,X\n", ["dataset.cut=words"], "dataset.cut: is words, and a task's tags are for what stands between spaces"),
    "a row too short": ("conll", "a\tX\nb\n", [], "x.conll: line 2 has 1 columns and the first has 2"),
    "no text data set": ("csv", "text,tag\na,X\n", ["dataset=x.csv"], "model.trunk: reads text inputs, but this data set has features inputs; give dataset=text dataset.path=x.csv dataset.text=COLUMN"),
    "a residue of words": ("csv", "text,tag\na,X\n", ["tasks={tag: residue}"], "tasks.tag: residue tasks are for sequences, but this data set has text inputs"),
    "a trunk of rows": ("csv", "text,tag\na,X\n", ["model=mlp"], "model.trunk: reads features or image inputs, but this data set has text inputs; choose model=text_cnn"),
    "pieces of no tokenizer": ("csv", "text,tag\na,X\n", ["model=transformer", "model.trunk.pretrained=false", "model.trunk.tune=all", "model.trunk.architecture={model_type: bert}"], "model.trunk: reads pieces inputs, but this data set has text inputs; give dataset.pieces=FOLDER"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(case: str, mtl: InProcess, tmp_path: Path) -> None:
    kind, text, extra, message = BAD[case]
    (tmp_path / f"x.{kind}").write_text(text)
    start = ["dataset=text", f"dataset.path=x.{kind}", "model=text_cnn", "tasks={tag: token}"]
    if extra and extra[0].startswith(("dataset=x", "tasks={", "model=")):
        key = extra[0].partition("=")[0]
        start = [word for word in start if not word.startswith((f"{key}=", *([f"{key}.path"] * (key == "dataset"))))]
    keys = ["dataset.split.test=0.25", "dataset.split.val=0"]
    status, out, err = mtl("train", *start, *extra, *keys)
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if "error" in line]
    assert lines[0].startswith(f"mtl train: error: {message}"), lines[0]
    assert not list(tmp_path.glob("outputs/*"))


@pytest.mark.slow
def test_words_by_position_and_columns_are_explained_and_the_model_is_described(learned: Path, mtl: InProcess) -> None:
    status, out, err = mtl(
        "explain", str(learned / "reviews"), str(learned / "reviews.csv"), "--repeats=1", "--format=csv"
    )
    assert status == 0, err
    lost = pd.read_csv(io.StringIO(out)).set_index(["task", "feature"])["skill_lost"]
    assert set(lost["rating"].index) >= {"price", "shop"} and lost["rating", "price"] > 0.05
    assert sum(name.startswith("position ") for name in lost["rating"].index) > 3
    status, out, err = mtl(
        "explain", str(learned / "reviews"), str(learned / "reviews.csv"), "--dependence", "--format=csv"
    )
    assert status == 0 and {"price"} <= set(pd.read_csv(io.StringIO(out))["feature"]) <= {"price", "shop"}, err
    status, _, err = mtl("explain", str(learned / "reviews"), str(learned / "reviews.csv"), "--method=shap")
    assert status == 2 and ("not made for texts" in err or "pip install" in err)
    status, out, err = mtl("inspect", str(learned / "reviews"), "--format", "json")
    assert status == 0, err
    assert [feature["name"] for feature in json.loads(out)["features"]] == ["review", "price", "shop"]


def test_few_texts_are_read_by_five_members(mtl: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, texts(60))
    keys = [*CONLL, "tasks={topic: multiclass, upos: token}", "trainer.epochs=1", "model.trunk.width=8", *QUICK[:1]]
    assert "members" not in metrics_of(mtl("train", *keys)[1])
    monkeypatch.setattr("mtl_cli.data.held_out.FEW_ROWS", {"text": 20})
    status, out, err = mtl("train", *keys)
    assert status == 0 and "so 5 members are trained" in err, err
    assert metrics_of(out)["upos"]["accuracy"] > 0
