// Cutting, mirroring and converting pictures.
#pragma once

#include <span>

#include "io/image/image.h"

namespace rankine {

// The rectangle with its top left corner at (x, y). Throws std::invalid_argument when it leaves the picture.
Image crop(const Image& source, int x, int y, int width, int height);

// Mirrors left and right.
Image flip_horizontal(const Image& source);

// value = byte / 127.5 - 1, so 0..255 becomes -1..1.
// `out` must have 3 * width * height elements, all overwritten: (h, w, c) or (c, h, w).
void to_float_hwc(const Image& source, std::span<float> out);
void to_float_chw(const Image& source, std::span<float> out);

// The inverse of to_float_hwc: byte = round((value + 1) * 127.5), clamped; NaN becomes 0.
Image from_float_hwc(std::span<const float> values, int width, int height);

}  // namespace rankine
