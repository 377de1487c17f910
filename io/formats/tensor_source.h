// A named collection of tensors in a file (or several), whatever the container. Reading is lazy and bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.h"

namespace rankine {

// Element types that may stand in a file: more than the engine computes with.
enum class FileDType : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  other
};

std::string_view name_of(FileDType t);              // as in the safetensors header: "F32", "BF16", ...
std::size_t size_of(FileDType t);                   // bytes per element; 0 for `other`
FileDType file_dtype_named(std::string_view name);  // `other` when unknown
int alignment_rank(FileDType t);  // position in the order by which the reference writer sorts, ascending

struct TensorInfo {
  FileDType dtype = FileDType::f32;
  std::vector<std::int64_t> shape;   // row-major, as in the file; rank 0 is a scalar
  std::span<const std::byte> bytes;  // stays valid as long as the source; possibly unaligned
  std::int64_t numel() const;
};

// Implementations: SafetensorsFile, ShardedSafetensors (io/formats). All throw DataError naming file and
// offset.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual std::string describe() const = 0;  // path(s), for messages
  virtual const std::map<std::string, TensorInfo, std::less<>>& tensors() const = 0;
  virtual const std::map<std::string, std::string, std::less<>>& metadata() const = 0;

  bool contains(std::string_view name) const { return tensors().find(name) != tensors().end(); }
  const TensorInfo* find(std::string_view name) const;  // null when absent
  const TensorInfo& at(
      std::string_view name) const;  // throws DataError naming the file and the nearest names
};

// Decodes any floating-point or integer file tensor to float. `out` must have info.numel() elements.
void read_as_float(const TensorInfo& info, std::span<float> out);

}  // namespace rankine
