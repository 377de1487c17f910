// Written by examples/sd-style/fit_style_classifier.py: the fixed classifier of style_score.h.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace rankine::neon {

inline constexpr int kCells = 32;
inline constexpr double kDark = 0.2;
inline constexpr double kLit = 0.5;
inline constexpr double kDim = 0.22;
inline constexpr double kHaloTop = 0.6;
inline constexpr double kSaturated = 0.35;
inline constexpr double kFullBlueness = 0.08;
inline constexpr double kFullLight = 0.05;
inline constexpr double kFullOutline = 0.12;
inline constexpr double kFullHalo = 0.5;

inline constexpr double kWallBluenessWeight = 7.1695;
inline constexpr double kLightWeight = 7.2355;
inline constexpr double kOutlineWeight = 3.2934;
inline constexpr double kHaloWeight = 18.1818;
inline constexpr double kBias = -30.4453;

// The colour words of the example's captions and their hues in degrees.
inline constexpr std::array<std::pair<std::string_view, double>, 8> kHues{{
    {"red", 0},
    {"orange", 27},
    {"yellow", 50},
    {"green", 136},
    {"cyan", 184},
    {"blue", 222},
    {"purple", 273},
    {"pink", 332},
}};

}  // namespace rankine::neon
