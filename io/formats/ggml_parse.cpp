#include <algorithm>

#include "io/formats/ggml_blocks.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/ggml_reader.h"
#include "io/formats/ggml_types.h"

namespace rankine {
namespace {

constexpr std::uint32_t kGgml = 0x67676d6c, kGgmf = 0x67676d66, kGgjt = 0x67676a74, kGgla = 0x67676c61;
constexpr std::uint32_t kMaxName = 256;
constexpr std::uint32_t kGpt4AllTokens = 32001;

void read_magic(GgmlReader& in, GgmlHeader& header) {
  const auto magic = in.number<std::uint32_t>("the magic");
  in.check(magic != kGgla, "this is a ggla adapter, not a model");
  in.check(magic == kGgml || magic == kGgmf || magic == kGgjt, "this is no ggml, ggmf or ggjt file");
  header.container = magic == kGgml   ? GgmlContainer::ggml
                     : magic == kGgmf ? GgmlContainer::ggmf
                                      : GgmlContainer::ggjt;
  if (header.container == GgmlContainer::ggml) return;
  header.version = in.number<std::uint32_t>("the version");
  const std::uint32_t newest = header.container == GgmlContainer::ggmf ? 1 : 3;
  in.check(header.version >= 1 && header.version <= newest,
           header.container == GgmlContainer::ggmf ? "ggmf" : "ggjt", " version ", header.version,
           " is unknown; 1 to ", newest, " are known");
}

void read_hyperparameters(GgmlReader& in, GgmlHyperparameters& h) {
  for (std::uint32_t* number : {&h.n_vocab, &h.n_embd, &h.n_mult, &h.n_head, &h.n_layer, &h.n_rot, &h.ftype})
    *number = in.number<std::uint32_t>("the hyperparameters");
  in.check(h.n_embd > 0 && h.n_head > 0 && h.n_mult > 0 && h.n_embd % h.n_head == 0, "n_embd ", h.n_embd,
           ", n_head ", h.n_head, ", n_mult ", h.n_mult, " do not describe a transformer");
}

// Whether the first tensor begins here. Then the bytes are no token.
bool at_first_tensor(GgmlReader in) {
  constexpr std::string_view kName = "tok_embeddings.weight";
  constexpr std::size_t kNumbers = 5 * 4;
  if (in.left() < kNumbers + kName.size()) return false;
  const auto rank = in.number<std::uint32_t>(""), length = in.number<std::uint32_t>("");
  if (rank != 2 || length != kName.size()) return false;
  in.bytes(3 * 4, "");
  return in.text(kName.size(), "") == kName;
}

void read_vocabulary(GgmlReader& in, GgmlHeader& header) {
  const std::uint32_t n = header.hyperparameters.n_vocab;
  const bool scored = header.container != GgmlContainer::ggml;
  header.vocab.tokens.reserve(in.count(n, scored ? 8 : 4, "tokens"));
  if (scored) header.vocab.scores.reserve(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (!scored && n == kGpt4AllTokens && i + 1 == n && at_first_tensor(in)) {
      header.vocab.tokens.emplace_back();
      break;
    }
    const auto length = in.number<std::uint32_t>("the length of a token");
    header.vocab.tokens.push_back(in.text(length, "a token"));
    if (scored) header.vocab.scores.push_back(in.number<float>("a score"));
  }
}

// The type of a tensor in this file, with the size of its blocks; throws for types the era does not have.
GgmlType type_of(const GgmlReader& in, const GgmlHeader& header, std::uint32_t id, const std::string& name) {
  in.check(id != 4 && id != 5, "tensor ", name, ": ", id == 4 ? "Q4_2" : "Q4_3",
           " was removed from ggml in May 2023 and is not supported");
  const GgmlType* type = ggml_type(id);
  in.check(type != nullptr && id <= 14, "tensor ", name, ": type ", id,
           " is unknown to the containers before GGUF");
  const bool newest = header.container == GgmlContainer::ggjt && header.version == 3;
  in.check(newest || type->elements <= 32, "tensor ", name, ": ", type->name,
           " exists only since ggjt version 3");
  if (newest) return *type;
  switch (type->dtype) {
    case FileDType::q4_0:
      return {id, type->name, 32, 20, FileDType::q4_0_f32};
    case FileDType::q4_1:
      return {id, type->name, 32, 24, FileDType::q4_1_f32};
    case FileDType::q8_0:
      return {id, type->name, 32, 36, FileDType::q8_0_f32};
    default:
      return *type;
  }
}

void check_layout(const GgmlReader& in, const GgmlHeader& header, const TensorInfo& info,
                  const std::string& name) {
  const bool q4 = info.dtype == FileDType::q4_0_f32 || info.dtype == FileDType::q4_1_f32;
  if (header.container != GgmlContainer::ggml || !q4) return;
  const std::size_t row = bytes_of(info.dtype, static_cast<std::uint64_t>(info.shape.back()));
  in.check(!looks_row_wise(info.dtype, info.bytes.first(std::min(row, info.bytes.size()))), "tensor ", name,
           ": the scales of a row stand before its numbers, as before 11 March 2023; convert the model with "
           "llama.cpp of later that month");
}

void read_tensor(GgmlReader& in, GgmlHeader& header) {
  const auto rank = in.number<std::uint32_t>("the rank of a tensor");
  const auto length = in.number<std::uint32_t>("the length of a name");
  const auto id = in.number<std::uint32_t>("a tensor type");
  in.check(rank == 1 || rank == 2, "a tensor of ", rank, " dimensions; 1 and 2 are known");
  in.check(length >= 1 && length <= kMaxName, "a tensor name of ", length, " bytes; 1 to ", kMaxName,
           " are allowed");
  std::uint64_t extents[2] = {1, 1};
  for (std::uint32_t i = 0; i < rank; ++i) extents[i] = in.number<std::uint32_t>("an extent");
  const std::string name = in.text(length, "a tensor name"), shown = printable(name);
  const GgmlType type = type_of(in, header, id, shown);
  in.check(extents[0] > 0 && extents[1] > 0 && extents[0] < 1U << 31 && extents[1] < 1U << 31, "tensor ",
           shown, ": extents ", extents[0], " and ", extents[1]);
  const auto bytes = ggml_bytes(type, extents[0], extents[1]);
  in.check(bytes.has_value(), "tensor ", shown, ": rows of ", extents[0], " numbers are not whole ",
           type.name, " blocks of ", type.elements);
  if (header.container == GgmlContainer::ggjt) in.align(32);
  GgmlTensor tensor;
  tensor.info.dtype = type.dtype;
  if (rank == 2) tensor.info.shape.push_back(static_cast<std::int64_t>(extents[1]));
  tensor.info.shape.push_back(static_cast<std::int64_t>(extents[0]));
  tensor.info.bytes = in.bytes(*bytes, "tensor " + shown);
  const bool today = header.container == GgmlContainer::ggjt && header.version >= 2;
  tensor.adjacent = !today && has_half_bytes(type.dtype);
  check_layout(in, header, tensor.info, shown);
  in.check(header.tensors.emplace(name, std::move(tensor)).second, "tensor ", shown, " appears twice");
}

}  // namespace

bool is_ggml(std::span<const std::byte> head) {
  if (head.size() < 4) return false;
  const auto magic = GgmlReader(head, "").number<std::uint32_t>("");
  return magic == kGgml || magic == kGgmf || magic == kGgjt;
}

GgmlHeader parse_ggml(std::span<const std::byte> file, const std::string& name) {
  GgmlReader in(file, name);
  GgmlHeader header;
  read_magic(in, header);
  read_hyperparameters(in, header.hyperparameters);
  read_vocabulary(in, header);
  while (in.left() > 0) read_tensor(in, header);
  return header;
}

}  // namespace rankine
