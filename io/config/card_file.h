// A card described in YAML, for plans on a machine without it: `rankine plan --gpu my_card.yaml`. The keys
// are the members of CardSpec; docs/memory.md lists them. Strict like the run file: all problems at once,
// each with line and column.
#pragma once

#include <filesystem>
#include <string_view>

#include "engine/core/card.h"

namespace rankine::config {

// A card with what a plan needs to know beside the sustained rates of engine/core/card.h.
struct CardSpec {
  Card card;
  std::size_t reserved = 0;  // bytes of its memory that others take: display, driver, context
  // No operation is faster: the data sheet's.
  double peak_flops_per_second = 0;
  double peak_bytes_per_second = 0;

  std::size_t usable() const { return card.memory - reserved; }  // bytes
};

// `name` stands for the file in messages. A peak that is not given is the sustained rate. Throws
// InvalidRunConfig (problems.h) with every problem.
CardSpec parse_card(std::string_view yaml, std::string_view name);
// The same from a file; its stem is the name of a card that gives none. Throws IoError when it cannot be
// read.
CardSpec load_card(const std::filesystem::path& file);

}  // namespace rankine::config

namespace rankine {
using config::CardSpec;
}  // namespace rankine
