// CSV files of instruction data as rows; implementation side of text_dataset.h.
#pragma once

#include <string>
#include <string_view>

#include "io/dataset/text_json.h"
#include "io/dataset/text_rows.h"

namespace rankine::text_table {

// `text` is UTF-8. Each row is handed on as an object of strings under the names in the header; a cell that
// is not there is empty. Surplus separators in a last, unquoted column belong to its text. Throws DataError
// "name:line: ..." when the columns make no layout, a name stands twice or a quote never closes.
void read(std::string_view text, const std::string& name, const TextColumns& columns,
          const text_json::RowSink& sink);

}  // namespace rankine::text_table
