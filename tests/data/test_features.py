"""Columns become inputs: fitted on training rows only, the same for new tables."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import CodedRows
from mtl_cli.data.tables.deciding import Words, decide
from mtl_cli.data.tables.features import FeatureConfig, FeatureEncoder, feature_names, fit_features
from mtl_cli.runs.strangers import NotOurs
from tests.conftest import houses

NAMES = ["area", "rooms", "city", "garden", "built"]


def fit(table: pd.DataFrame, train: np.ndarray | None = None, **options: object) -> FeatureEncoder:
    rows = np.arange(len(table)) if train is None else train
    return fit_features(FeatureConfig(**options), table, list(table.columns), rows, "t.csv")  # type: ignore[arg-type]


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    readings = decide(table, dict.fromkeys(table.columns, "feature"), Words(), "t.csv", lambda line: None)
    return readings.apply(table)


NORMAL = QuantileTransformer(n_quantiles=30, output_distribution="normal")


@pytest.mark.parametrize(
    ("scale", "scaler"), [("standard", StandardScaler()), ("robust", RobustScaler()), ("quantile", NORMAL)]
)
def test_scaling_is_scikit_learns_on_the_training_rows(scale: str, scaler: StandardScaler) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(3, 5, 50), "b": random.standard_cauchy(50), "c": random.poisson(2, 50)})
    train = np.arange(30)
    encoder = fit(table, train, scale=scale)
    expected = scaler.fit(table.iloc[train]).transform(table)
    np.testing.assert_allclose(encoder.transform(table, "t.csv"), expected, rtol=1e-5, atol=1e-6)


def test_clipping_is_robust_scaling_bent_at_three() -> None:
    table = pd.DataFrame({"a": np.random.default_rng(0).normal(3, 5, 50), "b": [7.0] * 46 + [6.0, 8.0, 7.5, 7.0]})
    table.loc[49, "a"] = 1e90
    inputs = fit(table, scale="clip").transform(table, "t.csv")
    robust = RobustScaler().fit_transform(table[["a"]])[:-1, 0]
    np.testing.assert_allclose(inputs[:-1, 0], robust / np.sqrt(1 + (robust / 3) ** 2), rtol=1e-5)
    assert inputs[49, 0] == 3
    halves = table["b"].to_numpy() - 7  # the quartiles are equal: half the range is 1
    np.testing.assert_allclose(inputs[:, 1], halves / np.sqrt(1 + (halves / 3) ** 2), rtol=1e-5)


def test_bounded_is_standard_scaling_without_stray_numbers_and_bends_what_lies_beyond() -> None:
    random = np.random.default_rng(0)
    usual = random.normal(3, 5, 100)
    stray = np.r_[usual, 99999.0, 1e6, -1e90]
    tails, counts = np.exp(1.5 * random.normal(size=103)), np.r_[np.zeros(95), random.poisson(3, 8)]
    table = pd.DataFrame({"stray": stray, "tails": tails, "counts": counts})
    encoder = fit(table, scale="bounded")
    inputs = encoder.transform(table, "t.csv")
    np.testing.assert_allclose(inputs[:100, 0], (usual - usual.mean()) / usual.std(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(inputs[:, 1:], StandardScaler().fit_transform(table)[:, 1:], rtol=1e-4, atol=1e-6)
    ends = np.array([usual.min(), usual.max()])
    most = ends + (ends - usual.mean())
    np.testing.assert_allclose(inputs[100:, 0] * usual.std() + usual.mean(), most[[1, 1, 0]], rtol=1e-4)
    new = table.assign(stray=np.linspace(-40, 60, 103))
    bent = encoder.transform(new, "n.csv")[:, 0] * usual.std() + usual.mean()
    inside = new["stray"].between(*ends)
    np.testing.assert_allclose(bent[inside], new["stray"][inside], rtol=1e-4, atol=1e-4)
    assert (np.diff(bent) > 0).all() and most[0] < bent[0] and bent[-1] < most[1]
    step = encoder.transform(table.assign(stray=ends[1] + np.r_[1e-3, np.zeros(102)]), "s.csv")[:2, 0]
    assert (step[0] - step[1]) * usual.std() == pytest.approx(1e-3, rel=0.01), "no corner where the bend begins"


def test_a_date_after_those_of_training_is_not_bent() -> None:
    table = pd.DataFrame({"when": pd.date_range("2020-01-01", periods=40, freq="9D")})
    encoder = fit(table, np.arange(20), scale="bounded")
    standard = fit(table, np.arange(20), scale="standard")
    assert np.array_equal(encoder.transform(table, "t.csv"), standard.transform(table, "t.csv"))


@pytest.mark.parametrize("scale", ["bounded", "standard", "robust", "quantile", "clip"])
def test_every_scale_keeps_what_is_constant_infinite_or_missing_apart(scale: str) -> None:
    table = pd.DataFrame({"x": np.arange(20.0), "same": 0.1, "gap": [np.nan, *range(19)]})
    table["when"] = pd.date_range("2020-01-01", periods=20, freq="9D")
    encoder = fit(table, scale=scale)
    again = FeatureEncoder.from_state(json.loads(json.dumps(encoder.state())))
    inputs = again.transform(table, "t.csv")
    assert np.array_equal(inputs, encoder.transform(table, "t.csv")) and np.isfinite(inputs).all()
    assert (np.abs(inputs[:, 1]) < 1e-6).all()
    new = table.assign(x=[np.inf, -np.inf, *range(18)])
    assert np.isfinite(again.transform(new, "n.csv")).all(1).tolist() == [False] * 2 + [True] * 18


def test_other_rows_do_not_matter_to_the_fit() -> None:
    table = as_read(houses())
    train = np.arange(100)
    other = table.copy()
    other.loc[100:, "area"] *= 1000
    other.loc[100:, "city"] = "Nowhere"
    fitted = [fit_features(FeatureConfig(), t, NAMES, train, "t").state() for t in (table, other)]
    assert fitted[0] == fitted[1]


def test_kinds_are_told_apart_and_named() -> None:
    table = as_read(houses())
    encoder = fit_features(FeatureConfig(), table, NAMES, np.arange(len(table)), "t")
    kinds = {column.name: column.kind for column in encoder.columns}
    assert kinds == {"area": "numeric", "rooms": "numeric", "city": "categorical", "garden": "boolean", "built": "date"}
    assert encoder.names == [
        "area", "area missing", "rooms", "city=Lyon", "city=Oslo", "city=Riga", "city=Ulm", "city missing", "garden",
        "built:days", "built:year_sin", "built:year_cos", "built:week_sin", "built:week_cos",
    ] or "city=other" in encoder.names  # fmt: skip
    inputs = encoder.transform(table, "t")
    assert inputs.dtype == np.float32
    assert np.isfinite(inputs).all()


def test_rare_and_unknown_levels_share_one() -> None:
    table = pd.DataFrame({"c": ["a"] * 6 + ["b"] * 5 + ["rare"] * 2, "x": range(13)})
    encoder = fit(table, min_count=5)
    assert encoder.names[:3] == ["c=a", "c=b", "c=other"]
    new = pd.DataFrame({"c": ["a", "rare", "never seen", None], "x": 0})
    np.testing.assert_array_equal(encoder.transform(new, "n")[:, :3], [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]])


def test_an_unknown_level_is_no_level_where_none_was_rare() -> None:
    encoder = fit(pd.DataFrame({"c": ["a"] * 6 + ["b"] * 6, "x": range(12)}))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"c": ["z"], "x": 0}), "n")[0, :2], [0, 0])


def test_missing_numbers_are_filled_and_marked() -> None:
    table = pd.DataFrame({"x": [1.0, 2.0, 9.0, np.nan], "y": range(4)})
    for impute, fill in (("median", 2.0), ("mean", 4.0), ("zero", 0.0)):
        inputs = fit(table, impute=impute, scale="none").transform(table, "t")
        assert inputs[3, 0] == fill
        assert inputs[:, 1].tolist() == [0, 0, 0, 1]


def test_a_missing_number_is_an_error_where_asked() -> None:
    table = pd.DataFrame({"x": [1.0, np.nan], "y": [1, 2]})
    with pytest.raises(UserError, match="the column 'x' has no value in row 2; dataset.features.impute=median"):
        fit(table, impute="none").transform(table, "t")


def test_an_infinite_number_is_an_error() -> None:
    with pytest.raises(UserError, match="'inf' in row 2 of column 'x' is not finite"):
        fit(pd.DataFrame({"x": [1.0, np.inf, 2.0]}))


def test_text_in_a_column_declared_numeric() -> None:
    with pytest.raises(
        UserError, match=r"'b' in row 2 of column 'x' is not a number; dataset.features.categorical=\[x\]"
    ):
        fit(pd.DataFrame({"x": ["1", "b", "3"]}), numeric=["x"])


def test_numbers_declared_categorical() -> None:
    encoder = fit(pd.DataFrame({"code": [1, 2] * 6, "x": range(12)}), categorical=["co*"])
    assert encoder.names[:2] == ["code=1", "code=2"]


def test_numbers_are_no_dates() -> None:
    with pytest.raises(UserError, match="the column 'year' holds numbers, not dates"):
        fit(pd.DataFrame({"year": [2001, 2002], "x": [1, 2]}), date=["year"])


@pytest.mark.parametrize("values", [[0, 1, 1, 0, 1], [0.0, np.nan, 1.0, 1.0, 0.0], [True, False, True, True, False]])
def test_zeros_and_ones_are_yes_and_no(values: list[object]) -> None:
    table = pd.DataFrame({"flag": values, "x": np.arange(5.0)})
    encoder = fit(table)
    assert encoder.columns[0].kind == "boolean"
    present = table["flag"].notna().to_numpy()
    usual = 0 if not present.all() else 1  # 1, 1, 0, 0 and a missing one that is filled with 0; or 1, 1, 1, 0, 0
    found = encoder.transform(table, "t")[present, 0] + usual
    np.testing.assert_array_equal(found, np.array(values, "float32")[present], "they are not standardised")
    assert encoder.indicators[0] == 0


def test_the_usual_value_of_an_input_of_two_is_0_over_the_training_rows_alone() -> None:
    table = pd.DataFrame({"c": ["a"] * 6 + ["b"] * 5, "flag": [1] * 7 + [0] * 4, "gap": [np.nan] * 6 + [1.5] * 5})
    encoder = fit(table, np.arange(8), min_count=1, scale="none")
    assert encoder.names == ["c=a", "c=b", "flag", "gap", "gap missing"]
    expected = [[0, 0, 0, 1.5, 0]] * 6 + [[-1, 1, 0, 1.5, -1]] + [[-1, 1, -1, 1.5, -1]] * 4
    np.testing.assert_array_equal(encoder.transform(table, "t"), expected)
    again = FeatureEncoder.from_state(json.loads(json.dumps(encoder.state())))
    np.testing.assert_array_equal(again.transform(table, "t"), expected)


def test_a_column_of_an_earlier_version_is_read_as_it_was_fitted() -> None:
    table = pd.DataFrame({"c": ["a"] * 7 + ["b"] * 5, "x": range(12)})
    state = fit(table).state()
    assert state[0].pop("usual") == [1, 0] and state[1].pop("usual") == []
    assert FeatureEncoder.from_state(state).transform(table, "t")[[0, 11], :2].tolist() == [[1, 0], [0, 1]]
    state[0]["usual"] = [1.0]
    with pytest.raises(NotOurs, match="usual values of other inputs"):
        FeatureEncoder.from_state(state)


def test_many_levels_are_made_per_batch_and_are_the_same() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"c": ["most"] * 400 + [f"l{i:03}" for i in range(200)], "flag": random.random(600) < 0.9})
    table.loc[::7, "c"] = None
    encoder = fit(table, min_count=1)
    rows = encoder.encode(table, "t")
    assert isinstance(rows, CodedRows)
    np.testing.assert_array_equal(rows.take(slice(None)).numpy(), encoder.transform(table, "t"))


@pytest.mark.parametrize("values", [[0, 1, 2], [1, 1, 1], [0.0, 0.5, 1.0]])
def test_other_numbers_are_measurements(values: list[float]) -> None:
    assert fit(pd.DataFrame({"flag": values, "x": [1.5, 2.5, 3.5]})).columns[0].kind == "numeric"


def test_zeros_and_ones_declared_numbers() -> None:
    table = pd.DataFrame({"flag": [0, 1, 1, 0], "x": range(4)})
    assert fit(table, numeric=["flag"]).transform(table, "t")[:, 0].tolist() == [-1, 1, 1, -1]


def test_decimals_of_a_typed_file_are_numbers() -> None:
    table = pd.DataFrame({"x": [Decimal("1.5"), None, Decimal("2.5")], "y": [1, 2, 3]})
    assert [column.kind for column in fit(table).columns] == ["numeric", "numeric"]


def test_tiny_units_are_scaled_too() -> None:
    table = pd.DataFrame({"x": np.arange(10) * 1e-14})
    assert fit(table).transform(table, "t").std() == pytest.approx(1, rel=1e-5)


def test_a_column_that_counts_the_rows_is_pointed_out() -> None:
    notices: list[str] = []
    table = pd.DataFrame({"n": range(100, 160), "y": np.random.default_rng(0).random(60)})
    fit_features(FeatureConfig(), table, ["n", "y"], np.arange(60), "t", notices.append)
    assert "dataset.id=n" in notices[0]


def test_a_constant_column_is_harmless() -> None:
    table = pd.DataFrame({"x": [5.0] * 4, "y": range(4)})
    assert (fit(table).transform(table, "t")[:, 0] == 0).all()


def test_an_empty_column_is_left_out_aloud() -> None:
    notices: list[str] = []
    table = pd.DataFrame({"x": [np.nan] * 4, "y": range(4)})
    encoder = fit_features(FeatureConfig(), table, ["x", "y"], np.arange(4), "t", notices.append)
    assert encoder.names == ["y"]
    assert "'x' is empty" in notices[0]


def test_a_column_of_names_is_pointed_out() -> None:
    notices: list[str] = []
    table = pd.DataFrame({"who": [f"p{i}" for i in range(60)], "y": range(60)})
    fit_features(FeatureConfig(), table, ["who", "y"], np.arange(60), "t", notices.append)
    assert "dataset.id=who" in notices[0]


def test_columns_by_name_and_pattern() -> None:
    table = houses()
    names = feature_names(FeatureConfig(include=["ar*", "rooms", "city"], exclude=["city"]), table, ["price"], [])
    assert names == ["area", "rooms"]
    with pytest.raises(UserError, match=r"dataset.features.include: no column is 'aera'; did you mean area\?"):
        feature_names(FeatureConfig(include=["aera"]), table, [], [])
    with pytest.raises(UserError, match="no column is left"):
        feature_names(FeatureConfig(exclude=["*"]), table, [], [])


def test_a_new_table_that_lacks_columns_names_them_all() -> None:
    encoder = fit(as_read(houses()[NAMES]))
    with pytest.raises(UserError) as caught:
        encoder.transform(
            pd.DataFrame({"aera": [1.0], "city": ["Oslo"], "garden": [True], "built": ["2001-01-01"]}), "n.csv"
        )
    assert str(caught.value).splitlines() == [
        "n.csv: the feature column 'area' is missing; did you mean aera?",
        "n.csv: the feature column 'rooms' is missing",
    ]


def test_state_round_trip() -> None:
    table = as_read(houses()[NAMES])
    encoder = fit(table)
    again = FeatureEncoder.from_state(encoder.state())
    np.testing.assert_array_equal(again.transform(table, "t"), encoder.transform(table, "t"))


def many_levels() -> pd.DataFrame:
    """Two columns of many categories, missing values, and numbers between them."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "x": random.normal(size=900),
            "shop": random.choice([f"s{i}" for i in range(80)], 900),
            "flag": random.random(900) < 0.5,
            "code": random.choice(np.arange(150), 900),
            "word": random.choice(["a", "b"], 900),
        }
    )
    table.loc[::7, "shop"] = None
    table.loc[::5, "x"] = np.nan
    return table


