"""A PyTorch script with its own Dataset and loop, as `torch-script.toml` runs it: a small net on scikit-learn's digits.

Most of its time goes into importing torch; scikit-learn's table is read without importing that.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


TABLE = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"


class Digits(Dataset):
    """8 x 8 images as 64 numbers from 0 to 1, each with its digit."""

    def __init__(self):
        table = torch.from_numpy(np.loadtxt(TABLE, delimiter=",", dtype=np.float32))
        self.images, self.digits = table[:, :-1] / 16, table[:, -1].long()

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        return self.images[index], self.digits[index]


def error_rate(model, loader):
    model.eval()
    with torch.no_grad():
        wrong = sum((model(images).argmax(1) != digits).sum().item() for images, digits in loader)
    return wrong / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    torch.manual_seed(given.seed)
    torch.set_num_threads(1)
    train, validation = random_split(Digits(), [0.8, 0.2])
    loader = DataLoader(train, batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = OPTIMIZERS[given.optimizer](model.parameters(), lr=given.lr, weight_decay=given.weight_decay)
    for epoch in range(1, given.epochs + 1):
        model.train()
        total = 0.0
        for images, digits in loader:
            loss = nn.functional.cross_entropy(model(images), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        error = error_rate(model, DataLoader(validation, batch_size=512))
        print(json.dumps({"step": epoch, "val_error": error, "train_loss": total / len(loader)}), flush=True)


if __name__ == "__main__":
    main()
