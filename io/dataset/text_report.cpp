#include "io/dataset/text_report.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "engine/core/error.h"
#include "io/files/sha256.h"

namespace rankine {

namespace {

constexpr std::size_t kExamples = 10;

void add(Sha256& hash, const std::string& text) {
  hash.update(std::to_string(text.size()) + ':');
  hash.update(text);
}

// Of everything before the last answer; of a completion, of all of it.
std::string question_hash(const Conversation& row) {
  Sha256 hash;
  add(hash, row.system);
  const bool has_answer = !row.messages.empty() && row.messages.back().role == Role::assistant;
  for (std::size_t i = 0; i + (has_answer ? 1 : 0) < row.messages.size(); ++i) {
    add(hash, row.messages[i].text);
    add(hash, row.messages[i].input);
  }
  return hash.hex();
}

std::string row_hash(const Conversation& row, const std::string& question) {
  Sha256 hash;
  add(hash, question);
  if (!row.messages.empty()) add(hash, row.messages.back().text);
  return hash.hex();
}

class Finder {
 public:
  explicit Finder(TextReport& report) : report_(report) {}

  TextFinding& of(const std::string& what) {
    for (TextFinding& one : report_.findings) {
      if (one.what == what) return one;
    }
    return report_.findings.emplace_back(TextFinding{what, 0, {}});
  }
  void add(const std::string& what, const std::string& example) {
    TextFinding& finding = of(what);
    if (++finding.count <= kExamples) finding.examples.push_back(example);
  }

 private:
  TextReport& report_;
};

void measure(const EncodedText& encoded, TextReport& report) {
  for (const TokenSequence& sequence : encoded.sequences) {
    report.tokens += static_cast<std::int64_t>(sequence.ids.size());
    report.trained_tokens += trained_tokens(sequence);
  }
  std::vector<std::int64_t> lengths(encoded.whole_lengths.begin(), encoded.whole_lengths.end());
  std::map<std::int64_t, std::size_t> bins;
  for (const std::int64_t length : lengths) {
    ++bins[static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(length)))];
  }
  report.histogram.assign(bins.begin(), bins.end());
  if (lengths.empty()) return;
  std::sort(lengths.begin(), lengths.end());
  constexpr std::size_t kPercent[] = {0, 50, 90, 95, 99, 100};
  for (std::size_t i = 0; i < report.lengths.size(); ++i) {
    const std::size_t rank = (kPercent[i] * lengths.size() + 99) / 100;
    report.lengths[i] = lengths[rank == 0 ? 0 : rank - 1];
  }
}

struct Seen {
  std::unordered_map<std::string, std::string> rows, questions;  // hash -> where
};

Seen find_repeats(std::span<const Conversation> rows, Finder& find) {
  Seen seen;
  for (const Conversation& row : rows) {
    const std::string question = question_hash(row);
    const auto [same, is_new] = seen.rows.try_emplace(row_hash(row, question), row.where);
    if (!is_new) {
      find.add("rows that repeat another word for word", row.where + ": as " + same->second);
      continue;
    }
    const auto [asked, is_first] = seen.questions.try_emplace(question, row.where);
    if (!is_first) {
      find.add("rows whose question has another answer elsewhere", row.where + ": asked in " + asked->second);
    }
  }
  return seen;
}

void find_leaks(std::span<const Conversation> eval, const Seen& seen, Finder& find) {
  for (const Conversation& row : eval) {
    const std::string question = question_hash(row);
    if (const auto same = seen.rows.find(row_hash(row, question)); same != seen.rows.end()) {
      find.add("evaluation rows that are trained on word for word", row.where + ": as " + same->second);
    } else if (const auto asked = seen.questions.find(question); asked != seen.questions.end()) {
      find.add("evaluation rows whose question is trained on", row.where + ": asked in " + asked->second);
    }
  }
}