@pytest.mark.parametrize("min_count", [1, 10])
def test_categories_in_codes_are_the_inputs_of_ones_and_zeros(min_count: int) -> None:
    table = many_levels()
    config = FeatureConfig(min_count=min_count, categorical=["code"])
    encoder = fit_features(config, table, list(table), np.arange(600), "t.csv")
    rows = encoder.encode(table, "t.csv")
    if min_count == 1:
        assert isinstance(rows, CodedRows) and rows.codes.shape == (900, 3)
        new = table.assign(shop="elsewhere", word=None)
        assert np.array_equal(encoder.encode(new, "n.csv").take(slice(None)), encoder.transform(new, "n.csv"))
    expected = torch.from_numpy(encoder.transform(table, "t.csv"))
    assert torch.equal(rows.take(slice(None)), expected)
    assert torch.equal(rows.take(torch.tensor([5, 2, 5])), expected[[5, 2, 5]])
    assert torch.equal(rows.take(slice(None, None, 7)), expected[::7])
    assert torch.equal(rows.select(np.arange(900) % 3 == 1).take(slice(4)), expected[1::3][:4])
    assert torch.equal(torch.cat([rows.to(torch.device("cpu")).take(chunk) for chunk in rows.chunks()]), expected)


def test_only_columns_of_categories_are_rows_too() -> None:
    table = many_levels()[["code", "shop"]].dropna()
    encoder = fit_features(FeatureConfig(min_count=1, categorical=["*"]), table, list(table), np.arange(700), "t.csv")
    rows = encoder.encode(table, "t.csv")
    assert isinstance(rows, CodedRows) and rows.numbers.shape[1] == 0
    assert np.array_equal(rows.take(slice(None)), encoder.transform(table, "t.csv"))
