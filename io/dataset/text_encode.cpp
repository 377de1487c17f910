#include "io/dataset/text_encode.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>

#include "engine/core/error.h"
#include "engine/core/parallel.h"

namespace rankine {

namespace {

bool is_completion(const Conversation& row) {
  return row.messages.size() == 1 && row.messages[0].role == Role::text;
}

std::size_t next_character(const std::string& text, std::size_t at) {
  for (++at; at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80;) ++at;
  return std::min(at, text.size());
}

struct RowResult {
  std::size_t whole_length = 0;
  std::vector<TokenSequence> sequences;
  std::string cut, too_long, untrained;  // what to say; empty: it did not happen
};

// One row made to fit.
class Fitter {
 public:
  Fitter(const ChatRenderer& chat, const EncodeOptions& options) : chat_(chat), options_(options) {}

  RowResult encode(const Conversation& row, std::size_t index) const {
    RowResult result;
    TokenSequence whole = chat_.render(row, options_.render);
    result.whole_length = whole.ids.size();
    if (is_completion(row)) {
      cut_windows(whole, result);
    } else if (fits(whole)) {
      result.sequences.push_back(std::move(whole));
    } else {
      shorten(row, std::move(whole), result);
    }
    std::erase_if(result.sequences, [](const TokenSequence& s) { return trained_tokens(s) == 0; });
    if (result.sequences.empty() && result.too_long.empty()) {
      result.untrained = result.cut.empty() ? "has nothing to train" : "has nothing to train once cut";
      result.cut.clear();
    }
    for (TokenSequence& sequence : result.sequences) sequence.row = index;
    return result;
  }

 private:
  std::size_t limit() const { return static_cast<std::size_t>(options_.max_length); }
  bool fits(const TokenSequence& sequence) const { return sequence.ids.size() <= limit(); }

  void cut_windows(const TokenSequence& whole, RowResult& result) const {
    const auto first = std::find(whole.trained.begin(), whole.trained.end(), std::uint8_t{1});
    const std::size_t head = whole.prefix > 0 ? static_cast<std::size_t>(first - whole.trained.begin()) : 0;
    if (head + 2 > limit()) return;
    std::size_t begin = 0;
    do {
      const std::size_t repeated = begin > 0 ? head : 0;
      const std::size_t end = std::min(begin + limit() - repeated, whole.ids.size());
      const auto copy = [](auto& to, const auto& from, std::size_t a, std::size_t b) {
        to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(a),
                  from.begin() + static_cast<std::ptrdiff_t>(b));
      };
      TokenSequence window;
      window.prefix = whole.prefix;
      copy(window.ids, whole.ids, 0, repeated);
      copy(window.trained, whole.trained, 0, repeated);
      copy(window.ids, whole.ids, begin, end);
      copy(window.trained, whole.trained, begin, end);
      if (begin > 0) window.trained[repeated] = 0;
      result.sequences.push_back(std::move(window));
      begin = end - 1;
    } while (begin + 1 < whole.ids.size());
  }

  void shorten(const Conversation& row, TokenSequence whole, RowResult& result) const {
    const std::string length = join("has ", whole.ids.size(), " tokens, more than ", options_.max_length);
    if (options_.truncation == Truncation::right) {
      result.cut = length + "; the end is cut off";
      whole.ids.resize(limit());
      whole.trained.resize(limit());
      whole.prefix = std::min(whole.prefix, static_cast<std::int32_t>(limit()));
      result.sequences.push_back(std::move(whole));
    } else if (options_.truncation == Truncation::left_prompt) {
      cut_prompt(row, length, result);
    } else {
      result.too_long = length;
    }
  }

  static Conversation without_oldest(const Conversation& row, std::size_t exchanges) {
    Conversation out;
    out.system = row.system;
    out.where = row.where;
    out.messages.assign(row.messages.begin() + static_cast<std::ptrdiff_t>(2 * exchanges),
                        row.messages.end());
    return out;
  }

