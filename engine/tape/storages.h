// The storages that the frames of a tape hold. A storage is kept once, however many frames hold it, in one of
// three ways:
//   resident  on the device
//   derived   not at all: backward makes it again from other storages (the output of a norm from its input
//             and statistics, of a gate from its arguments), by the same kernel, so to the same bits
//   paged     moved out of the device, and back before backward needs it
//
// Only what the tape alone owns is paged: what is needed last leaves first, and comes back in the exact
// reverse order, a few storages ahead of backward. Every decision follows from the sequence of calls, so a
// plan device takes the same ones.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/core/context.h"
#include "engine/tape/page_store.h"
#include "engine/tape/step_memory.h"

namespace rankine {

class Storages {
 public:
  // Writes y again from `from`; on a context without a tape.
  using Make = std::function<void(const Context&, Tensor& y, const std::vector<Tensor>& from)>;

  struct Storage;
  using Held = std::shared_ptr<Storage>;  // null: of an undefined tensor

  // Bytes that a storage must have to be worth a page.
  static constexpr std::size_t kSmallestPage = 1024;
  // Storages on their way out, and on their way back before they are needed, at once. Two layers' worth: what
  // a link does in bursts then spreads over the layers between (LLaMA-7B planned for an RTX 4090, 4096
  // tokens, 26 of 32 layers paged: 4, 8 and 16 of them give a step of 1.08, 0.96 and 0.93 s; of 0.91 with
  // nothing paged).
  static constexpr std::size_t kLeaving = 16, kAhead = 16;

  explicit Storages(StepMemory* memory) : memory_(memory) {}
  Storages(const Storages&) = delete;
  Storages& operator=(const Storages&) = delete;

  // See derive() of tape.h.
  void derive(const Tensor& y, const std::vector<Tensor>& from, Make make);
  void derive_in_place(const Tensor& y, const std::vector<Tensor>& from, Make make);

  // Takes t's storage out of it and keeps it.
  Held hold(Tensor& t);
  // Puts it back, where it can be read.
  void give(const Context& c, Tensor& t, const Held& held);

  // What `held` keeps may leave the device as soon as nobody else has it.
  void may_leave(const Held& held);
  void move_out();
  // Backward begins: nothing leaves any more but what is on its way.
  void stay();
  // One that is on its way out arrives there.
  void finish_one_leaving();
  // Starts to bring back what `held` keeps, unless kAhead storages are on their way; whether all of it is.
  bool bring_back(const Context& c, const Held& held);

  // Distinct bytes kept, on the device and moved out.
  std::size_t bytes() const { return resident_ + paged_; }
  std::size_t resident_bytes() const { return resident_; }
  std::size_t paged_bytes() const { return paged_; }
  const TapeStats& peaks() const { return peaks_; }  // of this tape so far

  // Calls visit(storage) for `held` and what it is derived from, those that hold bytes.
  static void visit(const Held& held, const std::function<void(const Storage&)>& visit);

 private:
  // A tensor without its storage, and a way to find it as long as somebody has it.
  struct Loose {
    Tensor shape;
    std::weak_ptr<Block> block;
    explicit Loose(const Tensor& t) : shape(t), block(t.shared_storage()) { shape.take_storage(); }
  };
  struct Derivation {
    std::weak_ptr<Block> y;
    Tensor shape;
    std::vector<Loose> from;
    Make make;
    std::uint32_t writes = 0;
    bool checked = true;  // that nobody wrote y since
  };
  struct Known {
    std::weak_ptr<Block> block;
    std::weak_ptr<Storage> storage;
  };

  Derivation* derivation_of(const std::shared_ptr<Block>& block);
  bool make_derived(Storage& s, const std::shared_ptr<Block>& block);
  std::shared_ptr<Block> resident(const Context& c, Storage& s);
  void start_back(const Context& c, Storage& s);
  void finish_leaving(Storage& s);
  void forget(Storage& s);
  void note_peaks();
  std::shared_ptr<Block> made_again(const Context& c, Storage& s);

  StepMemory* memory_;
  std::map<const Block*, Derivation> derivations_;
  std::map<const Block*, Known> known_;
  std::size_t resident_ = 0, paged_ = 0;  // bytes
  TapeStats peaks_;
  std::size_t ahead_ = 0;         // on their way back, or there and not asked for yet
  std::vector<Held> candidates_;  // may leave, in the order in which they were saved
  std::deque<Held> leaving_;
};

struct Storages::Storage {
  enum class Where : std::uint8_t { resident, leaving, out, arriving, derived };

  Storage(Storages& all, std::size_t size) : storages(all), bytes(size) {}
  ~Storage() { storages.forget(*this); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Storages& storages;
  std::size_t bytes;
  Where where = Where::resident;
  std::shared_ptr<Block> block;  // while it has one
  PageStore::PagePtr page;       // from when it leaves on
  Account account = Account::tape;
  // Derived: from what and how.
  Tensor shape;
  std::vector<std::pair<Tensor, Held>> from;
  Make make;
  std::weak_ptr<Block> again;  // made again, and still in use

  bool derived() const { return where == Where::derived; }
};

}  // namespace rankine
