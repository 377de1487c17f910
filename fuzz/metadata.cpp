// Caption files; the first byte of the input chooses the form.
#include "io/dataset/metadata.h"

#include "fuzz/fuzz.h"

void rankine::fuzz::read(Bytes input) {
  if (input.empty()) return;
  const std::string_view text = text_of(input.subspan(1));
  std::vector<Problem> problems;
  const auto rows = text_of(input)[0] == 'j' ? parse_metadata_jsonl(text, "f", problems)
                                             : parse_metadata_csv(text, "f", problems);
  expect(rows.size() + problems.size() <= input.size(), rows.size(), " rows and ", problems.size(),
         " problems");
  for (const MetadataRow& row : rows) {
    expect(row.line > 0 && !row.file.empty(), "a row without a picture");
    expect(row.caption.find_first_of("\r\n") == std::string::npos, "a caption of several lines");
  }
}

std::vector<std::string> rankine::fuzz::seeds() {
  return {"cfile_name,text\na.png,\"a cat, \"\"sitting\"\"\"\nb.png,dog\n",
          "c\xEF\xBB\xBF图片;提示词;x\r\na.png;猫;1\r\n",
          "ca.png\tone\nb.png\ttwo\n",
          "cimage|caption\n\"a\nb.png\"|x|y\n",
          "j{\"file_name\": \"a.png\", \"text\": \"a \\u00e9\\n cat\"}\n{\"image\": \"b.png\", \"prompt\": "
          "\"dog\", \"x\": [1]}\n",
          "j\n{\"file_name\": 1}\n[]\n{\"text\": \"\\ud83d\\ude00\"}\n"};
}
