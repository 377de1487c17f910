// The cards that runs can be planned for: a table, files that describe others, and this machine's CPU.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "apps/rankine/session.h"
#include "io/config/card_file.h"

namespace rankine::app {

// rtx3090, rtx4090, h200. Rates are sustained ones, each with its origin in card.source.
const std::vector<CardSpec>& cards();

// `wanted` is a name of the table or the path of a YAML file (io/config/card_file.h). Throws ConfigError that
// lists what is known.
CardSpec card_for(const std::string& wanted);

// The card of the table that a driver calls `device`, as "NVIDIA GeForce RTX 4090"; null for any other.
const CardSpec* card_called(const std::string& device);

// The device that the run itself computes on: this machine's CPU, measured, or a card of the table. Nothing
// for a card that is not in it.
std::optional<CardSpec> card_of_run(const RunConfig& config);
// The same for a choice between ways of saving memory, which needs rates: those of an RTX 3090 for a card
// that is not known.
Card card_to_choose_by(const RunConfig& config);

// This machine: memory that is free now less a tenth; a product of fp32 matrices, a copy of large buffers,
// and a file written and read in `folder` (or the nearest folder above it that is there). Takes about three
// seconds, the file less than one of them.
CardSpec measure_cpu(int threads, const std::filesystem::path& folder);

}  // namespace rankine::app
