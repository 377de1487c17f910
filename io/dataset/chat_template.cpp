// From the text of a template to parts, with this vocabulary's tokens in place.
#include <algorithm>
#include <utility>

#include "engine/core/error.h"
#include "io/dataset/chat_renderer.h"

namespace rankine {

namespace {

constexpr std::size_t kMaxTokenText = 64;

}  // namespace

// A control token that begins `text`, which begins with a bracket; the longest one. Sets its length.
std::optional<std::int32_t> ChatRenderer::control_at(std::string_view text, std::size_t& length,
                                                     const char* field) const {
  const char close = text[0] == '<' ? '>' : ']';
  const std::string_view window = text.substr(0, kMaxTokenText);
  for (std::size_t end = window.rfind(close); end != std::string_view::npos && end > 0;
       end = window.rfind(close, end - 1)) {
    length = end + 1;
    if (const auto id = tokenizer_.control(text.substr(0, length))) return id;
  }
  const std::size_t bar = text.starts_with("<|") ? window.find("|>", 2) : std::string_view::npos;
  require<DataError>(bar == std::string_view::npos, "chat template ", template_.name, ": ", field,
                     ": the vocabulary has no control token '", text.substr(0, bar + 2),
                     "'; choose the template that belongs to the model");
  return std::nullopt;
}

void ChatRenderer::add_literal(Parts& parts, const std::string& text, const char* field) const {
  std::string pending;
  const auto flush = [&] {
    if (!pending.empty()) parts.push_back({PartKind::text, pending, 0});
    pending.clear();
  };
  for (std::size_t i = 0; i < text.size();) {
    std::size_t length = 1;
    const bool bracket = text[i] == '<' || text[i] == '[';
    if (const auto id =
            bracket ? control_at(std::string_view(text).substr(i), length, field) : std::nullopt) {
      flush();
      parts.push_back({PartKind::token, {}, *id});
    } else {
      length = 1;
      pending += text[i];
    }
    i += length;
  }
  flush();
}

std::int32_t ChatRenderer::role_token(std::optional<std::int32_t> id, const char* what) const {
  require<DataError>(id.has_value(), "chat template ", template_.name, ": the vocabulary has no ", what,
                     " token; choose the template that belongs to the model");
  return *id;
}

ChatRenderer::Part ChatRenderer::place(const std::string& name, const char* field) const {
  constexpr std::pair<std::string_view, PartKind> kPlaces[] = {
      {"system", PartKind::system}, {"user", PartKind::user},           {"input", PartKind::input},
      {"begin", PartKind::begin},   {"assistant", PartKind::assistant}, {"round", PartKind::round},
      {"prefix", PartKind::prefix}, {"generate", PartKind::generate},   {"thought", PartKind::thought}};
  for (const auto& [text, kind] : kPlaces) {
    if (name == text) return {kind, {}, 0};
  }
  const Tokenizer::Specials& specials = tokenizer_.specials();
  if (name == "bos") return {PartKind::bos, {}, role_token(specials.bos, "BOS")};
  if (name == "eos") return {PartKind::token, {}, role_token(specials.eos, "EOS")};
  if (name == "eos?") return specials.eos ? Part{PartKind::token, {}, *specials.eos} : Part{};
  if (name == "bos?") {
    return specials.add_bos && specials.bos ? Part{PartKind::bos, {}, *specials.bos} : Part{};
  }
  constexpr std::string_view kToken = "token:";
  require<ConfigError>(
      name.starts_with(kToken), "chat template ", template_.name, ": ", field, ": unknown place {",
      name.substr(0, 40),
      "}; known: {system} {user} {input} {assistant} {round} {thought} {bos} {bos?} {eos} {eos?} {begin} "
      "{generate} {prefix} {token:NAME}; write {{ and }} for braces");
  for (std::size_t at = kToken.size(); at <= name.size();) {
    const std::size_t end = std::min(name.find(' ', at), name.size());
    if (const auto id = tokenizer_.control(name.substr(at, end - at))) return {PartKind::token, {}, *id};
    at = end + 1;
  }
  throw DataError(join("chat template ", template_.name, ": ", field,
                       ": the vocabulary has none of the tokens ", name.substr(kToken.size()),
                       "; choose the template that belongs to the model"));
}

ChatRenderer::Parts ChatRenderer::parse(const std::string& text, const char* field) const {
  Parts parts;
  std::string literal;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = std::string_view(text).substr(i);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      literal += text[i];
      i += 2;
      continue;
    }
    if (text[i] != '{') {
      literal += text[i++];
      continue;
    }
    const std::size_t end = text.find('}', i);
    require<ConfigError>(end != std::string::npos, "chat template ", template_.name, ": ", field,
                         ": a brace opens and never closes; write {{ for a brace");
    add_literal(parts, std::exchange(literal, {}), field);
    Part part = place(text.substr(i + 1, end - i - 1), field);
    if (part.kind != PartKind::text) parts.push_back(std::move(part));
    i = end + 1;
  }
  add_literal(parts, literal, field);
  return parts;
}

