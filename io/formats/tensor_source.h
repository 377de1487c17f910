// A named collection of tensors in a file (or several), whatever the container. Reading is lazy and bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
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
  // Blocks of quantised numbers, stored as DType of the same name; never in safetensors.
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  q4_0_f32,
  q4_1_f32,
  q8_0_f32,
  nf4,
  nf4_dq,
  other
};

std::string_view name_of(FileDType t);  // as in the safetensors header: "F32", "BF16", ...; "Q4_0", ...
std::size_t size_of(FileDType t);       // bytes per element; 0 for blocks and `other`
std::uint64_t bytes_of(FileDType t, std::uint64_t numel);  // 0 for `other`
FileDType file_dtype_named(std::string_view name);         // of a safetensors header; `other` when unknown
int alignment_rank(FileDType t);  // position in the order by which the reference writer sorts, ascending
// The type a tensor keeps in memory when its bytes are taken as they are; nothing for types that must be
// decoded first.
std::optional<DType> memory_dtype(FileDType t);
FileDType file_dtype(DType t);

struct TensorInfo {
  FileDType dtype = FileDType::f32;
  std::vector<std::int64_t> shape;   // row-major, outermost first; rank 0 is a scalar
  std::span<const std::byte> bytes;  // stays valid as long as the source; possibly unaligned; empty when
                                     // the source makes them (see TensorSource::load)
  std::int64_t numel() const;
};

using TensorTable = std::map<std::string, TensorInfo, std::less<>>;
using MetadataTable = std::map<std::string, std::string, std::less<>>;

// The bytes of one tensor. `owner` is null when they belong to the source.
struct TensorBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// Implementations lie beside this file; open_source.h finds the right one. All throw DataError naming file
// and offset.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual std::string describe() const = 0;  // path(s), for messages
  virtual const TensorTable& tensors() const = 0;
  virtual const MetadataTable& metadata() const = 0;

  // The bytes of a tensor of this source, in its FileDType and shape. Sources whose files hold another order
  // than the engine reads (split, strided or old block layouts) build them here, one tensor at a time.
  virtual TensorBytes load(std::string_view name) const { return {at(name).bytes, nullptr}; }

  bool contains(std::string_view name) const { return tensors().find(name) != tensors().end(); }
  const TensorInfo* find(std::string_view name) const;  // null when absent
  const TensorInfo& at(
      std::string_view name) const;  // throws DataError naming the file and the nearest names
};

// Decodes any floating-point, integer or quantised file tensor to float. `out` must have info.numel()
// elements.
void read_as_float(const TensorInfo& info, std::span<float> out);
std::vector<float> read_as_float(const TensorSource& source, std::string_view name);

}  // namespace rankine
