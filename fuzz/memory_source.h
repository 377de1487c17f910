// A tensor source over a safetensors file in memory.
#pragma once

#include "fuzz/fuzz.h"
#include "io/formats/safetensors.h"

namespace rankine::fuzz {

class MemorySource final : public TensorSource {
 public:
  explicit MemorySource(Bytes file) : header_(parse_safetensors(file, "f")) {}
  std::string describe() const override { return "f"; }
  const TensorTable& tensors() const override { return header_.tensors; }
  const MetadataTable& metadata() const override { return header_.metadata; }

 private:
  SafetensorsHeader header_;
};

inline std::string safetensors_file(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
  return length + header + data;
}

// Every tensor has the bytes that its shape needs, and decodes.
inline void check_tensors(const TensorTable& tensors) {
  for (const auto& [name, info] : tensors) {
    if (info.dtype == FileDType::other) continue;
    const auto bytes = bytes_of(info.dtype, static_cast<std::uint64_t>(info.numel()));
    expect(info.bytes.size() == bytes, name, ": ", info.bytes.size(), " bytes");
    std::vector<float> values(static_cast<std::size_t>(info.numel()));
    read_as_float(info, values);
  }
}

}  // namespace rankine::fuzz
