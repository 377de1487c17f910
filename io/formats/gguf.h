// The GGUF container (ggml-org/ggml docs/gguf.md), versions 2 and 3, little-endian: reader and writer.
//
//   "GGUF", u32 version, u64 tensors, u64 keys
//   key:     text, u32 type, value                  text: u64 length, bytes; array: u32 type, u64 count, ...
//   tensor:  text, u32 rank, u64 extents (innermost first), u32 type, u64 offset from the data
//   data, from the next multiple of general.alignment (32); so is every tensor
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/files/mapped_file.h"
#include "io/formats/gguf_value.h"
#include "io/formats/tensor_output.h"
#include "io/formats/tensor_source.h"

namespace rankine {

// ---- reading ----

struct GgufHeader {
  GgufTable values;
  std::map<std::string, TensorInfo, std::less<>> tensors;  // bytes point into the parsed file
  std::map<std::string, std::string, std::less<>>
      unloadable;  // ggml's name of the type, for FileDType::other
  std::size_t data_begin = 0;
};

bool is_gguf(std::span<const std::byte> head);  // by the first 4 bytes

// Parses and checks a whole file in memory; never reads outside `file`, and allocates a small multiple of its
// header. Throws DataError "name: byte N: what is wrong" for: another version, or the bytes of numbers
// swapped (a big-endian file); counts and lengths beyond the file; empty or repeated keys and tensor names;
// unknown value or tensor types; arrays of arrays; an alignment that is no power of two; more than four
// dimensions, extents that overflow, rows that are not whole blocks; tensors that do not follow each other
// exactly; and data that ends early.
GgufHeader parse_gguf(std::span<const std::byte> file, const std::string& name);

// A file, or the first of a split one (NAME-00001-of-00003.gguf), whose others lie beside it. Keys are those
// of the first. Tensors of types the engine does not decode are listed as FileDType::other; load() refuses
// them by ggml's name.
class GgufFile final : public TensorSource {
 public:
  explicit GgufFile(const std::filesystem::path& path);  // throws IoError, and as parse_gguf
  std::string describe() const override { return path_.string(); }
  const std::map<std::string, TensorInfo, std::less<>>& tensors() const override { return tensors_; }
  // All keys as shown() puts them.
  const std::map<std::string, std::string, std::less<>>& metadata() const override { return metadata_; }
  TensorBytes load(std::string_view name) const override;

  const GgufTable& values() const { return values_; }
  const GgufValue* value(std::string_view key) const;  // null when absent
  // Nothing when absent; throws DataError naming file, key and type when it is something else than a T. Types
  // as gguf_as.
  template <class T>
  std::optional<T> get(std::string_view key) const {
    const GgufValue* found = value(key);
    if (found == nullptr) return std::nullopt;
    auto converted = gguf_as<T>(*found);
    if (!converted) refuse(key, *found);
    return converted;
  }
  // Throws DataError also when absent.
  template <class T>
  T need(std::string_view key) const {
    auto found = get<T>(key);
    if (!found) refuse_absent(key);
    return std::move(*found);
  }

 private:
  [[noreturn]] void refuse(std::string_view key, const GgufValue& value) const;
  [[noreturn]] void refuse_absent(std::string_view key) const;
  void add(MappedFile file, GgufHeader header);
  void open_others(std::uint64_t parts);

  std::filesystem::path path_;
  std::vector<MappedFile> files_;
  GgufTable values_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_, unloadable_;
};

// What the hyperparameters of every transformer must satisfy, where the file has them: heads divide the width
// (unless the size of a head is given), key-value heads divide the heads, nothing is zero. Throws DataError.
void check_gguf_heads(const GgufFile& file);

// ---- writing ----

using GgufEntry = std::pair<std::string, GgufValue>;

// Writes version 3 durably (io/files/atomic_write.h), keys and tensors in the order given, one tensor in
// memory at a time. Throws DataError for a repeated, empty or too long name, a type without a place in ggml,
// more than four dimensions, and a tensor that appends another number of bytes than its shape says; IoError.
void write_gguf(const std::filesystem::path& path, std::span<const GgufEntry> entries,
                std::span<const TensorOutput> tensors);

}  // namespace rankine
