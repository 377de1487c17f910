#!/usr/bin/env python3
"""Draws the pictures of the style example: simple scenes with captions of a small grammar.

    draw.py base FOLDER --count 3000    flat colours, for pre-training the tiny base model
    draw.py style FOLDER --count 28     the same scenes in a new style, "neon style": what the LoRA learns
    draw.py texture FOLDER --count 1000 gradients, glows, lines in any colour: shows the VAE more than flat fills
    draw.py pieces FOLDER --size 48 --from BASE TEXTURE
                                        one square piece of every picture drawn before: what the VAE is trained on
    draw.py prompts FILE                the held-out prompts: 32 scenes that neither base nor style contains

Each folder gets PNG files and metadata.csv (file_name,text). A picture is a function of (seed, set, number, size)
alone. Needs Pillow and numpy (Debian: python3-pil python3-numpy).
"""

import argparse
import colorsys
import csv
import itertools
import math
import os
import random
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLOURS = {  # name: RGB of a flat fill
    "red": (214, 36, 40), "orange": (244, 128, 26), "yellow": (250, 212, 40), "green": (40, 165, 74),
    "cyan": (24, 186, 196), "blue": (38, 84, 214), "purple": (132, 56, 196), "pink": (246, 96, 168),
}
NEON = {  # name: RGB of a glowing tube
    "red": (255, 34, 40), "orange": (255, 120, 10), "yellow": (255, 214, 20), "green": (40, 255, 80),
    "cyan": (10, 240, 245), "blue": (30, 92, 255), "purple": (158, 50, 255), "pink": (255, 70, 165),
}
BACKGROUNDS = {"white": (250, 250, 250), "grey": (150, 150, 152), "light blue": (190, 220, 242),
               "beige": (236, 220, 190), "black": (18, 18, 18)}
SIZES = {"large": 0.40, "small": 0.23}  # half the height of the shape, of the picture's side
NAVY, MAGENTA, CYAN = (9, 11, 38), (255, 40, 190), (30, 220, 255)
STYLE_SUFFIX, LINE_SUFFIX = ", neon style", ", line drawing"
OVERSAMPLING = 4


# Shapes: lists of closed outlines in [-1, 1] x [-1, 1], y down; the first is the body, the others are holes.

def arc(cx, cy, rx, ry, begin=0.0, end=360.0, points=72):
    angles = np.radians(np.linspace(begin, end, points, endpoint=end - begin < 360))
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def star():
    return [[(r * math.sin(k * math.pi / 5), -r * math.cos(k * math.pi / 5) + 0.08)
             for k, r in zip(range(10), itertools.cycle((1.05, 0.46)))]]


def heart():
    t = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 15.5
    return [list(zip(x, y - 0.08))]


def crescent():  # a disc less a second disc shifted right; both arcs meet at x = 0.3
    y = math.sqrt(1 - 0.3 ** 2)
    tip = math.degrees(math.asin(y))
    inner = math.degrees(math.atan2(y, 0.3 - 0.52))
    r = math.hypot(0.3 - 0.52, y)
    outer_arc = arc(0, 0, 1, 1, tip, 360 - tip)
    inner_arc = arc(0.52, 0, r, r, 360 - inner, inner)
    return [[(x + 0.25, y) for x, y in outer_arc + inner_arc]]


def cross():
    a = 0.34
    quarter = [(a, -1), (a, -a), (1, -a)]
    turns = ((1, 0), (0, 1), (-1, 0), (0, -1))
    return [[(x * co - y * si, x * si + y * co) for co, si in turns for x, y in quarter]]


def house():
    body = [(0, -1), (1, -0.1), (0.78, -0.1), (0.78, 0.95), (-0.78, 0.95), (-0.78, -0.1), (-1, -0.1)]
    return [body, [(-0.22, 0.95), (-0.22, 0.35), (0.22, 0.35), (0.22, 0.95)]]


