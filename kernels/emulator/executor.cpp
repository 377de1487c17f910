#include "kernels/emulator/executor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "engine/core/error.h"
#include "kernels/emulator/sanitizer.h"
#include "kernels/emulator/shared_memory.h"
#include "kernels/emulator/symbols.h"

namespace rankine::emulator {

constinit thread_local Executor* active = nullptr;

constinit thread_local bool in_kernel = false;

Inside::Inside(const char* call) {
  require<std::logic_error>(active != nullptr, call, ": called outside a kernel");
  in_kernel = false;
}

// With the line table, which knows where the call was inlined; without one, the line alone.
std::ostream& operator<<(std::ostream& out, const Where& where) {
  const std::string_view path = where.file;
  const std::string line = join(path.substr(path.rfind('/') + 1), ":", where.line);
  const std::string chain = where.pc ? symbols::line_of(where.pc) : std::string();
  if (chain.find(line) != std::string::npos) return out << chain;
  return out << where.file << ':' << where.line;
}

Executor::Executor()
    : threads_(FiberStacks::kCount), warps_(FiberStacks::kCount / 32), clocks_(FiberStacks::kCount / 32) {
  for (std::size_t i = 0; i < threads_.size(); ++i) threads_[i].linear = static_cast<unsigned>(i);
}

std::uint64_t Executor::draw(std::uint64_t below) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return (random_ >> 32) * below >> 32;
}

void Executor::run(const LaunchInfo& info, void (*invoke)(void*), void* body) {
  require<std::logic_error>(!sanitizer::moves_locals(), info.kernel,
                            ": locals of kernels must be on their stacks; run with "
                            "ASAN_OPTIONS=detect_stack_use_after_return=0");
  info_ = &info;
  invoke_ = invoke;
  body_ = body;
  blocks_run_ = 0;
  size_ = info.block.x * info.block.y * info.block.z;
  natural_order_ = seed() == 0;
  for (unsigned i = 0; i < size_; ++i) {
    const unsigned plane = info.block.x * info.block.y;
    threads_[i].index = {i % info.block.x, i % plane / info.block.x, i / plane};
  }
  const std::uint64_t blocks = std::uint64_t{info.grid.x} * info.grid.y * info.grid.z;
  random_ = (seed() + 1) * 0x9E3779B97F4A7C15U | 1U;
  for (int i = 0; i < 8; ++i) draw(2);
  const std::uint64_t first = natural_order_ ? 0 : draw(blocks);
  const bool backwards = !natural_order_ && draw(2) == 1;
  // An odd stride visits all of a power of two; indices beyond the grid are passed over.
  const std::uint64_t range = std::bit_ceil(blocks);
  const std::uint64_t stride = natural_order_ ? 1 : draw(range) | 1U;
  for (std::uint64_t i = 0; i < range; ++i) {
    const std::uint64_t at = ((backwards ? range - 1 - i : i) * stride + first) % range;
    if (at < blocks) run_block(at);
  }
}

void Executor::run_block(std::uint64_t number) {
  const dim3 grid = info_->grid;
  block_number_ = number;
  block_ = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
            static_cast<unsigned>(number / grid.x / grid.y)};
  begin_block();
  current_ = next_ready();
  Fiber::change(host_, current_->fiber);
  if (faulted_) {
    faulted_ = false;
    prepared_ = 0;  // abandoned in the middle of the kernel
    throw Fault(std::exchange(fault_, {}));
  }
}

void Executor::begin_block() {
  shared_ = shared_memory::begin_block(info_->shared_bytes, blocks_run_++);
  current_ = nullptr;  // of another block, perhaps larger
  alive_ = size_;
  at_barrier_ = barriers_ = ready_warps_ = 0;
  for (unsigned w = 0; w * 32 < size_; ++w) {
    const unsigned lanes = size_ - w * 32 < 32 ? (1U << (size_ - w * 32)) - 1 : 0xFFFFFFFFU;
    warps_[w].ready = warps_[w].alive = lanes;
    warps_[w].meetings.clear();
    ready_warps_ |= 1U << w;
    WarpClock& clock = clocks_[w];
    if (clock.tick) clock = {};
  }
  for (unsigned i = 0; i < size_; ++i) {
    Thread& thread = threads_[i];
    thread.waits_in = nullptr;
    thread.copies.clear();
    thread.groups = 0;
    if (i >= prepared_) {
      // 17 cache lines apart, within a page.
      thread.fiber.prepare(stacks_.low(i), FiberStacks::kStack, &Executor::entry, i * 17 * 64 % 4096);
      prepared_ = i + 1;
    }
  }
}

