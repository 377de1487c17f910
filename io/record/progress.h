// Text for people: the progress line of a run, and the units in it. Nothing here prints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rankine {

struct Progress {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  std::int64_t epoch = 0;  // from 1; 0: not shown
  std::int64_t epochs = 0;
  double seconds_per_step = 0;  // a moving median; 0: not known yet
  double samples_per_second = 0;
  std::string unit = "img";  // of them
  double loss = 0;           // a moving average
  double learning_rate = 0;
  double grad_norm = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_budget_bytes = 0;  // 0: not shown
  std::uint64_t paged_bytes = 0;          // of the tape, moved out at once; 0: not shown
  std::optional<double> waited_share;     // of the time, for pages; nothing: not measured
};

// Seconds until the last step; negative when not known yet.
double remaining_seconds(const Progress& progress);

// "step 120/1000  12%  epoch 2/10  loss 0.1234  lr 1.00e-04  grad 0.4300  3.20 img/s  mem 6.1/22.0 GiB  eta
// 12m 30s". Where pages are moved the memory is "mem 6.1/22.0 GiB, paged 1.2 GiB (waited 3 %)". `width` > 0
// leaves out fields from the right, keeping step, percent, loss and eta, until the line fits.
std::string progress_line(const Progress& progress, std::size_t width = 0);

std::string format_duration(double seconds);    // "45s", "12m 30s", "3h 05m", "2d 04h"; "?" when negative
std::string format_bytes(std::uint64_t bytes);  // "512 B", "6.1 GiB"
std::string format_compact(double value);       // "0.1234", "12.35", "1.00e-04", "nan"

}  // namespace rankine
