"""A class per word of a text: tags, entities as seqeval counts them, and that missing labels count for nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.tasks.kinds.token import EntityTask, Token, TokenTask
from mtl_cli.tasks.spans import TagError, Tags, as_iob2, best_path, count_entities, scheme_of

CLASSES = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
TABLE = pd.DataFrame(
    {
        "pos": ["NOUN VERB", "VERB _ NOUN", None, "_ _"],
        "ner": ["B-PER O", "B-PER I-PER O", "O B-LOC", None],
    }
)
EVERY = np.arange(4)


def seqeval_entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """Return (type, first, last) as ``seqeval.metrics.sequence_labeling.get_entities`` of seqeval 1.2.2 does.

    Its rules, of which those for E, S and "." are left out, are those of CoNLL's ``conlleval.pl``.
    """
    found = set()
    before, kind_before, first = "O", "", 0
    for i, tag in enumerate([*tags, "O"]):
        letter, kind = tag[0], tag[1:].split("-", 1)[-1] or "_"
        if before != "O" and (letter in "BO" or kind_before != kind):
            found.add((kind_before, first, i - 1))
        if letter == "B" or (letter == "I" and (before == "O" or kind_before != kind)):
            first = i
        before, kind_before = letter, kind
    return found


ROWS = st.lists(
    st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=9), min_size=1, max_size=5
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(ROWS)
def test_entities_are_counted_as_seqeval_counts_them(rows: list[list[tuple[int, int]]]) -> None:
    """Whatever the tags, also an I- that continues nothing; tokens without a label are taken out."""
    length = max(map(len, rows))
    truth = torch.tensor([[t for t, _ in row] + [-1] * (length - len(row)) for row in rows])
    predicted = torch.tensor([[p for _, p in row] + [1] * (length - len(row)) for row in rows])
    tags = Tags.of(CLASSES)
    found = count_entities(tags, truth, predicted)
    for i, row in enumerate(rows):
        labelled = [(t, p) for t, p in row if t >= 0]
        true, guess = (seqeval_entities([CLASSES[pair[k]] for pair in labelled]) for k in (0, 1))
        for j, kind in enumerate(tags.types):
            counts = [len({e for e in each if e[0] == kind}) for each in (true, guess, true & guess)]
            assert [int(each[i, j]) for each in (found.there, found.found, found.right)] == counts


def test_metrics_of_an_example_that_seqeval_gives() -> None:
    """The example of seqeval's README: F1 0.5 of two entities each, one of them right."""
    true = ["O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    guess = ["O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    table = pd.DataFrame({"ner": true})
    task = Token().fit("ner", table, np.arange(2))
    assert isinstance(task, EntityTask) and task.primary == "f1"
    output = np.eye(task.outputs, dtype="float32")[np.maximum(task.encode(pd.Series(guess)).values, 0)] * 9
    values = task.encode(task.labels(table)).values
    found = task.metrics(output, values)
    assert (found["f1"], found["precision"], found["recall"]) == (0.5, 0.5, 0.5)
    assert (found["entities"], found["tokens"], found["accuracy"]) == (2, 10, 0.8)
    assert float(task.monitor(torch.from_numpy(output), torch.from_numpy(values))) == 0.5
    assert task.by_class(output, values)["PER"] == {"rows": 1, "recall": 1.0, "precision": 1.0}
    assert task.by_class(output, values)["MISC"] == {"rows": 1, "recall": 0.0, "precision": 0.0}
    counts = np.array([[1, 1], [2, 0], [0, 3]])
    np.testing.assert_allclose(task.resampled(output, values, counts), [0.5, 0.0, 1.0])


def test_the_best_path_is_the_best_of_all_that_are_allowed() -> None:
    first, after = Tags.of(CLASSES).allowed()
    output = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0)) * 2
    scores = output.log_softmax(-1)
    found = best_path(output, first, after)
    for row, path in zip(scores, found.tolist(), strict=True):
        allowed = [
            candidate for candidate in itertools.product(range(5), repeat=4)
            if first[candidate[0]] and all(after[a][b] for a, b in itertools.pairwise(candidate))
        ]  # fmt: skip
        best = max(allowed, key=lambda candidate: sum(row[i, c].item() for i, c in enumerate(candidate)))
        assert path == list(best)


