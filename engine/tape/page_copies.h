// The copies of page_store.h on a real device. Internal to engine/tape.
//
// A stream per way and link. A page that goes between a CUDA device and the file passes in pieces through a
// few page-locked buffers, so that a piece is on the link while another one is on the disk.
#pragma once

#include <array>
#include <atomic>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <tuple>

#include "engine/core/context.h"
#include "engine/tape/page_file.h"

namespace rankine {

class PageCopies {
 public:
  static constexpr std::size_t kStages = 4;  // per way

  struct Place {
    bool in_file;
    std::size_t offset, bytes;
  };

  // Of page-locked memory: `host_bytes` for pages, and 2 kStages buffers of `stage_bytes` if there is a file.
  PageCopies(Runtime& runtime, std::size_t host_bytes, std::size_t stage_bytes,
             std::unique_ptr<PageFile> file);
  ~PageCopies();  // waits
  PageCopies(const PageCopies&) = delete;
  PageCopies& operator=(const PageCopies&) = delete;

  // Each is queued behind what the program has queued; the event is that of its end.
  Event out(const Place& to, std::byte* from) { return move(Way::out, to, from); }
  Event in(const Place& from, std::byte* to) { return move(Way::in, from, to); }
  // What the program does from now on comes after `done`. On a CPU it waits and gets the copy's error thrown.
  void join(const Event& done);
  // Waits for all that is queued; errors stay for throw_if_failed().
  void drain();

  void throw_if_failed() const;

 private:
  enum class Way : std::uint8_t { out, in };
  struct Ring {
    std::shared_ptr<std::byte> bytes;
    std::array<Event, kStages> free;
    std::size_t next = 0;
  };
  using HostWork = std::shared_ptr<const std::function<void()>>;

  Event move(Way way, const Place& place, std::byte* memory);
  void move_file(Way way, std::size_t offset, std::span<std::byte> bytes);
  Event through_host(Way way, const Place& place, std::byte* device);
  Event through_stages(Way way, const Place& place, std::byte* device);
  Event fork();
  void forget_other_work();
  const HostWork& host_work(Way way, std::size_t offset, std::span<std::byte> stage);

  Runtime& runtime_;
  std::size_t stage_bytes_;
  std::unique_ptr<PageFile> file_;   // null: none
  std::shared_ptr<std::byte> host_;  // page-locked; null: none
  Ring rings_[2];
  // What recordings call: kept for as long as the store. Bounded, because pages lie in the same places every
  // step.
  std::map<std::tuple<Way, std::size_t, std::byte*, std::size_t>, HostWork> host_work_;
  std::uint64_t work_ = 0;  // Runtime::work() of the events in rings_

  std::atomic<bool> failed_ = false;
  mutable std::mutex mutex_;
  std::exception_ptr failure_;  // the first one; under mutex_

  // Last: they end before what they use.
  Stream to_host_, from_host_, to_file_, from_file_;
};

}  // namespace rankine
