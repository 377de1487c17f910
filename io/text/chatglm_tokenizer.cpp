#include "io/text/chatglm_tokenizer.h"

#include <algorithm>
#include <unordered_set>

#include "engine/core/error.h"
#include "io/text/spm_tokenizer.h"

namespace rankine {
namespace {

constexpr int kMaxBlanks = 80;
constexpr std::string_view kLine = "<n>", kTab = "<|tab|>";

std::string blanks(int count) { return join("<|blank_", count, "|>"); }

std::string replace_white_space(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ') {
      const std::string_view window = text.substr(at, kMaxBlanks);
      const std::size_t run = std::min(window.find_first_not_of(' '), window.size());
      run > 1 ? out += blanks(static_cast<int>(run)) : out += ' ';
      at += run;
      continue;
    }
    c == '\n' ? out += kLine : c == '\t' ? out += kTab : out += c;
    ++at;
  }
  return out;
}

// Shifts ids and rewrites white space around a SentencePiece tokenizer.
class ChatGlmTokenizer final : public Tokenizer {
 public:
  ChatGlmTokenizer(std::shared_ptr<const Tokenizer> pieces, std::int32_t offset)
      : pieces_(std::move(pieces)), offset_(offset), specials_(pieces_->specials()) {
    for (auto* role : {&specials_.bos, &specials_.eos, &specials_.pad, &specials_.unk})
      if (*role) **role += offset_;
    for (std::int32_t& id : specials_.stops) id += offset_;
    for (std::int32_t id = 0; id < pieces_->vocab_size(); ++id) {
      const std::string text = pieces_->piece(id);
      if (text == kLine) written_.emplace(id, "\n");
      if (text == kTab) written_.emplace(id, "\t");
      for (int n = 2; n <= kMaxBlanks && text.starts_with("<|blank_"); ++n)
        if (text == blanks(n)) written_.emplace(id, std::string(static_cast<std::size_t>(n), ' '));
    }
  }

  std::int32_t vocab_size() const override { return offset_ + pieces_->vocab_size(); }

  std::vector<std::int32_t> encode(std::string_view text, bool begin) const override {
    std::vector<std::int32_t> ids = pieces_->encode(replace_white_space(text), begin);
    for (std::int32_t& id : ids) id += offset_;
    return ids;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string out;
    std::vector<std::int32_t> run;  // ids since the last white space piece
    bool first = true;
    const auto flush = [&] {
      // Only the first run has a dummy prefix: a lone piece in front keeps the others' space.
      if (!run.empty()) out += first ? pieces_->decode(run) : inside(run);
      first = first && run.empty();
      run.clear();
    };
    for (const std::int32_t id : ids) {
      require<DataError>(id >= 0, "decode: ", id, " is no token id");
      if (id < offset_) continue;
      const auto white = written_.find(id - offset_);
      if (white == written_.end()) {
        run.push_back(id - offset_);
        continue;
      }
      flush();
      first = false;
      out += white->second;
    }
    flush();
    return out;
  }

  std::string piece(std::int32_t id) const override {
    return id >= offset_ || id < 0 ? pieces_->piece(id < 0 ? id : id - offset_) : join("<image_", id, ">");
  }
  std::optional<std::int32_t> control(std::string_view text) const override {
    const auto id = pieces_->control(text);
    return id ? std::optional(*id + offset_) : std::nullopt;
  }
  const Specials& specials() const override { return specials_; }
  std::string fingerprint() const override { return join(pieces_->fingerprint(), "+", offset_); }

 private:
  std::string inside(std::vector<std::int32_t>& run) const {
    run.insert(run.begin(), *pieces_->control(kLine));
    return pieces_->decode(run).substr(kLine.size());
  }

  std::shared_ptr<const Tokenizer> pieces_;
  std::int32_t offset_;
  Specials specials_;
  std::unordered_map<std::int32_t, std::string> written_;  // white space pieces
};

std::optional<std::int32_t> find(const SpmModel& model, std::string_view text) {
  const auto at =
      std::find_if(model.pieces.begin(), model.pieces.end(), [&](const Token& t) { return t.text == text; });
  return at == model.pieces.end() ? std::nullopt
                                  : std::optional(static_cast<std::int32_t>(at - model.pieces.begin()));
}

void append_missing(SpmModel& model) {
  std::unordered_set<std::string> there;
  for (const Token& t : model.pieces) there.insert(t.text);
  const auto append = [&](std::string text, TokenType type) {
    if (there.insert(text).second) model.pieces.push_back({std::move(text), 0, type});
  };
  for (const char* name :
       {"[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"})
    append(name, TokenType::control);
  append(std::string(kTab), TokenType::user_defined);
  for (int n = 2; n <= kMaxBlanks; ++n) append(blanks(n), TokenType::user_defined);
  for (int byte = 0; byte < 256; ++byte) append(byte_piece(static_cast<std::uint8_t>(byte)), TokenType::byte);
  model.byte_fallback = true;
}

}  // namespace

std::shared_ptr<const Tokenizer> make_chatglm_tokenizer(SpmModel model, std::int32_t id_offset,
                                                        const std::string& file) {
  require<DataError>(id_offset >= 0 && id_offset <= 1 << 20, file, ": ", id_offset,
                     " image tokens; expected 0 or 20000");
  const auto line = find(model, kLine);
  require<DataError>(line && model.pieces[static_cast<std::size_t>(*line)].type == TokenType::user_defined,
                     file, ": no vocabulary of ChatGLM-6B: it has no user-defined piece '<n>'");
  append_missing(model);
  check_spm_model(model, file);
  Vocabulary rest;
  rest.file = file;
  rest.specials = {
      find(model, "<sop>"), find(model, "<eop>"), find(model, "<pad>"), find(model, "<unk>"), {}, false};
  return std::make_shared<ChatGlmTokenizer>(std::make_shared<SpmTokenizer>(std::move(model), std::move(rest)),
                                            id_offset);
}

std::shared_ptr<const Tokenizer> make_chatglm2_tokenizer(SpmModel model, bool version3,
                                                         const std::string& file) {
  std::vector<std::string> names = {"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"};
  if (version3) names.insert(names.end(), {"<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"});
  Vocabulary rest;
  rest.file = file;
  for (const std::string& name : names) {
    // A file that holds the name already must hold it as a control token: text must not become it.
    const auto there = find(model, name);
    require<DataError>(!there || model.pieces[static_cast<std::size_t>(*there)].type == TokenType::control,
                       file, ": piece ", there.value_or(0), " '", name, "' is not a control token");
    if (!there) model.pieces.push_back({name, 0, TokenType::control});
  }
  for (const char* name : {"sop", "eop"}) rest.aliases.emplace_back(join('<', name, '>'), *find(model, name));
  rest.specials = {1, 2, 0, 0, {}, false};
  return std::make_shared<SpmTokenizer>(std::move(model), std::move(rest));
}

std::vector<std::string> glm4_controls() {
  return {"<|endoftext|>",
          "[MASK]",
          "[gMASK]",
          "[sMASK]",
          "<sop>",
          "<eop>",
          "<|system|>",
          "<|user|>",
          "<|assistant|>",
          "<|observation|>",
          "<|begin_of_image|>",
          "<|end_of_image|>",
          "<|begin_of_video|>",
          "<|end_of_video|>"};
}

}  // namespace rankine