def test_what_stands_beyond_a_rows_end_changes_no_tag() -> None:
    task = Token().fit("ner", TABLE, EVERY)
    output = np.random.default_rng(0).normal(size=(1, 4, task.outputs)).astype("float32") * 3
    longer = np.concatenate([output, np.full((1, 3, task.outputs), np.nan, "float32")], 1)
    first, second = task.decode(output), task.decode(longer)
    assert first["predicted_ner"].tolist() == second["predicted_ner"].tolist()
    np.testing.assert_allclose(first["predicted_ner_prob"], second["predicted_ner_prob"])


def test_parts_of_speech_are_classes() -> None:
    task = Token().fit("pos", TABLE, EVERY)
    assert type(task) is TokenTask and task.primary == "accuracy"
    assert task.classes == ["NOUN", "VERB"]
    target = task.encode(task.labels(TABLE))
    assert target.values.tolist() == [[0, 1, -1], [1, -1, 0], [-1, -1, -1], [-1, -1, -1]]
    assert target.mask.tolist() == [True, True, False, False]
    assert target.weights is not None and target.weights.tolist() == [2, 2, 0, 0]
    output = np.zeros((4, 3, 2), "float32")
    output[:, :, 1] = 1
    assert task.metrics(output[:2], target.values[:2])["accuracy"] == 0.5
    assert task.decode(output)["predicted_pos"][0] == "VERB VERB VERB"
    np.testing.assert_allclose(task.resampled(output[:2], target.values[:2], np.array([[1, 1], [0, 2]])), [0.5, 0.5])


def test_more_classes_than_a_byte_holds() -> None:
    table = pd.DataFrame({"pos": [" ".join(f"T{i}" for i in range(200))] * 2})
    task = Token().fit("pos", table, np.arange(2))
    assert task.encode(task.labels(table)).values.max() == 199


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("iob2", "B-PER I-PER O B-PER B-PER", "B-PER I-PER O B-PER B-PER"),
        ("iob1", "I-PER I-PER B-PER O I-LOC I-PER", "B-PER I-PER B-PER O B-LOC B-PER"),
        ("iobes", "B-PER I-PER E-PER S-LOC O", "B-PER I-PER I-PER B-LOC O"),
        ("bilou", "B-PER L-PER U-LOC O", "B-PER I-PER B-LOC O"),
        ("iob2", "_ I-PER O", "_ I-PER O"),
    ],
)
def test_the_usual_schemes_are_read_as_iob2(scheme, tags: str, expected: str) -> None:
    assert as_iob2(tags.split(), scheme, ["_"]) == expected.split()


def test_a_scheme_is_found_by_its_tags() -> None:
    assert scheme_of({"O", "B-PER", "I-PER"}) == "iob2"
    assert scheme_of({"O", "B-PER", "E-PER", "S-PER"}) == "iobes"
    assert scheme_of({"O", "B-PER", "L-PER"}) == "bilou"
    assert scheme_of({"NOUN", "B-X"}) is None
    assert scheme_of({"O", "NOUN"}) is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["B-PER O", "O I-PER"], "tasks.ner: token 2 of row 2: 'I-PER' continues no entity of type PER"),
        (["B-PER I-LOC", "O O"], "tasks.ner: token 2 of row 1: 'I-LOC' continues no entity of type LOC"),
        (["B-PER O", "O PER"], "tasks.ner: token 2 of row 2: 'PER' is not a tag of iob2, which has O, B-TYPE, I-TYPE"),
    ],
)
def test_a_tag_that_cannot_be_is_named_with_its_row(labels: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Token().fit("ner", pd.DataFrame({"ner": labels}), np.arange(2))
    assert str(caught.value).startswith(message)
    assert "scheme=iob1" in str(caught.value)


def test_a_tag_error_says_where() -> None:
    with pytest.raises(TagError) as caught:
        as_iob2(["O", "I-X"], "iob2", [])
    assert caught.value.position == 2


@pytest.mark.parametrize("name", ["pos", "ner"])
def test_a_state_of_plain_values_brings_the_task_back(name: str) -> None:
    task = Token(class_weights="balanced").fit(name, TABLE, EVERY)
    again = Token.restore(task.state())
    assert again == task and type(again) is type(task)


def test_tags_that_the_task_does_not_know_are_told_and_missing() -> None:
    task = Token().fit("ner", TABLE, EVERY)
    labels, unknown = task.known_labels(pd.DataFrame({"ner": ["B-ORG O", "B-PER O"]}))
    assert (labels.tolist(), unknown) == (["_ O", "B-PER O"], {"B-ORG": 1})