// A fiber runs the kernel for one block after another.
void Executor::entry() {
  Executor* e = active;
  Fiber::arrived(e->current_->fiber, &e->host_);
  for (;;) {
    e = active;
    bool thrown = true;
    std::string what;
    try {
      in_kernel = true;
      e->invoke_(e->body_);
      in_kernel = false;
      thrown = false;
    } catch (const std::exception& error) {
      what = error.what();
    } catch (...) {
      what = "something";
    }
    in_kernel = false;
    if (thrown) active->fail("the kernel threw " + std::exchange(what, {}));
    active->leave();
  }
}

Thread* Executor::next_ready() {
  if (!ready_warps_) return nullptr;
  unsigned warp = current_ ? current_->warp() : 0;
  // Mostly stays in the warp, whose stacks are in the cache.
  if (!warps_[warp].ready || (!natural_order_ && draw(8) == 0)) {
    const int turn = natural_order_ ? 0 : static_cast<int>(draw(32));
    warp = static_cast<unsigned>(std::countr_zero(std::rotr(ready_warps_, turn)) + turn) % 32;
  }
  const int turn = natural_order_ ? 0 : static_cast<int>(draw(32));
  const unsigned lane =
      static_cast<unsigned>(std::countr_zero(std::rotr(warps_[warp].ready, turn)) + turn) % 32;
  return &threads_[warp * 32 + lane];
}

void Executor::dispatch() {
  Thread* next = next_ready();
  if (!next) fail(deadlock());
  if (next == current_) return;
  Thread& left = *std::exchange(current_, next);
  Fiber::change(left.fiber, next->fiber);
}

void Executor::leave() {
  Thread& self = *current_;
  Warp& warp = warps_[self.warp()];
  const unsigned bit = 1U << self.lane();
  warp.alive &= ~bit;
  warp.ready &= ~bit;
  if (!warp.ready) ready_warps_ &= ~(1U << self.warp());
  --alive_;
  for (std::size_t i = warp.meetings.size(); i-- > 0;) {
    const Meeting& m = warp.meetings[i];
    if (!(m.mask & bit)) continue;
    if (!m.kind->orders_memory) {
      fail(join("missing lane: lane ", self.lane(), " has left the kernel; others wait for it in ",
                m.kind->name, " at ", m.where));
    }
    if (m.arrived == (m.mask & warp.alive)) complete(warp, i);
  }
  if (alive_ && at_barrier_ == alive_) release_barrier();
  if (alive_) {
    dispatch();
  } else {
    Fiber::change(self.fiber, host_);
  }
}

void Executor::meet(const Collective& kind, unsigned mask, void* payload, Where where) {
  Thread& self = *current_;
  Warp& warp = warps_[self.warp()];
  const unsigned bit = 1U << self.lane();
  Meeting& m = meeting_of(warp, kind, mask, where);
  m.arrived |= bit;
  self.payload = payload;
  self.where = where;
  if (m.arrived == (m.mask & warp.alive)) {
    complete(warp, static_cast<std::size_t>(&m - warp.meetings.data()));
  } else {
    self.waits_in = kind.name;
    warp.ready &= ~bit;
    if (!warp.ready) ready_warps_ &= ~(1U << self.warp());
  }
  dispatch();
}

Meeting& Executor::meeting_of(Warp& warp, const Collective& kind, unsigned mask, Where where) {
  const unsigned lane = current_->lane();
  if (!(mask >> lane & 1U)) {
    fail(
        join("missing lane: ", kind.name, " at ", where, " with a mask that leaves out its own lane ", lane));
  }
  if (const unsigned missing = mask & ~warp.alive; missing && !kind.orders_memory) {
    const int absent = std::countr_zero(missing);
    const bool exists = current_->linear / 32 * 32 + static_cast<unsigned>(absent) < size_;
    fail(join("missing lane: ", kind.name, " at ", where, " waits for lane ", absent,
              exists ? ", which has left the kernel" : ", which the block does not have"));
  }
  for (Meeting& m : warp.meetings) {
    if (!(m.mask >> lane & 1U)) continue;
    if (m.mask == mask && m.kind == &kind && (!kind.one_instruction || m.where == where)) return m;
    fail(join("divergent warp: lane ", lane, " is in ", kind.name, " at ", where, ", lane ",
              std::countr_zero(m.arrived), " in ", m.kind->name, " at ", m.where,
              m.mask == mask ? "" : ", with another mask"));
  }
  warp.meetings.push_back({&kind, mask, 0, where});
  return warp.meetings.back();
}

