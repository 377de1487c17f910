// Where pages of the tape go while the device has no room for them: two tiers below its memory.
//
//   CUDA: page-locked memory of the host while there is room in it, then the page file (page_file.h).
//   CPU:  the page file.
//
// A page is the copy of a block in one of the tiers. Copies run beside the program, on a stream per way and
// link; the program asks for one early and says later from where on it counts on it:
//
//   PagePtr page = store.write(block);   // ... the program goes on; block is not changed ...
//   store.finish_write(*page);           // block may go
//   store.read(*page, other_block);      // ... the program goes on; other_block is not touched ...
//   store.finish_read(*page);            // other_block has the bytes
//
// Order is kept by events alone, and everything is allocated by the constructor, so all of this may stand in
// work that is recorded (step_graph.h) if each write and read is finished in the work that began it. The
// store must then outlive the recordings: they call it.
//
// Which tier a page gets, and where in it, follows from the sizes and the order of calls. So a plan device
// with the same host_bytes finds out what the real one needs, and pages that were all dropped by the end of a
// step lie where they lay in the next one.
//
// The program waits for a copy on a CPU in finish_*, where its error is thrown. On CUDA the device waits, and
// a host function that fails can throw nothing: what was to be read becomes 0xFF in every byte, a NaN of
// every float type, later copies of files are not tried, and throw_if_failed() says why. Calls that queue
// something begin with it, too.
#pragma once

#include <memory>

#include "engine/core/context.h"
#include "engine/tape/page_file.h"

namespace rankine {

class PageCopies;

class PageStore {
 public:
  static constexpr std::size_t kUnlimited = Memory::kUnlimited;
  // kUnlimited on plan devices alone. A CPU takes no host_bytes. `folder` is where the page file is made. On
  // CUDA pages of the file pass in pieces of at most stage_bytes through eight page-locked buffers of that
  // size.
  struct Limits {
    std::size_t host_bytes = 0, file_bytes = 0;
    std::filesystem::path folder;
    std::size_t stage_bytes = std::size_t{4} << 20;
  };

  // Throws IoError when the page file cannot be made, OutOfMemory when the host memory cannot be locked.
  PageStore(Runtime& runtime, const Limits& limits, FileCalls& calls = FileCalls::of_system());
  // Waits for what is queued. Every page must be gone.
  ~PageStore();
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  // A place in a tier, free again when its last owner is gone. One that goes with a copy unfinished finishes
  // it first, and drops its error.
  class Page;
  using PagePtr = std::shared_ptr<Page>;

  // Queues the copy out, behind all that the program has queued. Until finish_write `from` must not be
  // changed; the page holds it as long. Throws OutOfMemory when no tier has room.
  PagePtr write(const std::shared_ptr<Block>& from);
  // What the program does from now on comes after the copy.
  void finish_write(Page& page);
  // Queues the copy back into a block of the same size, behind all that the program has queued: the memory of
  // `to` may have been in use. The page holds `to` until finish_read and may be read again after it.
  void read(Page& page, const std::shared_ptr<Block>& to);
  // What the program does from now on may use `to`.
  void finish_read(Page& page);
  // Calls out of this order throw std::logic_error.

  // Throws the first error of a file that no finish_* could. On CUDA it is complete where the program has
  // waited for the device: before what was computed is kept.
  void throw_if_failed() const;

  // What calls asked for; a launched graph adds nothing here, but it does to Runtime::traffic(), which tells
  // pages of tapes from weights by the account of their blocks. seconds_waited: in finish_*, measured on a
  // CPU, by the PlanClock on a plan device that has one; 0 on CUDA: there the device waits, not the program.
  struct Counters {
    std::uint64_t pages_out = 0, pages_in = 0;
    std::uint64_t bytes_out = 0, bytes_in = 0;  // of both tiers
    std::uint64_t file_bytes_out = 0, file_bytes_in = 0;
    double seconds_waited = 0;
  };
  const Counters& counters() const { return counters_; }
  void reset_counters() { counters_ = {}; }

  struct Tier {
    std::size_t limit = 0, held = 0, high_water = 0;  // bytes
  };
  Tier host() const { return tier(host_, limits_.host_bytes); }
  Tier file() const { return tier(file_, limits_.file_bytes); }
  // What the same calls need: host_bytes and file_bytes are the high-water marks.
  Limits needed() const {
    return {host_.high_water(), file_.high_water(), limits_.folder, limits_.stage_bytes};
  }

 private:
  static Tier tier(const OffsetAllocator& offsets, std::size_t limit) {
    return {limit, offsets.held(), offsets.high_water()};
  }
  void check_block(const std::shared_ptr<Block>& block, std::string_view call) const;
  PagePtr place(const std::shared_ptr<Block>& from);
  void finish(Page& page, bool reading);
  double forecast(const Page& page, Link link, Link disk) const;
  void wait(Page& page);
  void note_wait(double seconds);
  void release(Page& page);

  Runtime& runtime_;
  Limits limits_;
  OffsetAllocator host_, file_;
  Counters counters_;
  std::unique_ptr<PageCopies> copies_;  // null on a plan device
};

class PageStore::Page {
 public:
  Page(PageStore& store, bool in_file, std::size_t offset, std::size_t bytes)
      : store_(store), in_file_(in_file), offset_(offset), bytes_(bytes) {}
  ~Page() { store_.release(*this); }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  bool in_file() const { return in_file_; }       // else in memory of the host
  std::size_t offset() const { return offset_; }  // in its tier
  std::size_t bytes() const { return bytes_; }

 private:
  friend class PageStore;
  enum class State : std::uint8_t { writing, kept, reading };

  PageStore& store_;
  bool in_file_;
  std::size_t offset_, bytes_;
  State state_ = State::kept;
  std::shared_ptr<Block> block_;  // of the copy that is under way
  Event done_;                    // of that copy
  double done_at_ = 0;            // on the PlanClock
  std::uint64_t work_ = 0;        // Runtime::work() that began it
};

}  // namespace rankine
