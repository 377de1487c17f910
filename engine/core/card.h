// What a machine can do, in the numbers that a forecast of time needs, and the clock of a plan device, which
// passes by them.
//
// A plan device computes nothing, but it goes through the same calls in the same order as the real one. So a
// clock that every operation and every copy moves on by what it costs tells how long the program would take,
// waits for copies included.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/core/device.h"

namespace rankine {

// FLOPs and bytes an operation moves at least, by its formula; what a roofline compares a time with.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// Rates are sustained, not peak.
struct Card {
  std::string name;
  DeviceKind kind = DeviceKind::cuda;
  std::size_t memory = 0;            // bytes
  double flops_per_second = 0;       // of products: fp16 or bf16 with fp32 sums on CUDA, fp32 on a CPU
  double bytes_per_second = 0;       // of the device's memory, read and written
  double link_bytes_per_second = 0;  // between the device and page-locked memory of the host, each way
  double file_bytes_per_second = 0;  // of the disk with the page file
  double launch_seconds = 0;         // of one operation, whatever it does
  std::string source;                // where the numbers are from, for people
};

// Ways that pages and streamed weights travel. Each takes one copy at a time, beside the computation.
enum class Link : std::uint8_t { to_host, from_host, to_file, from_file };
inline constexpr int kLinks = 4;

class PlanClock {
 public:
  explicit PlanClock(Card card) : card_(std::move(card)) {}

  const Card& card() const { return card_; }
  double now() const { return now_; }  // seconds since the start
  // One operation: max(FLOPs / rate, bytes / rate), and its launch.
  void compute(const Cost& cost);
  // Queues a copy behind those of the same link; returns the time when it is done. Nobody waits yet.
  double copy(Link link, std::size_t bytes);
  // The program goes on at `time`, if that is later.
  void wait_until(double time);
  double waited() const { return waited_; }  // seconds, of all waits
  // Seconds that a link was busy.
  double busy(Link link) const { return links_[static_cast<int>(link)].busy; }

 private:
  struct Queue {
    double free_at = 0, busy = 0;
  };
  double rate_of(Link link) const;

  Card card_;
  double now_ = 0, waited_ = 0;
  std::array<Queue, kLinks> links_{};
};

}  // namespace rankine
