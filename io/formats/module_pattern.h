// Patterns for module paths as PEFT's configurations have them (rank_pattern, alpha_pattern): Python regular
// expressions that must match the path, or what follows one of its dots, to the end.
//
// Understood: literals, ".", \d \w \. and other escaped punctuation, [a-z] [^...], groups, |, *, + and ?, ^
// at the start, $ at the end. Matching takes time linear in the path for each pattern, whatever it says.
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

namespace rankine {

class ModulePattern {
 public:
  // Throws DataError that begins with `where` for a pattern with another construct, or of more than 2000
  // bytes.
  ModulePattern(std::string_view pattern, std::string_view where);
  bool matches(std::string_view path) const;

 private:
  // A step of the automaton; targets count from the step itself.
  struct Step {
    enum class Kind { one, split, jump } kind;
    std::bitset<256> set;  // one: bytes it takes
    int first = 1, second = 1;
  };
  using Steps = std::vector<Step>;
  class Parser;

  bool matches_from(std::string_view text) const;
  void follow(int step, std::vector<bool>& active) const;

  Steps steps_;  // their end is the match
  bool from_start_ = false;
};

}  // namespace rankine
