#include <cstring>
#include <set>

#include "engine/core/error.h"
#include "io/formats/ggml_types.h"
#include "io/formats/gguf.h"

namespace rankine {
namespace {

constexpr std::size_t kAlignment = 32;

template <class T>
void put(std::string& out, const T& x) {
  if constexpr (std::is_same_v<T, std::string>) {
    put(out, static_cast<std::uint64_t>(x.size()));
    out += x;
  } else {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &x, sizeof(T));
    out.append(bytes, sizeof(T));
  }
}

template <class T>
constexpr bool is_list = false;
template <class E>
constexpr bool is_list<std::vector<E>> = true;

void put_value(std::string& out, const GgufValue& value) {
  const auto type = static_cast<std::uint32_t>(gguf_type_id(value));
  if (is_array(value)) put(out, static_cast<std::uint32_t>(kGgufArray));
  put(out, type);
  std::visit(
      [&]<class T>(const T& x) {
        if constexpr (is_list<T>) {
          put(out, static_cast<std::uint64_t>(x.size()));
          for (const auto& element : x) put(out, static_cast<typename T::value_type>(element));
        } else {
          put(out, x);
        }
      },
      static_cast<const GgufVariant&>(value));
}

std::string padding(std::uint64_t size) {
  return std::string((kAlignment - size % kAlignment) % kAlignment, '\0');
}

void put_tensor(std::string& out, const TensorOutput& t, std::uint64_t offset, const std::string& where) {
  require<DataError>(!t.name.empty() && t.name.size() < 64, where, ": tensor '", t.name, "': a name of ",
                     t.name.size(), " bytes; 1 to 63 are allowed");
  require<DataError>(t.shape.size() <= 4, where, ": tensor '", t.name, "': ", t.shape.size(),
                     " dimensions; at most 4");
  put(out, t.name);
  put(out, static_cast<std::uint32_t>(t.shape.size()));
  for (std::size_t i = t.shape.size(); i > 0; --i) put(out, static_cast<std::uint64_t>(t.shape[i - 1]));
  put(out, ggml_type_id(t.dtype, where + ": tensor '" + t.name + "'"));
  put(out, offset);
}

std::string header_of(std::span<const GgufEntry> entries, std::span<const TensorOutput> tensors,
                      const std::string& where) {
  std::string out = "GGUF";
  put(out, std::uint32_t{3});
  put(out, static_cast<std::uint64_t>(tensors.size()));
  put(out, static_cast<std::uint64_t>(entries.size()));
  std::set<std::string_view> keys, names;
  for (const auto& [key, value] : entries) {
    require<DataError>(!key.empty() && keys.insert(key).second, where, ": key '", key,
                       "' is empty or repeated");
    require<DataError>(key != "general.alignment" || value == GgufValue(std::uint32_t{kAlignment}), where,
                       ": general.alignment is always ", kAlignment);
    put(out, key);
    put_value(out, value);
  }
  std::uint64_t offset = 0;
  for (const TensorOutput& t : tensors) {
    require<DataError>(names.insert(t.name).second, where, ": two tensors would be named '", t.name, "'");
    put_tensor(out, t, offset, where);
    offset += t.bytes();
    offset += padding(offset).size();
  }
  return out + padding(out.size());
}

}  // namespace

void write_gguf(const std::filesystem::path& path, std::span<const GgufEntry> entries,
                std::span<const TensorOutput> tensors) {
  const std::string header = header_of(entries, tensors, path.string());
  write_file_atomically(path, [&](const AppendBytes& append) {
    append(std::as_bytes(std::span(header)));
    for (const TensorOutput& t : tensors) {
      append_tensor(t, append);
      const std::string zeros = padding(t.bytes());
      append(std::as_bytes(std::span(zeros)));
    }
  });
}

}  // namespace rankine
