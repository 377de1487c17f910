#include "io/formats/sharded_source.h"

#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"
#include "io/files/mapped_file.h"
#include "io/files/paths.h"
#include "io/formats/open_source.h"

namespace rankine {
namespace {

using Json = nlohmann::json;

// Parses with duplicate keys refused at every level.
Json parse_index(std::span<const std::byte> file, const std::string& name) {
  constexpr std::size_t kMaxBytes = 100'000'000;
  constexpr int kMaxDepth = 16;
  require<DataError>(file.size() <= kMaxBytes, name, ": byte 0: ", file.size(),
                     " bytes are too many for an index");
  std::vector<std::set<std::string>> keys(1);
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    require<DataError>(depth <= kMaxDepth, name, ": nested more than ", kMaxDepth, " deep");
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start) keys.resize(level + 2), keys[level + 1].clear();
    if (event == Json::parse_event_t::key) {
      const bool fresh = keys.at(level).insert(value.get<std::string>()).second;
      require<DataError>(fresh, name, ": key ", value.dump(-1, ' ', true, Json::error_handler_t::replace),
                         " appears twice");
    }
    return true;
  };
  const auto* text = reinterpret_cast<const char*>(file.data());
  try {
    return Json::parse(text, text + file.size(), watch);
  } catch (const Json::exception& e) {
    throw DataError(join(name, ": not a shard index: ", e.what()));
  }
}

}  // namespace

ShardedSource::ShardedSource(const std::filesystem::path& index) : index_(index) {
  const MappedFile file(index);
  const std::string name = index.string();
  const Json json = parse_index(file.bytes(), name);
  require<DataError>(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), name,
                     ": \"weight_map\" must be an object of tensor names and file names");
  const auto folder = index.has_parent_path() ? index.parent_path() : std::filesystem::path(".");
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    require<DataError>(shard.is_string(), name, ": \"", tensor, "\": the file name must be a string");
    const auto shard_name = shard.get<std::string>();
    require<DataError>(shard_name.find_first_of("/\\") == std::string::npos, name, ": \"", tensor, "\": \"",
                       shard_name, "\" must be a plain file name, without folders");
    auto& source = shards_[shard_name];
    if (!source) source = open_tensor_file(resolve_inside(folder, shard_name));
    tensors_.emplace(tensor, source->at(tensor));
    shard_of_.emplace(tensor, source.get());
  }
  for (const auto& shard : shards_)
    metadata_.insert(shard.second->metadata().begin(), shard.second->metadata().end());
}

TensorBytes ShardedSource::load(std::string_view name) const {
  at(name);
  return shard_of_.find(name)->second->load(name);
}

}  // namespace rankine
