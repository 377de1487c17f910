// What work moved between the device and other memory, and how much its tapes kept. A Runtime has one;
// whoever wants to know of one step empties it before. A graph that is launched counts for what its recording
// did (step_graph.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace rankine {

struct Traffic {
  std::uint64_t paged_out = 0, paged_in = 0;  // bytes of the tape, to its pages and back (page_store.h)
  std::uint64_t streamed = 0;                 // bytes of weights brought to the device
  std::size_t tape_peak = 0;                  // bytes that one tape had on the device at once
  std::size_t paged_peak = 0;                 // bytes of one tape that were moved out at once
  // Seconds that the program waited for either, in work that was run. Where the device waits and not the
  // program, on CUDA, they are 0 and say nothing.
  double waited_for_pages = 0, waited_for_weights = 0;

  std::uint64_t moved() const { return paged_out + paged_in; }
  void note_tape(std::size_t on_device, std::size_t paged) {
    tape_peak = std::max(tape_peak, on_device);
    paged_peak = std::max(paged_peak, paged);
  }
  // More work of the same step.
  void add(const Traffic& t) {
    paged_out += t.paged_out;
    paged_in += t.paged_in;
    streamed += t.streamed;
    note_tape(t.tape_peak, t.paged_peak);
    waited_for_pages += t.waited_for_pages;
    waited_for_weights += t.waited_for_weights;
  }
};

}  // namespace rankine
