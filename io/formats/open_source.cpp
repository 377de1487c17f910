#include "io/formats/open_source.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <vector>

#include "engine/core/error.h"
#include "io/formats/likely_kind.h"
#include "io/formats/safetensors.h"
#include "io/formats/sharded_source.h"
#include "io/formats/torch_checkpoint.h"
#include "io/formats/zip_archive.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

using Opened = std::shared_ptr<const TensorSource>;
using Bytes = std::span<const std::byte>;

constexpr std::size_t kHead = 512;  // enough to recognise any container

// The first byte from `begin` on that is no white space is '{'.
bool object_begins(Bytes head, std::size_t begin) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  const std::size_t first = text.find_first_not_of(" \t\r\n", begin);
  return first != std::string_view::npos && text[first] == '{';
}
// The length of the header is far below 4 GiB, which tells it from a JSON text.
bool is_safetensors(Bytes head) {
  return object_begins(head, 8) &&
         std::all_of(head.begin() + 4, head.begin() + 8, [](std::byte b) { return b == std::byte{0}; });
}
bool is_torch(Bytes head) { return is_zip(head) || is_legacy_torch(head); }

// A new container is a row here.
struct Container {
  const char* name;
  bool (*is)(Bytes head);
  Opened (*open)(const fs::path& path);
};
template <class Source>
Opened open_as(const fs::path& path) {
  return std::make_shared<const Source>(path);
}
constexpr std::array<Container, 2> kContainers{{
    {"safetensors", is_safetensors, open_as<SafetensorsFile>},
    {"PyTorch checkpoint", is_torch, open_as<TorchCheckpoint>},
}};

std::vector<std::byte> head_of(const fs::path& path) {
  std::error_code ignored;
  require<IoError>(fs::exists(path, ignored), path.string(), ": no such file or folder");
  require<IoError>(fs::is_regular_file(path, ignored), path.string(), ": not a regular file");
  std::ifstream in(path, std::ios::binary);
  std::vector<std::byte> head(kHead);
  require<IoError>(in.good(), path.string(), ": cannot be opened");
  in.read(reinterpret_cast<char*>(head.data()), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(in.gcount()));
  return head;
}

Opened open_container(const fs::path& path, Bytes head) {
  std::string names;
  for (const Container& container : kContainers) {
    if (container.is(head)) return container.open(path);
    names += join(names.empty() ? "" : ", ", container.name);
  }
  throw DataError(join(path.string(), ": byte 0: not a file of weights that can be read (", names, ")",
                       likely_kind(head)));
}

// ---- folders ----

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  const auto add = [&](std::initializer_list<const char*> stems, const std::string& kind) {
    for (const std::string stem : stems) {
      for (const std::string& end : {"." + kind, "." + kind + ".index.json", ".fp16." + kind})
        names.push_back(stem + end);
    }
  };
  add({"model", "diffusion_pytorch_model"}, "safetensors");
  add({"pytorch_model", "diffusion_pytorch_model"}, "bin");
  return names;
}

bool may_hold_weights(const fs::path& path) {
  static constexpr std::array kExtensions{".safetensors", ".bin", ".pt", ".pth", ".ckpt"};
  const std::string extension = path.extension().string();
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

Opened open_folder(const fs::path& folder) {
  const auto names = known_names();
  for (const std::string& name : names)
    if (fs::exists(folder / name)) return open_tensor_source(folder / name);
  std::vector<fs::path> others;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_regular_file() && may_hold_weights(entry.path())) others.push_back(entry.path());
  require<IoError>(!error, folder.string(), ": cannot be listed: ", error.message());
  if (others.size() == 1) return open_tensor_file(others[0]);
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  throw DataError(join(folder.string(), ": no weights found: none of ", list,
                       others.empty() ? "" : join(", and ", others.size(), " other files that may be meant"),
                       fs::exists(folder / "model_index.json")
                           ? "; this is a whole pipeline, its parts are in the folders below"
                           : ""));
}

}  // namespace

Opened open_tensor_file(const fs::path& path) {
  const auto head = head_of(path);
  return open_container(path, head);
}

Opened open_tensor_source(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return open_folder(path);
  const auto head = head_of(path);
  if (!is_safetensors(head) && object_begins(head, 0)) return open_as<ShardedSource>(path);
  return open_container(path, head);
}

}  // namespace rankine