bool has_placeholder(const std::string& text) {
  const std::size_t open = text.find("{{");
  const std::size_t close = open == std::string::npos ? open : text.find("}}", open);
  constexpr std::size_t kLongest = 40;
  return close != std::string::npos && close - open <= kLongest && text.find('\n', open) > close;
}

void find_placeholders(std::span<const Conversation> rows, Finder& find) {
  for (const Conversation& row : rows) {
    const auto found = std::find_if(row.messages.begin(), row.messages.end(), [](const Message& m) {
      return m.role == Role::assistant && has_placeholder(m.text);
    });
    if (found == row.messages.end()) continue;
    const std::size_t open = found->text.find("{{");
    find.add("answers with a placeholder",
             row.where + ": " + found->text.substr(open, found->text.find("}}", open) + 2 - open));
  }
}

void find_lost(const EncodedText& encoded, Finder& find) {
  std::vector<std::size_t> order(encoded.problems.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&encoded](std::size_t a, std::size_t b) {
    const auto length = [&encoded](std::size_t i) { return encoded.whole_lengths[encoded.problem_rows[i]]; };
    return length(a) > length(b);
  });
  for (const std::size_t i : order) {
    const bool is_cut = encoded.problems[i].severity == Severity::warning;
    find.add(is_cut ? "rows that were cut" : "rows that were left out", encoded.problems[i].to_string());
  }
}

void find_untrained_answers(const TextReportInput& input, Finder& find) {
  if (!input.chat.trains_last_answer_only()) return;
  for (const Conversation& row : input.rows) {
    const std::size_t earlier = row.messages.size() / 2;
    if (earlier < 2) continue;
    find.add("rows of which the template '" + input.chat.name() + "' trains the last answer only",
             join(row.where, ": ", earlier, " answers"));
  }
}

// The last trained token of a conversation ends an answer, or it was cut.
void find_open_ends(const TextReportInput& input, Finder& find) {
  for (const TokenSequence& sequence : input.encoded.sequences) {
    const Conversation& row = input.rows[sequence.row];
    if (row.messages.size() == 1) continue;  // completions end where their window does
    const auto last = std::find(sequence.trained.rbegin(), sequence.trained.rend(), std::uint8_t{1});
    if (last == sequence.trained.rend()) continue;
    const auto at = static_cast<std::size_t>(sequence.trained.rend() - last) - 1;
    if (input.chat.is_stop(sequence.ids[at])) continue;
    find.add("answers without the token that ends them",
             row.where + ": ends with " + input.chat.tokenizer().piece(sequence.ids[at]));
  }
}

}  // namespace

TextReport text_report(const TextReportInput& input) {
  TextReport report;
  report.rows = input.rows.size();
  report.sequences = input.encoded.sequences.size();
  measure(input.encoded, report);
  Finder find(report);
  const Seen seen = find_repeats(input.rows, find);
  find_lost(input.encoded, find);
  find_untrained_answers(input, find);
  find_open_ends(input, find);
  find_placeholders(input.rows, find);
  find_leaks(input.eval, seen, find);
  return report;
}

std::string TextReport::to_string() const {
  const double share = tokens > 0 ? 100.0 * double(trained_tokens) / double(tokens) : 0;
  std::string out = join(rows, " rows, ", sequences, " sequences, ", tokens, " tokens, ", trained_tokens,
                         " of them trained (", std::lround(share), " %)\n");
  out += join("length: ", lengths[0], " to ", lengths[5], "; half up to ", lengths[1], ", 90 % up to ",
              lengths[2], ", 95 % up to ", lengths[3], ", 99 % up to ", lengths[4], '\n');
  for (const auto& [length, count] : histogram) out += join("  up to ", length, ": ", count, '\n');
  for (const TextFinding& finding : findings) {
    out += join(finding.count, ' ', finding.what, '\n');
    for (const std::string& example : finding.examples) out += "  " + example + '\n';
    if (finding.count > finding.examples.size()) {
      out += join("  and ", finding.count - finding.examples.size(), " more\n");
    }
  }
  return out;
}

}  // namespace rankine
