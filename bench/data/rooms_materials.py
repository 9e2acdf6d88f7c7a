"""The materials of the synthetic rooms: which colours and patterns things have."""

from __future__ import annotations

from bench.data.rooms_scene import Colour, Draw, Material, Texture

WOODS: tuple[Colour, ...] = (
    (0.62, 0.43, 0.26),
    (0.48, 0.31, 0.18),
    (0.76, 0.58, 0.38),
    (0.85, 0.73, 0.55),
    (0.37, 0.23, 0.15),
    (0.66, 0.50, 0.34),
)
FABRICS: tuple[Colour, ...] = (
    (0.58, 0.17, 0.16),
    (0.20, 0.29, 0.48),
    (0.34, 0.43, 0.30),
    (0.68, 0.62, 0.52),
    (0.40, 0.38, 0.38),
    (0.77, 0.70, 0.57),
    (0.54, 0.38, 0.48),
    (0.22, 0.47, 0.50),
    (0.82, 0.56, 0.24),
    (0.87, 0.85, 0.80),
    (0.45, 0.30, 0.22),
)
WALLS: tuple[Colour, ...] = (
    (0.90, 0.87, 0.80),
    (0.79, 0.83, 0.86),
    (0.87, 0.80, 0.64),
    (0.74, 0.81, 0.72),
    (0.87, 0.76, 0.71),
    (0.68, 0.71, 0.80),
    (0.92, 0.91, 0.89),
    (0.80, 0.72, 0.60),
    (0.86, 0.68, 0.50),
)
WHITE: Colour = (0.92, 0.92, 0.90)
BLACK: Colour = (0.09, 0.09, 0.10)
STEEL: Colour = (0.66, 0.67, 0.69)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, lighter or darker, kept below 1."""
    red, green, blue = colour
    return min(red * factor, 0.97), min(green * factor, 0.97), min(blue * factor, 0.97)


def varied(draw: Draw, colour: Colour) -> Colour:
    """The colour, slightly changed."""
    red, green, blue = shade(colour, draw.between(0.88, 1.1))
    red, green = (
        min(red * draw.between(0.95, 1.05), 0.97),
        min(green * draw.between(0.96, 1.04), 0.97),
    )
    return red, green, blue


def plain(colour: Colour, gloss: float = 0.0, glow: float = 0.0) -> Material:
    """One colour."""
    return Material(Texture.PLAIN, colour, gloss=gloss, glow=glow)


def wood(draw: Draw) -> Material:
    """Grained wood, or now and then painted white."""
    if draw.chance(0.15):
        return plain(varied(draw, WHITE), gloss=0.05)
    colour = varied(draw, draw.pick(WOODS))
    return Material(Texture.WOOD, colour, shade(colour, 0.68), draw.between(0.03, 0.06), 0.06)


def fabric(draw: Draw) -> Material:
    """Woven cloth in one colour."""
    colour = varied(draw, draw.pick(FABRICS))
    return Material(Texture.FABRIC, colour, shade(colour, 0.8), 0.012)


def cloth(draw: Draw) -> Material:
    """Cloth, plain, checked or striped."""
    texture = draw.pick((Texture.FABRIC, Texture.CHECKS, Texture.STRIPES, Texture.PATTERN))
    if texture is Texture.FABRIC:
        return fabric(draw)
    colour, other = varied(draw, draw.pick(FABRICS)), varied(draw, draw.pick(FABRICS))
    return Material(texture, colour, other, draw.between(0.08, 0.22))


def metal(draw: Draw) -> Material:
    """Brushed, dark or brass-like metal."""
    colour = draw.pick((STEEL, BLACK, (0.62, 0.50, 0.28)))
    return plain(varied(draw, colour), gloss=0.35)


def ceramic() -> Material:
    """White glazed ceramic."""
    return plain((0.94, 0.94, 0.93), gloss=0.3)


def cabinet(draw: Draw, colour: Colour, cell: float) -> Material:
    """Doors or drawers: framed panels of about `cell` metres with a knob."""
    return Material(Texture.CABINET, varied(draw, colour), shade(colour, 0.5), cell, 0.06)


def ornament(draw: Draw) -> Material:
    """A glazed or painted thing of any colour."""
    colour = (draw.between(0.15, 0.9), draw.between(0.15, 0.8), draw.between(0.12, 0.8))
    return plain(colour, gloss=draw.between(0.0, 0.3))


def picture(draw: Draw) -> Material:
    """A framed picture."""
    colour = draw.pick((BLACK, WOODS[0], WOODS[4], WHITE, (0.6, 0.48, 0.2)))
    return Material(Texture.PICTURE, colour, WHITE)


def window(draw: Draw, night: bool) -> Material:
    """A window with a white frame; behind it a sky, or the dark."""
    sky = (0.10, 0.12, 0.2) if night else (draw.between(0.75, 0.9), 0.88, 0.96)
    return Material(Texture.WINDOW, WHITE, sky, draw.between(0.4, 0.7), 0.5, 0.1 if night else 1.0)


def wall(draw: Draw) -> Material:
    """Paint, wallpaper, brick or panelling."""
    colour = varied(draw, draw.pick(WALLS))
    kind = draw.between(0.0, 1.0)
    if kind < 0.5:
        return Material(Texture.PLAIN, colour)
    if kind < 0.7:
        return Material(Texture.STRIPES, colour, shade(colour, 0.86), draw.between(0.1, 0.3))
    if kind < 0.88:
        return Material(Texture.PATTERN, colour, shade(colour, 0.8), draw.between(0.15, 0.4))
    if kind < 0.94:
        return Material(Texture.BRICK, (0.62, 0.36, 0.28), (0.78, 0.74, 0.68), 0.24)
    panel = varied(draw, draw.pick(WOODS))
    return Material(Texture.PLANKS, panel, shade(panel, 0.6), draw.between(0.12, 0.2), 0.04)


def tiled_wall(draw: Draw) -> Material:
    """Tiles up to breast height, paint above, or tiles up to the ceiling."""
    texture = draw.pick((Texture.HALF_TILES, Texture.HALF_TILES, Texture.TILES))
    colour = varied(draw, draw.pick((WHITE, (0.78, 0.86, 0.88), (0.86, 0.82, 0.72), WALLS[3])))
    return Material(texture, colour, draw.pick(WALLS), draw.between(0.1, 0.25), 0.12)


def floor(draw: Draw, wet: bool) -> Material:
    """Planks, carpet or tiles; tiles where it gets wet."""
    if wet and draw.chance(0.8):
        colour = varied(draw, draw.pick(((0.82, 0.8, 0.75), (0.7, 0.66, 0.6), (0.6, 0.62, 0.64))))
        other = shade(colour, draw.pick((0.45, 0.85, 1.0)))
        return Material(Texture.TILES, colour, other, draw.between(0.2, 0.45), 0.2)
    if draw.chance(0.55):
        colour = varied(draw, draw.pick(WOODS))
        return Material(Texture.PLANKS, colour, shade(colour, 0.7), draw.between(0.08, 0.18), 0.15)
    colour = varied(draw, draw.pick((*FABRICS[3:6], (0.62, 0.56, 0.48), (0.5, 0.5, 0.54))))
    return Material(Texture.CARPET, colour, shade(colour, 0.8), draw.between(0.02, 0.05))
