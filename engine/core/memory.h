// Named, budgeted memory of one device.
//
// All tensors of a device come from one Memory. It hands out offsets in one address range with a best-fit,
// coalescing rule that depends on nothing but the sequence of calls. So the same program on a plan device
// (no backing) reaches the same high-water mark, byte for byte, as the real run: the forecast is the program.
//
// A Frame makes the offsets of a piece of work independent of what came before: while it is open, tensors get
// offsets as if memory were empty, counted from a base above everything that is held. So work that asks for
// the same sizes gets the same addresses every time the base is the same, and a recording of it
// (step_graph.h) can be played again.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/device.h"

namespace rankine {

namespace cuda {
class HostRing;
}

// What a block is for; the rows of every memory report.
// `mapped` bytes lie in files, outside the budget: the system reads and drops their pages by itself.
// `tape` bytes are activations that backward needs, while they are on the device; `streamed` ones are weights
// that are there for as long as they are used.
enum class Account : std::uint8_t {
  weights,
  streamed,
  adapters,
  optimizer,
  tape,
  activations,
  workspace,
  data,
  mapped
};
inline constexpr int kAccounts = 9;
std::string_view name_of(Account account);

// Pure bookkeeping: offsets in [0, capacity). No memory is touched.
class OffsetAllocator {
 public:
  static constexpr std::size_t kAlignment = 64;  // one cache line; enough for AVX-512 and 128-bit GPU loads

  // Smallest free hole that fits, lowest address first among equals; extends the range when none does.
  std::size_t allocate(std::size_t bytes);
  void release(std::size_t offset);  // throws std::logic_error for an offset that is not held
  // Where allocate(bytes) would end, without doing it: for a budget check before the fact.
  std::size_t end_after(std::size_t bytes) const;

  // What an allocation of so many bytes takes.
  static std::size_t rounded(std::size_t bytes);

  bool holds(std::size_t offset) const { return used_.contains(offset); }
  std::size_t end() const { return end_; }  // of the last byte held
  std::size_t high_water() const { return high_water_; }
  std::size_t held() const { return held_; }
  void reset_high_water() { high_water_ = end_; }

 private:
  void erase_hole(std::map<std::size_t, std::size_t>::iterator hole);
  void add_hole(std::size_t offset, std::size_t bytes);

  std::map<std::size_t, std::size_t> used_;                      // offset -> bytes
  std::map<std::size_t, std::size_t> holes_;                     // offset -> bytes, coalesced
  std::set<std::pair<std::size_t, std::size_t>> holes_by_size_;  // (bytes, offset)
  std::size_t end_ = 0, high_water_ = 0, held_ = 0;
};

// The address range itself: reserved once, touched as it is used. Null on a plan device.
class Backing {
 public:
  virtual ~Backing() = default;
  virtual std::byte* base() const = 0;
  virtual std::size_t capacity() const = 0;
};
std::unique_ptr<Backing> make_cpu_backing(std::size_t capacity);  // throws OutOfMemory when the OS refuses

class Memory;

// Bytes of somebody else, and what keeps them alive.
struct MappedBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// One held range. Returned to its Memory on destruction.
class Block {
 public:
  Block(Memory& memory, std::size_t offset, std::size_t bytes, Account account, std::string name);
  Block(Memory& memory, const MappedBytes& mapped, std::size_t bytes, std::string name);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  std::byte* data() const { return data_; }  // null on a plan device
  std::size_t bytes() const { return bytes_; }
  Account account() const { return account_; }
  // Says what the bytes are for from now on.
  void move_to(Account account);
  // How often somebody asked for the bytes in order to change them (Tensor's access that is not const).
  std::uint32_t writes() const { return writes_.load(std::memory_order_relaxed); }
  void count_write() { writes_.fetch_add(1, std::memory_order_relaxed); }
  const std::string& name() const { return name_; }
  Memory& memory() const { return memory_; }

 private:
  Memory& memory_;
  std::size_t offset_, bytes_;
  Account account_;
  std::atomic<std::uint32_t> writes_ = 0;
  std::string name_;
  std::byte* data_;
  std::shared_ptr<const void> owner_;  // of mapped bytes
};

class Memory {
 public:
  static constexpr std::size_t kUnlimited = SIZE_MAX;

