#include <cstring>

#include "engine/core/error.h"
#include "io/formats/ggml_blocks.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/ggml_reader.h"

namespace rankine {
namespace {

constexpr std::string_view kEmbedding = "tok_embeddings.weight";
constexpr std::int64_t kMaxParts = 64;

// Matrices whose columns are shared out among the parts of a model; all others are cut by rows.
bool cut_by_columns(std::string_view name) {
  return name.starts_with("tok_embeddings.") || name.ends_with(".attention.wo.weight") ||
         name.ends_with(".feed_forward.w2.weight");
}

const char* container_name(GgmlContainer container) {
  return container == GgmlContainer::ggml ? "ggml" : container == GgmlContainer::ggmf ? "ggmf" : "ggjt";
}

// Puts the slice of one part where it belongs in the whole matrix.
void put_slice(const TensorInfo& slice, bool by_columns, std::size_t part, std::span<std::byte> whole) {
  if (!by_columns) {
    std::memcpy(&whole[part * slice.bytes.size()], slice.bytes.data(), slice.bytes.size());
    return;
  }
  const auto rows = static_cast<std::size_t>(slice.shape[0]);
  const std::size_t row = slice.bytes.size() / rows, stride = whole.size() / rows;
  for (std::size_t i = 0; i < rows; ++i)
    std::memcpy(&whole[i * stride + part * row], &slice.bytes[i * row], row);
}

}  // namespace

GgmlFile::GgmlFile(const std::filesystem::path& path) : path_(path) {
  files_.emplace_back(path);
  parts_.push_back(parse_ggml(files_.back().bytes(), path.string()));
  if (container() != GgmlContainer::ggjt) open_others();
  join_parts();
  metadata_["container"] = container_name(container());
  if (version() > 0) metadata_["version"] = join(version());
  const GgmlHyperparameters& h = hyperparameters();
  metadata_["n_vocab"] = join(h.n_vocab);
  metadata_["n_embd"] = join(h.n_embd);
  metadata_["n_mult"] = join(h.n_mult);
  metadata_["n_head"] = join(h.n_head);
  metadata_["n_layer"] = join(h.n_layer);
  metadata_["n_rot"] = join(h.n_rot);
  metadata_["ftype"] = join(h.ftype);
}

void GgmlFile::open_others() {
  const auto first = parts_[0].tensors.find(kEmbedding);
  if (first == parts_[0].tensors.end() || first->second.info.shape.size() != 2) return;
  const std::int64_t columns = first->second.info.shape[1], width = hyperparameters().n_embd;
  require<DataError>(width % columns == 0 && width / columns <= kMaxParts, describe(), ": ", kEmbedding,
                     " has ", columns, " of n_embd ", width, " columns, which is no part of them");
  for (std::int64_t i = 1; i < width / columns; ++i) {
    files_.emplace_back(path_.string() + join('.', i));
    const std::string name = files_.back().path().string();
    parts_.push_back(parse_ggml(files_.back().bytes(), name));
    parts_.back().vocab = {};  // the same in every part
    const GgmlHeader &head = parts_[0], &other = parts_.back();
    require<DataError>(other.container == head.container && other.version == head.version &&
                           other.hyperparameters == head.hyperparameters,
                       name, ": container or hyperparameters differ from those of ", describe());
    require<DataError>(other.tensors.size() == head.tensors.size(), name, ": ", other.tensors.size(),
                       " tensors, the first part has ", head.tensors.size());
  }
}

void GgmlFile::join_parts() {
  for (const auto& [name, tensor] : parts_[0].tensors) {
    for (std::size_t i = 1; i < parts_.size(); ++i) {
      const auto other = parts_[i].tensors.find(name);
      require<DataError>(other != parts_[i].tensors.end() && other->second.info.dtype == tensor.info.dtype &&
                             other->second.info.shape == tensor.info.shape,
                         files_[i].path().string(), ": tensor ", printable(name),
                         " is missing or differs in type or shape from that of the first part");
    }
    TensorInfo info = tensor.info;
    const bool cut = parts_.size() > 1 && info.shape.size() == 2;
    if (cut) info.shape[cut_by_columns(name) ? 1 : 0] *= static_cast<std::int64_t>(parts_.size());
    if (cut || tensor.adjacent) info.bytes = {};
    tensors_.emplace(name, std::move(info));
  }
}

TensorBytes GgmlFile::load(std::string_view name) const {
  const TensorInfo& info = at(name);
  const auto stored = parts_[0].tensors.find(name);
  const bool cut = parts_.size() > 1 && info.shape.size() == 2;
  if (!cut && !stored->second.adjacent) return {info.bytes, nullptr};
  const std::size_t size = stored->second.info.bytes.size() * (cut ? parts_.size() : 1);
  auto bytes = std::make_shared<std::vector<std::byte>>(size);
  for (std::size_t i = 0; i < (cut ? parts_.size() : 1); ++i)
    put_slice(parts_[i].tensors.find(name)->second.info, cut && cut_by_columns(name), i, *bytes);
  if (stored->second.adjacent) split_half_bytes(info.dtype, *bytes);
  return {*bytes, bytes};
}

std::int64_t ggml_feed_forward(const GgmlHyperparameters& h) {
  const std::int64_t least = 2 * (4 * static_cast<std::int64_t>(h.n_embd)) / 3, mult = h.n_mult;
  return (least + mult - 1) / mult * mult;
}

}  // namespace rankine
