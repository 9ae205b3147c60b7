"""A rate–utility run that also scores methods with encoders of their own."""

from __future__ import annotations

from codec.evaluate.rate import audit
from codec.evaluate.rate.adapted.points import VIEWS, AdaptedPoints
from codec.evaluate.rate.run import Entry, Run, Seen


class AdaptedRun(Run):
    """As `Run`; an adapted method sees the tiles' pixels, since each of its settings is another encoder.

    Its answers lie in other spaces than the frozen encoder's, so the audit's comparison with that one's planes does not
    apply; instead every decoded token must be the rounded activation of the point's own encoder, exactly. Scores, heads and
    thresholds are those of every method: head `one` is trained on the frozen encoder's uncompressed tokens.
    """

    def seen(self, name: str, entry: Entry) -> Seen:
        method = entry.method
        if not isinstance(method, AdaptedPoints):
            return super().seen(name, entry)
        self._training(
            name
        )  # refuses sets whose scored tiles a codec would be fitted on, as for every method
        tiles, planes = self.sets[name].tiles, self.planes(name)
        coded = [method.code(tiles, planes, setting) for setting in method.settings]
        audit.check_coded(entry.name, coded, len(tiles))
        return Seen(coded, method.uncompressed(planes), [c.planes for c in coded], VIEWS)
