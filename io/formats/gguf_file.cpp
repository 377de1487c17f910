#include <cstdio>

#include "engine/core/error.h"
#include "io/formats/ggml_reader.h"
#include "io/formats/gguf.h"

namespace rankine {
namespace {

constexpr std::uint64_t kMaxParts = 99'999;  // five digits

// "-00001-of-00003.gguf"
std::string suffix(std::uint64_t part, std::uint64_t parts) {
  char text[64];
  std::snprintf(text, sizeof(text), "-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(part),
                static_cast<unsigned long long>(parts));
  return text;
}

std::optional<std::uint64_t> whole_number(const GgufHeader& header, std::string_view key) {
  const auto found = header.values.find(key);
  return found == header.values.end() ? std::nullopt : gguf_as<std::uint64_t>(found->second);
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path) {
  MappedFile file(path);
  GgufHeader header = parse_gguf(file.bytes(), path.string());
  const auto parts = whole_number(header, "split.count").value_or(1);
  const auto part = whole_number(header, "split.no").value_or(0);
  const auto total = whole_number(header, "split.tensors.count");
  require<DataError>(parts <= kMaxParts, describe(), ": split.count ", parts, " is not a number of parts");
  require<DataError>(part == 0, describe(), ": this is part ", part + 1, " of ", parts,
                     " of a split model; name the first part");
  values_ = std::move(header.values);
  add(std::move(file), std::move(header));
  if (parts > 1) open_others(parts);
  require<DataError>(!total || parts <= 1 || *total == tensors_.size(), describe(), ": ", tensors_.size(),
                     " tensors in all parts, split.tensors.count says ", total.value_or(0));
  for (const auto& [key, value] : values_) metadata_.emplace(key, shown(value));
}

void GgufFile::add(MappedFile file, GgufHeader header) {
  for (auto& [name, info] : header.tensors)
    require<DataError>(tensors_.emplace(name, std::move(info)).second, file.path().string(), ": tensor ",
                       printable(name), " is also in an earlier part");
  unloadable_.merge(header.unloadable);
  files_.push_back(std::move(file));  // moving it does not move the bytes
}

void GgufFile::open_others(std::uint64_t parts) {
  const std::string first = path_.filename().string(), own = suffix(1, parts);
  require<DataError>(first.ends_with(own), describe(), ": a model split into ", parts,
                     " files must keep its name: ...", own);
  const std::string stem = first.substr(0, first.size() - own.size());
  for (std::uint64_t i = 1; i < parts; ++i) {
    MappedFile file(path_.parent_path() / (stem + suffix(i + 1, parts)));
    const std::string name = file.path().string();
    GgufHeader header = parse_gguf(file.bytes(), name);
    require<DataError>(whole_number(header, "split.no") == i && whole_number(header, "split.count") == parts,
                       name, ": split.no and split.count should be ", i, " and ", parts);
    add(std::move(file), std::move(header));
  }
}

TensorBytes GgufFile::load(std::string_view name) const {
  const TensorInfo& info = at(name);
  const auto unloadable = unloadable_.find(name);
  require<DataError>(unloadable == unloadable_.end(), describe(), ": tensor ", printable(name), " is ",
                     unloadable == unloadable_.end() ? "" : unloadable->second,
                     ", which is not decoded; the legacy, K and IQ4_NL types are");
  return {info.bytes, nullptr};
}

const GgufValue* GgufFile::value(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void GgufFile::refuse(std::string_view key, const GgufValue& value) const {
  throw DataError(join(describe(), ": key ", printable(key), " is ", gguf_type_name(value), " ",
                       printable(shown(value)), ", which is not what it should be"));
}

void GgufFile::refuse_absent(std::string_view key) const {
  throw DataError(join(describe(), ": no key ", printable(key)));
}

void check_gguf_heads(const GgufFile& file) {
  const auto architecture = file.get<std::string>("general.architecture");
  if (!architecture) return;
  const auto number = [&](const char* key) -> std::optional<std::uint64_t> {
    const std::string full = *architecture + "." + key;
    const GgufValue* value = file.value(full);
    if (value == nullptr || is_array(*value)) return std::nullopt;  // one per layer
    const auto n = file.get<std::uint64_t>(full);
    require<DataError>(*n > 0, file.describe(), ": ", full, " is 0");
    return n;
  };
  const auto width = number("embedding_length"), heads = number("attention.head_count");
  const auto shared = number("attention.head_count_kv"), head = number("attention.key_length");
  require<DataError>(!width || !heads || head || *width % *heads == 0, file.describe(), ": embedding_length ",
                     width.value_or(0), " is not a multiple of the ", heads.value_or(0), " heads");
  require<DataError>(!shared || !heads || (*shared <= *heads && *heads % *shared == 0), file.describe(), ": ",
                     heads.value_or(0), " heads cannot share ", shared.value_or(0), " key-value heads");
}

}  // namespace rankine
