#include "models/decoder/vocabulary_export.h"

#include "io/formats/ggml_vocab.h"
#include "models/decoder/decoder_export.h"

namespace rankine {
namespace {

constexpr std::string_view kSpacePiece = "\xE2\x96\x81";  // U+2581
constexpr std::string_view kUnknownText = " \xE2\x81\x87 ";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// Names for rows of the embedding that no token has.
std::string filler(std::size_t id) { return "[PAD" + std::to_string(id) + "]"; }

}  // namespace

std::vector<GgufEntry> gguf_keys_of(const SpmModel& spm, std::int64_t rows) {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  for (const Token& t : spm.pieces) {
    tokens.push_back(t.text);
    scores.push_back(t.score);
    types.push_back(static_cast<std::int32_t>(t.type));
  }
  while (static_cast<std::int64_t>(tokens.size()) < rows) {
    tokens.push_back(filler(tokens.size()));
    scores.push_back(-1000);
    types.push_back(static_cast<std::int32_t>(TokenType::unused));
  }
  std::vector<GgufEntry> keys{{"tokenizer.ggml.model", std::string("llama")},
                              {"tokenizer.ggml.pre", std::string("default")},
                              {"tokenizer.ggml.tokens", tokens},
                              {"tokenizer.ggml.scores", scores},
                              {"tokenizer.ggml.token_type", types},
                              {"tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(spm.bos)},
                              {"tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(spm.eos)},
                              {"tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(spm.unk)}};
  if (spm.pad >= 0) keys.emplace_back("tokenizer.ggml.padding_token_id", static_cast<std::uint32_t>(spm.pad));
  keys.emplace_back("tokenizer.ggml.add_bos_token", true);
  keys.emplace_back("tokenizer.ggml.add_space_prefix", spm.add_dummy_prefix);
  return keys;
}

std::vector<GgufEntry> gguf_model_keys(const DecoderConfig& k, const std::string& a, FileDType dtype) {
  const auto u32 = [](std::int64_t v) { return static_cast<std::uint32_t>(v); };
  const std::uint32_t file_type = dtype == FileDType::f16    ? 1
                                  : dtype == FileDType::q4_0 ? 2
                                  : dtype == FileDType::q4_1 ? 3
                                  : dtype == FileDType::q8_0 ? 7
                                  : dtype == FileDType::q5_0 ? 8
                                  : dtype == FileDType::q5_1 ? 9
                                  : dtype == FileDType::bf16 ? 32
                                                             : 0;
  std::vector<GgufEntry> keys{{"general.architecture", a},
                              {"general.file_type", file_type},
                              {"general.quantization_version", std::uint32_t{2}},
                              {a + ".vocab_size", u32(k.vocab)},
                              {a + ".context_length", u32(k.context)},
                              {a + ".embedding_length", u32(k.width)},
                              {a + ".block_count", u32(k.layers)},
                              {a + ".feed_forward_length", u32(k.mlp)},
                              {a + ".attention.head_count", u32(k.heads)},
                              {a + ".attention.head_count_kv", u32(k.kv_heads)},
                              {a + ".attention.key_length", u32(k.head_dim)},
                              {a + ".attention.value_length", u32(k.head_dim)},
                              {a + ".attention.layer_norm_rms_epsilon", k.eps},
                              {a + ".rope.dimension_count", u32(k.rotary_dims)},
                              {a + ".rope.freq_base", static_cast<float>(k.rope_theta)}};
  if (k.sliding_window > 0) keys.emplace_back(a + ".attention.sliding_window", u32(k.sliding_window));
  const RopeScaling& s = k.scaling;
  require<DataError>(
      s.kind != RopeScaling::Kind::dynamic && s.kind != RopeScaling::Kind::llama3 && s.divisors.empty(),
      "GGUF: writing this kind of rotary scaling is not available");
  if (s.kind == RopeScaling::Kind::linear || s.kind == RopeScaling::Kind::yarn) {
    keys.emplace_back(a + ".rope.scaling.type",
                      std::string(s.kind == RopeScaling::Kind::linear ? "linear" : "yarn"));
    keys.emplace_back(a + ".rope.scaling.factor", static_cast<float>(s.factor));
    keys.emplace_back(a + ".rope.scaling.original_context_length",
                      static_cast<std::uint32_t>(s.original_length));
  }
  return keys;
}

GgmlVocab ggml_vocab_of(const SpmModel& spm, std::int64_t rows) {
  GgmlVocab v;
  for (const Token& t : spm.pieces) {
    const int byte = byte_of_piece(t.text);
    if (t.type == TokenType::unknown)
      v.tokens.emplace_back(kUnknownText);
    else if (t.type == TokenType::control)
      v.tokens.emplace_back();
    else if (byte >= 0)
      v.tokens.emplace_back(1, static_cast<char>(byte));
    else
      v.tokens.push_back(replaced(t.text, kSpacePiece, " "));
    v.scores.push_back(t.score);
  }
  while (static_cast<std::int64_t>(v.tokens.size()) < rows) {
    v.tokens.push_back(filler(v.tokens.size()));
    v.scores.push_back(-1000);
  }
  return v;
}

SpmModel spm_from(const GgmlVocab& vocab) {
  constexpr std::size_t kFirstByte = 3, kBytes = 256;
  SpmModel spm;
  spm.kind = SpmKind::bpe;
  spm.byte_fallback = true;
  spm.remove_extra_whitespaces = false;
  for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
    Token t;
    t.score = vocab.scores.empty() ? -static_cast<float>(i) : vocab.scores[i];
    t.text = replaced(vocab.tokens[i], " ", kSpacePiece);
    if (i == 0) {
      t.text = "<unk>";
      t.type = TokenType::unknown;
    } else if (i < kFirstByte) {
      t.text = i == 1 ? "<s>" : "</s>";
      t.type = TokenType::control;
    } else if (i < kFirstByte + kBytes) {
      t.text = byte_piece(static_cast<std::uint8_t>(i - kFirstByte));
      t.type = TokenType::byte;
    }
    spm.pieces.push_back(std::move(t));
  }
  return spm;
}

SpmModel spm_from(const GgufVocab& vocab) {
  SpmModel spm;
  spm.kind = SpmKind::bpe;
  spm.byte_fallback = true;
  spm.remove_extra_whitespaces = false;
  spm.bos = vocab.bos.value_or(1);
  spm.eos = vocab.eos.value_or(2);
  spm.unk = vocab.unk.value_or(0);
  spm.pad = vocab.pad.value_or(-1);
  spm.add_dummy_prefix = vocab.add_space_prefix.value_or(true);
  for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
    Token t;
    t.text = vocab.tokens[i];
    t.score = i < vocab.scores.size() ? vocab.scores[i] : 0;
    t.type = i < vocab.types.size() ? static_cast<TokenType>(vocab.types[i]) : TokenType::normal;
    spm.pieces.push_back(std::move(t));
  }
  return spm;
}

std::uint32_t feed_forward_multiple(const GgmlHyperparameters& sizes, std::int64_t mlp) {
  GgmlHyperparameters h = sizes;
  for (h.n_mult = 1; h.n_mult <= static_cast<std::uint64_t>(mlp); ++h.n_mult) {
    if (ggml_feed_forward(h) == mlp) return h.n_mult;
  }
  throw DataError(join("ggjt: an intermediate size of ", mlp,
                       " cannot be said in this container; it is 8/3 of the width ", sizes.n_embd,
                       ", rounded up to a multiple"));
}

std::string tokenizer_config_json(const SpmModel& spm) {
  const auto text = [&](std::int32_t id) { return spm.pieces.at(static_cast<std::size_t>(id)).text; };
  const nlohmann::ordered_json json{{"tokenizer_class", "LlamaTokenizer"},
                                    {"add_bos_token", true},
                                    {"add_eos_token", false},
                                    {"bos_token", text(spm.bos)},
                                    {"eos_token", text(spm.eos)},
                                    {"unk_token", text(spm.unk)},
                                    {"legacy", true},
                                    {"clean_up_tokenization_spaces", false}};
  return json.dump(2) + "\n";
}

std::optional<SpmModel> vocabulary_in(const std::filesystem::path& file_or_folder) {
  const bool folder = std::filesystem::is_directory(file_or_folder);
  const std::filesystem::path file = folder ? file_or_folder / "tokenizer.model" : file_or_folder;
  if (!std::filesystem::exists(file)) return std::nullopt;
  const MappedFile mapped(file);
  try {
    return read_spm_model({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()},
                          file.string());
  } catch (const DataError&) {
    return std::nullopt;  // another kind of vocabulary, which cannot be exported
  }
}

ExportVocabulary vocabulary_of(const DecoderCheckpoint& k) {
  ExportVocabulary out;
  switch (k.container) {
    case DecoderContainer::gguf: {
      const auto& file = dynamic_cast<const GgufFile&>(*k.source);
      for (const auto& [key, value] : file.values()) {
        if (key.starts_with("tokenizer.")) out.gguf_keys.emplace_back(key, value);
      }
      const GgufVocab vocab = vocab_of(file);
      if (vocab.model == "llama") out.spm = spm_from(vocab);
      break;
    }
    case DecoderContainer::ggml:
      out.spm = spm_from(vocab_of(dynamic_cast<const GgmlFile&>(*k.source)));
      break;
    case DecoderContainer::hugging_face:
      if (k.source) out.spm = vocabulary_in(k.path);
      break;
  }
  return out;
}

}  // namespace rankine
