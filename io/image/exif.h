// EXIF orientation: how a camera was held (EXIF 2.32, tag 0x0112 in IFD0).
#pragma once

#include <cstddef>
#include <span>

#include "io/image/image.h"

namespace rankine {

// `payload` is the content of a JPEG APP1 segment. Returns 1..8; 1 when it is not EXIF, is damaged or has no
// such tag: bad metadata must not make a good picture unreadable.
int exif_orientation(std::span<const std::byte> payload);

// Turns stored pixels upright. Orientation o means: the stored first row and column are the visual
// 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left
// bottom.
Image apply_orientation(Image stored, int orientation);

// The size after apply_orientation: 5..8 exchange the sides.
ImageSize oriented_size(ImageSize stored, int orientation);

}  // namespace rankine