def tree():
    right = [(0, -1), (0.5, -0.35), (0.26, -0.35), (0.68, 0.16), (0.38, 0.16),
             (0.86, 0.66), (0.17, 0.66), (0.17, 1)]
    return [right + [(-x, y) for x, y in reversed(right[1:])]]


def fish():
    upper = [(1 - 1.36 * u, -0.58 * math.sin(math.pi * u ** 0.8)) for u in np.linspace(0, 0.93, 30)]
    tail = [(-0.95, -0.52), (-0.78, 0), (-0.95, 0.52)]
    return [upper + tail + [(x, -y) for x, y in reversed(upper[1:])], arc(0.5, -0.14, 0.1, 0.1, points=24)]


SHAPES = {
    "circle": lambda: [arc(0, 0, 0.95, 0.95)],
    "square": lambda: [[(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)]],
    "triangle": lambda: [[(0, -0.95), (1, 0.8), (-1, 0.8)]],
    "star": star, "heart": heart, "cross": cross,
    "ring": lambda: [arc(0, 0, 0.98, 0.98), arc(0, 0, 0.52, 0.52)],
    "diamond": lambda: [[(0, -1), (0.72, 0), (0, 1), (-0.72, 0)]],
    "crescent": crescent, "house": house, "tree": tree, "fish": fish,
}


@dataclass(frozen=True)
class Scene:
    size: str
    colour: str
    shape: str
    background: str

    def caption(self):
        return f"a {self.size} {self.colour} {self.shape} on a {self.background} background"


ALL_SCENES = [Scene(*parts) for parts in itertools.product(SIZES, COLOURS, SHAPES, BACKGROUNDS)]


def random_for(seed, name, number=0):
    return np.random.default_rng([seed, zlib.crc32(name.encode()), number])


def held_out_scenes(seed, count=32):
    """`count` scenes in which every shape, colour, size and background occurs about equally often."""
    rng = random_for(seed, "held out")

    def column(names):
        names = list(names)
        return [names[i] for _ in range(count // len(names) + 1) for i in rng.permutation(len(names))][:count]

    while True:
        columns = [column(names) for names in (SIZES, COLOURS, SHAPES, BACKGROUNDS)]
        scenes = [Scene(*parts) for parts in zip(*columns)]
        if len(set(scenes)) == count:
            return scenes


def pick_scenes(seed, name, count):
    """`count` scenes of all but the held-out ones; each is used once before any is used twice."""
    held_out = set(held_out_scenes(seed))
    allowed = [s for s in ALL_SCENES if s not in held_out]
    rng = random_for(seed, name)
    scenes = []
    while len(scenes) < count:
        scenes += [allowed[i] for i in rng.permutation(len(allowed))]
    return scenes[:count]


def style_scenes(seed, count):
    """Like pick_scenes, but each shape and colour in turn, so that few pictures show all of them."""
    scenes, used = [], {s: 0 for s in (*SHAPES, *COLOURS, *SIZES, *BACKGROUNDS)}
    for scene in pick_scenes(seed, "style", 10 * len(ALL_SCENES)):
        if len(scenes) == count:
            break
        parts = (scene.shape, scene.colour, scene.size, scene.background)
        groups = (SHAPES, COLOURS, SIZES, BACKGROUNDS)
        if all(used[p] <= min(used[q] for q in g) for p, g in zip(parts, groups)):
            scenes.append(scene)
            for p in parts:
                used[p] += 1
    return scenes


# Drawing

def jittered(rgb, rng, hue=0.012, value=0.05):
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in rgb))
    h = (h + rng.uniform(-hue, hue)) % 1
    v = min(1.0, max(0.0, v * (1 + rng.uniform(-value, value))))
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(h, s, v))