  // `budget` caps the high-water mark in bytes.
  explicit Memory(Device device, std::size_t budget = kUnlimited);
  ~Memory();  // every Block must be gone
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Throws OutOfMemory (with report()) when the high-water mark would pass the budget.
  std::shared_ptr<Block> allocate(std::size_t bytes, Account account, std::string name);
  // Read-only bytes of a file as a block of Account::mapped; no part of held(), high_water() or the budget.
  std::shared_ptr<Block> adopt(const MappedBytes& mapped, std::size_t bytes, std::string name);

  Device device() const { return device_; }
  // The stream on which this memory's contents change; null on a CPU and on a plan device.
  CudaStream cuda_stream() const { return stream_.get(); }
  // Bytes of the host into a block of this memory on CUDA, in the order of its stream.
  void upload(std::byte* to, std::span<const std::byte> from);
  std::size_t budget() const { return budget_; }
  std::size_t held() const { return offsets_.held() + frame_.held(); }
  std::size_t held(Account account) const { return held_[static_cast<int>(account)]; }
  // The most bytes held per account at the moment the total was highest.
  std::size_t at_peak(Account account) const { return at_peak_[static_cast<int>(account)]; }
  std::size_t high_water() const;
  std::size_t peak_held() const { return peak_held_; }
  std::uint64_t allocations() const { return allocations_; }
  // How often the bytes ever handed out grew: a step whose shapes were seen before adds nothing.
  std::uint64_t growths() const { return growths_; }
  // Is called after every change of held(account), until another one is given; {} for nobody. It must not
  // throw, nor allocate here (memory_trace.h).
  void listen(std::function<void()> listener) { listener_ = std::move(listener); }
  // Tensors read by the host (engine/core/transfer.h) so far. On CUDA each one waits for the device.
  std::uint64_t downloads() const { return downloads_; }
  void count_download() { ++downloads_; }
  void reset_peak();
  std::string report() const;  // a table: account, held, at peak

  // Open from its constructor to close(). One at a time; what is made in it must be gone when it closes.
  class Frame {
   public:
    static constexpr std::size_t kStep = std::size_t{2} << 20;  // a base is a multiple of it: it moves seldom

    // Throws std::logic_error when one is open already.
    explicit Frame(Memory& memory);
    ~Frame();
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

    // Where its offsets start. Never lower than that of a frame before.
    std::size_t base() const { return memory_.frame_base_; }
    // Lets kernels touch, until it closes, all that was ever handed out in frames: for work recorded in one.
    void open_all();
    // Throws std::logic_error, with a report, when a tensor made in it is still held.
    void close();

   private:
    Memory& memory_;
    bool open_ = true, all_ = false;
  };

 private:
  friend class Block;
  void release(std::size_t offset, std::size_t bytes, Account account);
  void move(std::size_t bytes, Account from, Account to);
  std::byte* base() const { return backing_ ? backing_->base() : nullptr; }
  // Whether AddressSanitizer can watch the bytes: they lie in this process.
  bool watched() const { return base() && (!device_.is_cuda() || build::emulated); }

  Device device_;
  std::size_t budget_;
  OffsetAllocator offsets_;
  OffsetAllocator frame_;                        // from frame_base_
  std::size_t frame_base_ = 0, frame_high_ = 0;  // high: since reset_peak()
  std::size_t frame_most_ = 0;                   // the end of all bytes handed out in frames
  bool in_frame_ = false;
  std::unique_ptr<Backing> backing_;
  std::shared_ptr<CUstream_st> stream_;
  std::shared_ptr<cuda::HostRing> ring_;  // on CUDA
  std::array<std::size_t, kAccounts> held_{}, at_peak_{};
  std::size_t peak_held_ = 0;
  std::size_t most_used_ = 0;  // the end of all bytes that were ever handed out
  std::uint64_t allocations_ = 0, growths_ = 0;
  std::function<void()> listener_;
  std::atomic<std::uint64_t> downloads_ = 0;
};

// "1.50 GiB", "12.0 MiB": for messages and tables.
std::string human_bytes(double bytes);

}  // namespace rankine
