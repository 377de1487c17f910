#include "io/dataset/csv.h"

#include <algorithm>

#include "engine/core/error.h"
#include "io/dataset/text_file.h"

namespace rankine {

namespace {

constexpr std::size_t kMaxFields = 1000;

}  // namespace

void CsvReader::skip_line_end() {
  if (at_ >= text_.size()) return;
  at_ += text_.substr(at_, 2) == "\r\n" ? 2 : 1;
  ++line_;
}

// The separator may itself be a tab, which is then no blank.
void CsvReader::skip_blanks() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t') && text_[at_] != separator_) ++at_;
}

CsvField CsvReader::read_quoted(std::size_t begin) {
  CsvField field{{}, true, begin};
  const int opened = line_;
  for (++at_;; ++at_) {
    require<DataError>(at_ < text_.size(), name_, ':', opened,
                       ": a double quote opens here and never closes");
    const char c = text_[at_];
    if (c == '"') {
      if (text_.substr(at_, 2) != "\"\"") break;
      ++at_;
    }
    if (c == '\n' || (c == '\r' && text_.substr(at_, 2) != "\r\n")) ++line_;
    field.text.push_back(c);
  }
  ++at_;
  skip_blanks();
  require<DataError>(at_line_end() || text_[at_] == separator_, name_, ':', line_,
                     ": text follows a closing double quote; write a quote inside a quoted field as \"\"");
  return field;
}

CsvField CsvReader::read_field() {
  const std::size_t begin = at_;
  skip_blanks();
  if (at_ < text_.size() && text_[at_] == '"') return read_quoted(begin);
  while (!at_line_end() && text_[at_] != separator_) ++at_;
  return {std::string(trim(text_.substr(begin, at_ - begin))), false, begin};
}

bool CsvReader::next(CsvRow& row) {
  row = {};
  while (at_ < text_.size()) {
    row.line = line_;
    row.fields.push_back(read_field());
    while (!at_line_end()) {
      require<DataError>(row.fields.size() < kMaxFields, name_, ':', row.line, ": more than ", kMaxFields,
                         " fields in one row");
      ++at_;  // the separator
      row.fields.push_back(read_field());
    }
    row.end = at_;
    skip_line_end();
    const bool blank = row.fields.size() == 1 && !row.fields[0].quoted && row.fields[0].text.empty();
    if (!blank) return true;
    row.fields.clear();
  }
  return false;
}

}  // namespace rankine
