"""`MultiTaskEstimator`: a network for several targets, as an estimator of scikit-learn.

Only what scikit-learn asks of an estimator is here: fitting is `train`, on a table in a folder that is gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import assert_all_finite, check_is_fitted, validate_data

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import Inputs
from mtl_cli.inference.evaluate import evaluate
from mtl_cli.interface import Run, _as_file, _note, train
from mtl_cli.tasks.answer_columns import PREDICTION
from mtl_cli.tasks.task import Task

if TYPE_CHECKING:
    from mtl_cli.data.base import Examples
    from mtl_cli.inference.answer import Answer
    from mtl_cli.inference.trained import TrainedModel as Model

Kinds = str | Sequence[Any] | Mapping[str, Any] | None
LABEL = "label of {}"
"""What a target's column is called in the table, where it must not meet a feature of the same name."""
OWN = {"plots": False, "trainer.baselines": "none", "dataset.split.test": 0}
"""Settings whose defaults differ from those of the command line: all rows that ``fit`` gets are there to be learnt."""
CLASSES = ("binary", "multiclass")


def _has_classes(estimator: MultiTaskEstimator) -> bool:
    """Whether some target has classes, as far as is known: `predict_proba` is there only then."""
    return bool(estimator._orders) if estimator.__sklearn_is_fitted__() else estimator.tasks != "regression"


class MultiTaskEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A network that is trained on all columns of ``y`` at once.

    Parameters
    ----------
    tasks : str, list or mapping, optional
        The kind of all targets, or of each: "regression", "binary", "multiclass", …, or a mapping with further keys of
        the task, such as ``{"kind": "regression", "weight": 2}``. By default what the labels look like: numbers with
        fractions are a regression, others classes.
    **config
        Settings of `mtl train`, with two underscores for a dot: ``balancer="gradnorm"``, ``trainer__epochs=50``,
        ``optimizer__lr=0.01``, ``seed=1``. They are parameters of the estimator, for ``clone`` and ``GridSearchCV``.

    Attributes
    ----------
    model_ : TrainedModel
    tasks_ : list of str
        The names of the targets: the columns of ``y``, or ``y``, or ``y0``, ``y1``, …
    classes_ : ndarray, or dict of str to ndarray
        Of the target, or by target where there are several.
    history_ : DataFrame
        A row per epoch.
    """

    def __init__(self, tasks: Kinds = None, **config: Any) -> None:
        self.tasks = tasks
        self._config = config

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name."""
        return {"tasks": self.tasks, **self._config}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; what `mtl train` does not know is told when it is fitted."""
        if "tasks" in params:
            self.tasks = params.pop("tasks")
        self._config = {**self._config, **params}
        return self

    def fit(self, X: Any, y: Any) -> Self:
        """Train.

        Parameters
        ----------
        X : DataFrame or array of shape (n, features)
            In a DataFrame also text, categories, dates, true and false; missing values in both.
        y : DataFrame, Series, mapping or array of shape (n,) or (n, targets)
            The targets; NaN or None where a row has no label.
        """
        table = self._features(X, reset=True)
        labels = self._targets(y)
        check_consistent_length(table, labels)
        if len(table) < 2:
            raise ValueError("n_samples=1: a network needs more rows to learn from")
        self.tasks_, kinds = [str(name) for name in labels], self._kinds(labels)
        names = {name: name if name not in table.columns else LABEL.format(name) for name in self.tasks_}
        whole = pd.concat([table, labels.rename(columns=names)], axis=1)
        tasks = {name: {**kind, "target": names[name]} for name, kind in kinds.items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.parquet"
            settings: dict[str, Any] = OWN | {key.replace("__", "."): value for key, value in self._config.items()}
            try:
                whole.to_parquet(path, index=False)
                settings |= {"dataset": path, "tasks": tasks, "run_dir": f"{folder}/run"}
                run = train(**settings | {"dataset.features.include": list(table.columns)})
                self._keep(run, labels)
            except UserError as error:
                raise ValueError(str(error).replace(str(path), "the table")) from error
        return self

    def _keep(self, run: Run, labels: pd.DataFrame) -> None:
        self.model_: Model = run.model().model
        self.history_ = run.history
        self._single = isinstance(self._form, str)
        fitted = {name: task for name, task in self.model_.tasks.items() if task.kind in CLASSES}
        self._orders = {name: _classes(labels[name]) for name, task in fitted.items()}
        if self._orders:
            self.classes_ = self._orders[self.tasks_[0]] if self._single else dict(self._orders)
        self._n_features_out = _representations(self.model_, torch.zeros(1, *self.model_.reader.spec.shape)).shape[1]

    def predict(self, X: Any) -> Any:
        """Return the predictions in the form that ``y`` had: an array, or a DataFrame with X's index."""
        answer, index, _ = self._answer(X)
        columns = {name: self._decoded(name, answer) for name in self.tasks_}
        if isinstance(self._form, str):
            values = columns[self.tasks_[0]]
            return pd.Series(values, index=index, name=self.tasks_[0]) if self._form == "series" else values
        frame = pd.DataFrame(columns, index=index)
        return frame if self._form is pd.DataFrame else frame.to_numpy()

    @available_if(_has_classes)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes, (n, classes) in the order of ``classes_``.

        Of several targets they are a list, or where targets have names a dict, with those that have classes.
        """
        answer, _, _ = self._answer(X)
        found = {}
        for name in self._orders:
            task = self.model_.tasks[name]
            columns = np.column_stack(list(task.probabilities(answer.outputs[name]).values()))
            found[name] = columns[:, _places(task, self._orders[name])]
        if self._single:
            return found[self.tasks_[0]]
        return list(found.values()) if self._form is np.ndarray else found

    def transform(self, X: Any) -> np.ndarray:
        """Return what the heads read: each different representation of the tasks, of each member, side by side."""
        _, _, examples = self._answer(X)
        return _representations(self.model_, examples.inputs.take(slice(0, len(examples.inputs))))

    def score(self, X: Any, y: Any) -> float:
        """Return the mean skill of the targets: 1 − loss / loss of the best constant of the training rows.

        Of one regression that is R² against the mean of the training labels. Missing labels do not count.
        """
        answer, _, examples = self._answer(X)
        labels = self._targets(y, self.tasks_)
        check_consistent_length(examples.table, labels)
        part = examples.part(self.model_.tasks, labels={name: labels[name] for name in self.tasks_})
        return float(evaluate(answer.outputs, part, self.model_.tasks, None, answer.decided)["score"])

    def __sklearn_is_fitted__(self) -> bool:
        return "model_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, RegressorTags

        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        if self.tasks == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        elif isinstance(self.tasks, str) and self.tasks in CLASSES:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags(multi_class=self.tasks == "multiclass")
        return tags

    def _features(self, X: Any, reset: bool) -> pd.DataFrame:
        """Return X as a table; what scikit-learn wants to be checked is checked."""
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X.set_axis([str(column) for column in X.columns], axis=1).reset_index(drop=True)
        checked = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan")
        return pd.DataFrame(checked, columns=[f"x{number}" for number in range(checked.shape[1])])

    def _targets(self, y: Any, names: list[str] | None = None) -> pd.DataFrame:
        """Return y as a table, with the names of its columns, or those that it had when it was fitted."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        form: Any = "array"
        if isinstance(y, Mapping):
            y = pd.DataFrame(y)
        if isinstance(y, pd.DataFrame):
            form, table = pd.DataFrame, y.set_axis([str(column) for column in y.columns], axis=1)
        elif isinstance(y, pd.Series):
            form, table = "series", y.to_frame(str(y.name) if y.name is not None else "y")
        else:
            values = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False)
            form = "array" if values.ndim == 1 else np.ndarray
            columns = ["y"] if values.ndim == 1 else [f"y{number}" for number in range(values.shape[1])]
            table = pd.DataFrame(values.reshape(len(values), -1), columns=columns)
        for name in table:
            if table[name].dtype.kind == "f":
                assert_all_finite(table[name].to_numpy(), allow_nan=True, input_name="y")
        if names is None:
            self._form = form
        elif isinstance(form, str) or set(table) != set(names):
            table = table.set_axis(names, axis=1)
        return table.reset_index(drop=True)

    def _kinds(self, labels: pd.DataFrame) -> dict[str, dict[str, Any]]:
        """Return each target's kind, with further keys of the task."""
        given = self.tasks
        if given is None or isinstance(given, str):
            each: list[Any] = [given] * len(labels.columns)
        elif isinstance(given, Mapping):
            if set(given) != set(labels):
                raise ValueError(f"tasks are {list(given)}, and the targets are {list(labels)}")
            each = [given[str(name)] for name in labels]
        else:
            each = list(given)
        if len(each) != len(labels.columns):
            raise ValueError(f"there are {len(each)} kinds in tasks, and {len(labels.columns)} targets")
        found = {}
        for name, kind in zip(map(str, labels), each, strict=True):
            present = labels[name].dropna()
            settings = {"kind": kind} if isinstance(kind, str) else dict(kind or {})
            settings.setdefault("kind", _kind_of(present))
            if settings["kind"] in CLASSES:
                check_classification_targets(present.to_numpy())
            found[name] = settings
        return found

    def _answer(self, X: Any) -> tuple[Answer, pd.Index, Examples]:
        check_is_fitted(self)
        table = self._features(X, reset=False)
        index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(table))
        try:
            with _as_file(table) as path:
                examples = self.model_.read(path, _note)
        except UserError as error:
            raise ValueError(str(error)) from error
        return self.model_.answer(examples, _note), index, examples

    def _decoded(self, name: str, answer: Answer) -> np.ndarray:
        task, output, decided = self.model_.tasks[name], answer.outputs[name], answer.decided.get(name)
        columns = task.decode(output) if decided is None else task.decode_as(output, decided)
        predicted = columns[PREDICTION.named(name)]
        if name not in self._orders:
            return predicted
        classes = self._orders[name]
        numbers = task.encode(pd.Series(predicted, name=name)).values.astype(int)
        return np.asarray(classes[np.argsort(_places(task, classes))[numbers]])


def _representations(model: Model, inputs: Inputs) -> np.ndarray:
    """Return each different representation, of each member, side by side."""
    found: list[np.ndarray] = []
    with torch.no_grad():
        for member in model.members:
            each = member.network.representations(inputs)
            found += [z.flatten(1).numpy() for z in {id(z): z for z in each.values()}.values()]
    return np.concatenate(found, axis=1)


def _kind_of(labels: pd.Series) -> str:
    """Return what labels look like to scikit-learn, as a kind of task."""
    found = type_of_target(labels.to_numpy())
    return {"continuous": "regression", "binary": "binary"}.get(found, "multiclass")


def _classes(labels: pd.Series) -> np.ndarray:
    """Return the classes as they stand in ``y``, sorted."""
    return np.unique(labels.dropna().to_numpy())


def _places(task: Task, classes: np.ndarray) -> np.ndarray:
    """Return the number that a task gives to each class."""
    return task.encode(pd.Series(classes, name=task.name)).values.astype(int)
