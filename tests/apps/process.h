// Runs the program under test as a user would.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace rankine {

struct Finished {
  int code = -1;  // exit status; 1000 + the signal when one ended it
  std::string out, err;
};

// A running `rankine args...`, its output caught in files under `folder`.
class Process {
 public:
  Process(const std::vector<std::string>& args, const std::filesystem::path& folder);
  ~Process();  // kills what still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool running() const;
  void send(int signal) const;
  Finished wait();

 private:
  pid_t pid_ = -1;
  std::filesystem::path out_, err_;
};

Finished rankine_run(const std::vector<std::string>& args, const std::filesystem::path& folder);

std::string file_text(const std::filesystem::path& file);

}  // namespace rankine
