"""Conformance: reference vectors run through our own mechanisms.

A vector file states rules, cases, expected figures and tolerances. `compare` takes such a document,
recognises which family it belongs to, and returns one `Comparison` per figure. Pool documents carry
`kind` (a sentence), derivatives documents carry `title` and `kinds`. Whatever is not recognised
comes back as a comparison that failed: nothing is skipped in silence. Files are read by the caller.
"""

from experiments.conformance.comparison import Comparison, failure

__all__ = ["Comparison", "compare"]


def compare(document: dict) -> list[Comparison]:
    """Compare every figure of a vector document with what the mechanisms of Fathom give."""
    if "kind" in document:
        from experiments.conformance.pools import compare as compare_pools

        return compare_pools(document)
    if "title" in document or "kinds" in document:
        from experiments.conformance.derivatives import compare as compare_derivatives

        return compare_derivatives(document)
    return [failure("unknown kind of document", "kind", got=", ".join(sorted(document))[:80])]
