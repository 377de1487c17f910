// Included before Highway by every source with dynamic dispatch: x86 code is built for AVX2 and AVX-512, with
// Highway's portable emulation for anything older. Fewer targets, shorter builds.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
