"""Golden values of the keyed permutation in data/sampler.h, from an implementation of its own.

Run by hand: python tests/golden/sampler.py > tests/golden/sampler.json
Philox4x32-10 follows Salmon et al., SC 2011 and is checked against its known answer.
"""
import json

M0, M1, W0, W1, MASK = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = M0 * c[0], M1 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + W0) & MASK, (k[1] + W1) & MASK]
    return c


# Random123's kat_vectors: philox4x32, 10 rounds, digits of pi.
assert philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]) == [
    0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def split(value):
    return [value & MASK, value >> 32]


def clustering_seed(seed, round):
    """ssl/clustering/clusterings.h: the round-th number of SplitMix64."""
    mask = 2**64 - 1
    z = (seed + (round + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return z ^ z >> 31


# The first number from state 1234567, as in the published test vectors of SplitMix64.
assert clustering_seed(1234567, 0) == 6457827717110365317


def element(i, n, seed, epoch):
    key = philox(split(epoch) + [1, 0], split(seed))[:2]
    width = 3
    while 4**width < n:
        width += 1
    while True:
        left, right = divmod(i, 2**width)
        for r in range(8):
            left, right = right, left ^ philox([right, r, 0, 0], key)[0] % 2**width
        i = left * 2**width + right
        if i < n:
            return i


def main():
    cases = []
    for n, seed, epoch in [(1, 0, 0), (2, 7, 1), (10, 0, 0), (17, 3, 2**40), (1000, 2**63 + 5, 4), (60000, 0, 99), (2**31, 1, 1), (2**62, 2**64 - 1, 3)]:
        positions = sorted({0, 1, n // 3, n // 2, n - 1} & set(range(n)) if n < 10**6 else {0, 1, n // 3, n // 2, n - 1})
        cases.append({"n": n, "seed": seed, "epoch": epoch, "positions": positions, "elements": [element(i, n, seed, epoch) for i in positions]})
    print(json.dumps({"cases": cases}, indent=1))


if __name__ == "__main__":
    main()
