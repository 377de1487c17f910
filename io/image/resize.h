// Changing the size of a picture.
#pragma once

#include "io/image/image.h"

namespace rankine {

// Each axis by itself, in float, rounded to 8 bits once at the end:
//   shrinking   area average: every source pixel counts with the fraction that falls inside the target pixel;
//   enlarging   Lanczos-3: w(t) = sinc(t) sinc(t / 3) for |t| < 3, renormalised where it passes the border;
//   same size   copied.
// No colour management: averages are taken on sRGB values, as other trainers do.
// Throws std::invalid_argument for a target below 1 x 1 or above 64 Mpixel, or an empty source.
Image resize(const Image& source, int width, int height);

}  // namespace rankine
