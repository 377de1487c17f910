// The safetensors container (huggingface/safetensors, as of 2026): strict reader, byte-exact writer.
//
//   bytes 0..7      N, little-endian length of the header
//   bytes 8..8+N    JSON {"__metadata__": {text: text}, "name": {"dtype": "F16", "shape": [..],
//   "data_offsets": [b, e]}} the rest        tensors, row-major, little-endian; the offsets count from byte
//   8+N
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/files/mapped_file.h"
#include "io/formats/tensor_source.h"

namespace rankine {

// ---- reading ----

struct SafetensorsHeader {
  TensorTable tensors;  // bytes point into the parsed file
  MetadataTable metadata;
  std::size_t data_begin = 0;  // 8 + header length
};

// Parses and checks a whole file in memory; never reads outside `file`. Stricter than the reference reader
// where that one is known to be lax: duplicate keys are errors. Element types the engine cannot decode are
// FileDType::other; a field of a tensor other than the three is ignored. Throws DataError "name: offset or
// tensor: what is wrong" for: a length above 100,000,000 or beyond the file, JSON that is not UTF-8, not an
// object, or nested more than 16 deep, numbers with sign, fraction or exponent, sizes that overflow, and
// tensors that leave a hole, overlap or do not fill the file.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& name);

class SafetensorsFile final : public TensorSource {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);  // throws IoError, and as parse_safetensors
  std::string describe() const override { return file_.path().string(); }
  const TensorTable& tensors() const override { return header_.tensors; }
  const MetadataTable& metadata() const override { return header_.metadata; }
  std::span<const std::byte> payload() const { return file_.bytes().subspan(header_.data_begin); }

 private:
  MappedFile file_;
  SafetensorsHeader header_;
};

// ---- writing ----

// One tensor to write; `bytes` must be numel × size_of(dtype).
struct TensorToWrite {
  std::string name;
  FileDType dtype = FileDType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};
// fp32 numbers stored as f32, f16 or bf16 (round to nearest even). Throws Error for other types.
TensorToWrite tensor_to_write(std::string name, std::vector<std::int64_t> shape,
                              std::span<const float> values, FileDType dtype);

// The order of the reference writer: by dtype (largest alignment first), then name. The functions below take
// tensors in this order.
void sort_for_writing(std::vector<TensorToWrite>& tensors);

// The header text, padded with spaces to a multiple of 8 bytes; offsets follow from the order and sizes.
// Metadata keys are sorted. Throws DataError for a repeated name, a wrong number of bytes, or text that is
// not UTF-8.
std::string serialise_header(const std::vector<TensorToWrite>& sorted, const MetadataTable& metadata);

// SHA-256 of all bytes after the header, in hexadecimal: `sshs_model_hash`, by which user interfaces know an
// adapter. Metadata has no part in it, so it can itself be written there.
std::string payload_sha256(const std::vector<TensorToWrite>& sorted);

// `sshs_legacy_hash`: the first 8 digits of the SHA-256 of the file's 64 KiB from offset 1 MiB on (fewer at
// the end of the file), when it is written with only those metadata keys that begin with "ss_".
std::string legacy_hash(const std::vector<TensorToWrite>& sorted, const MetadataTable& metadata);

// Sorts and writes durably (io/files/atomic_write.h). Equal input gives equal bytes. Throws IoError and
// DataError.
void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                       const MetadataTable& metadata);

}  // namespace rankine
