// "Did you mean": the nearest of some words.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rankine::config {

// Number of single-character insertions, deletions, replacements and swaps of neighbours that turn a into b
// (optimal string alignment distance). Letters compare without case, '-' equals '_'.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest distance, when it is small enough to be a likely slip (a third of the
// word).
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace rankine::config
