#!/usr/bin/env python3
"""Makes logistic.json: scikit-learn's StandardScaler + LogisticRegression(C = 1 / (l2 n)) on small integer features, at its minimum.
Run by hand: python tests/golden/logistic.py > tests/golden/logistic.json
"""
import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


def case(name, seed, train_n, test_n, dim, classes, l2, constant=False):
    random = np.random.default_rng(seed)
    centres = random.integers(-10, 11, (classes, dim))
    scale = random.integers(1, 9, dim)

    def draw(n):
        labels = random.integers(0, classes, n)
        labels[:classes] = np.arange(classes)
        values = centres[labels] * scale + random.integers(-25, 26, (n, dim)) * scale + 7
        if constant:
            values[:, 0] = 3
        return values, labels

    train, train_labels = draw(train_n)
    test, test_labels = draw(test_n)
    scaler = StandardScaler().fit(train)
    x = scaler.transform(train)
    model = LogisticRegression(C=1 / (l2 * train_n), tol=1e-12, max_iter=100000).fit(x, train_labels)
    weight, bias = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn fits one vector; the symmetric pair is the minimum of the two-vector penalty with C of half the size
        raise SystemExit("use three classes or more")
    log_p = np.log(model.predict_proba(x))
    loss = -log_p[np.arange(train_n), train_labels].mean() + l2 / 2 * (weight**2).sum()
    return {"name": name, "l2": l2, "train": train.tolist(), "train_labels": train_labels.tolist(), "test": test.tolist(),
            "test_labels": test_labels.tolist(), "loss": loss, "weight": (weight / scaler.scale_).tolist(),
            "bias": (bias - (weight * (scaler.mean_ / scaler.scale_)).sum(1)).tolist(),
            "train_accuracy": model.score(x, train_labels), "accuracy": model.score(scaler.transform(test), test_labels)}


cases = [
    case("seven classes", 1, 400, 150, 10, 7, 1e-3),
    case("three classes, a feature that never varies", 2, 90, 40, 6, 3, 0.01, constant=True),
    case("more features than images", 3, 25, 30, 40, 4, 1e-3),
]
print(json.dumps(cases, separators=(",", ":")))
