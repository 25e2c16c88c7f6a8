"""Integrals of single clusters in 50-digit arithmetic: the truth for stated errors.

log of the integral of phi(u) prod_i f(y_i | eta_i = offset + sd u) over the line, for binary
responses (s successes among n rows, logit link) and for counts (n rows of s / n each, log link,
without the factorials). Needs mpmath; writes `integrals.csv` beside this file.
"""

import csv
import itertools
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50


def softplus(x):
    return x + mp.log1p(mp.exp(-x)) if x > 0 else mp.log1p(mp.exp(x))


def log_integrand(family, n, s, sd, offset, u):
    eta = offset + sd * u
    if family == "binomial":
        f = -s * softplus(-eta) - (n - s) * softplus(eta)
    else:
        f = s * eta - n * mp.exp(eta)
    return f - u * u / 2 - mp.log(2 * mp.pi) / 2


def mode(family, n, s, sd, offset):
    low, high = mpf(-2000), mpf(2000)
    for _ in range(200):
        u = (low + high) / 2
        eta = offset + sd * u
        slope = s - n / (1 + mp.exp(-eta)) if family == "binomial" else s - n * mp.exp(eta)
        low, high = (u, high) if sd * slope - u > 0 else (low, u)
    return (low + high) / 2


def integral(family, n, s, sd, offset):
    n, s, sd, offset = map(mpf, (n, s, sd, offset))
    top = mode(family, n, s, sd, offset)
    height = log_integrand(family, n, s, sd, offset, top)
    eta = offset + sd * top
    bend = mp.exp(-abs(eta)) / (1 + mp.exp(-abs(eta))) ** 2 if family == "binomial" else mp.exp(eta)
    width = 1 / mp.sqrt(1 + n * sd * sd * bend)
    edge = [-offset / sd + k / sd for k in (-40, -10, -3, 0, 3, 10, 40)] if sd > 0 else []
    hill = [top + k * width for k in (-60, -20, -8, -3, -1, 0, 1, 3, 8, 20, 60)]
    points = sorted(
        {p for p in [*edge, *hill, top - 45, top - 12, top + 12, top + 45] if abs(p - top) <= 45}
    )
    value = mp.quad(lambda u: mp.exp(log_integrand(family, n, s, sd, offset, u) - height), points)
    return height + mp.log(value)


def cases():
    for n, sd, offset in itertools.product(
        (1, 2, 5, 20, 1000, 10**6), (0, 0.1, 1, 3, 10, 100), (-30, -5, 0, 5, 30)
    ):
        for s in sorted({0, 1, n // 2, n}):
            yield "binomial", n, s, sd, offset
    for n, sd, offset in itertools.product((1, 5, 1000), (0, 0.1, 1, 3, 10), (-30, -5, 0, 5)):
        for s in (0, 1, 1000):
            yield "poisson", n, s, sd, offset


with (Path(__file__).parent / "integrals.csv").open("w", newline="") as file:
    out = csv.writer(file, lineterminator="\n")
    out.writerow(["family", "rows", "sum", "sd", "offset", "log_integral"])
    for case in cases():
        out.writerow([*case, mp.nstr(integral(*case), 20)])
        file.flush()
