// A request from outside to end early, looked at between the parts of work that can be dropped.
#pragma once

#include <atomic>

#include "engine/core/error.h"

namespace rankine {

// Work was asked to stop, and what it was making is to be dropped (exit code 130 or 143).
class Interrupted : public Error {
 public:
  using Error::Error;
};

class StopFlag {
 public:
  StopFlag() = default;  // never set
  // `flag` must outlive this.
  explicit StopFlag(const std::atomic<bool>& flag) : flag_(&flag) {}

  bool set() const { return flag_ && *flag_; }
  void throw_if_set() const { require<Interrupted>(!set(), "stopped on request"); }

 private:
  const std::atomic<bool>* flag_ = nullptr;
};

}  // namespace rankine
