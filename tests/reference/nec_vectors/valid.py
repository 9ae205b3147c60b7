"""Legal files from chosen symbols, in the order of the text: payload forms, lanes, masks, planes, layers, the rest."""

from __future__ import annotations

import math

from nec_encoder import parts
from nec_encoder.payload import Rect, TileIn, encode_payload

from nec_vectors import by_hand, low_bits
from nec_vectors.expected import embed_three
from nec_vectors.files import Grid, Plan, Vector, assemble, draw, head, only, outcomes, plane
from nec_vectors.packages import INTEGER_LEFT, INTEGER_NONE, MASK, ONE, THREE, TWO, WIDE, PackageOut

E_THREE = (6, 8, 9)  # ladder index 8 and the shifts −2, 0, +1


def vectors() -> list[Vector]:
    """All legal vectors."""
    return [
        *by_hand.vectors(),
        *_forms(),
        *_lanes(),
        *_masks(),
        _dct(),
        *_edges(),
        *_planes_and_layers(),
        *_integers(),
        *_quality(),
        *low_bits.vectors(),
    ]


def _one_strip(
    name: str, reason: str, values: list[int], *, ladder_index: int, wholly: frozenset[int] = frozenset()
) -> Vector:
    """One record of `one` with a tile for each value."""
    n = len(values)
    tiles = [TileIn([[value]], wholly=t in wholly) for t, value in enumerate(values)]
    payload = encode_payload(ONE.tables, tiles, e=ladder_index)
    data = assemble(head(ONE, scene=(8, 8 * n), ladder_index=ladder_index), [parts.record(payload, count=n)])
    symbols: list[Grid | None] = [[[0 if t in wholly else value]] for t, value in enumerate(values)]
    planes = [plane([[0]] * n, ["0" if t in wholly else "1" for t in range(n)], symbols)]
    return Vector(name, reason, ONE, data, Plan(records=outcomes(1), planes=planes))