void Executor::complete(Warp& warp, std::size_t meeting) {
  const Meeting m = warp.meetings[meeting];
  warp.meetings.erase(warp.meetings.begin() + static_cast<std::ptrdiff_t>(meeting));
  const auto number = static_cast<unsigned>(&warp - warps_.data());
  Thread* lanes = &threads_[std::size_t{number} * 32];
  if (m.kind->complete) m.kind->complete(lanes, m.mask);
  if (m.kind->orders_memory) clocks_[number].join(m.mask, (m.mask & warp.alive) == warp.alive);
  for (unsigned rest = m.arrived; rest; rest &= rest - 1) lanes[std::countr_zero(rest)].waits_in = nullptr;
  warp.ready |= m.arrived & warp.alive;
  if (warp.ready) ready_warps_ |= 1U << number;
}

void WarpClock::join(unsigned mask, bool whole_warp) {
  ++tick;
  if (whole_warp) {
    all_seen = tick;
    return;
  }
  unsigned joined[32] = {};
  for (unsigned i = 0; i < 32; ++i) {
    if (!(mask >> i & 1U)) continue;
    for (unsigned k = 0; k < 32; ++k) joined[k] = std::max(joined[k], seen[i][k]);
  }
  for (unsigned k = 0; k < 32; ++k) {
    if (mask >> k & 1U) joined[k] = tick;
  }
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1U) std::memcpy(seen[i], joined, sizeof(joined));
  }
}

int Executor::barrier(Count count, int predicate, Where where) {
  Thread& self = *current_;
  if (at_barrier_ == 0) {
    barrier_where_ = where;
    barrier_count_ = count;
    barrier_sum_ = 0;
  } else if (barrier_count_ != count || !(barrier_where_ == where)) {
    fail(join("divergent barrier: this thread is in __syncthreads at ", where, ", ", at_barrier_,
              " others in the one at ", barrier_where_));
  }
  barrier_sum_ += predicate != 0;
  ++at_barrier_;
  Warp& warp = warps_[self.warp()];
  warp.ready &= ~(1U << self.lane());
  if (!warp.ready) ready_warps_ &= ~(1U << self.warp());
  self.waits_in = "__syncthreads";
  self.where = where;
  if (at_barrier_ == alive_) release_barrier();
  dispatch();
  return barrier_result_;
}

void Executor::release_barrier() {
  const auto arrived = static_cast<int>(at_barrier_);
  barrier_result_ = barrier_count_ == Count::any   ? barrier_sum_ > 0
                    : barrier_count_ == Count::all ? barrier_sum_ == arrived
                                                   : barrier_sum_;
  at_barrier_ = 0;
  ++barriers_;
  for (unsigned w = 0; w * 32 < size_; ++w) {
    warps_[w].ready = warps_[w].alive;
    if (warps_[w].ready) ready_warps_ |= 1U << w;
  }
  for (unsigned i = 0; i < size_; ++i) threads_[i].waits_in = nullptr;
}

std::string Executor::describe(std::uint64_t block, unsigned thread) const {
  const dim3 grid = info_->grid;
  const Index t = threads_[thread].index;
  return join("block (", block % grid.x, ",", block / grid.x % grid.y, ",", block / grid.x / grid.y,
              ") thread (", t.x, ",", t.y, ",", t.z, ")");
}

void Executor::fail(std::string what) {
  fault_ =
      join(what, "\n  in ", describe(block_number_, current_->linear), " of ", info_->kernel, " launched at ",
           info_->file, ":", info_->line, ", grid (", info_->grid.x, ",", info_->grid.y, ",", info_->grid.z,
           ") block (", info_->block.x, ",", info_->block.y, ",", info_->block.z, "), seed ", seed());
  std::string().swap(what);  // nothing on an abandoned stack is destroyed
  abandon();
}

void Executor::abandon() {
  faulted_ = true;
  Fiber::change(current_->fiber, host_);
  __builtin_unreachable();
}

// Who waits where, one line per place.
std::string Executor::deadlock() const {
  struct Place {
    const Thread* first;
    int count;
  };
  std::vector<Place> places;
  for (unsigned i = 0; i < size_; ++i) {
    const Thread& t = threads_[i];
    if (!t.waits_in) continue;
    auto same = [&](const Place& p) { return p.first->waits_in == t.waits_in && p.first->where == t.where; };
    auto found = std::find_if(places.begin(), places.end(), same);
    if (found == places.end()) {
      places.push_back({&t, 1});
    } else {
      ++found->count;
    }
  }
  std::string text = "deadlock: nobody can go on";
  for (const Place& p : places) {
    text += join("\n  ", p.count, " threads wait in ", p.first->waits_in, " at ", p.first->where,
                 ", the first of them thread (", p.first->index.x, ",", p.first->index.y, ",",
                 p.first->index.z, ")");
  }
  if (alive_ < size_) text += join("\n  ", size_ - alive_, " threads have left the kernel");
  return text;
}

}  // namespace rankine::emulator
