#include <cstring>
#include <set>

#include "engine/core/error.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/ggml_types.h"

namespace rankine {
namespace {

constexpr std::size_t kAlignment = 32;

void put(std::string& out, std::uint32_t x) {
  char bytes[4];
  std::memcpy(bytes, &x, 4);
  out.append(bytes, 4);
}

std::string header_of(const GgmlHyperparameters& h, const GgmlVocab& vocab) {
  std::string out;
  for (const std::uint32_t x :
       {0x67676a74U, 3U, h.n_vocab, h.n_embd, h.n_mult, h.n_head, h.n_layer, h.n_rot, h.ftype})
    put(out, x);
  for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
    put(out, static_cast<std::uint32_t>(vocab.tokens[i].size()));
    out += vocab.tokens[i];
    std::uint32_t score;
    std::memcpy(&score, &vocab.scores[i], 4);
    put(out, score);
  }
  return out;
}

std::string tensor_head(const TensorOutput& t, const std::string& where) {
  require<DataError>(t.shape.size() == 1 || t.shape.size() == 2, where, ": tensor '", t.name,
                     "': ", t.shape.size(), " dimensions; ggjt takes 1 and 2");
  require<DataError>(!t.name.empty() && t.name.size() <= 256, where, ": tensor '", t.name,
                     "': names have 1 to 256 bytes");
  const std::uint32_t id = ggml_type_id(t.dtype, where + ": tensor '" + t.name + "'");
  require<DataError>(id <= 14, where, ": tensor '", t.name, "': ", name_of(t.dtype), " is newer than ggjt");
  std::string out;
  put(out, static_cast<std::uint32_t>(t.shape.size()));
  put(out, static_cast<std::uint32_t>(t.name.size()));
  put(out, id);
  for (std::size_t i = t.shape.size(); i > 0; --i) {
    require<DataError>(t.shape[i - 1] > 0 && t.shape[i - 1] < std::int64_t{1} << 31, where, ": tensor '",
                       t.name, "': extent ", t.shape[i - 1]);
    put(out, static_cast<std::uint32_t>(t.shape[i - 1]));
  }
  return out + t.name;
}

}  // namespace

void write_ggjt(const std::filesystem::path& path, const GgmlHyperparameters& hyperparameters,
                const GgmlVocab& vocab, std::span<const TensorOutput> tensors) {
  const std::string where = path.string();
  require<DataError>(
      vocab.tokens.size() == hyperparameters.n_vocab && vocab.scores.size() == hyperparameters.n_vocab, where,
      ": ", vocab.tokens.size(), " tokens and ", vocab.scores.size(), " scores for n_vocab ",
      hyperparameters.n_vocab);
  write_file_atomically(path, [&](const AppendBytes& append) {
    std::uint64_t at = 0;
    const auto put_text = [&](const std::string& text) {
      append(std::as_bytes(std::span(text)));
      at += text.size();
    };
    put_text(header_of(hyperparameters, vocab));
    std::set<std::string_view> names;
    for (const TensorOutput& t : tensors) {
      require<DataError>(names.insert(t.name).second, where, ": two tensors would be named '", t.name, "'");
      put_text(tensor_head(t, where));
      put_text(std::string((kAlignment - at % kAlignment) % kAlignment, '\0'));
      append_tensor(t, append);
      at += t.bytes();
    }
  });
}

}  // namespace rankine
