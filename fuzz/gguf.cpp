#include "io/formats/gguf.h"

#include "fuzz/memory_source.h"
#include "tests/formats/ggml_files.h"

void rankine::fuzz::read(Bytes input) {
  const GgufHeader header = parse_gguf(input, "f");
  for (const auto& [key, value] : header.values) {
    expect(!key.empty(), "a key without a name");
    shown(value);
  }
  check_tensors(header.tensors);
}

std::vector<std::string> rankine::fuzz::seeds() {
  test::Bytes small = test::gguf(2, 4);
  small.text("general.architecture").u32(8).text("llama");
  small.text("a").u32(9).u32(8).u64(3).text("x").text("").text("yz");
  small.text("b").u32(9).u32(6).u64(2).put(1.0F).put(2.0F);
  small.text("general.alignment").u32(4).u32(32);
  test::tensor(small, "q", {32, 2}, 2, 0);
  test::tensor(small, "v", {4}, 0, 64).align(32).raw(std::string(80, 'd'));
  test::Bytes one = test::gguf(1, 1, 2);
  one.text("k").u32(7).put(std::uint8_t{1});
  test::tensor(one, "m", {2, 3, 1, 2}, 1, 0).align(32).raw(std::string(24, 'd'));
  return {small.data, one.data, test::gguf(0, 0).data};
}