  void cut_prompt(const Conversation& row, const std::string& length, RowResult& result) const {
    const std::size_t exchanges = row.messages.size() / 2;
    std::size_t low = 1, high = exchanges;  // leaving out `low` may fit, `high` leaves nothing
    std::optional<TokenSequence> best;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      TokenSequence rest = chat_.render(without_oldest(row, middle), options_.render);
      if (fits(rest)) {
        best = std::move(rest);
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    if (best) {
      result.cut = join(length, "; the oldest ", high, " of ", exchanges, " exchanges are left out");
      result.sequences.push_back(std::move(*best));
      return;
    }
    cut_question(without_oldest(row, exchanges - 1), length, result);
  }

  // Takes the beginning off the input, then off the question, a guess at a time until the row fits.
  void cut_question(Conversation row, const std::string& length, RowResult& result) const {
    Message& question = row.messages.front();
    for (std::string* text : {&question.input, &question.text}) {
      while (!text->empty()) {
        const TokenSequence now = chat_.render(row, options_.render);
        if (fits(now)) {
          result.cut = length + "; the beginning of the prompt is cut off";
          result.sequences.push_back(now);
          return;
        }
        const std::size_t tokens = std::max<std::size_t>(1, chat_.tokenizer().encode(*text, true).size());
        const std::size_t excess = now.ids.size() - limit();
        const std::size_t bytes = excess >= tokens ? text->size() : excess * text->size() / tokens;
        std::size_t end = next_character(*text, 0);
        while (end < bytes) end = next_character(*text, end);
        text->erase(0, end);
      }
    }
    result.too_long = length + "; system text and answer alone leave no room for a question";
  }

  const ChatRenderer& chat_;
  const EncodeOptions& options_;
};

void refuse_long_rows(std::span<const Conversation> rows, const std::vector<RowResult>& results) {
  constexpr std::size_t kShown = 20;
  std::size_t count = 0;
  std::string list;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (results[i].too_long.empty()) continue;
    if (++count <= kShown) list += "\n  " + rows[i].where + ": " + results[i].too_long;
  }
  if (count > kShown) list += join("\n  and ", count - kShown, " more");
  require<DataError>(count == 0, count, count == 1 ? " row is too long:" : " rows are too long:", list);
}

void collect(const Conversation& row, std::size_t index, RowResult& result, EncodedText& out) {
  const auto note = [&](Severity severity, std::string text) {
    out.problems.push_back({severity, row.where, 0, std::move(text)});
    out.problem_rows.push_back(index);
  };
  out.whole_lengths.push_back(result.whole_length);
  out.cut += !result.cut.empty();
  out.dropped_long += !result.too_long.empty();
  out.dropped_untrained += !result.untrained.empty();
  if (!result.cut.empty()) note(Severity::warning, result.cut);
  const std::string fault = result.too_long + result.untrained;
  if (!fault.empty()) note(Severity::error, fault + "; left out");
  if (!result.sequences.empty()) out.windows += result.sequences.size() - 1;
  for (TokenSequence& sequence : result.sequences) out.sequences.push_back(std::move(sequence));
}

}  // namespace

std::int64_t trained_tokens(const TokenSequence& sequence) {
  if (sequence.trained.empty()) return 0;
  return std::count(sequence.trained.begin() + 1, sequence.trained.end(), std::uint8_t{1});
}

EncodedText encode_text(std::span<const Conversation> rows, const ChatRenderer& chat,
                        const EncodeOptions& options) {
  require<std::invalid_argument>(options.max_length >= 8 && options.threads >= 1, "encode_text: max_length ",
                                 options.max_length, ", threads ", options.threads);
  const Fitter fitter(chat, options);
  std::vector<RowResult> results(rows.size());
  ThreadPool pool(options.threads);
  pool.parallel_for(static_cast<std::int64_t>(rows.size()), 64, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      results[i] = fitter.encode(rows[i], i);
    }
  });
  if (options.truncation == Truncation::error) refuse_long_rows(rows, results);
  EncodedText out;
  for (std::size_t i = 0; i < rows.size(); ++i) collect(rows[i], i, results[i], out);
  require<DataError>(!out.sequences.empty(), "no row to train on is left of ", rows.size(), ": ",
                     out.dropped_long, " do not fit into ", options.max_length, " tokens, ",
                     out.dropped_untrained, " have nothing to train");
  return out;
}

}  // namespace rankine
