#include "io/dataset/text_table.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/core/error.h"
#include "io/dataset/csv.h"
#include "io/dataset/text_fields.h"
#include "io/dataset/text_file.h"

namespace rankine::text_table {

namespace {

using nlohmann::json;

std::vector<std::string> names_of(const CsvRow& row) {
  std::vector<std::string> names;
  for (const CsvField& field : row.fields) names.push_back(text_fields::key_name(field.text));
  while (!names.empty() && names.back().empty()) names.pop_back();  // a separator at the end of the header
  return names;
}

// The first separator under which the header makes a layout.
std::optional<char> find_separator(std::string_view text, const std::string& name,
                                   const TextColumns& columns) {
  for (const char separator : {',', ';', '\t', '|'}) {
    CsvRow row;
    try {
      CsvReader(text, separator, name).next(row);
    } catch (const DataError&) {
      continue;  // quotes that make no sense under this separator
    }
    if (has_text_layout(names_of(row), columns)) return separator;
  }
  return std::nullopt;
}

[[noreturn]] void throw_no_layout(std::string_view text, const std::string& name,
                                  const TextColumns& columns) {
  CsvRow row;
  CsvReader(text, ',', name).next(row);
  json header = json::object();
  for (const std::string& column : names_of(row)) header[column] = "";
  throw DataError(join(name, ':', std::max(row.line, 1),
                       ": the header: ", text_fields::Fields(header, columns).expected_layout(),
                       "; separated by , ; tab or |"));
}

// The row as an object; empty with a fault reported when it has too many fields.
json object_of(std::string_view text, const CsvRow& row, const std::vector<std::string>& names,
               const text_json::RowSink& sink) {
  json object = json::object();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!names[i].empty()) object[names[i]] = i < row.fields.size() ? row.fields[i].text : std::string();
  }
  if (row.fields.size() <= names.size()) return object;
  const auto surplus = row.fields.begin() + static_cast<std::ptrdiff_t>(names.size()) - 1;
  const bool empty =
      std::all_of(surplus + 1, row.fields.end(), [](const CsvField& f) { return f.text.empty(); });
  if (empty) return object;
  if (std::any_of(surplus, row.fields.end(), [](const CsvField& f) { return f.quoted; })) {
    sink.fault(row.line, join("has ", row.fields.size(), " columns; expected ", names.size(),
                              "; put text that holds separators in double quotes"));
    return json();
  }
  object[names.back()] = std::string(trim(text.substr(surplus->begin, row.end - surplus->begin)));
  return object;
}

}  // namespace

void read(std::string_view text, const std::string& name, const TextColumns& columns,
          const text_json::RowSink& sink) {
  require<DataError>(!trim(text).empty(), name, ": the file is empty");
  const std::optional<char> separator = find_separator(text, name, columns);
  if (!separator) throw_no_layout(text, name, columns);
  CsvReader reader(text, *separator, name);
  CsvRow row;
  reader.next(row);
  const std::vector<std::string> names = names_of(row);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool twice = !names[i].empty() && std::count(names.begin(), names.end(), names[i]) > 1;
    require<DataError>(!twice, name, ':', row.line, ": the column '", names[i].substr(0, 40),
                       "' stands twice");
  }
  while (reader.next(row)) {
    const json object = object_of(text, row, names, sink);
    if (object.is_object()) sink.row(row.line, object);
  }
}

}  // namespace rankine::text_table
