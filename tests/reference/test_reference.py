"""glimm against the results of other programs at full precision.

Every difference beyond a tolerance is explained in ``divergences.toml``; an entry that is no longer
needed, or whose size has changed, fails. Tolerances are never loosened for a single case.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
from typing import Any

import pytest
from reference_data import (
    CASES,
    FOLDER,
    differences,
    fitted,
    models,
    reference,
    register,
)
from reference_points import point_difference

TOLERANCE = {
    # Nats; the same optimum of the same objective, with rounding over 10^5 rows.
    "loglik": 1e-6,
    # Nats; the objective at a peer's parameters, where no optimiser has a part.
    "points": 1e-6,
    # Standard errors of the parameter: a tenth of a thousandth cannot matter to any conclusion.
    "estimates": 1e-4,
    # Relative; lme4's come from finite differences, good to about 1e-4.
    "se": 1e-3,
    # Standard errors of the standard deviation (see ``sd_errors`` where a peer states none).
    "sds": 1e-4,
    # Standard errors of the correlation.
    "correlations": 1e-4,
    # Standard errors of the dispersion parameter.
    "dispersion": 1e-4,
    # Relative; standard errors of standard deviations and dispersion.
    "variance_errors": 1e-3,
    # Conditional standard deviations of the mode.
    "modes": 1e-4,
    # Relative.
    "cond_sd": 1e-3,
}
# A registered size is stated to two digits; a change beyond a fifth is a change worth reading.
REGISTERED_SIZE_RTOL = 0.2
REASONS = {"other definition", "peer not at its optimum", "peer not ML", "boundary"}
ROWS = [(case, model, peer) for case, model in models() for peer in model["peers"]]
IDS = [f"{case}-{model['id']}-{peer['id']}" for case, model, peer in ROWS]


@functools.cache
def sizes_of(row: int) -> dict[str, float]:
    case, model, peer = ROWS[row]
    sizes = differences(fitted(case, model["id"]), model, peer)
    points = point_difference(case, model, peer)
    return sizes if points is None else sizes | {"points": points}


@pytest.mark.parametrize("quantity", TOLERANCE)
@pytest.mark.parametrize("row", range(len(ROWS)), ids=IDS)
def test_agrees_or_is_explained(row: int, quantity: str) -> None:
    case, model, peer = ROWS[row]
    size = sizes_of(row).get(quantity, 0.0)
    entry = register().get((case, model["id"], peer["id"], quantity))
    if entry is None:
        assert size <= TOLERANCE[quantity], f"{quantity} differs by {size:.3g}"
    else:
        assert size > TOLERANCE[quantity], "this register entry is no longer needed"
        assert size == pytest.approx(entry[0], rel=REGISTERED_SIZE_RTOL)


@pytest.mark.parametrize("row", range(len(ROWS)), ids=IDS)
def test_same_loglik_as_other_versions_of_the_peer(row: int) -> None:
    case, model, peer = ROWS[row]
    if (case, model["id"], peer["id"], "loglik") in register():
        return
    ours = fitted(case, model["id"]).loglik
    for other in peer.get("other_versions", []):
        assert ours == pytest.approx(other["loglik"], abs=TOLERANCE["loglik"]), other["peer"]


@pytest.mark.parametrize(
    ("case", "model"), list(models()), ids=lambda x: x if isinstance(x, str) else x["id"]
)
def test_converged(case: str, model: dict[str, Any]) -> None:
    found = fitted(case, model["id"]).diagnostics
    assert found.converged, found.reason


def test_the_register_names_what_exists() -> None:
    known = {(c, m["id"], p["id"], q) for c, m, p in ROWS for q in TOLERANCE}
    assert set(register()) <= known
    for size, reason, evidence in register().values():
        assert reason in REASONS
        assert evidence.strip()
        assert math.isfinite(size)


@pytest.mark.parametrize("case", CASES)
def test_the_data_are_the_ones_the_peers_saw(case: str) -> None:
    about = reference(case)["data"]
    raw = (FOLDER / "cases" / case / about["file"]).read_bytes()
    if about["file"].endswith(".gz"):
        raw = gzip.decompress(raw)
    assert hashlib.sha256(raw).hexdigest() == about["sha256_of_csv"]
    assert reference(case)["source"]
    assert reference(case)["licence_note"]
