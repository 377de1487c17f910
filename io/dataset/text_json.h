// Cuts a JSON file into its rows without building the file, so that every fault has a line, one broken row
// does not hide the others, and nothing nests deeper than a row may; implementation side of text_dataset.h.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace rankine::text_json {

struct RowSink {
  std::function<void(int line, const nlohmann::json& row)> row;
  std::function<void(int line, std::string text)> fault;
};

// One value a line (JSON Lines); blank lines are skipped.
void read_lines(std::string_view text, const RowSink& sink);
// The elements of the list that `text` is, or, when it begins with anything else, the values that stand in it
// one after the other, over as many lines as they like. A comma behind the last element is let pass.
void read_values(std::string_view text, const RowSink& sink);

// Whether the first line that is not blank is a whole object.
bool first_line_is_object(std::string_view text);

}  // namespace rankine::text_json
