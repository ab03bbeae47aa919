"""A program that `command.toml` runs: momentum on a noisy quadratic, no package needed."""

import argparse
import json
import random

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--momentum", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
given = parser.parse_args()

noise = random.Random(given.seed)
curvatures = (1.0, 0.1, 0.01)
x, velocity = [1.0] * 3, [0.0] * 3
for step in range(1, 201):
    for i, curvature in enumerate(curvatures):
        velocity[i] = given.momentum * velocity[i] + curvature * x[i] + noise.gauss(0, 0.01)
        x[i] -= given.lr * velocity[i]
    if step % 20 == 0:
        loss = sum(curvature * each**2 for curvature, each in zip(curvatures, x, strict=True)) / 2
        print(json.dumps({"step": step, "loss": loss}), flush=True)
