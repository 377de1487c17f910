// What is wrong with a run file: every problem at once, each with its place in the text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"

namespace rankine::config {

// Lines and columns count from 1; columns count characters, not bytes. Line 0: the problem has no place.
struct ConfigProblem {
  std::string where;  // "run.yaml:6:1", "--set", "run.yaml"
  int line = 0;       // 0 for --set
  int column = 0;
  std::string key;      // "lora_rank", "new_model.unet.num_heads"; empty for a problem of the whole file
  std::string message;  // what is wrong, what is allowed, did you mean
  std::string excerpt;  // the line with a caret under the place; two lines of text, or empty
  std::string to_string() const;
};

// what() is one block per problem: "file:line:col: key: message", then the line and a caret.
class InvalidRunConfig : public ConfigError {
 public:
  explicit InvalidRunConfig(std::vector<ConfigProblem> problems);
  const std::vector<ConfigProblem>& problems() const { return problems_; }

 private:
  std::vector<ConfigProblem> problems_;
};

// A place in one of the sources of a Problems object.
struct Location {
  int source = 0;
  int line = 0;    // 0: the source as a whole
  int column = 0;  // in bytes, from 1
};

// Collects problems while reading and throws them together.
class Problems {
 public:
  enum class Excerpt { show, hide };

  // `name` is how messages call the text. A numbered source shows line and column, one from --set does not.
  // Returns the number to put into Location::source.
  int add_source(std::string name, std::string_view text, bool numbered);
  void add(const Location& at, const std::string& key, std::string message, Excerpt excerpt = Excerpt::show);
  bool empty() const { return found_.empty(); }
  std::size_t size() const { return found_.size(); }
  // "line 4", "--set": for messages that point at a second place.
  std::string place(const Location& at) const;
  // Throws InvalidRunConfig, sorted by source and place, when there is a problem.
  void throw_if_any() const;

 private:
  struct Source {
    std::string name;
    std::vector<std::string> lines;
    bool numbered;
  };
  struct Found {
    Location at;
    ConfigProblem problem;
  };
  std::vector<Source> sources_;
  std::vector<Found> found_;
};

}  // namespace rankine::config
