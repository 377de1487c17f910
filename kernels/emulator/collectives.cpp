// Barriers, votes and shuffles of emulator_device.h.
#include <bit>
#include <cstring>

#include "engine/core/error.h"
#include "kernels/emulator/executor.h"

namespace rankine::emulator {
namespace {

struct VotePayload {
  int predicate;
  unsigned result;
};
void complete_vote(Thread* lanes, unsigned mask) {
  unsigned ballot = 0;
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (static_cast<VotePayload*>(lanes[lane].payload)->predicate) ballot |= 1U << lane;
  }
  for (unsigned rest = mask; rest; rest &= rest - 1)
    static_cast<VotePayload*>(lanes[std::countr_zero(rest)].payload)->result = ballot;
}

struct ShufflePayload {
  int source;
  std::uint64_t bits, result;
};
void complete_shuffle(Thread* lanes, unsigned mask) {
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    auto* to = static_cast<ShufflePayload*>(lanes[std::countr_zero(rest)].payload);
    to->result = static_cast<ShufflePayload*>(lanes[to->source].payload)->bits;
  }
}

const Collective kSyncWarp{"__syncwarp", false, true, nullptr};
const Collective kVotes[] = {{"__ballot_sync", false, false, complete_vote},
                             {"__any_sync", false, false, complete_vote},
                             {"__all_sync", false, false, complete_vote}};
const Collective kShuffles[] = {{"__shfl_sync", false, false, complete_shuffle},
                                {"__shfl_up_sync", false, false, complete_shuffle},
                                {"__shfl_down_sync", false, false, complete_shuffle},
                                {"__shfl_xor_sync", false, false, complete_shuffle}};

// The lane whose value the calling one receives: inside its segment of `width` lanes, else itself.
int source_of(const ShuffleCall& call, int lane) {
  const int segment = lane / call.width * call.width, at = lane - segment;
  const auto by = static_cast<int>(call.lane);
  switch (call.kind) {
    case Shuffle::index:
      return segment + (by & (call.width - 1));
    case Shuffle::up:
      return at - by >= 0 ? lane - by : lane;
    case Shuffle::down:
      return at + by < call.width ? lane + by : lane;
    case Shuffle::exclusive:
      break;
  }
  // As in the ISA: a partner in a later segment is out of range, one in an earlier segment is not.
  const int partner = lane ^ by;
  return partner < segment + call.width ? partner : lane;
}

}  // namespace

int block_barrier(Count count, int predicate, Where where) {
  where.pc = __builtin_return_address(0);
  return Inside("__syncthreads")->barrier(count, predicate, where);
}

void warp_barrier(unsigned mask, Where where) {
  where.pc = __builtin_return_address(0);
  Inside("__syncwarp")->meet(kSyncWarp, mask, nullptr, where);
}

unsigned warp_vote(Vote vote, unsigned mask, int predicate, Where where) {
  where.pc = __builtin_return_address(0);
  const Collective& kind = kVotes[static_cast<int>(vote)];
  VotePayload payload{predicate, 0};
  Inside(kind.name)->meet(kind, mask, &payload, where);
  if (vote == Vote::any) return payload.result != 0;
  if (vote == Vote::all) return payload.result == mask;
  return payload.result;
}

std::uint64_t warp_shuffle(const ShuffleCall& call, std::uint64_t bits, Where where) {
  where.pc = __builtin_return_address(0);
  const Collective& kind = kShuffles[static_cast<int>(call.kind)];
  const Inside e(kind.name);
  if (!std::has_single_bit(static_cast<unsigned>(call.width)) || call.width > 32)
    e->fail(join(kind.name, " at ", where, ": width ", call.width, ", allowed are 1, 2, 4, 8, 16, 32"));
  const int source = source_of(call, static_cast<int>(e->self().lane()));
  if (source < 0 || !(call.mask >> source & 1U)) {
    e->fail(join("missing lane: ", kind.name, " at ", where, " reads lane ", source,
                 ", which its mask leaves out"));
  }
  ShufflePayload payload{source, bits, 0};
  e->meet(kind, call.mask, &payload, where);
  return payload.result;
}

unsigned active_mask() { return Inside("__activemask")->ready_lanes(); }

void trap(Where where) {
  where.pc = __builtin_return_address(0);
  Inside("__trap")->fail(join("__trap at ", where));
}

}  // namespace rankine::emulator
