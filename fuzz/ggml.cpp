#include "fuzz/memory_source.h"
#include "io/formats/ggml_legacy.h"
#include "tests/formats/ggml_files.h"

void rankine::fuzz::read(Bytes input) {
  const GgmlHeader header = parse_ggml(input, "f");
  expect(header.vocab.tokens.size() <= input.size(), header.vocab.tokens.size(), " tokens");
  TensorTable tensors;
  for (const auto& [name, tensor] : header.tensors) tensors[name] = tensor.info;
  check_tensors(tensors);
}

std::vector<std::string> rankine::fuzz::seeds() {
  std::vector<std::string> all;
  for (const std::uint32_t magic : {0x67676a74U, 0x67676d66U, 0x67676d6cU}) {
    for (const std::uint32_t version : {1U, 2U, 3U}) {
      test::Legacy file{magic, magic == 0x67676d66U ? 1 : version};
      const std::size_t block = magic == 0x67676a74U && version == 3 ? 18 : 20;  // of Q4_0
      file.tensors = {{"tok_embeddings.weight", {64, 3}, 2, std::string(6 * block, '\0')},
                      {"norm.weight", {4}, 0, std::string(16, 'd')}};
      all.push_back(file.bytes());
    }
  }
  return all;
}
