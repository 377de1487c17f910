#include "io/formats/chatglm_cpp.h"

#include "fuzz/memory_source.h"
#include "tests/formats/ggml_files.h"

void rankine::fuzz::read(Bytes input) { check_tensors(parse_chatglm_cpp(input, "f").tensors); }

std::vector<std::string> rankine::fuzz::seeds() {
  std::vector<std::string> all;
  for (const std::uint32_t model : {1U, 3U}) {
    test::Bytes file;
    file.raw("ggml").u32(model);
    for (const std::uint32_t word : {2U, 0U, 8U, 4U, 2U, 1U, 1U, 8U}) file.u32(word);
    file.put(1e-5F).u32(0).put(1e4F).u32(64).u32(2).u32(0xFFFFFFFFU);
    file.u32(3).raw("abc");
    file.u32(1).raw("w").u32(2).u32(2).u32(4).u32(0).align(16).raw(std::string(32, 'd'));
    all.push_back(file.data);
  }
  return all;
}
