// The identity of a run as text: one fact per line, "name: value". A checkpoint carries it, and resuming
// compares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rankine {

// The same text with every byte that is not UTF-8 replaced, so that it can stand in a JSON file.
std::string valid_utf8(const std::string& text);

// The shortest text that reads back as the same number: "0.9", "1e-08".
std::string exact(double x);

// One line per fact that differs, in the order of the facts: "lora_rank: the checkpoint has 8, this run has
// 16", or "... is only in the checkpoint" / "... is only in this run". Empty when the two agree.
std::vector<std::string> differing_facts(std::string_view saved, std::string_view current);

}  // namespace rankine