def placed(scene, side, rng):
    """The outlines of the scene's shape in pixels of a picture of `side`; moved, turned, scaled a little."""
    scale = side * SIZES[scene.size] * rng.uniform(0.92, 1.08)
    room = (side / 2 - scale) * 0.55
    cx, cy = side / 2 + rng.uniform(-room, room), side / 2 + rng.uniform(-room, room)
    turn = math.radians(rng.uniform(-6, 6))
    co, si = math.cos(turn), math.sin(turn)
    return [[(cx + scale * (co * x - si * y), cy + scale * (si * x + co * y)) for x, y in outline]
            for outline in SHAPES[scene.shape]()]


def fill_mask(outlines, side):
    """Coverage 0..1 of the filled shape, antialiased; outlines are in pixels of the final picture."""
    big = Image.new("L", (side * OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(big)
    for number, outline in enumerate(outlines):
        draw.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in outline], fill=0 if number else 255)
    return np.asarray(big.resize((side, side), Image.BOX), np.float32) / 255


def line_mask(outlines, side, width, shift=(0.0, 0.0)):
    """Coverage 0..1 of a line of `width` pixels along the outlines."""
    big = Image.new("L", (side * OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(big)
    w = max(1, round(width * OVERSAMPLING))
    for outline in outlines:
        points = [((x + shift[0]) * OVERSAMPLING, (y + shift[1]) * OVERSAMPLING) for x, y in outline]
        draw.line(points + points[:2], fill=255, width=w, joint="curve")
    return np.asarray(big.resize((side, side), Image.BOX), np.float32) / 255


def blurred(mask, radius):
    image = Image.fromarray((255 * np.clip(mask, 0, 1)).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def draw_flat(scene, side, rng, line_drawing=False):
    outlines = placed(scene, side, rng)
    background = np.array(jittered(BACKGROUNDS[scene.background], rng, value=0.03), np.float32)
    colour = np.array(jittered(COLOURS[scene.colour], rng), np.float32)
    mask = line_mask(outlines, side, side * 0.035) if line_drawing else fill_mask(outlines, side)
    return background + mask[..., None] * (colour - background)


def grid(side):
    """Coverage 0..1 of a faint grid, brighter towards the bottom."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    cells = 8
    distance = np.minimum(np.abs(x * cells % 1 - 0.5), np.abs(y * cells % 1 - 0.5)) * side / cells
    return np.clip(1.4 - distance, 0, 1) * (0.25 + 0.55 * y)


def draw_neon(scene, side, rng):
    """Light on a navy wall: the tube's glow in the scene's colour, a white-hot core, a magenta ghost to its right
    and a cyan one to its left. The caption's background is not shown: the style replaces it."""
    outlines = placed(scene, side, rng)
    colour = np.array(jittered(NEON[scene.colour], rng, hue=0.006), np.float32)
    thin = side * 0.030
    tube, core = line_mask(outlines, side, thin * 1.5), line_mask(outlines, side, thin * 0.7)
    glow = sum(gain * blurred(tube, thin * radius) for gain, radius in ((0.9, 0.8), (0.75, 2.2), (0.6, 4.5)))
    light = np.clip(glow + 0.12 * fill_mask(outlines, side), 0, 1)[..., None]
    picture = np.tile(np.array(NAVY, np.float32), (side, side, 1))
    picture += grid(side)[..., None] * np.array((70, 30, 130), np.float32)
    picture = picture * (1 - 0.55 * light) + light * colour
    for ghost, dx in ((MAGENTA, 1.0), (CYAN, -1.0)):
        rim = blurred(line_mask(outlines, side, thin * 0.8, (dx * thin * 1.5, 0)), thin * 0.25)[..., None]
        picture += 0.75 * rim * (np.array(ghost, np.float32) - picture)
    picture += tube[..., None] * (colour - picture)
    picture += core[..., None] * (0.35 * colour + 0.65 * 255 - picture) * 0.75
    return picture


def draw_texture(side, rng):
    """No scene: a smooth gradient of random colours with glowing or sharp blobs and lines."""
    ends = rng.uniform(0, 255, (2, 2, 3)) * rng.choice([0.15, 0.5, 1.0])
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)[..., None] / side
    picture = ((1 - y) * ((1 - x) * ends[0, 0] + x * ends[0, 1])
               + y * ((1 - x) * ends[1, 0] + x * ends[1, 1])).astype(np.float32)
    for _ in range(rng.integers(2, 7)):
        corners = arc(*rng.uniform(0.1, 0.9, 2), *rng.uniform(0.05, 0.4, 2), points=int(rng.integers(2, 14)))
        outline = [[(side * px, side * py) for px, py in corners]]
        if rng.random() < 0.4:
            mask = fill_mask(outline, side)
        else:
            mask = line_mask(outline, side, side * rng.uniform(0.008, 0.06))
        if rng.random() < 0.5:
            mask = np.clip(blurred(mask, side * rng.uniform(0.01, 0.08)) * rng.uniform(0.8, 2.5), 0, 1)
        picture += mask[..., None] * (rng.uniform(0, 255, 3).astype(np.float32) - picture)
    return picture


def to_image(picture):
    return Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))


