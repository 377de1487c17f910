#include "fuzz/memory_source.h"

void rankine::fuzz::read(Bytes input) { check_tensors(MemorySource(input).tensors()); }

std::vector<std::string> rankine::fuzz::seeds() {
  return {safetensors_file(R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})",
                           std::string(24, 'x')),
          safetensors_file(
              R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[],"data_offsets":[0,2]},)"
              R"("a":{"dtype":"BF16","shape":[3,1],"data_offsets":[2,8]}}  )",
              std::string(8, 'y')),
          safetensors_file(R"({"e":{"dtype":"U8","shape":[0,4],"data_offsets":[0,0],"more":[1,{"x":null}]},)"
                           R"("f":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})",
                           "z"),
          safetensors_file("{}      ", "")};
}
