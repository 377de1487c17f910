// Rows of instruction data; the first byte of the input chooses the form.
#include <nlohmann/json.hpp>

#include "fuzz/fuzz.h"
#include "io/dataset/text_json.h"
#include "io/dataset/text_rows.h"
#include "io/dataset/text_table.h"

void rankine::fuzz::read(Bytes input) {
  if (input.empty()) return;
  const std::string_view text = text_of(input.subspan(1));
  const text_json::RowSink sink{[](int line, const nlohmann::json& row) {
                                  expect(line > 0, "line ", line);
                                  std::vector<std::string> warnings;
                                  std::vector<Conversation> made;
                                  try {
                                    made = read_text_row(row, {}, warnings);
                                  } catch (const DataError&) {
                                    return;  // the dataset lists it
                                  }
                                  for (const Conversation& c : made)
                                    expect(!c.messages.empty(), "a conversation without messages");
                                },
                                [](int line, const std::string& fault) {
                                  expect(line > 0 && !fault.empty(), "a fault without a place");
                                }};
  switch (text_of(input)[0]) {
    case 'l':
      return text_json::read_lines(text, sink);
    case 'v':
      return text_json::read_values(text, sink);
    case 'c':
      return text_table::read(text, "f", {}, sink);
    default:
      return;
  }
}

std::vector<std::string> rankine::fuzz::seeds() {
  return {"l{\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\"}\n{\"text\": \"c\"}\n",
          "v[{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": "
          "\"b\"}]},]",
          "v{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
          "[{\"type\": "
          "\"text\", \"text\": \"a\"}]}, {\"role\": \"assistant\", \"content\": \"b\", \"weight\": 0}]}",
          "l{\"prompt\": \"a\", \"response\": \"b\", \"history\": [[\"x\", \"y\"]], \"system\": \"s\"}\n",
          "cinstruction,input,output\n\"a, \"\"b\"\"\",,c\n",
          "c\xE9\x97\xAE\xE9\xA2\x98;\xE7\xAD\x94\xE6\xA1\x88\r\na;b\r\n"};
}
