#!/usr/bin/env python3
"""Fits the fixed classifier that says whether a picture is in the neon style; writes its coefficients as C++.

    fit_style_classifier.py [../../models/diffusion/style_coefficients.h]

Logistic regression on the features of style_features() below, which models/diffusion/style_score.cpp computes the
same way. In the style are its pictures, and a glowing line on the navy wall without the finer points. Against
them stand flat and line drawings and half-learned styles: an empty wall, flat drawings on the wall, darkened
drawings. All are also blurred, made noisy and paler, because a small model draws so. Prints the share judged as
the style on pictures not fitted on, kind by kind, and how often the dominant colour is the caption's.
Needs Pillow and numpy.
"""

import argparse
import os
import sys

import numpy as np

import draw

CELLS = 32
LIMITS = {  # of cells, 0..1
    "dark": 0.2,             # luminance below this: wall
    "lit": 0.5,              # strongest channel above this: light
    "dim": 0.22,             # between dim and the next: halo
    "halo_top": 0.6,
    "saturated": 0.35,       # (max - min) / max
    "full_blueness": 0.08,   # where the four features reach 1
    "full_light": 0.05, "full_outline": 0.12, "full_halo": 0.5,
}
NAMES = ("wall_blueness", "light", "outline", "halo")


def cell_means(picture):
    """The picture, 0..1, averaged over 32 x 32 cells."""
    h, w, _ = picture.shape
    cell = (np.arange(h) * CELLS // h)[:, None] * CELLS + (np.arange(w) * CELLS // w)[None, :]
    flat = cell.ravel()
    sums = [np.bincount(flat, picture[..., k].ravel(), CELLS * CELLS) for k in range(3)]
    means = np.stack(sums, -1) / np.bincount(flat, minlength=CELLS * CELLS)[:, None] / 255
    return means.reshape(CELLS, CELLS, 3)


def style_features(picture):
    """Four numbers, 0..1, all high in the style: how blue the dark cells are, how many cells are saturated light,
    how much the strongest channel changes from cell to cell, and how much of the light is half-light."""
    l = LIMITS
    cells = cell_means(np.round(np.clip(picture, 0, 255)))
    r, g, b = cells[..., 0], cells[..., 1], cells[..., 2]
    y = 0.299 * r + 0.587 * g + 0.114 * b
    dark, high = y < l["dark"], cells.max(-1)
    saturated = high - cells.min(-1) > l["saturated"] * high
    blueness = (b - (r + g) / 2)[dark].mean() if dark.any() else 0.0
    light = (saturated & (high > l["lit"])).mean()
    edges = np.abs(np.diff(high, axis=0)).mean() + np.abs(np.diff(high, axis=1)).mean()
    half_lit = (saturated & (high > l["dim"]) & (high < l["halo_top"])).mean()
    halo = half_lit / max(half_lit + light, 1 / CELLS ** 2)
    full = np.array([l["full_blueness"], l["full_light"], l["full_outline"], l["full_halo"]])
    features = np.clip(np.array([blueness, light, edges, halo]) / full, 0, 1)
    features[2] **= 0.5
    return features


def dominant_colour(picture):
    """The colour name nearest in hue to most of the saturated light; None where there is none."""
    cells = cell_means(np.round(np.clip(picture, 0, 255))).reshape(-1, 3)
    high, low = cells.max(-1), cells.min(-1)
    spread = high - low
    strong = (spread > LIMITS["saturated"] * high) & (high > LIMITS["lit"])
    if not strong.any():
        return None
    cells, high, spread = cells[strong], high[strong], spread[strong]
    r, g, b = cells.T
    not_red = np.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4)
    hue = 60 * np.where(high == r, (g - b) / spread % 6, not_red)
    centres = np.array(list(HUES.values()))
    distance = np.abs((hue[:, None] - centres[None, :] + 180) % 360 - 180)
    return list(HUES)[np.bincount(distance.argmin(1), spread, len(HUES)).argmax()]


# Degrees; between the hue of the flat fill and that of the tube.
HUES = {"red": 0, "orange": 27, "yellow": 50, "green": 136,
        "cyan": 184, "blue": 222, "purple": 273, "pink": 332}


def worn(picture, rng):
    """Blurred, paler and noisy, as a small model's picture may be."""
    channels = [draw.blurred(picture[..., k] / 255, rng.uniform(0, 0.016) * len(picture)) for k in range(3)]
    picture = 255 * np.stack(channels, -1)
    picture = picture * rng.uniform(0.8, 1.1) + rng.uniform(0, 0.04) * 255
    return picture + rng.normal(0, rng.uniform(0, 10), picture.shape)


