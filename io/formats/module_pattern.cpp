#include "io/formats/module_pattern.h"

#include <cctype>

#include "engine/core/error.h"

namespace rankine {

class ModulePattern::Parser {
 public:
  Parser(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  Steps whole() {
    Steps steps = alternatives(0);
    check(at_ == text_.size(), "an unopened ')'");
    return steps;
  }

 private:
  using Kind = Step::Kind;
  static constexpr int kMaxDepth = 32;

  void check(bool ok, std::string_view what) const {
    require<DataError>(ok, where_, ": pattern \"", text_.substr(0, 100), "\": ", what, " at byte ", at_,
                       " is not understood");
  }
  bool more() const { return at_ < text_.size(); }
  bool next_is(char c) const { return more() && text_[at_] == c; }
  bool take(char c) {
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }
  static void append(Steps& to, const Steps& from) { to.insert(to.end(), from.begin(), from.end()); }
  static int size(const Steps& steps) { return static_cast<int>(steps.size()); }

  Steps alternatives(int depth) {
    check(depth <= kMaxDepth, "so deep a group");
    Steps left = sequence(depth);
    while (take('|')) {
      const Steps right = sequence(depth);
      Steps both{{Kind::split, {}, 1, size(left) + 2}};
      append(both, left);
      both.push_back({Kind::jump, {}, size(right) + 1});
      append(both, right);
      left = std::move(both);
    }
    return left;
  }

  Steps sequence(int depth) {
    Steps steps;
    while (more() && !next_is('|') && !next_is(')')) append(steps, repeated(depth));
    return steps;
  }

  Steps repeated(int depth) {
    Steps inner = atom(depth);
    const int n = size(inner);
    Steps steps;
    if (take('*')) {
      steps.push_back({Kind::split, {}, 1, n + 2});
      append(steps, inner);
      steps.push_back({Kind::jump, {}, -n - 1});
    } else if (take('+')) {
      steps = inner;
      steps.push_back({Kind::split, {}, -n, 1});
    } else if (take('?')) {
      steps.push_back({Kind::split, {}, 1, n + 1});
      append(steps, inner);
    } else {
      steps = std::move(inner);
    }
    check(!next_is('*') && !next_is('+') && !next_is('?') && !next_is('{'), "a repetition");
    return steps;
  }

  Steps atom(int depth) {
    if (take('(')) {
      if (take('?')) check(take(':'), "this kind of group");
      Steps inner = alternatives(depth + 1);
      check(take(')'), "a group without end");
      return inner;
    }
    std::bitset<256> set;
    if (take('.')) {
      set.set();
      set.reset('\n');
    } else if (take('[')) {
      set = choice();
    } else if (next_is('\\')) {
      set = escaped();
    } else {
      check(std::string_view("*+?{}^$]").find(text_[at_]) == std::string_view::npos, "this character");
      set.set(static_cast<unsigned char>(text_[at_++]));
    }
    return {{Kind::one, set}};
  }

  std::bitset<256> escaped() {
    ++at_;
    check(more(), "a lonely backslash");
    const auto c = static_cast<unsigned char>(text_[at_++]);
    std::bitset<256> set;
    if (c == 'd' || c == 'w') {
      for (int k = '0'; k <= '9'; ++k) set.set(static_cast<std::size_t>(k));
      for (int k = 'a'; k <= 'z' && c == 'w'; ++k)
        set.set(static_cast<std::size_t>(k)).set(static_cast<std::size_t>(k - 'a' + 'A'));
      if (c == 'w') set.set('_');
    } else {
      check(std::isalnum(c) == 0, "this escape");
      set.set(c);
    }
    return set;
  }

  std::bitset<256> choice() {
    const bool inverted = take('^');
    std::bitset<256> set;
    bool first = true;
    while (check(more(), "a choice without end"), first || !next_is(']')) {
      first = false;
      if (next_is('\\')) {
        set |= escaped();
        continue;
      }
      const auto from = static_cast<unsigned char>(text_[at_++]);
      auto to = from;
      if (next_is('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        to = static_cast<unsigned char>(text_[at_ + 1]);
        check(to != '\\' && from <= to, "this range");
        at_ += 2;
      }
      for (int k = from; k <= to; ++k) set.set(static_cast<std::size_t>(k));
    }
    ++at_;
    return inverted ? ~set : set;
  }

  std::string_view text_, where_;
  std::size_t at_ = 0;
};

ModulePattern::ModulePattern(std::string_view pattern, std::string_view where) {
  constexpr std::size_t kMaxBytes = 2000;
  require<DataError>(pattern.size() <= kMaxBytes, where, ": a pattern of ", pattern.size(),
                     " bytes; at most ", kMaxBytes, " are understood");
  from_start_ = pattern.starts_with('^');
  if (from_start_) pattern.remove_prefix(1);
  if (pattern.ends_with('$') && !pattern.ends_with("\\$")) pattern.remove_suffix(1);
  steps_ = Parser(pattern, where).whole();
}

bool ModulePattern::matches(std::string_view path) const {
  if (matches_from(path)) return true;
  for (std::size_t dot = 0; !from_start_ && (dot = path.find('.', dot)) != std::string_view::npos;) {
    if (matches_from(path.substr(++dot))) return true;
  }
  return false;
}

// Marks what can be reached without taking a byte; the list of open steps bounds the depth.
void ModulePattern::follow(int step, std::vector<bool>& active) const {
  std::vector<int> open{step};
  while (!open.empty()) {
    const int at = open.back();
    open.pop_back();
    if (active[at]) continue;
    active[at] = true;
    if (at == static_cast<int>(steps_.size()) || steps_[at].kind == Step::Kind::one) continue;
    open.push_back(at + steps_[at].first);
    if (steps_[at].kind == Step::Kind::split) open.push_back(at + steps_[at].second);
  }
}

bool ModulePattern::matches_from(std::string_view text) const {
  std::vector<bool> active(steps_.size() + 1), next;
  follow(0, active);
  for (const char c : text) {
    next.assign(steps_.size() + 1, false);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const bool takes =
          active[i] && steps_[i].kind == Step::Kind::one && steps_[i].set.test(static_cast<unsigned char>(c));
      if (takes) follow(static_cast<int>(i) + 1, next);
    }
    active.swap(next);
  }
  return active.back();
}

}  // namespace rankine
