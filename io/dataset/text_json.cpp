#include "io/dataset/text_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/dataset/text_fields.h"
#include "io/dataset/text_file.h"

namespace rankine::text_json {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxRowBytes = std::size_t{64} << 20;

int lines_in(std::string_view text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

std::string syntax_fault(std::string_view text, std::size_t byte, int line) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  const std::size_t start = before.rfind('\n');
  const std::size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
  const int extra = lines_in(before);
  return extra == 0 ? join("is not valid JSON at column ", column)
                    : join("is not valid JSON at line ", line + extra, ", column ", column);
}

void read_value(std::string_view text, int line, const RowSink& sink) {
  if (text.size() > kMaxRowBytes) return sink.fault(line, "the row is longer than 64 MiB");
  if (const std::size_t good = utf8_prefix(text); good < text.size()) {
    return sink.fault(
        line + lines_in(text.substr(0, good)),
        text[good] == 0 ? "holds a NUL byte" : "is not valid UTF-8; save the file as UTF-8 text");
  }
  if (text_fields::json_depth(text) > text_fields::kMaxDepth) {
    return sink.fault(line, join("nested more than ", text_fields::kMaxDepth, " deep"));
  }
  json row;
  try {
    row = json::parse(text);
  } catch (const json::parse_error& error) {
    return sink.fault(line, syntax_fault(text, error.byte, line));
  } catch (const json::exception&) {  // a number beyond a double
    return sink.fault(line, "is not valid JSON");
  }
  sink.row(line, row);
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Length of the value at the start of `text`: up to the bracket that closes it, or of a plain value up to a
// separator; npos when it never ends.
std::size_t value_length(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return i;
      if (--depth == 0) return i + 1;
    } else if (depth == 0 && (c == ',' || is_space(c))) {
      return i;
    }
  }
  return depth > 0 || quoted ? std::string_view::npos : text.size();
}

class ValueReader {
 public:
  ValueReader(std::string_view text, const RowSink& sink) : text_(text), sink_(sink) {}

  void read_list() {
    skip_space();
    ++at_;  // the bracket
    for (skip_space(); at_ < text_.size() && text_[at_] != ']'; skip_space()) {
      if (!read_one()) return;
      skip_space();
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
      } else if (at_ < text_.size() && text_[at_] != ']') {
        return sink_.fault(line_, "expected ',' or ']' behind a row; the rest of the file is not read");
      }
    }
    if (at_ >= text_.size()) return sink_.fault(line_, "the file ends before the list of rows is closed");
    ++at_;
    skip_space();
    if (at_ < text_.size()) sink_.fault(line_, "text follows the list of rows");
  }

  void read_sequence() {
    for (skip_space(); at_ < text_.size(); skip_space()) {
      if (!read_one()) return;
    }
  }

 private:
  void skip_space() {
    for (; at_ < text_.size() && is_space(text_[at_]); ++at_) line_ += text_[at_] == '\n';
  }

  bool read_one() {
    const std::size_t length = value_length(text_.substr(at_));
    if (length == std::string_view::npos || length == 0) {
      sink_.fault(line_, length == 0 ? "expected a row; the rest of the file is not read"
                                     : "the row that begins here never ends");
      return false;
    }
    const std::string_view value = text_.substr(at_, length);
    read_value(value, line_, sink_);
    line_ += lines_in(value);
    at_ += length;
    return true;
  }

  std::string_view text_;
  const RowSink& sink_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

void read_lines(std::string_view text, const RowSink& sink) {
  int line = 1;
  for (std::size_t begin = 0; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view value = trim(text.substr(begin, end - begin));
    if (!value.empty()) read_value(value, line, sink);
    begin = end + 1;
  }
}

void read_values(std::string_view text, const RowSink& sink) {
  ValueReader reader(text, sink);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return;
  if (text[first] != '[') return reader.read_sequence();
  reader.read_list();
}

bool first_line_is_object(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') return false;
  text.remove_prefix(first);
  const std::string_view line = trim(text.substr(0, text.find('\n')));
  return value_length(line) == line.size();
}

}  // namespace rankine::text_json
