// The cards that runs can be planned for: a table, files that describe others, and this machine's CPU.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/config/card_file.h"

namespace rankine::app {

// rtx3090, rtx4090, h200. Rates are sustained ones, each with its origin in card.source.
const std::vector<CardSpec>& cards();

// `wanted` is a name of the table or the path of a YAML file (io/config/card_file.h). Throws ConfigError that
// lists what is known.
CardSpec card_for(const std::string& wanted);

// The card of the table that a driver calls `device`, as "NVIDIA GeForce RTX 4090"; null for any other.
const CardSpec* card_called(const std::string& device);

// This machine: memory that is free now less a tenth; a product of fp32 matrices, a copy of large buffers,
// and a file written and read in `folder` (or the nearest folder above it that is there). Takes about two
// seconds, the file less than one of them.
CardSpec measure_cpu(int threads, const std::filesystem::path& folder);

}  // namespace rankine::app
