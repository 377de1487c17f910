#include "io/formats/chatglm_cpp.h"

#include "io/formats/ggml_reader.h"
#include "io/formats/ggml_types.h"

namespace rankine {
namespace {

constexpr std::string_view kMagic = "ggml";
constexpr std::int32_t kConfigVersion = 2, kMaxModel = 4, kMaxRank = 4, kMaxName = 512;

std::int32_t read_length(GgmlReader& in, std::string_view what, std::int32_t least, std::int32_t most) {
  const auto n = in.number<std::int32_t>(what);
  in.check(n >= least && n <= most, what, " is ", n, "; ", least, " to ", most, " are allowed");
  return n;
}

ChatGlmCppConfig read_config(GgmlReader& in) {
  ChatGlmCppConfig c;
  c.version = in.number<std::int32_t>("the version of the configuration");
  in.check(c.version == kConfigVersion, "a configuration of version ", c.version, "; ", kConfigVersion,
           " is known: convert the model with a current chatglm.cpp");
  for (std::int32_t* x :
       {&c.type, &c.vocab_size, &c.hidden_size, &c.heads, &c.kv_heads, &c.layers, &c.intermediate_size})
    *x = in.number<std::int32_t>("the configuration");
  c.norm_eps = in.number<float>("the configuration");
  c.virtual_tokens = in.number<std::int32_t>("the configuration");
  c.rope_theta = in.number<float>("the configuration");
  for (std::int32_t* x : {&c.max_length, &c.eos_id, &c.pad_id})
    *x = in.number<std::int32_t>("the configuration");
  for (const std::int32_t x :
       {c.vocab_size, c.hidden_size, c.heads, c.kv_heads, c.layers, c.intermediate_size})
    in.check(x > 0, "the configuration has a size of ", x);
  in.check(c.hidden_size % c.heads == 0 && c.heads % c.kv_heads == 0, "hidden_size ", c.hidden_size, ", ",
           c.heads, " heads and ", c.kv_heads, " key-value heads do not fit each other");
  return c;
}

void read_tensor(GgmlReader& in, ChatGlmCppHeader& header) {
  const std::string name =
      in.text(static_cast<std::uint64_t>(read_length(in, "the length of a tensor name", 1, kMaxName)),
              "a tensor name");
  const std::string shown = printable(name);
  TensorInfo info;
  info.shape.resize(static_cast<std::size_t>(read_length(in, "the rank of a tensor", 1, kMaxRank)));
  std::uint64_t rows = 1;
  for (std::size_t i = 0; i < info.shape.size(); ++i) {
    info.shape[i] = read_length(in, "an extent", 1, 0x7FFFFFFF);
    const bool overflow = i + 1 < info.shape.size() &&
                          __builtin_mul_overflow(rows, static_cast<std::uint64_t>(info.shape[i]), &rows);
    in.check(!overflow, "tensor ", shown, ": the extents overflow");
  }
  const auto id = in.number<std::uint32_t>("a tensor type");
  const GgmlType* type = ggml_type(id);
  in.check(type != nullptr && type->dtype != FileDType::other, "tensor ", shown, ": type ", id,
           " is not decoded");
  const auto bytes = ggml_bytes(*type, static_cast<std::uint64_t>(info.shape.back()), rows);
  in.check(bytes.has_value(), "tensor ", shown, ": rows of ", info.shape.back(), " numbers are not whole ",
           type->name, " blocks of ", type->elements);
  info.dtype = type->dtype;
  in.align(16);
  info.bytes = in.bytes(*bytes, "tensor " + shown);
  in.check(header.tensors.emplace(name, std::move(info)).second, "tensor ", shown, " appears twice");
}

}  // namespace

bool is_chatglm_cpp(std::span<const std::byte> head) {
  if (head.size() < 12) return false;
  GgmlReader in(head, "");
  if (in.text(4, "") != kMagic) return false;
  const auto model = in.number<std::int32_t>("");
  return model >= 1 && model <= kMaxModel && in.number<std::int32_t>("") <= kConfigVersion;
}

ChatGlmCppHeader parse_chatglm_cpp(std::span<const std::byte> file, const std::string& name) {
  GgmlReader in(file, name);
  in.check(in.left() >= 4 && in.text(4, "the magic") == kMagic, "this is no chatglm.cpp file");
  ChatGlmCppHeader header;
  header.model = read_length(in, "the model", 1, kMaxModel);
  header.config = read_config(in);
  header.vocabulary =
      in.bytes(static_cast<std::uint64_t>(read_length(in, "the length of the vocabulary", 0, 0x7FFFFFFF)),
               "the vocabulary");
  while (in.left() > 0) read_tensor(in, header);
  return header;
}

ChatGlmCppFile::ChatGlmCppFile(const std::filesystem::path& path)
    : file_(path), header_(parse_chatglm_cpp(file_.bytes(), path.string())) {
  const ChatGlmCppConfig& c = config();
  metadata_ = {{"model", join(model())},
               {"vocab_size", join(c.vocab_size)},
               {"hidden_size", join(c.hidden_size)},
               {"num_attention_heads", join(c.heads)},
               {"num_kv_heads", join(c.kv_heads)},
               {"num_layers", join(c.layers)},
               {"intermediate_size", join(c.intermediate_size)},
               {"norm_eps", join(c.norm_eps)},
               {"rope_theta", join(c.rope_theta)},
               {"max_length", join(c.max_length)},
               {"eos_id", join(c.eos_id)},
               {"pad_id", join(c.pad_id)}};
}

}  // namespace rankine
