#include "io/dataset/chat_renderer.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"
#include "io/dataset/text_file.h"

namespace rankine {

// One conversation on its way to ids. Text gathers until something ends its piece.
class Rendering {
 public:
  Rendering(const ChatRenderer& chat, const Conversation& row, const RenderOptions& options, bool prompt_only)
      : chat_(chat), row_(row), options_(options), prompt_only_(prompt_only) {}

  TokenSequence run() {
    if (row_.messages.size() == 1 && row_.messages[0].role == Role::text) {
      emit_completion();
    } else {
      emit_conversation();
    }
    flush();
    if (options_.train_on_prompt && !prompt_only_) std::fill(out_.trained.begin(), out_.trained.end(), 1);
    return std::move(out_);
  }

 private:
  using Kind = ChatRenderer::PartKind;
  using Parts = ChatRenderer::Parts;

  struct Places {
    std::string system, user, input, assistant, thought;
    int round = 0;
  };

  void emit_completion() {
    const Places places{.assistant = row_.messages[0].text};
    for (const ChatRenderer::Part& part : chat_.completion_) {
      if (part.kind == Kind::assistant) {
        flush();
        training_ = !prompt_only_;
      }
      emit_part(part, places);
      if (part.kind == Kind::assistant && prompt_only_) return;
    }
  }

  void emit_conversation() {
    find_exchanges();
    emit(chat_.begin_, {});
    emit_system();
    const bool as_text = !chat_.history_.empty();
    for (std::size_t i = 0; i < questions_.size(); ++i) {
      const bool last = i + 1 == questions_.size();
      if (as_text && !last) {
        emit(chat_.history_, exchange(i));
      } else {
        emit_question(i);
        if (last || answers_[i] != nullptr) emit_answer(i, last);
      }
    }
  }

  void find_exchanges() {
    for (std::size_t i = 0; i < row_.messages.size(); ++i) {
      const Message& message = row_.messages[i];
      require<std::invalid_argument>(message.role == (i % 2 == 0 ? Role::user : Role::assistant), row_.where,
                                     ": questions and answers do not take turns");
      if (message.role == Role::user) {
        questions_.push_back(&message);
        answers_.push_back(nullptr);
      } else {
        answers_.back() = &message;
      }
    }
    require<std::invalid_argument>(!questions_.empty(), row_.where, ": a conversation without a question");
    require<std::invalid_argument>(prompt_only_ || answers_.back() != nullptr, row_.where,
                                   ": the last question has no answer");
  }

  std::string shaped(const std::string& text) const {
    return chat_.template_.trim ? std::string(trim(text)) : text;
  }

  const std::string& system_text() const {
    if (!row_.system.empty()) return row_.system;
    const ChatTemplate& form = chat_.template_;
    const bool with_input = !questions_[0]->input.empty() && !form.default_system_with_input.empty();
    return with_input ? form.default_system_with_input : form.default_system;
  }

  void emit_system() {
    if (system_text().empty() || !chat_.system_in_user_.empty()) return;
    emit(chat_.system_, {.system = shaped(system_text())});
  }

  static std::string joined(const Message& question) {
    if (question.input.empty()) return question.text;
    return question.text.empty() ? question.input : question.text + '\n' + question.input;
  }

  Places exchange(std::size_t i) const {
    Places places;
    places.round = chat_.template_.first_round + static_cast<int>(i);
    places.user = shaped(joined(*questions_[i]));
    if (answers_[i] != nullptr) places.assistant = shaped(answers_[i]->text);
    return places;
  }

  void emit_question(std::size_t i) {
    Places places = exchange(i);
    if (i == 0 && !chat_.system_in_user_.empty() && !system_text().empty()) {
      places.system = shaped(system_text());
      return emit(chat_.system_in_user_, places);
    }
    if (!questions_[i]->input.empty() && !chat_.user_with_input_.empty()) {
      places.user = shaped(questions_[i]->text);
      places.input = shaped(questions_[i]->input);
      return emit(chat_.user_with_input_, places);
    }
    emit(i > 0 && !chat_.user_after_history_.empty() ? chat_.user_after_history_ : chat_.user_, places);
  }

