#include "io/config/problems.h"

#include <algorithm>

namespace rankine::config {
namespace {

constexpr std::size_t kMaxShown = 100;
constexpr std::size_t kExcerptBytes = 100;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::size_t count_characters(std::string_view s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return !is_continuation(c); }));
}

std::string printable(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return out;
}

// Long lines are cut to a window around the place, on character boundaries.
std::string excerpt_of(std::string_view line, std::size_t column, const std::string& label) {
  const std::size_t at = std::min(column > 0 ? column - 1 : 0, line.size());
  std::size_t first = line.size() > kExcerptBytes && at > kExcerptBytes / 2 ? at - kExcerptBytes / 2 : 0;
  while (first > 0 && is_continuation(line[first])) --first;
  std::size_t last = std::min(line.size(), first + kExcerptBytes);
  while (last < line.size() && is_continuation(line[last])) ++last;
  const std::string shown = printable(line.substr(first, last - first));
  const std::size_t indent = count_characters(line.substr(first, at - first));
  return join("  ", label, " | ", shown, "\n  ", std::string(label.size(), ' '), " | ",
              std::string(indent, ' '), "^");
}

std::string describe(const std::vector<ConfigProblem>& problems) {
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < kMaxShown; ++i) {
    if (!text.empty()) text += '\n';
    text += problems[i].to_string();
  }
  if (problems.size() > kMaxShown) text += join("\n... and ", problems.size() - kMaxShown, " more");
  return text;
}

}  // namespace

std::string ConfigProblem::to_string() const {
  std::string text = where + ": ";
  if (!key.empty()) text += key + ": ";
  text += message;
  if (!excerpt.empty()) text += join("\n", excerpt);
  return text;
}

InvalidRunConfig::InvalidRunConfig(std::vector<ConfigProblem> problems)
    : ConfigError(describe(problems)), problems_(std::move(problems)) {}

int Problems::add_source(std::string name, std::string_view text, bool numbered) {
  Source source{std::move(name), {}, numbered};
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    source.lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  sources_.push_back(std::move(source));
  return static_cast<int>(sources_.size()) - 1;
}

void Problems::add(const Location& at, const std::string& key, std::string message, Excerpt excerpt) {
  const Source& source = sources_.at(static_cast<std::size_t>(at.source));
  ConfigProblem problem{source.name, 0, 0, printable(key), std::move(message), {}};
  const bool has_line = at.line > 0 && static_cast<std::size_t>(at.line) <= source.lines.size();
  const std::string_view line = has_line ? std::string_view(source.lines[at.line - 1]) : std::string_view();
  const auto bytes_before = static_cast<std::size_t>(std::max(at.column - 1, 0));
  if (source.numbered && at.line > 0) {
    problem.line = at.line;
    problem.column =
        static_cast<int>(count_characters(line.substr(0, std::min(bytes_before, line.size())))) + 1;
    problem.where += join(":", problem.line, ":", problem.column);
  }
  if (has_line && excerpt == Excerpt::show) {
    const std::string label = source.numbered ? std::to_string(at.line) : source.name;
    problem.excerpt = excerpt_of(line, static_cast<std::size_t>(std::max(at.column, 1)), label);
  }
  found_.push_back({at, std::move(problem)});
}

std::string Problems::place(const Location& at) const {
  const Source& source = sources_.at(static_cast<std::size_t>(at.source));
  return source.numbered && at.line > 0 ? join("line ", at.line) : source.name;
}

void Problems::throw_if_any() const {
  if (found_.empty()) return;
  std::vector<Found> sorted = found_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Found& a, const Found& b) {
    if (a.at.source != b.at.source) return a.at.source < b.at.source;
    return a.at.line != b.at.line ? a.at.line < b.at.line : a.at.column < b.at.column;
  });
  std::vector<ConfigProblem> problems;
  problems.reserve(sorted.size());
  for (Found& found : sorted) problems.push_back(std::move(found.problem));
  throw InvalidRunConfig(std::move(problems));
}

}  // namespace rankine::config