def _forms() -> list[Vector]:
    mixed = [
        (-1) ** (t * t // 3) * (t % 5) for t in range(40)
    ]  # 0 … 4 in turn, signs without a simple period
    return [
        _one_strip("short-16-signs", "the most signs of a short form", [1, -1, -1, 1] * 4, ladder_index=7),
        _one_strip(
            "long-17-signs", "the fewest signs of a long form", [1, -1, -1, 1] * 4 + [-1], ladder_index=7
        ),
        _one_strip("long-32-signs", "long form, 32 signs, several words", mixed, ladder_index=7),
        _one_strip(
            "long-escapes",
            "long form with many escapes of all lengths behind the signs",
            [(-1) ** t * (2**t - 1) for t in range(16)] * 2,
            ladder_index=8,
        ),
        _one_strip(
            "short-zeros-only",
            "128 zeros with one table: no sign, no word, the state stays 1",
            [0] * 128,
            ladder_index=8,
        ),
        _one_strip(
            "tile-mask",
            "ten tiles, a tile mask of two bytes, three wholly masked",
            [3, 0, -2, 1, 0, 0, -1, 2, 0, -3],
            ladder_index=7,
            wholly=frozenset({1, 5, 8}),
        ),
    ]


def _wide(
    name: str, reason: str, log2_lanes: int, *, n: int = 2, spread: float = 2.0, wholly: tuple[int, ...] = ()
) -> Vector:
    grids = [draw(100 + t, WIDE.tables, 0, (8,), spread=spread) for t in range(n)]
    tiles = [TileIn(grid, wholly=t in wholly) for t, grid in enumerate(grids)]
    payload = encode_payload(WIDE.tables, tiles, e=8, lanes=1 << log2_lanes)
    data = assemble(head(WIDE, scene=(8, 8 * n)), [parts.record(payload, count=n, log2_lanes=log2_lanes)])
    zero = [[0, 0] for _ in range(131)]
    symbols: list[Grid | None] = [zero if t in wholly else grid for t, grid in enumerate(grids)]
    planes = [plane([[0]] * n, ["00" if t in wholly else "11" for t in range(n)], symbols)]
    return Vector(name, reason, WIDE, data, Plan(records=outcomes(1), planes=planes))


def _wide_signs(n_signs: int, log2_lanes: int, *, n: int) -> Vector:
    """Tiles of `wide` with exactly that many signs; the symbols behind them are 0."""
    left = n_signs
    grids = [draw(150 + t, WIDE.tables, 0, (8,), spread=4.0) for t in range(n)]
    for grid in grids:
        for row in grid:
            for f, value in enumerate(row):
                row[f] = value if left else 0
                left -= bool(row[f])
    assert not left, "more tiles are needed"
    tiles = [TileIn(grid) for grid in grids]
    lanes = 1 << log2_lanes
    payload = encode_payload(WIDE.tables, tiles, e=8, lanes=lanes)
    data = assemble(head(WIDE, scene=(8, 8 * n)), [parts.record(payload, count=n, log2_lanes=log2_lanes)])
    behind = n_signs - 16 * lanes
    reason = f"{lanes} lanes, {n_signs} signs: " + (
        f"{behind} behind the words" if behind else "all in the states"
    )
    planes = [plane([[0]] * n, ["11"] * n, list(grids))]
    return Vector(
        f"lanes-{lanes}-signs-{n_signs}", reason, WIDE, data, Plan(records=outcomes(1), planes=planes)
    )


def _lanes() -> list[Vector]:
    return [
        _wide("lanes-1", "one lane, 394 symbols, to compare the others with", 0),
        _wide("lanes-2", "two lanes; 129 coded channels leave a group of one", 1),
        _wide("lanes-64", "64 lanes: groups of 64, 64 and 1, then 64 and 4", 6),
        _wide("lanes-128", "128 lanes: groups of 128 and 1, then one of 68", 7),
        _wide(
            "lanes-64-escapes", "64 lanes with large symbols: escapes in coding order", 6, n=1, spread=60.0
        ),
        _wide(
            "lanes-4-all-masked",
            "four lanes and nothing to code: every state is 65536, no raw byte",
            2,
            n=1,
            wholly=(0,),
        ),
        *(_wide_signs(64 + more, 2, n=1) for more in (0, 1)),
        *(_wide_signs(1024 + more, 6, n=8) for more in (0, 1, 9)),
    ]


def _mask_file(
    name: str,
    reason: str,
    *,
    scene: tuple[int, int],
    own: list[Rect],
    masked: list[frozenset[tuple[int, int]]],
    validity: list[str],
    wholly: tuple[int, ...] = (),
) -> Vector:
    """One record of `mask` over all tiles; `validity` is written out by hand, row by row."""
    grids = [draw(200 + t, MASK.tables, 0, (8,)) for t in range(len(own))]
    tiles = [TileIn(grid, wholly=t in wholly, masked=masked[t]) for t, grid in enumerate(grids)]
    payload = encode_payload(MASK.tables, tiles, e=8, own=own)
    data = assemble(head(MASK, scene=scene, core=(8, 6)), [parts.record(payload, count=len(own))])
    symbols: list[Grid | None] = [[[0] * 12] if t in wholly else grid for t, grid in enumerate(grids)]
    planes = [plane([[0]] * len(own), [v.replace(" ", "") for v in validity], symbols)]
    return Vector(name, reason, MASK, data, Plan(records=outcomes(1), planes=planes))


ALL = (0, 4, 0, 3)


def _masks() -> list[Vector]:
    return [
        _mask_file(
            "token-mask-repeats",
            "partly masked tiles: rows equal to the one before are one bit, the first may repeat 'only valid'",
            scene=(8, 18),
            own=[ALL] * 3,
            masked=[
                frozenset({(1, 0), (1, 1), (2, 0), (2, 1)}),
                frozenset(),
                frozenset({(0, 2), (1, 2), (2, 2), (3, 2)}),
            ],
            validity=["111 001 001 111", "111 111 111 111", "110 110 110 110"],
        ),
        _mask_file(
            "token-and-tile-mask",
            "a wholly masked tile takes no bit of the token mask",
            scene=(8, 18),
            own=[ALL] * 3,
            masked=[frozenset(), frozenset(), frozenset({(3, 2)})],
            wholly=(0,),
            validity=["000 000 000 000", "111 111 111 111", "111 111 111 110"],
        ),
    ]


def _dct() -> Vector:
    # Step 1.0 (index 8, no shift). Level 6 for frequency 0: 20 → 20 − 6/128. Level 2 for the others: 2 → 2 − 2/128,
    # −1 → −(1 − 2/64). Frequency 1 is u = 0, v = 1: a_0 = 1/2 down four rows, and along three columns
    # a_1 = √(2/3)·cos(π(2j+1)/6) = 1/√2, 0, −1/√2. Frequency 3 is u = 1, v = 0: a_1 = √(1/2)·cos(π(2i+1)/8), and
    # a_0 = 1/√3.
    grid = [[20, 2, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0]]
    flat, across, down = 20 - 6 / 128, 2 - 2 / 128, -(1 - 2 / 64)
    columns = (math.sqrt(1 / 2), 0.0, -math.sqrt(1 / 2))
    rows = [math.sqrt(1 / 2) * math.cos(math.pi * angle / 8) for angle in (1, 3, 5, 7)]
    embedding = [
        [[flat / math.sqrt(12) + across * column / 2 + down * row / math.sqrt(3)] for column in columns]
        for row in rows
    ]
    payload = encode_payload(MASK.tables, [TileIn(grid)], e=8)
    planes = [plane([[0]], ["1" * 12], [grid])]
    planes[0]["embeddings"] = {"0": embedding}
    data = assemble(head(MASK, scene=(8, 6), core=(8, 6)), [parts.record(payload)])
    reason = "4×3 tokens: the mean, the first horizontal and the first vertical frequency"
    return Vector("dct-4x3", reason, MASK, data, Plan(records=outcomes(1), planes=planes))


def _edges() -> list[Vector]:
    # 11×10 pixels, tiles of 8×6, tokens of 2×2. Rows: the second tile begins at 11 − 8 = 3 instead of 8, dr = 5;
    # (t+1)·8 ≤ 5·4 for t = 0, 1: own rows 2, 3. Columns: 10 − 6 = 4 instead of 6, dc = 2; (t+1)·6 ≤ 2·3 for t = 0:
    # own columns 1, 2.
    shifted = [ALL, (0, 4, 1, 3), (2, 4, 0, 3), (2, 4, 1, 3)]
    # 3×5 pixels, one tile of 8×6: rows t·8 ≥ 3·4 for t = 2, 3: own rows 0, 1. Columns t·6 ≥ 5·3 for none.
    small = [(0, 2, 0, 3)]
    # 3×10 pixels: rows as in `small`, columns as in `shifted`.
    both = [(0, 2, 0, 3), (0, 2, 1, 3)]
    nothing: frozenset[tuple[int, int]] = frozenset()
    return [
        _mask_file(
            "edge-tiles-shifted",
            "the last row and column shift inward; what they double is derived-invalid",
            scene=(11, 10),
            own=shifted,
            masked=[nothing] * 4,
            validity=["111 111 111 111", "011 011 011 011", "000 000 111 111", "000 000 011 011"],
        ),
        _mask_file(
            "edge-tiles-token-mask",
            "a token mask covers own tokens only: two rows of two in the corner tile",
            scene=(11, 10),
            own=shifted,
            masked=[nothing, frozenset({(0, 1), (1, 1)}), frozenset({(3, 0)}), frozenset({(2, 1), (3, 1)})],
            validity=["111 111 111 111", "001 001 011 011", "000 000 111 011", "000 000 001 001"],
        ),
        _mask_file(
            "scene-smaller-than-a-tile",
            "3×5 pixels in a tile of 8×6: the lower token rows lie outside the scene",
            scene=(3, 5),
            own=small,
            masked=[nothing],
            validity=["111 111 000 000"],
        ),
        _mask_file(
            "scene-smaller-in-one-axis",
            "3×10 pixels: outside below, doubled at the left of the second tile",
            scene=(3, 10),
            own=both,
            masked=[nothing, frozenset({(1, 2)})],
            validity=["111 111 000 000", "011 010 000 000"],
        ),
    ]


def three_records(
    package: PackageOut, grids: list[Grid], *, e: tuple[int, int, int] = E_THREE, first: int = 0, **more: int
) -> list[bytes]:
    """Plane 0 of `three`: one record for each layer, over all tiles."""
    tiles = [TileIn(grid) for grid in grids]
    return [
        parts.record(
            encode_payload(package.tables, tiles, e=e[layer], layer=layer),
            layer=layer,
            count=len(grids),
            first_tile=first,
            **more,
        )
        for layer in range(3)
    ]


def _planes_and_layers() -> list[Vector]:
    grids = [draw(300 + t, THREE.tables, 0, E_THREE) for t in range(4)]
    pooled = [draw(400 + t, TWO.tables, 1, (7,)) for t in range(4)]
    records = three_records(THREE, grids)
    full = plane([[0, 1, 2]] * 4, ["1111"] * 4, list(grids))
    full["embeddings"] = {str(t): embed_three(grid) for t, grid in enumerate(grids)}

    def kept(layers: list[int]) -> dict[str, object]:
        return plane(
            [layers] * 4,
            ["1111" if 0 in layers else "0000"] * 4,
            [only(THREE.tables, 0, layers, grid) for grid in grids],
        )

    no_layer_1 = kept([0, 2])
    no_layer_1["embeddings"] = {
        str(t): embed_three(only(THREE.tables, 0, [0, 2], grid)) for t, grid in enumerate(grids)
    }
    header = head(THREE, scene=(16, 16))
    second = parts.record(
        encode_payload(TWO.tables, [TileIn(grid) for grid in pooled], e=7, plane=1), plane=1, count=4
    )
    return [
        Vector(
            "three-layers", "2×2 tiles, layers 0 to 2", THREE, assemble(header, records),
            Plan(records=outcomes(3), planes=[full]),
        ),
        Vector(
            "layer-1-missing", "layers 0 and 2 alone: layer 1 counts as 0", THREE,
            assemble(header, [records[0], records[2]]), Plan(records=outcomes(2), planes=[no_layer_1]),
        ),
        Vector(
            "layer-0-missing", "without layer 0 tiles are missing, layers 1 and 2 are kept", THREE,
            assemble(header, records[1:]), Plan(records=outcomes(2), planes=[kept([1, 2])]),
        ),
        Vector(
            "layers-out-of-order", "records stand in any order", THREE,
            assemble(header, records[::-1]), Plan(records=outcomes(3), planes=[full]),
        ),
        Vector(
            "two-planes", "a token grid and a pooled vector of the same tiles", TWO,
            assemble(head(TWO, scene=(16, 16)), [*records, second]),
            Plan(
                records=outcomes(4),
                planes=[
                    plane([[0, 1, 2]] * 4, ["1111"] * 4, list(grids)),
                    plane([[0]] * 4, ["1"] * 4, list(pooled)),
                ],
            ),
        ),
    ]  # fmt: skip


def _integers() -> list[Vector]:
    # Channel 0 is all of layer 0; channel 1 has tokens 0, 2, 4 in layer 0 and 1, 3, 5 in layer 1.
    plain = [[5, -1, 0, 300, -7, 2], [1, -2, 3, -4, 5, -6]]
    edges = [[32767, -32767, 0, 1, -1, 32767], [-32767, 32767, 0, 0, 0, -32767]]
    steps = [[32767, 1, 1, -3, 0, 7], [-32767, -1, 5, 32767, 32767, 2]]
    # Sums modulo 2¹⁶ as int16. Channel 0: 32767, 32768 → −32768, −32767, −32770 → 32766, 32766, 32773 → −32763.
    # Channel 1: −32767, −32768, −32763, 4, 32771 → −32765, −32763.
    summed = [[32767, -32768, -32767, 32766, 32766, -32763], [-32767, -32768, -32763, 4, -32765, -32763]]

    def tokens(values: Grid) -> list[list[list[int]]]:
        return [[[values[c][row * 3 + col] for c in range(2)] for col in range(3)] for row in range(2)]

    def build(name: str, reason: str, package: PackageOut, grids: list[Grid], results: list[Grid]) -> Vector:
        tiles = [TileIn(grid) for grid in grids]
        n = len(grids)
        records = [
            parts.record(encode_payload(package.tables, tiles, e=8, layer=layer), layer=layer, count=n)
            for layer in range(2)
        ]
        planes = [plane([[0, 1]] * n, ["111111"] * n, list(grids))]
        planes[0]["embeddings"] = {str(t): tokens(result) for t, result in enumerate(results)}
        data = assemble(head(package, scene=(8, 8 * n)), records)
        return Vector(name, reason, package, data, Plan(records=outcomes(2), planes=planes))

    return [
        build(
            "integer-none", "the symbol is the integer; largest and smallest included", INTEGER_NONE,
            [plain, edges], [plain, edges],
        ),
        build(
            "integer-left", "differences to the token before, added up modulo 2¹⁶", INTEGER_LEFT,
            [steps], [summed],
        ),
    ]  # fmt: skip


def _quality() -> list[Vector]:
    vectors = []
    for offset, e in ((-4, (2, 4, 5)), (3, (9, 11, 12))):
        grids = [draw(500 + offset, THREE.tables, 0, e)]
        records = three_records(THREE, grids, e=e, ladder_offset=offset)
        planes = [plane([[0, 1, 2]], ["1111"], list(grids))]
        planes[0]["embeddings"] = {"0": embed_three(grids[0], e)}
        vectors.append(
            Vector(
                f"ladder-offset{offset:+d}",
                f"records {abs(offset)} steps {'finer' if offset < 0 else 'coarser'} than the file says",
                THREE,
                assemble(head(THREE, scene=(8, 8)), records),
                Plan(records=outcomes(3), planes=planes),
            )
        )
    return vectors