// An answer begins where generation does and ends with a token.
void ChatRenderer::finish_assistant() {
  const auto find = [this](PartKind kind) {
    return std::find_if(assistant_.begin(), assistant_.end(),
                        [kind](const Part& p) { return p.kind == kind; });
  };
  if (find(PartKind::generate) == assistant_.end()) {
    assistant_.insert(find(PartKind::assistant), {PartKind::generate, {}, 0});
  }
  const auto answer = find(PartKind::assistant);
  require<ConfigError>(find(PartKind::generate) < answer, "chat template ", template_.name,
                       ": assistant: {generate} stands behind {assistant}");
  const bool ended = std::any_of(answer, assistant_.end(), [](const Part& p) {
    return p.kind == PartKind::token || p.kind == PartKind::bos;
  });
  if (ended || !end_.empty()) return;
  const Parts stop = parse(template_.stop.empty() ? "{eos}" : template_.stop.front(), "stop");
  assistant_.insert(assistant_.end(), stop.begin(), stop.end());
}

void ChatRenderer::collect_stops() {
  const Tokenizer::Specials& specials = tokenizer_.specials();
  stops_ = specials.stops;
  if (specials.eos) stops_.push_back(*specials.eos);
  for (std::size_t i = 0; i < template_.stop.size(); ++i) {
    const std::string& text = template_.stop[i];
    const std::optional<std::int32_t> id = text == "{eos}" ? specials.eos : tokenizer_.control(text);
    require<DataError>(id || i > 0, "chat template ", template_.name, ": stop: the vocabulary has no token '",
                       text, "'; choose the template that belongs to the model");
    if (id) stops_.push_back(*id);
  }
  std::sort(stops_.begin(), stops_.end());
  stops_.erase(std::unique(stops_.begin(), stops_.end()), stops_.end());
}

ChatRenderer::ChatRenderer(const ChatTemplate& chat_template, const Tokenizer& tokenizer)
    : template_(chat_template), tokenizer_(tokenizer) {
  const struct {
    Parts& parts;
    const std::string& text;
    const char* field;
    PartKind required;  // text: none
  } fields[] = {{begin_, template_.begin, "begin", PartKind::text},
                {system_, template_.system, "system", PartKind::system},
                {system_in_user_, template_.system_in_user, "system_in_user", PartKind::user},
                {user_, template_.user, "user", PartKind::user},
                {user_with_input_, template_.user_with_input, "user_with_input", PartKind::input},
                {history_, template_.history, "history", PartKind::assistant},
                {user_after_history_, template_.user_after_history, "user_after_history", PartKind::user},
                {assistant_, template_.assistant, "assistant", PartKind::assistant},
                {end_, template_.end, "end", PartKind::text},
                {thought_, template_.thought, "thought", PartKind::thought},
                {no_thought_, template_.no_thought, "no_thought", PartKind::text},
                {completion_, template_.completion, "completion", PartKind::assistant}};
  for (const auto& field : fields) {
    field.parts = parse(field.text, field.field);
    const auto has = [&field](PartKind kind) {
      return std::any_of(field.parts.begin(), field.parts.end(),
                         [kind](const Part& p) { return p.kind == kind; });
    };
    const bool may_be_empty =
        &field.parts != &user_ && &field.parts != &assistant_ && &field.parts != &completion_;
    const bool complete =
        field.required == PartKind::text || has(field.required) || (may_be_empty && field.text.empty());
    require<ConfigError>(complete, "chat template ", template_.name, ": ", field.field,
                         " has no place for the text it is about, such as {user} or {assistant}");
    require<ConfigError>(&field.parts == &assistant_ || !has(PartKind::generate), "chat template ",
                         template_.name, ": ", field.field, ": {generate} may only stand in assistant");
  }
  finish_assistant();
  collect_stops();
  last_answer_only_ = !history_.empty() || !thought_.empty();
}

bool ChatRenderer::is_stop(std::int32_t id) const {
  return std::binary_search(stops_.begin(), stops_.end(), id);
}

}  // namespace rankine
