"""Which rows a whole run answers for: those that it did not write again are of settings or methods that are gone.

Cases of a run are `encoder`, `encoder/set`, `encoder/set/method`, `encoder/set/method/setting`,
`encoder/set/target/uncompressed/one` and `encoder/set/target/method/view/regime`, with the setting behind where a row is a
point of a curve; a rival is `method, view`. A results file holds the rows of one split.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from codec.evaluate.rate.suite import SUITES, Suite, method_names
from codec.evaluate.rows import Row

_METHOD = {2: 1, 3: 1, 5: 2, 6: 2}  # parts behind the encoder → which of them is the method
_REGIME = {5: 4, 6: 4}


@dataclass(frozen=True)
class Scope:
    """Rows of one encoder on the sets of a suite that was scored whole."""

    suite: str  # as rows name it
    encoder: str
    sets: Collection[str]
    regimes: Collection[str]
    elsewhere: Collection[str]  # methods of other suites, which this run says nothing of

    @classmethod
    def of_suite(
        cls, of: Suite, suite: str, encoder: str, sets: Collection[str], regimes: Collection[str]
    ) -> Scope:
        """What a run of all methods of a suite on all its sets answers for."""
        known = {name for one in SUITES.values() for name in method_names(one)}
        return cls(suite, encoder, sets, regimes, known - set(method_names(of)))

    def __contains__(self, row: object) -> bool:
        if not isinstance(row, Row):
            return False
        parts = row.case.removeprefix(f"{self.encoder}/").split("/")
        if (
            row.suite != self.suite
            or not row.case.startswith(f"{self.encoder}/")
            or parts[0] not in self.sets
        ):
            return False  # what it took stands under the encoder alone: a run that went on does not know it
        if len(parts) in _REGIME and parts[_REGIME[len(parts)]] not in self.regimes:
            return False
        methods = {row.rival.partition(", ")[0]}
        if len(parts) in _METHOD:
            methods.add(parts[_METHOD[len(parts)]])
        return not methods & set(self.elsewhere)
