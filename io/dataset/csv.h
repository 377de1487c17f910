// Comma-separated values as people and spreadsheets write them (RFC 4180 and its usual bends).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rankine {

struct CsvField {
  std::string text;       // trimmed unless it was quoted
  bool quoted = false;    // stood in double quotes; may then hold separators and line ends
  std::size_t begin = 0;  // offset in the input of the field's first byte
};

struct CsvRow {
  int line = 0;  // where the row starts, from 1
  std::vector<CsvField> fields;
  std::size_t end = 0;  // offset in the input just past the row, without its line end
};

// Reads rows one after the other. Lines end with LF, CRLF or CR; blank lines are skipped; spaces around a
// quoted field are dropped; "" inside quotes is one quote; a quote inside an unquoted field is an ordinary
// character. Throws DataError "name:line: ..." on a quote that never closes, text after a closing quote, and
// more than 1,000 fields in a row.
class CsvReader {
 public:
  // `text` and `name` must outlive the reader.
  CsvReader(std::string_view text, char separator, const std::string& name)
      : text_(text), separator_(separator), name_(name) {}

  // False at the end of the input; `row` is then empty.
  bool next(CsvRow& row);

 private:
  void skip_line_end();
  CsvField read_field();
  CsvField read_quoted(std::size_t begin);
  bool at_line_end() const { return at_ >= text_.size() || text_[at_] == '\n' || text_[at_] == '\r'; }
  void skip_blanks();

  std::string_view text_;
  char separator_;
  const std::string& name_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace rankine
