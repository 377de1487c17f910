#include "engine/train/facts.h"

#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/error.h"

namespace rankine {

namespace {

struct Fact {
  std::string name, value;
};

std::vector<Fact> parse(std::string_view text) {
  std::vector<Fact> facts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos)
      facts.push_back({std::string(line), ""});
    else
      facts.push_back({std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
  }
  return facts;
}

std::map<std::string, std::string> by_name(const std::vector<Fact>& facts) {
  std::map<std::string, std::string> index;
  for (const Fact& fact : facts) index[fact.name] += index.count(fact.name) ? "; " + fact.value : fact.value;
  return index;
}

}  // namespace

std::string exact(double x) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), x).ptr;
  return {text.data(), end};
}

std::string valid_utf8(const std::string& text) {
  using nlohmann::json;
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

std::vector<std::string> differing_facts(std::string_view saved, std::string_view current) {
  const std::vector<Fact> old_facts = parse(saved), new_facts = parse(current);
  const auto old_index = by_name(old_facts), new_index = by_name(new_facts);
  std::vector<std::string> lines;
  std::map<std::string, bool> seen;
  for (const Fact& fact : new_facts) {
    if (std::exchange(seen[fact.name], true)) continue;
    const auto was = old_index.find(fact.name);
    const std::string& now = new_index.at(fact.name);
    if (was == old_index.end()) {
      lines.push_back(join(fact.name, ": is only in this run (", now, ")"));
    } else if (was->second != now) {
      lines.push_back(join(fact.name, ": the checkpoint has ", was->second, ", this run has ", now));
    }
  }
  for (const Fact& fact : old_facts) {
    if (std::exchange(seen[fact.name], true)) continue;
    lines.push_back(join(fact.name, ": is only in the checkpoint (", old_index.at(fact.name), ")"));
  }
  return lines;
}

}  // namespace rankine
