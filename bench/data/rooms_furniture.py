"""Furniture for the synthetic rooms, each piece built from boxes, cylinders and ellipsoids.

A piece stands about the origin with its back towards −y and faces +y. Lengths are metres.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.data import rooms_materials as materials
from bench.data.rooms_scene import (
    Draw,
    Label,
    Material,
    Part,
    Piece,
    Solid,
    Texture,
    ball,
    box,
    cylinder,
)

Maker = Callable[[Draw], Piece]


def _legs(x: float, y: float, height: float, thickness: float, material: Material) -> list[Solid]:
    corners = ((-x, -y), (x, -y), (-x, y), (x, y))
    return [box(cx, cy, 0, thickness, thickness, height, material) for cx, cy in corners]


def bed(draw: Draw) -> Piece:
    """A bed with headboard, blanket and one or two pillows."""
    width, length = draw.pick(((0.95, 1.95), (1.4, 2.0), (1.65, 2.05))), 2.05
    w, top = width[0], draw.between(0.42, 0.56)
    frame, blanket, linen = (
        materials.wood(draw),
        materials.cloth(draw),
        materials.plain(materials.WHITE),
    )
    covered = length * draw.between(0.62, 0.74)
    solids = [
        box(0, -length / 2 + 0.03, 0, w + 0.06, 0.06, draw.between(0.85, 1.2), frame),
        box(0, 0.03, 0.1, w, length - 0.08, top - 0.32, frame),
        box(0, 0.03, top - 0.22, w - 0.02, length - 0.1, 0.2, linen),
        box(0, length / 2 - covered / 2, top - 0.3, w + 0.05, covered, 0.33, blanket),
        *_legs(w / 2 - 0.05, length / 2 - 0.08, 0.1, 0.07, frame),
    ]
    count = 1 if w < 1.2 else 2
    pillow = materials.fabric(draw) if draw.chance(0.5) else linen
    reach = w / count / 2 - 0.06
    parts = [Part(Label.BED, tuple(solids))]
    for index in range(count):
        x = (index - (count - 1) / 2) * w / count
        solid = ball(x, -length / 2 + 0.32, top + 0.05, reach, 0.22, 0.11, pillow)
        parts.append(Part(Label.PILLOW, (solid,)))
    return Piece(w + 0.06, length, 1.0, tuple(parts))


def table_lamp(draw: Draw, x: float, y: float, z: float) -> Part:
    """A lamp with a foot and a cone for a shade, standing at (x, y, z)."""
    foot = materials.ornament(draw)
    tall = draw.between(0.16, 0.26)
    shade = materials.plain(
        draw.pick(((0.95, 0.88, 0.72), (0.9, 0.8, 0.7), (0.8, 0.4, 0.3))), glow=0.7
    )
    return Part(
        Label.LAMP,
        (
            ball(x, y, z + tall / 2, 0.07, 0.07, tall / 2, foot),
            cylinder(x, y, z + tall, 0.14, 0.19, shade, 0.6),
        ),
    )


def floor_lamp(draw: Draw) -> Piece:
    """A lamp on a pole."""
    pole, height = materials.metal(draw), draw.between(1.4, 1.7)
    shade = materials.plain(draw.pick(((0.96, 0.9, 0.76), (0.88, 0.84, 0.8))), glow=0.7)
    solids = (
        cylinder(0, 0, 0, 0.14, 0.03, pole),
        cylinder(0, 0, 0.03, 0.018, height - 0.25, pole),
        cylinder(0, 0, height - 0.25, 0.2, 0.26, shade, 0.65),
    )
    return Piece(0.4, 0.4, height, (Part(Label.LAMP, solids),))


def night_stand(draw: Draw) -> Piece:
    """A small chest with a lamp, books or a vase on it."""
    colour = varied_wood(draw)
    body = materials.cabinet(draw, colour, 0.25)
    height = draw.between(0.45, 0.6)
    stand = Part(
        Label.NIGHT_STAND,
        (
            box(0, 0, 0.06, 0.44, 0.38, height - 0.08, body),
            box(0, 0, height - 0.02, 0.48, 0.42, 0.02, materials.plain(colour, 0.1)),
            box(0, 0, 0, 0.4, 0.34, 0.06, materials.plain(materials.shade(colour, 0.6))),
        ),
    )
    on_top = (
        table_lamp(draw, 0, 0, height) if draw.chance(0.7) else trinket(draw, 0.05, 0.03, height)
    )
    return Piece(0.48, 0.42, height + 0.4, (stand, on_top))


def varied_wood(draw: Draw) -> tuple[float, float, float]:
    """A colour for cabinets: wood or, one time in three, white."""
    return (
        materials.WHITE if draw.chance(0.33) else materials.varied(draw, draw.pick(materials.WOODS))
    )


def trinket(draw: Draw, x: float, y: float, z: float) -> Part:
    """A small thing at (x, y, z): a vase, a bowl, a bottle, a cup, a pile of books, a box."""
    material, kind = materials.ornament(draw), draw.below(6)
    if kind == 0:
        tall, radius = draw.between(0.18, 0.32), draw.between(0.05, 0.08)
        bloom = materials.plain(draw.pick(((0.8, 0.2, 0.3), (0.9, 0.75, 0.2), (0.4, 0.6, 0.3))))
        return Part(
            Label.VASE,
            (
                cylinder(x, y, z, radius, tall, material, 0.6),
                ball(x, y, z + tall + 0.07, 0.11, 0.11, 0.1, bloom),
            ),
        )
    if kind == 1:
        return Part(Label.BOWL, (cylinder(x, y, z, 0.06, 0.08, material, 2.0),))
    if kind == 2:
        tall = draw.between(0.16, 0.24)
        return Part(
            Label.BOTTLE,
            (
                cylinder(x, y, z, 0.038, tall, material),
                cylinder(x, y, z + tall, 0.036, 0.09, material, 0.4),
            ),
        )
    if kind == 3:
        return Part(Label.CUP, (cylinder(x, y, z, 0.035, 0.1, material, 1.2),))
    if kind == 4:
        books, level = [], z
        for _ in range(2 + draw.below(3)):
            thick = draw.between(0.02, 0.045)
            width, depth = draw.between(0.18, 0.26), draw.between(0.14, 0.19)
            books.append(box(x, y, level, width, depth, thick, materials.ornament(draw)))
            level += thick
        return Part(Label.BOOKS, tuple(books))
    side = draw.between(0.1, 0.2)
    return Part(Label.BOX, (box(x, y, z, side * 1.3, side, side * 0.8, material),))


def trinkets(draw: Draw, width: float, depth: float, z: float, most: int) -> list[Part]:
    """Up to `most` small things side by side on a top of width × depth at height z."""
    count = draw.below(most + 1)
    return [
        trinket(
            draw,
            ((index + 0.5) / count - 0.5) * (width - 0.1),
            draw.between(-0.5, 0.5) * max(depth - 0.25, 0.0),
            z,
        )
        for index in range(count)
    ]


def wardrobe(draw: Draw) -> Piece:
    """A tall cupboard with doors."""
    width, height = draw.between(0.9, 1.8), draw.between(1.8, 2.15)
    colour = varied_wood(draw)
    doors = materials.cabinet(draw, colour, 0.5)
    solids = (
        box(0, 0, 0.08, width, 0.56, height - 0.12, doors),
        box(0, 0, height - 0.04, width + 0.04, 0.6, 0.04, materials.plain(colour)),
        box(0, -0.02, 0, width - 0.04, 0.5, 0.08, materials.plain(materials.shade(colour, 0.5))),
    )
    return Piece(width + 0.04, 0.6, height, (Part(Label.CABINET, solids),))


def dresser(draw: Draw) -> Piece:
    """A chest of drawers with things on it."""
    width, height = draw.between(0.8, 1.5), draw.between(0.75, 1.05)
    colour = varied_wood(draw)
    solids = (
        box(0, 0, 0.07, width, 0.44, height - 0.1, materials.cabinet(draw, colour, 0.26)),
        box(0, 0, height - 0.03, width + 0.04, 0.48, 0.03, materials.plain(colour, 0.1)),
        box(0, 0, 0, width - 0.06, 0.38, 0.07, materials.plain(materials.shade(colour, 0.5))),
    )
    on_top = trinkets(draw, width, 0.4, height, 4)
    if draw.chance(0.3):
        on_top = [table_lamp(draw, width * draw.pick((-0.35, 0.35)), 0, height)]
    return Piece(width + 0.04, 0.48, height + 0.4, (Part(Label.DRESSER, solids), *on_top))


def bookshelf(draw: Draw) -> Piece:
    """Shelves with books and things in them."""
    width, height, depth = draw.between(0.6, 1.3), draw.between(1.1, 2.1), 0.3
    frame = materials.wood(draw)
    levels = max(3, int(height / 0.36))
    gap = (height - 0.06) / levels
    solids = [
        box(-width / 2 + 0.012, 0, 0, 0.024, depth, height, frame),
        box(width / 2 - 0.012, 0, 0, 0.024, depth, height, frame),
        box(0, -depth / 2 + 0.008, 0, width - 0.05, 0.016, height, frame),
    ]
    solids += [
        box(0, 0, 0.04 + gap * k, width - 0.05, depth, 0.022, frame) for k in range(levels + 1)
    ]
    parts = [Part(Label.BOOKSHELF, tuple(solids))]
    for level in range(levels):
        parts += _shelf_load(draw, width - 0.07, depth, 0.062 + gap * level, gap - 0.03)
    return Piece(width, depth, height, tuple(parts))


def _shelf_load(draw: Draw, width: float, depth: float, z: float, room: float) -> list[Part]:
    rows: list[Solid] = []
    others: list[Part] = []
    left = -width / 2
    while left < width / 2 - 0.12:
        run = min(draw.between(0.15, 0.45), width / 2 - left)
        kind = draw.between(0.0, 1.0)
        middle = left + run / 2
        if kind < 0.75:
            tall, deep = room * draw.between(0.6, 0.92), draw.between(0.16, 0.22)
            spines = Material(Texture.BOOKS, (0.5, 0.4, 0.3), scale=draw.between(0.025, 0.045))
            rows.append(box(middle, (deep - depth) / 2 + 0.03, z, run, deep, tall, spines))
        elif kind < 0.87 and room > 0.3:
            others.append(
                Part(
                    Label.VASE,
                    (ball(middle, 0, z + 0.1, 0.07, 0.07, 0.1, materials.ornament(draw)),),
                )
            )
        left += run + draw.pick((0.004, 0.004, 0.06))
    return ([Part(Label.BOOKS, tuple(rows))] if rows else []) + others


def desk(draw: Draw) -> Piece:
    """A desk with a computer, papers and perhaps a lamp."""
    width, depth, top = draw.between(1.1, 1.7), draw.between(0.6, 0.75), draw.between(0.7, 0.76)
    body = materials.wood(draw)
    side = draw.pick((-1, 1))
    drawers = materials.cabinet(draw, varied_wood(draw), 0.2)
    solids = [
        box(0, 0, top - 0.03, width, depth, 0.03, body),
        box(side * (width / 2 - 0.22), 0, 0.02, 0.4, depth - 0.06, top - 0.05, drawers),
        box(-side * (width / 2 - 0.02), 0, 0, 0.03, depth - 0.04, top - 0.03, body),
        box(0, -depth / 2 + 0.04, 0.3, width - 0.1, 0.02, top - 0.33, body),
    ]
    parts = [Part(Label.DESK, tuple(solids))]
    if draw.chance(0.8):
        parts += computer(draw, draw.between(-0.2, 0.2), depth, top)
    if draw.chance(0.5):
        parts.append(table_lamp(draw, side * (width / 2 - 0.16), -0.12, top))
    if draw.chance(0.6):
        paper = materials.plain(materials.WHITE)
        sheet = box(-side * (width / 2 - 0.2), 0.1, top, 0.21, 0.29, 0.012, paper)
        parts.append(Part(Label.PAPER, (sheet,)))
    if draw.chance(0.5):
        parts.append(trinket(draw, -side * (width / 2 - 0.18), -0.15, top))
    return Piece(width, depth, top + 0.45, tuple(parts))


def computer(draw: Draw, x: float, depth: float, z: float) -> list[Part]:
    """A monitor with its stand, and a keyboard, on a top of the given depth at height z."""
    black, width = materials.plain(materials.BLACK, 0.1), draw.between(0.42, 0.6)
    lit = draw.chance(0.5)
    screen = (
        materials.plain((0.45, 0.6, 0.8), 0.3, 0.8)
        if lit
        else materials.plain((0.12, 0.12, 0.14), 0.5)
    )
    back = -depth / 2 + 0.17
    monitor = (
        cylinder(x, back, z, 0.11, 0.015, black),
        box(x, back - 0.02, z, 0.05, 0.03, 0.2, black),
        box(x, back, z + 0.1, width, 0.04, width * 0.6, black),
        box(x, back + 0.021, z + 0.115, width - 0.03, 0.004, width * 0.6 - 0.03, screen),
    )
    keys = box(x, back + 0.28, z, 0.42, 0.14, 0.02, materials.plain((0.25, 0.25, 0.27)))
    return [Part(Label.MONITOR, monitor), Part(Label.KEYBOARD, (keys,))]


def chair(draw: Draw) -> Piece:
    """A chair with four legs and a solid or slatted back."""
    return chair_of(
        materials.wood(draw), materials.fabric(draw) if draw.chance(0.4) else None, draw
    )


def chair_of(frame: Material, seat: Material | None, draw: Draw) -> Piece:
    """A chair of the given materials; chairs of one table look alike."""
    high = draw.between(0.86, 1.0)
    solids = _legs(0.19, 0.19, 0.44, 0.04, frame)
    solids.append(box(0, 0, 0.43, 0.44, 0.44, 0.05, seat or frame))
    solids += [box(x, -0.2, 0.48, 0.04, 0.035, high - 0.48, frame) for x in (-0.19, 0.19)]
    if seat:
        solids.append(box(0, -0.2, 0.6, 0.36, 0.045, high - 0.6, seat))
    else:
        solids += [box(0, -0.2, z, 0.36, 0.025, 0.07, frame) for z in (0.56, 0.68, high - 0.08)]
    return Piece(0.46, 0.46, high, (Part(Label.CHAIR, tuple(solids)),))


def office_chair(draw: Draw) -> Piece:
    """A swivel chair."""
    cover, black = materials.fabric(draw), materials.plain(materials.BLACK)
    solids = [
        box(0, 0, 0.06, 0.56, 0.06, 0.05, black),
        box(0, 0, 0.06, 0.06, 0.56, 0.05, black),
        cylinder(0, 0, 0.08, 0.035, 0.36, materials.metal(draw)),
        box(0, 0.02, 0.43, 0.48, 0.46, 0.08, cover),
        box(0, -0.22, 0.58, 0.44, 0.07, 0.46, cover),
        box(0, -0.23, 0.45, 0.08, 0.03, 0.2, black),
    ]
    solids += [
        ball(x, y, 0.04, 0.035, 0.035, 0.04, black)
        for x, y in ((-0.26, 0), (0.26, 0), (0, -0.26), (0, 0.26))
    ]
    if draw.chance(0.6):
        for x in (-0.26, 0.26):
            solids.append(box(x, 0, 0.64, 0.05, 0.28, 0.03, black))
            solids.append(box(x, 0, 0.46, 0.03, 0.04, 0.18, black))
    return Piece(0.6, 0.6, 1.05, (Part(Label.CHAIR, tuple(solids)),))


def sofa(draw: Draw) -> Piece:
    """A sofa of two or three seats with cushions."""
    return _upholstered(draw, 2 + draw.below(2))


def armchair(draw: Draw) -> Piece:
    """An armchair."""
    return _upholstered(draw, 1)


def _upholstered(draw: Draw, seats: int) -> Piece:
    cover, arm, seat = (
        materials.cloth(draw) if draw.chance(0.25) else materials.fabric(draw),
        0.17,
        draw.between(0.58, 0.7),
    )
    inner, depth = seats * seat, draw.between(0.82, 0.95)
    width, back = inner + 2 * arm, draw.between(0.75, 0.9)
    foot = materials.plain(materials.BLACK)
    solids = [
        box(0, 0, 0.08, width - 0.02, depth, 0.2, cover),
        box(0, -depth / 2 + 0.12, 0.1, width - 0.04, 0.24, back - 0.1, cover),
        *(box(x * (width - arm) / 2, 0.01, 0.07, arm, depth - 0.02, 0.53, cover) for x in (-1, 1)),
        *_legs(width / 2 - 0.08, depth / 2 - 0.08, 0.08, 0.06, foot),
    ]
    for index in range(seats):
        x = (index - (seats - 1) / 2) * seat
        solids.append(box(x, 0.12, 0.28, seat - 0.015, depth - 0.24, 0.16, cover))
        solids.append(ball(x, -depth / 2 + 0.27, 0.62, seat / 2 - 0.01, 0.12, 0.22, cover))
    parts = [Part(Label.SOFA if seats > 1 else Label.CHAIR, tuple(solids))]
    cushion = materials.cloth(draw)
    for side in (-1, 1):
        if draw.chance(0.6 if seats > 1 else 0.2):
            x = side * (inner / 2 - 0.2)
            parts.append(
                Part(Label.PILLOW, (ball(x, -depth / 2 + 0.42, 0.6, 0.2, 0.1, 0.19, cushion),))
            )
    return Piece(width, depth, back, tuple(parts))


def coffee_table(draw: Draw) -> Piece:
    """A low table, rectangular or round, with things on it."""
    body, top = materials.wood(draw), draw.between(0.38, 0.46)
    if draw.chance(0.35):
        radius = draw.between(0.35, 0.5)
        solids = [
            cylinder(0, 0, top - 0.04, radius, 0.04, body),
            cylinder(0, 0, 0.03, 0.06, top - 0.07, body),
            cylinder(0, 0, 0, radius * 0.6, 0.03, body),
        ]
        things = trinkets(draw, radius, radius, top, 2)
        return Piece(2 * radius, 2 * radius, top + 0.3, (Part(Label.TABLE, tuple(solids)), *things))
    width, depth = draw.between(0.8, 1.2), draw.between(0.45, 0.65)
    solids = [box(0, 0, top - 0.04, width, depth, 0.04, body)]
    solids += _legs(width / 2 - 0.05, depth / 2 - 0.05, top - 0.04, 0.06, body)
    if draw.chance(0.4):
        solids.append(box(0, 0, 0.14, width - 0.12, depth - 0.12, 0.02, body))
    things = trinkets(draw, width, depth, top, 3)
    return Piece(width, depth, top + 0.3, (Part(Label.TABLE, tuple(solids)), *things))


def dining_table(draw: Draw) -> Piece:
    """A table for four to six, rectangular or round, with bowls and plates."""
    body, top = materials.wood(draw), draw.between(0.72, 0.78)
    if draw.chance(0.3):
        radius = draw.between(0.5, 0.65)
        solids = [
            cylinder(0, 0, top - 0.04, radius, 0.04, body),
            cylinder(0, 0, 0.04, 0.07, top - 0.08, body),
            cylinder(0, 0, 0, 0.3, 0.05, body, 0.5),
        ]
        width = depth = 2 * radius
    else:
        width, depth = draw.between(1.1, 1.8), draw.between(0.75, 0.95)
        solids = [
            box(0, 0, top - 0.035, width, depth, 0.035, body),
            box(0, 0, top - 0.11, width - 0.12, depth - 0.12, 0.075, body),
            *_legs(width / 2 - 0.06, depth / 2 - 0.06, top - 0.035, 0.07, body),
        ]
    things = trinkets(draw, width * 0.5, depth * 0.5, top, 2)
    plate = ceramic_plate(draw)
    things += [
        Part(Label.BOWL, (cylinder(x, y, top, 0.09, 0.018, plate, 1.4),))
        for x in (-width * 0.25, width * 0.25)
        for y in (-depth * 0.3, depth * 0.3)
        if draw.chance(0.5)
    ]
    return Piece(width, depth, top + 0.3, (Part(Label.TABLE, tuple(solids)), *things))


def ceramic_plate(draw: Draw) -> Material:
    """Crockery, white or coloured."""
    return materials.ceramic() if draw.chance(0.6) else materials.ornament(draw)


def television(draw: Draw) -> Piece:
    """A television on a low cabinet."""
    width, low = draw.between(1.1, 1.8), draw.between(0.4, 0.55)
    colour, black = varied_wood(draw), materials.plain(materials.BLACK, 0.15)
    screen_width = draw.between(0.8, min(width, 1.3))
    cabinet = (
        box(0, 0, 0.05, width, 0.42, low - 0.07, materials.cabinet(draw, colour, 0.4)),
        box(0, 0, low - 0.02, width + 0.03, 0.45, 0.02, materials.plain(colour, 0.1)),
        box(0, 0, 0, width - 0.1, 0.36, 0.05, black),
    )
    lit = draw.chance(0.25)
    face = Material(Texture.PICTURE, materials.BLACK, materials.BLACK, gloss=0.5, glow=0.8)
    dark = materials.plain((0.07, 0.07, 0.08), gloss=0.6)
    tall = screen_width * 0.58
    screen = (
        box(0, -0.02, low, 0.4, 0.2, 0.02, black),
        box(0, -0.03, low + 0.02, 0.1, 0.04, 0.06, black),
        box(0, -0.02, low + 0.06, screen_width, 0.05, tall, black),
        box(0, 0.008, low + 0.08, screen_width - 0.04, 0.006, tall - 0.04, face if lit else dark),
    )
    parts = (Part(Label.CABINET, cabinet), Part(Label.TELEVISION, screen))
    return Piece(width + 0.03, 0.46, low + tall + 0.1, parts)


def plant(draw: Draw) -> Piece:
    """A plant in a pot: a round bush, or a stem with a crown."""
    pot = materials.plain(draw.pick(((0.66, 0.38, 0.26), (0.85, 0.84, 0.8), (0.3, 0.32, 0.36))))
    green = materials.varied(
        draw, draw.pick(((0.3, 0.48, 0.22), (0.22, 0.4, 0.24), (0.42, 0.52, 0.25)))
    )
    leaf = Material(Texture.LEAF, green, materials.shade(green, 0.45), 0.05)
    tall, spread = draw.between(0.7, 1.5), draw.between(0.2, 0.32)
    solids = [
        cylinder(0, 0, 0, 0.12, 0.28, pot, 1.35),
        cylinder(0, 0, 0.25, 0.02, tall * 0.6, materials.plain((0.35, 0.25, 0.17))),
    ]
    for _ in range(5 + draw.below(4)):
        x, y = draw.between(-0.6, 0.6) * spread, draw.between(-0.6, 0.6) * spread
        z = 0.42 + draw.between(0.0, 1.0) * (tall - 0.55)
        size = spread * draw.between(0.4, 0.7)
        solids.append(ball(x, y, z, size, size, size * draw.between(0.6, 1.2), leaf))
    return Piece(2 * spread, 2 * spread, tall + 0.1, (Part(Label.PLANT, tuple(solids)),))


def bin_(draw: Draw) -> Piece:
    """A waste bin."""
    solid = cylinder(0, 0, 0, 0.12, 0.32, materials.ornament(draw), 1.25)
    return Piece(0.3, 0.3, 0.32, (Part(Label.BIN, (solid,)),))


def cartons(draw: Draw) -> Piece:
    """One to three cardboard boxes, stacked."""
    card = materials.plain(materials.varied(draw, (0.72, 0.56, 0.38)))
    parts, level = [], 0.0
    for _ in range(1 + draw.below(3)):
        width, depth, high = (
            draw.between(0.3, 0.5),
            draw.between(0.25, 0.4),
            draw.between(0.2, 0.35),
        )
        solid = box(draw.between(-0.04, 0.04), 0, level, width, depth, high, card)
        parts.append(Part(Label.BOX, (solid,)))
        level += high
    return Piece(0.58, 0.45, level, tuple(parts))


def rug(draw: Draw, width: float, depth: float) -> Piece:
    """A rug with a border, lying flat."""
    inner, border = materials.cloth(draw), materials.fabric(draw)
    solids = (
        box(0, 0, 0, width, depth, 0.008, border),
        box(0, 0, 0, width - 0.2, depth - 0.2, 0.012, inner),
    )
    return Piece(width, depth, 0.012, (Part(Label.RUG, solids),))


def counter(draw: Draw, width: float, colour: tuple[float, float, float], slab: Material) -> Piece:
    """A kitchen counter with cupboards under it, and a sink or things on it."""
    base = (
        box(0, -0.02, 0.1, width, 0.56, 0.76, materials.cabinet(draw, colour, 0.45)),
        box(0, -0.06, 0, width, 0.46, 0.1, materials.plain(materials.BLACK)),
        box(0, 0, 0.86, width, 0.62, 0.04, slab),
    )
    parts = [Part(Label.COUNTER, base)]
    if width > 0.9 and draw.chance(0.6):
        steel = materials.plain(materials.STEEL, gloss=0.4)
        x = draw.between(-0.25, 0.25) * (width - 0.7)
        parts.append(
            Part(
                Label.SINK,
                (
                    box(x, 0, 0.9, 0.56, 0.44, 0.008, steel),
                    box(
                        x, 0.02, 0.905, 0.46, 0.34, 0.006, materials.plain((0.36, 0.37, 0.39), 0.3)
                    ),
                    cylinder(x, -0.2, 0.9, 0.018, 0.26, steel),
                    box(x, -0.12, 1.14, 0.03, 0.19, 0.025, steel),
                ),
            )
        )
        side = x + 0.45 if x < 0 else x - 0.45
        parts.append(trinket(draw, side, -0.1, 0.9))
    else:
        parts += trinkets(draw, width, 0.5, 0.9, 1 + int(width / 0.4))
    return Piece(width, 0.62, 1.2, tuple(parts))


def wall_cupboard(draw: Draw, width: float, colour: tuple[float, float, float]) -> Piece:
    """A cupboard that hangs above a counter."""
    solid = box(0, 0, 0, width, 0.34, 0.68, materials.cabinet(draw, colour, 0.45))
    return Piece(width, 0.34, 0.68, (Part(Label.CABINET, (solid,)),))


def stove(draw: Draw) -> Piece:
    """A stove with an oven door, four plates and perhaps a pot."""
    steel = materials.plain(
        draw.pick((materials.WHITE, materials.STEEL, materials.BLACK)), gloss=0.2
    )
    glass, black = materials.plain((0.1, 0.1, 0.11), gloss=0.5), materials.plain((0.14, 0.14, 0.15))
    solids = [
        box(0, 0, 0.0, 0.6, 0.6, 0.88, steel),
        box(0, 0.301, 0.2, 0.46, 0.01, 0.38, glass),
        box(0, 0.32, 0.66, 0.46, 0.02, 0.025, materials.plain(materials.STEEL, 0.3)),
        box(0, 0, 0.88, 0.6, 0.6, 0.02, glass),
        *(ball(x, 0.305, 0.78, 0.02, 0.02, 0.02, black) for x in (-0.2, -0.07, 0.07, 0.2)),
        *(cylinder(x, y, 0.9, 0.085, 0.012, black) for x in (-0.15, 0.15) for y in (-0.14, 0.14)),
    ]
    parts = [Part(Label.STOVE, tuple(solids))]
    if draw.chance(0.6):
        pot = materials.ornament(draw)
        parts.append(Part(Label.BOWL, (cylinder(0.15, -0.14, 0.912, 0.1, 0.14, pot),)))
    return Piece(0.6, 0.64, 1.1, tuple(parts))


def refrigerator(draw: Draw) -> Piece:
    """A refrigerator with two doors one above the other."""
    high, width = draw.between(1.6, 1.9), draw.between(0.6, 0.75)
    skin = materials.plain(
        draw.pick((materials.WHITE, materials.WHITE, materials.STEEL)), gloss=0.2
    )
    split, grip = high * 0.66, materials.plain((0.35, 0.35, 0.37), 0.3)
    solids = (
        box(0, -0.03, 0.03, width, 0.56, high - 0.03, skin),
        box(0, -0.02, 0, width - 0.04, 0.5, 0.03, materials.plain(materials.BLACK)),
        box(0, 0.28, 0.05, width, 0.06, split - 0.06, skin),
        box(0, 0.28, split + 0.01, width, 0.06, high - split - 0.01, skin),
        box(-width / 2 + 0.07, 0.33, split - 0.5, 0.03, 0.04, 0.42, grip),
        box(-width / 2 + 0.07, 0.33, split + 0.08, 0.03, 0.04, 0.28, grip),
    )
    return Piece(width, 0.7, high, (Part(Label.REFRIGERATOR, solids),))


def bathtub(draw: Draw) -> Piece:
    """A bathtub along the wall, with a tap."""
    white, length, high = materials.ceramic(), draw.between(1.5, 1.75), 0.55
    steel = materials.plain(materials.STEEL, gloss=0.4)
    solids = (
        box(0, -0.34, 0, length, 0.06, high, white),
        box(0, 0.34, 0, length, 0.06, high, white),
        box(-length / 2 + 0.05, 0, 0, 0.1, 0.62, high, white),
        box(length / 2 - 0.05, 0, 0, 0.1, 0.62, high, white),
        box(0, 0, 0, length - 0.2, 0.62, 0.16, white),
        cylinder(-length / 2 + 0.05, 0, high, 0.02, 0.16, steel),
        box(-length / 2 + 0.12, 0, high + 0.13, 0.18, 0.03, 0.03, steel),
    )
    parts = [Part(Label.BATHTUB, solids)]
    if draw.chance(0.5):
        towel = box(length * 0.2, 0.34, 0.24, 0.42, 0.08, high - 0.21, materials.cloth(draw))
        parts.append(Part(Label.TOWEL, (towel,)))
    return Piece(length, 0.76, 0.75, tuple(parts))


def toilet(draw: Draw) -> Piece:
    """A toilet with its tank."""
    white = materials.ceramic()
    lid = white if draw.chance(0.7) else materials.wood(draw)
    solids = (
        cylinder(0, 0.06, 0, 0.13, 0.26, white, 1.15),
        ball(0, 0.1, 0.3, 0.19, 0.25, 0.13, white),
        cylinder(0, 0.1, 0.39, 0.19, 0.035, lid),
        box(0, -0.04, 0.385, 0.34, 0.16, 0.04, lid),
        box(0, -0.25, 0.34, 0.42, 0.18, 0.4, white),
        box(0, -0.25, 0.74, 0.45, 0.2, 0.035, white),
    )
    return Piece(0.46, 0.7, 0.8, (Part(Label.TOILET, solids),))


def wash_stand(draw: Draw) -> Piece:
    """A wash basin on a pedestal or a cabinet, with a tap."""
    white, steel = materials.ceramic(), materials.plain(materials.STEEL, gloss=0.4)
    tap = (
        cylinder(0, -0.17, 0.84, 0.02, 0.14, steel),
        box(0, -0.11, 0.95, 0.03, 0.14, 0.025, steel),
    )
    grey = materials.plain((0.7, 0.71, 0.72), 0.2)
    if draw.chance(0.5):
        solids: tuple[Solid, ...] = (
            cylinder(0, -0.04, 0, 0.11, 0.68, white, 0.8),
            cylinder(0, 0, 0.66, 0.16, 0.17, white, 1.75),
            box(0, -0.16, 0.7, 0.5, 0.16, 0.14, white),
            cylinder(0, 0.03, 0.828, 0.2, 0.006, grey),
            *tap,
        )
        return Piece(0.56, 0.56, 1.0, (Part(Label.SINK, solids),))
    width, colour = draw.between(0.7, 1.2), varied_wood(draw)
    chest = (
        box(0, -0.02, 0.1, width, 0.46, 0.68, materials.cabinet(draw, colour, 0.38)),
        box(0, -0.04, 0, width - 0.06, 0.4, 0.1, materials.plain(materials.shade(colour, 0.5))),
    )
    basin = (
        box(0, 0, 0.78, width + 0.02, 0.5, 0.05, white),
        cylinder(0, 0.03, 0.828, 0.19, 0.006, grey),
        *tap,
    )
    things = (trinket(draw, width * 0.38, -0.1, 0.83),)
    parts = (Part(Label.CABINET, chest), Part(Label.SINK, basin), *things)
    return Piece(width + 0.02, 0.52, 1.0, parts)


def picture(draw: Draw) -> Piece:
    """A framed picture for the wall."""
    width, high = draw.between(0.3, 1.0), draw.between(0.3, 0.75)
    solid = box(0, 0, 0, width, 0.03, high, materials.picture(draw))
    return Piece(width, 0.03, high, (Part(Label.PICTURE, (solid,)),))


def mirror(draw: Draw) -> Piece:
    """A mirror with a frame."""
    width, high = draw.between(0.45, 0.8), draw.between(0.6, 0.9)
    glass = Material(Texture.MIRROR, (0.72, 0.76, 0.78), (0.9, 0.92, 0.93), gloss=0.9)
    solids = (
        box(0, 0, 0, width, 0.024, high, materials.wood(draw)),
        box(0, 0.01, 0.03, width - 0.06, 0.014, high - 0.06, glass),
    )
    return Piece(width, 0.034, high, (Part(Label.MIRROR, solids),))


def clock() -> Piece:
    """A round wall clock."""
    solids = (
        ball(0, 0, 0.16, 0.16, 0.03, 0.16, materials.plain(materials.BLACK)),
        ball(0, 0.012, 0.16, 0.14, 0.025, 0.14, materials.plain(materials.WHITE)),
        box(0, 0.036, 0.16, 0.012, 0.004, 0.1, materials.plain(materials.BLACK)),
        box(0.035, 0.036, 0.155, 0.07, 0.004, 0.012, materials.plain(materials.BLACK)),
    )
    return Piece(0.32, 0.06, 0.32, (Part(Label.CLOCK, solids),))


def whiteboard(draw: Draw) -> Piece:
    """A whiteboard with a metal frame."""
    width = draw.between(1.0, 1.8)
    solids = (
        box(0, 0, 0, width, 0.02, 0.9, materials.plain(materials.STEEL, 0.2)),
        box(0, 0.006, 0.03, width - 0.06, 0.02, 0.84, materials.plain((0.95, 0.95, 0.95), 0.25)),
        box(0, 0.04, -0.02, width * 0.5, 0.06, 0.02, materials.plain(materials.STEEL, 0.2)),
    )
    return Piece(width, 0.07, 0.9, (Part(Label.WHITEBOARD, solids),))


def towel_rail(draw: Draw) -> Piece:
    """A rail with a towel."""
    towel = materials.cloth(draw)
    solids = (
        box(0, 0.03, 0.66, 0.6, 0.02, 0.02, materials.plain(materials.STEEL, 0.3)),
        box(0.03, 0.03, 0.05, 0.42, 0.05, 0.65, towel),
    )
    return Piece(0.6, 0.08, 0.7, (Part(Label.TOWEL, solids),))


def window(draw: Draw, width: float, high: float, night: bool) -> Piece:
    """A window, its sill, and mostly curtains at both sides."""
    glass = box(0, 0.02, 0, width, 0.04, high, materials.window(draw, night))
    sill = box(0, 0.06, -0.04, width + 0.1, 0.12, 0.035, materials.plain(materials.WHITE))
    parts = [Part(Label.WINDOW, (glass, sill))]
    if draw.chance(0.7):
        colour = materials.varied(draw, draw.pick(materials.FABRICS))
        folds = Material(
            Texture.CURTAIN, colour, materials.shade(colour, 0.55), draw.between(0.07, 0.12)
        )
        wide, drop = draw.between(0.2, 0.35), draw.between(0.1, 0.5)
        rail = box(0, 0.12, high + 0.1, width + 2 * wide, 0.03, 0.03, materials.metal(draw))
        for side in (-1, 1):
            panel = box(
                side * (width + wide) / 2, 0.11, -drop, wide, 0.07, high + drop + 0.1, folds
            )
            parts.append(Part(Label.CURTAIN, (panel, rail) if side < 0 else (panel,)))
        return Piece(width + 2 * wide, 0.15, high + 0.13, tuple(parts))
    return Piece(width + 0.1, 0.12, high, tuple(parts))


def door(draw: Draw) -> Piece:
    """A closed door with its frame and handle."""
    colour = varied_wood(draw)
    frame = materials.plain(materials.WHITE)
    steel = materials.plain(materials.STEEL, 0.4)
    solids = (
        box(0, 0.01, 0, 0.82, 0.03, 2.0, materials.cabinet(draw, colour, 0.8)),
        box(-0.45, 0.015, 0, 0.09, 0.05, 2.06, frame),
        box(0.45, 0.015, 0, 0.09, 0.05, 2.06, frame),
        box(0, 0.015, 2.0, 0.82, 0.05, 0.06, frame),
        box(0.33, 0.05, 1.0, 0.12, 0.03, 0.025, steel),
    )
    return Piece(0.99, 0.06, 2.06, (Part(Label.DOOR, solids),))


def ceiling_lamp(draw: Draw, hang: float) -> Piece:
    """A lamp `hang` metres below the ceiling, about the point where it is fixed."""
    shade = materials.plain(draw.pick(((0.98, 0.94, 0.84), (0.95, 0.95, 0.95))), glow=1.0)
    if hang < 0.2:
        solid = ball(0, 0, 0, 0.2, 0.2, 0.1, shade)
        return Piece(0.4, 0.4, 0.1, (Part(Label.LAMP, (solid,)),))
    cord = cylinder(0, 0, -hang, 0.008, hang, materials.plain(materials.BLACK))
    bell = cylinder(0, 0, -hang - 0.2, 0.2, 0.2, shade, 0.35)
    return Piece(0.4, 0.4, hang + 0.2, (Part(Label.LAMP, (cord, bell)),))
