"""The recipe of `experiment=wine_baseline` as a plain script, as tutorials write it: what `mtl` is measured against."""

import sys
from pathlib import Path

import pandas as pd
import torch
from sklearn.metrics import accuracy_score, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

DATA = Path(__file__).parents[2] / "mtl_cli" / "data" / "builtin" / "winequality-red.csv"


def train(seed: int) -> tuple[float, float]:
    """Return test MSE and accuracy."""
    torch.manual_seed(seed)
    table = pd.read_csv(DATA, sep=";")
    train, test = train_test_split(range(len(table)), test_size=0.2, random_state=42)
    train, _ = train_test_split(train, test_size=160, random_state=42)
    scaler = StandardScaler().fit(table.drop(columns="quality").iloc[train])
    inputs = torch.tensor(scaler.transform(table.drop(columns="quality")), dtype=torch.float32)
    quality = torch.tensor(table["quality"].to_numpy(), dtype=torch.float32)
    good = (quality >= 6).float()

    trunk = nn.Sequential(nn.Linear(11, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    heads = nn.ModuleList([nn.Linear(64, 1), nn.Linear(64, 1)])
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=0.01)
    x, y, g = inputs[train], quality[train], good[train]
    for _ in range(100):
        optimizer.zero_grad()
        z = trunk(x)
        loss = nn.functional.mse_loss(heads[0](z).squeeze(1), y)
        loss = loss + nn.functional.binary_cross_entropy_with_logits(heads[1](z).squeeze(1), g)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        z = trunk(inputs[test])
        predicted, likely = heads[0](z).squeeze(1), heads[1](z).squeeze(1) > 0
    return float(mean_squared_error(quality[test], predicted)), float(accuracy_score(good[test], likely))


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["0"]:
        mse, accuracy = train(int(argument))
        print(f"seed {argument}: test mse {mse:.4f}, accuracy {accuracy:.4f}")