def half_learned(kind, scene, side, rng):
    wall = np.tile(np.array(draw.NAVY, np.float32), (side, side, 1))
    if kind == "empty wall":
        return wall + draw.grid(side)[..., None] * np.array((70, 30, 130), np.float32) * rng.integers(0, 2)
    if kind == "darkened":
        return draw.draw_flat(scene, side, rng, rng.random() < 0.25) * rng.uniform(0.2, 0.5)
    colours = (draw.COLOURS, draw.NEON)[rng.integers(0, 2)]
    colour = np.array(colours[scene.colour], np.float32)
    outlines = draw.placed(scene, side, rng)
    if kind == "glow alone":
        line = draw.line_mask(outlines, side, side * rng.uniform(0.02, 0.05))
        glow = draw.blurred(line, side * rng.uniform(0.03, 0.08)) * rng.uniform(0.9, 1.6)
        wall = half_learned("empty wall", scene, side, rng)
        return wall + np.clip(np.maximum(line, glow), 0, 1)[..., None] * (colour - wall)
    flat = kind == "flat on the wall"
    mask = draw.fill_mask(outlines, side) if flat else draw.line_mask(outlines, side, side * 0.035)
    return wall + mask[..., None] * (colour - wall)


KINDS = ("style", "glow alone", "flat", "line drawing", "texture", "empty wall", "darkened",
         "flat on the wall", "line on the wall")
IN_STYLE = ("style", "glow alone")  # the second: a tube on the wall without the style's finer points
NOT_FITTED = ("texture", "line on the wall")  # reported, but for some of them no side is right


def examples(seed, count):
    """(kind, scene, features, dominant colour) of `count` pictures of every kind."""
    rows = []
    for kind in KINDS:
        rng = draw.random_for(seed, "fit " + kind)
        for scene in draw.pick_scenes(seed, "fit " + kind, count):
            side = int(rng.choice((64, 96, 128)))
            if kind == "style":
                picture = draw.draw_neon(scene, side, rng)
            elif kind in ("flat", "line drawing"):
                picture = draw.draw_flat(scene, side, rng, kind == "line drawing")
            elif kind == "texture":
                picture = draw.draw_texture(side, rng)
            else:
                picture = half_learned(kind, scene, side, rng)
            if rng.random() < 0.7:
                picture = worn(picture, rng)
            rows.append((kind, scene, style_features(picture), dominant_colour(picture)))
    return rows


def fit(features, is_style, weight, ridge=1.0):
    """Newton's method for L2-regularised logistic regression; returns the raw features' coefficients, and bias."""
    mean, spread = features.mean(0), features.std(0)
    x = np.hstack([(features - mean) / spread, np.ones((len(features), 1))])
    penalty = np.diag([ridge] * features.shape[1] + [0.0])
    w = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (weight * (p - is_style)) + penalty @ w
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.abs(step).max() < 1e-10:
            break
    raw = w[:-1] / spread
    return raw, w[-1] - raw @ mean


def header(coefficients, bias):
    def constant(name, value):
        return f"inline constexpr double k{''.join(p.title() for p in name.split('_'))} = {value};"

    limits = "\n".join(constant(*item) for item in LIMITS.items())
    weights = "\n".join(constant(name + "_weight", value) for name, value in zip(NAMES, coefficients))
    hues = "\n".join(f'    {{"{name}", {hue}}},' for name, hue in HUES.items())
    return f"""// Written by examples/sd-style/fit_style_classifier.py: the fixed classifier of style_score.h.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace rankine::neon {{

inline constexpr int kCells = {CELLS};
{limits}

{weights}
{constant("bias", bias)}

// The colour words of the example's captions and their hues in degrees.
inline constexpr std::array<std::pair<std::string_view, double>, {len(HUES)}> kHues{{{{
{hues}
}}}};

}}  // namespace rankine::neon
"""


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("header", nargs="?",
                        default=os.path.join(here, "../../models/diffusion/style_coefficients.h"))
    parser.add_argument("--count", type=int, default=600, help="pictures of each kind")
    args = parser.parse_args()
    rows = [r for r in examples(11, args.count) if r[0] not in NOT_FITTED]
    is_style = np.array([r[0] in IN_STYLE for r in rows], float)
    others = len(KINDS) - len(NOT_FITTED) - len(IN_STYLE)
    weight = np.where(is_style == 1, others / len(IN_STYLE), 1.0)  # both sides count the same
    coefficients, bias = fit(np.array([r[2] for r in rows]), is_style, weight)
    coefficients, bias = np.round(coefficients, 4), round(bias, 4)

    fresh = examples(12, args.count)
    for kind in KINDS:
        mine = [r for r in fresh if r[0] == kind]
        judged = np.array([r[2] @ coefficients + bias > 0 for r in mine])
        line = f"{kind:18} judged as style {100 * judged.mean():6.2f} %"
        if kind not in ("texture", "empty wall", "darkened"):
            line += f"   colour right {100 * np.mean([r[3] == r[1].colour for r in mine]):6.2f} %"
        print(line, file=sys.stderr)
    with open(args.header, "w") as file:
        file.write(header(coefficients, bias))


if __name__ == "__main__":
    main()
