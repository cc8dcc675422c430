#!/usr/bin/env python3
"""Makes knn.json: weighted kNN by the arithmetic that DINO published (exp(similarity / T) votes of the k nearest), written anew in
PyTorch and in float64 from float32 features. Features are small integers, so that the file is short and exact; directions are distinct
unless a case is about duplicates. Run by hand: python tests/golden/knn.py > tests/golden/knn.json
"""
import json

import torch


def knn(train, train_labels, test, test_labels, k, temperature, classes):
    train = torch.nn.functional.normalize(train.double(), dim=1)
    test = torch.nn.functional.normalize(test.double(), dim=1)
    similarity, index = (test @ train.T).topk(k, dim=1)
    one_hot = torch.nn.functional.one_hot(train_labels[index], classes).double()
    votes = (one_hot * (similarity / temperature).exp().unsqueeze(2)).sum(1)
    order = votes.sort(dim=1, descending=True, stable=True).indices
    # A class without a vote has no place (DINO counts the first min(5, k) classes).
    voted = one_hot.sum(1) > 0
    right = (order == test_labels.unsqueeze(1)) & voted.gather(1, order)
    margin = votes.sort(dim=1, descending=True).values
    return {
        "accuracy": right[:, :1].any(1).double().mean().item(),
        "top5": right[:, :5].any(1).double().mean().item() if classes > 5 else None,
        "narrowest": ((margin[:, 0] - margin[:, 1]) / margin[:, 0]).min().item() if classes > 1 else 1,
    }


def case(name, seed, train_n, test_n, dim, classes, k, temperature, spread, duplicates=1):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randint(-spread, spread + 1, (classes, dim), generator=generator)

    def draw(n):
        labels = torch.randint(0, classes, (n,), generator=generator)
        labels[: min(n, classes)] = torch.arange(classes)[: min(n, classes)]
        return centres[labels] + torch.randint(-20, 21, (n, dim), generator=generator), labels

    train, train_labels = draw(train_n // duplicates)
    train, train_labels = train.repeat(duplicates, 1), train_labels.repeat(duplicates)
    test, test_labels = draw(test_n)
    expected = knn(train, train_labels, test, test_labels, min(k, len(train)), temperature, classes)
    return {"name": name, "k": k, "temperature": temperature, "train": train.tolist(), "train_labels": train_labels.tolist(),
            "test": test.tolist(), "test_labels": test_labels.tolist(), "expected": expected}


cases = [
    case("ten classes", 1, 300, 120, 12, 10, 20, 0.07, 12),
    case("fewer than 100 test images", 2, 150, 37, 8, 7, 20, 0.07, 8),
    case("one class", 3, 40, 11, 6, 1, 20, 0.07, 8),
    case("three classes, k 200 of 260", 4, 260, 50, 8, 3, 200, 0.1, 8),
    case("k larger than the training set", 5, 50, 30, 8, 4, 200, 0.07, 8),
    case("every training image three times", 6, 120, 60, 8, 6, 21, 0.07, 10, duplicates=3),
    case("one test image", 7, 60, 1, 8, 5, 20, 0.07, 10),
    case("one neighbour votes", 8, 300, 120, 12, 10, 1, 0.07, 6),
    case("three neighbours vote", 9, 300, 120, 12, 10, 3, 0.07, 6),
    case("four of six training images vote", 10, 6, 60, 8, 6, 4, 0.07, 10),
]
print(json.dumps(cases, separators=(",", ":")))
