#include "models/tasks/text_answers.h"

#include <nlohmann/json.hpp>

namespace rankine {
namespace {

// Bytes of `text` that are whole UTF-8 characters: the last one may still be on its way.
std::size_t whole_characters(std::string_view text) {
  std::size_t back = 0;
  while (back < 3 && back < text.size() &&
         (static_cast<unsigned char>(text[text.size() - 1 - back]) & 0xC0U) == 0x80U)
    ++back;
  if (back == text.size()) return text.size();
  const auto lead = static_cast<unsigned char>(text[text.size() - 1 - back]);
  const std::size_t needed = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
  return back < needed ? text.size() - 1 - back : text.size();
}

std::string words_of(std::string_view text) {
  std::string out;
  bool gap = false;
  for (const char ch : text) {
    if (ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r') {
      gap = !out.empty();
      continue;
    }
    if (gap) out += ' ';
    gap = false;
    out += ch;
  }
  return out;
}

}  // namespace

AnswerOptions answer_options(const config::RunConfig& config) {
  AnswerOptions o;
  o.max_new_tokens = config.text.max_new_tokens;
  o.sampling = {config.text.temperature, config.text.top_k, config.text.top_p,
                static_cast<std::uint64_t>(config.optim.seed)};
  return o;
}

std::string answer(const Context& c, Decoder& model, const ChatRenderer& chat, const Conversation& row,
                   const AnswerOptions& o, const std::function<bool(std::string_view)>& on_text) {
  const TokenSequence prompt = chat.render_prompt(row, o.render);
  GenerateRequest r;
  r.prompt = prompt.ids;
  r.prefix = prompt.prefix;
  r.stops = chat.stops();
  r.max_new_tokens = o.max_new_tokens;
  r.sampling = o.sampling;
  r.stop = o.stop;
  std::vector<std::int32_t> ids;
  std::size_t told = 0;
  const auto on_token = [&](std::int32_t id) {
    if (!on_text) return true;
    ids.push_back(id);
    const std::string text = chat.tokenizer().decode(ids);
    const std::size_t whole = whole_characters(text);
    if (whole <= told) return true;
    const bool more = on_text(std::string_view(text).substr(told, whole - told));
    told = whole;
    return more;
  };
  Context quiet = c.without_tape();
  quiet.training = false;
  return chat.tokenizer().decode(generate(quiet, model, r, on_token).ids);
}

std::string to_json(const AnswerPair& pair) {
  nlohmann::ordered_json json{{"question", pair.question}, {"adapter", pair.adapted}};
  if (!pair.base.empty()) json["base"] = pair.base;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

bool same_answer(std::string_view a, std::string_view b) { return words_of(a) == words_of(b); }

}  // namespace rankine