  // Takes "<think>...</think>" off the front of an answer.
  static std::string take_thought(std::string& answer) {
    constexpr std::string_view kOpen = "<think>", kClose = "</think>";
    const std::string_view text = trim(answer);
    const std::size_t close = text.find(kClose);
    if (!text.starts_with(kOpen) || close == std::string_view::npos) return {};
    std::string thought(trim(text.substr(kOpen.size(), close - kOpen.size())));
    answer = std::string(trim(text.substr(close + kClose.size())));
    return thought;
  }

  void emit_answer(std::size_t i, bool last) {
    Places places = exchange(i);
    if (!chat_.thought_.empty()) places.thought = take_thought(places.assistant);
    const bool only_last = options_.mask_history || chat_.last_answer_only_;
    const bool trained = !prompt_only_ && answers_[i]->trained && (last || !only_last);
    bool answered = false, ended = false;
    for (const ChatRenderer::Part& part : chat_.assistant_) {
      if (part.kind == Kind::generate) {
        begin_answer(places, last);
        if (prompt_only_ && last) return;
        training_ = trained;
        if (last && !places.thought.empty()) emit(chat_.thought_, places);
        continue;
      }
      emit_part(part, places);
      if (part.kind == Kind::assistant) answered = true;
      if (ended || !answered || (part.kind != Kind::token && part.kind != Kind::bos)) continue;
      ended = true;
      training_ = false;
      if (last) return;  // what follows only leads to the next question
    }
    if (!ended) end_answer(trained, last);
  }

  // The prompt's last spaces go to the answer, or are dropped with it.
  void begin_answer(const Places& places, bool last) {
    const bool thoughts_follow = prompt_only_ ? options_.thinking : !places.thought.empty();
    if (last && !thoughts_follow) emit(chat_.no_thought_, places);
    const std::size_t end = text_.find_last_not_of(' ');
    const std::string spaces = text_.substr(end == std::string::npos ? 0 : end + 1);
    text_.resize(text_.size() - spaces.size());
    flush();
    if (!prompt_only_ || !last) text_ = spaces;
  }

  // For templates whose answers have no end token of their own.
  void end_answer(bool trained, bool last) {
    flush();
    if (last) emit(chat_.end_, {});
    awaits_end_ = training_ && trained && !last && !chat_.end_.empty();
    training_ = false;
  }

  void emit(const Parts& parts, const Places& places) {
    for (const ChatRenderer::Part& part : parts) emit_part(part, places);
  }

  void emit_part(const ChatRenderer::Part& part, const Places& places) {
    switch (part.kind) {
      case Kind::text:
        return add(part.text);
      case Kind::token:
      case Kind::bos:
        return add_token(part.id, part.kind == Kind::bos);
      case Kind::begin:
        flush();
        opens_ = true;
        return;
      case Kind::prefix:
        flush();
        out_.prefix = static_cast<std::int32_t>(out_.ids.size());
        return;
      case Kind::system:
        return add(places.system);
      case Kind::user:
        return add(places.user);
      case Kind::input:
        return add(places.input);
      case Kind::assistant:
        return add(places.assistant);
      case Kind::thought:
        return add(places.thought);
      case Kind::round:
        return add(std::to_string(places.round));
      case Kind::generate:
        return;
    }
  }

  void add(const std::string& text) {
    text_ += text;
    if (!text.empty()) awaits_end_ = false;
  }

  void add_token(std::int32_t id, bool is_bos) {
    flush();
    push(id, training_ || std::exchange(awaits_end_, false));
    opens_ = is_bos;
  }

  void flush() {
    if (text_.empty()) return;
    for (const std::int32_t id : chat_.tokenizer_.encode(text_, opens_)) push(id, training_);
    text_.clear();
    opens_ = false;
  }

  void push(std::int32_t id, bool trained) {
    out_.ids.push_back(id);
    out_.trained.push_back(trained ? 1 : 0);
  }

  const ChatRenderer& chat_;
  const Conversation& row_;
  const RenderOptions& options_;
  const bool prompt_only_;
  std::vector<const Message*> questions_, answers_;  // answers_[i] is null when there is none
  TokenSequence out_;
  std::string text_;
  bool opens_ = true, training_ = false, awaits_end_ = false;
};

TokenSequence ChatRenderer::render(const Conversation& row, const RenderOptions& options) const {
  return Rendering(*this, row, options, false).run();
}

TokenSequence ChatRenderer::render_prompt(const Conversation& row, const RenderOptions& options) const {
  return Rendering(*this, row, options, true).run();
}

}  // namespace rankine
