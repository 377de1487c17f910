// How the program ends; the codes are part of its interface (docs and job schedulers rely on them).
#pragma once

namespace rankine::app {

enum ExitCode : int {
  kFinished = 0,
  kWrongConfig = 2,   // the run file or the command line
  kBadData = 3,       // a model, picture, caption or adapter, or the disk
  kDiverged = 4,      // the loss stayed not finite
  kInterrupted = 128  // + the signal's number: 130 (Ctrl-C), 143 (terminated); a checkpoint was written
};
// The machine was short of something that it has in principle: worth another try, unchanged.
inline constexpr int kRetryable = 138;

}  // namespace rankine::app
