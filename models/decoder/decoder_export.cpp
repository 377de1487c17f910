#include "models/decoder/decoder_export.h"

#include <cmath>
#include <map>

#include "engine/core/block_formats.h"
#include "io/files/atomic_write.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/ggml_vocab.h"
#include "io/formats/rope_layout.h"
#include "io/formats/safetensors.h"
#include "models/decoder/vocabulary_export.h"

namespace rankine {
namespace {

class Collector final : public ModelVisitor {
 public:
  explicit Collector(std::vector<const Weight*>& all) : all_(all) {}
  void weight(Weight& w) override { all_.push_back(&w); }

 private:
  std::vector<const Weight*>& all_;
};

std::vector<float> decoded(const Tensor& value) { return to_file_order(value, FileLayout::same); }

std::vector<std::byte> encoded(std::span<const float> values, FileDType dtype) {
  const DType type = *memory_dtype(dtype);
  std::vector<std::byte> out(bytes_of(type, static_cast<std::int64_t>(values.size())));
  if (is_block(type)) {
    encode_blocks(type, values, out.data());
    return out;
  }
  return tensor_to_write("", {static_cast<std::int64_t>(values.size())}, values, dtype).bytes;
}

std::vector<std::int64_t> dims(const Shape& s) { return {s.dims().begin(), s.dims().end()}; }

// Blocks do not straddle rows: a matrix with other rows stays in 16 bits.
FileDType dtype_for(const Weight& w, FileDType wanted) {
  if (w.shape().rank() < 2) return FileDType::f32;
  const DType type = *memory_dtype(wanted);
  return w.shape().cols() % block_of(type).elements == 0 ? wanted : FileDType::f16;
}

using Permute = void (*)(std::span<const std::byte>, std::span<std::byte>, std::int64_t, int);
std::vector<float> in_order(const std::vector<float>& v, int heads, std::int64_t cols, Permute permute) {
  std::vector<float> out(v.size());
  permute(std::as_bytes(std::span(v)), std::as_writable_bytes(std::span(out)),
          static_cast<std::int64_t>(v.size()) / cols, heads);
  return out;
}

}  // namespace

int reordered_heads(const DecoderConfig& k, const DecoderNames& names, const std::string& module) {
  const bool moves = k.family == DecoderFamily::llama || k.family == DecoderFamily::mistral;
  if (!moves || names.q.empty()) return 0;
  if (module.ends_with("." + names.q)) return k.heads;
  return module.ends_with("." + names.k) ? k.kv_heads : 0;
}

std::optional<std::string> gguf_architecture(const DecoderConfig& k) {
  switch (k.family) {
    case DecoderFamily::llama:
    case DecoderFamily::mistral:
      return "llama";
    case DecoderFamily::qwen2:
      return "qwen2";
    case DecoderFamily::qwen3:
      return "qwen3";
    case DecoderFamily::chatglm2:
    case DecoderFamily::chatglm3:
      return "chatglm";
    case DecoderFamily::glm4:
      return k.fused_qkv ? std::optional<std::string>("chatglm") : std::nullopt;
    case DecoderFamily::chatglm:
      break;
  }
  return std::nullopt;
}

DecoderExport::DecoderExport(Decoder& model, const DecoderCheckpoint& checkpoint,
                             std::vector<AdapterWeights> adapter)
    : checkpoint_(checkpoint), adapter_(std::move(adapter)) {
  Collector collector(weights_);
  model.visit(collector);
}

int DecoderExport::rotated_heads(const std::string& path) const {
  const std::string module = path.substr(0, path.rfind('.'));
  return reordered_heads(checkpoint_.config, checkpoint_.names, module);
}

// W + s b a, or m / n of its rows (Liu et al. 2024).
void DecoderExport::fold(std::vector<float>& w, const AdapterWeights& adapter, std::int64_t cols) const {
  const auto rows = static_cast<std::int64_t>(w.size()) / cols;
  std::vector<double> sum(static_cast<std::size_t>(cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = w.data() + r * cols;
    std::copy(row, row + cols, sum.begin());
    for (std::int64_t j = 0; j < adapter.rank(); ++j) {
      const double factor =
          double(adapter.scale) * double(adapter.b.values[static_cast<std::size_t>(r * adapter.b.cols + j)]);
      const float* a = adapter.a.values.data() + j * cols;
      for (std::int64_t i = 0; i < cols; ++i) sum[static_cast<std::size_t>(i)] += factor * double(a[i]);
    }
    double gain = 1;
    if (!adapter.magnitude.empty()) {
      double square = 0;
      for (const double x : sum) square += x * x;
      gain = double(adapter.magnitude[static_cast<std::size_t>(r)]) / std::sqrt(square);
    }
    for (std::int64_t i = 0; i < cols; ++i)
      row[i] = static_cast<float>(gain * sum[static_cast<std::size_t>(i)]);
  }
}

std::vector<float> DecoderExport::values(const Weight& w, Rows rows) const {
  std::vector<float> v = decoded(w.value());
  const int heads = rotated_heads(w.path());
  const std::int64_t cols = w.shape().rank() == 2 ? w.shape().cols() : 1;
  // Adapters are in Hugging Face's order, so the weight goes there first.
  if (heads > 0 && checkpoint_.interleaved) v = in_order(v, heads, cols, permute_rows_to_halves);
  for (const AdapterWeights& a : adapter_) {
    if (w.path() == a.module + ".weight") fold(v, a, cols);
  }
  if (heads > 0 && rows == Rows::interleaved) v = in_order(v, heads, cols, permute_rows_to_interleaved);
  return v;
}

std::vector<std::byte> DecoderExport::bytes(const Weight& w, Rows rows, FileDType dtype) const {
  return encoded(values(w, rows), dtype);
}

void DecoderExport::write_hugging_face(const std::filesystem::path& folder, FileDType dtype,
                                       const ExportVocabulary& vocabulary,
                                       const MetadataTable& metadata) const {
  std::vector<TensorToWrite> tensors;
  for (const Weight* w : weights_)
    tensors.push_back(tensor_to_write(w->path(), dims(w->shape()), values(*w, Rows::halves), dtype));
  MetadataTable all = metadata;
  all["format"] = "pt";
  write_safetensors(folder / "model.safetensors", std::move(tensors), all);
  nlohmann::ordered_json config = decoder_config_to_json(checkpoint_.config);
  constexpr const char* kNames[] = {"float32", "float16", "bfloat16"};
  config["torch_dtype"] = kNames[dtype == FileDType::f16 ? 1 : dtype == FileDType::bf16 ? 2 : 0];
  if (vocabulary.spm) {
    config["bos_token_id"] = vocabulary.spm->bos;
    config["eos_token_id"] = vocabulary.spm->eos;
    write_file_atomically(folder / "tokenizer.model", write_spm_model(*vocabulary.spm));
    write_file_atomically(folder / "tokenizer_config.json", tokenizer_config_json(*vocabulary.spm));
  }
  write_file_atomically(folder / "config.json", config.dump(2) + "\n");
}

void DecoderExport::write_gguf(const std::filesystem::path& path, FileDType dtype,
                               const ExportVocabulary& vocabulary) const {
  const DecoderConfig& k = checkpoint_.config;
  const auto arch = gguf_architecture(k);
  require<DataError>(arch.has_value(), path.string(), ": GGUF has no architecture for ", name_of(k.family));
  require<DataError>(
      vocabulary.spm.has_value() || !vocabulary.gguf_keys.empty(), path.string(),
      ": this vocabulary cannot be written as GGUF; only SentencePiece models and those of GGUF files");
  std::vector<GgufEntry> entries = gguf_model_keys(k, *arch, dtype);
  const std::vector<GgufEntry> tokens =
      vocabulary.gguf_keys.empty() ? gguf_keys_of(*vocabulary.spm, k.vocab) : vocabulary.gguf_keys;
  entries.insert(entries.end(), tokens.begin(), tokens.end());
  const Rows rows = *arch == "llama" ? Rows::interleaved : Rows::halves;
  std::vector<TensorOutput> tensors;
  for (const Weight* w : weights_) {
    const auto name = translate(w->path(), checkpoint_.names, gguf_decoder_names());
    require<DataError>(name.has_value(), path.string(), ": GGUF has no name for ", w->path());
    const FileDType stored = dtype_for(*w, dtype);
    tensors.push_back({*name, stored, dims(w->shape()), [this, w, rows, stored](const AppendBytes& append) {
                         append(bytes(*w, rows, stored));
                       }});
  }
  rankine::write_gguf(path, entries, tensors);
}

void DecoderExport::write_ggjt(const std::filesystem::path& path, FileDType dtype,
                               const ExportVocabulary& vocabulary) const {
  const DecoderConfig& k = checkpoint_.config;
  const bool fits = k.family == DecoderFamily::llama && k.kv_heads == k.heads && !k.qkv_bias && !k.mlp_bias &&
                    !k.tied_head && k.head_dim * k.heads == k.width;
  require<DataError>(fits, path.string(),
                     ": the ggjt container holds LLaMA 1 and 2 only: as many key heads as heads, "
                     "no biases, a head of its own");
  require<DataError>(vocabulary.spm.has_value(), path.string(),
                     ": the ggjt container needs a SentencePiece vocabulary");
  GgmlHyperparameters h;
  h.n_vocab = static_cast<std::uint32_t>(k.vocab);
  h.n_embd = static_cast<std::uint32_t>(k.width);
  h.n_head = static_cast<std::uint32_t>(k.heads);
  h.n_layer = static_cast<std::uint32_t>(k.layers);
  h.n_rot = static_cast<std::uint32_t>(k.rotary_dims);
  h.n_mult = feed_forward_multiple(h, k.mlp);
  h.ftype = dtype == FileDType::f16 ? 1 : dtype == FileDType::q4_0 ? 2 : dtype == FileDType::q8_0 ? 7 : 0;
  std::vector<TensorOutput> tensors;
  for (const Weight* w : weights_) {
    const auto name = translate(w->path(), checkpoint_.names, meta_names());
    require<DataError>(name.has_value(), path.string(), ": the ggjt container has no name for ", w->path());
    const FileDType stored = dtype_for(*w, dtype);
    tensors.push_back({*name, stored, dims(w->shape()), [this, w, stored](const AppendBytes& append) {
                         append(bytes(*w, Rows::interleaved, stored));
                       }});
  }
  rankine::write_ggjt(path, h, ggml_vocab_of(*vocabulary.spm, k.vocab), tensors);
}

}  // namespace rankine
