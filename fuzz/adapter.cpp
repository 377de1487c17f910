#include "io/formats/adapter_file.h"

#include <cmath>

#include "fuzz/memory_source.h"

namespace {

// A file of F32 tensors of zeros.
std::string file_of(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& tensors) {
  std::string header, data;
  for (const auto& [name, shape] : tensors) {
    std::string extents;
    std::size_t bytes = 4;
    for (const std::int64_t n : shape) {
      extents += (extents.empty() ? "" : ",") + std::to_string(n);
      bytes *= static_cast<std::size_t>(n);
    }
    header += rankine::join(header.empty() ? "{" : ",", '"', name, R"(":{"dtype":"F32","shape":[)", extents,
                            R"(],"data_offsets":[)", data.size(), ',', data.size() + bytes, "]}");
    data += std::string(bytes, '\0');
  }
  return rankine::fuzz::safetensors_file(header + "}", data);
}

}  // namespace

void rankine::fuzz::read(Bytes input) {
  for (const AdapterModule& m : read_adapter(MemorySource(input)).modules) {
    expect(m.rank() > 0 && !m.name.empty(), m.name, ": no rank");
    expect(m.down.size() % static_cast<std::size_t>(m.rank()) == 0, m.name, ": rank ", m.rank());
  }
}

std::vector<std::string> rankine::fuzz::seeds() {
  return {file_of({{"lora_unet_mid_block.alpha", {}},
                   {"lora_unet_mid_block.lora_down.weight", {2, 3}},
                   {"lora_unet_mid_block.lora_up.weight", {4, 2}}}),
          file_of({{"unet.down_blocks.0.attn1.to_q.lora_A.weight", {1, 3}},
                   {"unet.down_blocks.0.attn1.to_q.lora_B.weight", {2, 1}}}),
          file_of({{"base_model.model.text_model.q_proj.lora_A.weight", {1, 2}},
                   {"base_model.model.text_model.q_proj.lora_B.weight", {2, 1}}}),
          file_of({{"lora_te_text_model_conv.lora_down.weight", {1, 2, 3, 3}},
                   {"lora_te_text_model_conv.lora_up.weight", {2, 1, 1, 1}}})};
}