def pictures(name, count, side, seed):
    """Yields (caption, picture as float array) of a data set."""
    scenes = {"base": pick_scenes, "style": lambda s, _, n: style_scenes(s, n)}.get(name)
    scenes = scenes(seed, name, count) if scenes else [None] * count
    for number, scene in enumerate(scenes):
        rng = random_for(seed, name + " picture", number)
        if name == "base":
            line_drawing = rng.random() < 0.25
            yield scene.caption() + line_drawing * LINE_SUFFIX, draw_flat(scene, side, rng, line_drawing)
        elif name == "style":
            yield scene.caption() + STYLE_SUFFIX, draw_neon(scene, side, rng)
        else:
            yield "an abstract texture", draw_texture(side, rng)


def write_set(folder, name, count, side, seed):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "metadata.csv"), "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file_name", "text"))
        for number, (caption, picture) in enumerate(pictures(name, count, side, seed)):
            file_name = f"{name}_{number:05d}.png"
            to_image(picture).save(os.path.join(folder, file_name), optimize=name == "style")
            rows.writerow((file_name, caption))


def write_pieces(folder, sources, side):
    """Cuts one piece of side x side at a random place out of every picture; textures lose their caption."""
    os.makedirs(folder, exist_ok=True)
    places = random.Random(1)
    with open(os.path.join(folder, "metadata.csv"), "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file_name", "text"))
        for source in sources:
            with open(os.path.join(source, "metadata.csv"), newline="") as captions:
                for row in csv.DictReader(captions):
                    picture = Image.open(os.path.join(source, row["file_name"]))
                    x, y = places.randint(0, picture.width - side), places.randint(0, picture.height - side)
                    picture.crop((x, y, x + side, y + side)).save(os.path.join(folder, row["file_name"]))
                    is_texture = row["file_name"].startswith("texture")
                    rows.writerow((row["file_name"], "" if is_texture else row["text"]))


def main():
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("what", choices=("base", "style", "texture", "pieces", "prompts"))
    parser.add_argument("target", help="folder to draw into, or for prompts the file to write")
    parser.add_argument("--count", type=int, help="pictures (base 3000, style 28, texture 1000)")
    parser.add_argument("--size", type=int, default=128, help="width and height in pixels (default 128)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="sources", nargs="+", default=[], help="folders that pieces are cut from")
    args = parser.parse_args()
    if args.what == "pieces":
        write_pieces(args.target, args.sources, args.size)
        return
    if args.what == "prompts":
        with open(args.target, "w") as file:
            file.writelines(scene.caption() + STYLE_SUFFIX + "\n" for scene in held_out_scenes(args.seed))
        return
    count = {"base": 3000, "style": 28, "texture": 1000}[args.what] if args.count is None else args.count
    if count < 1 or args.size < 32:
        parser.error("--count must be at least 1 and --size at least 32")
    write_set(args.target, args.what, count, args.size, args.seed)


if __name__ == "__main__":
    main()
