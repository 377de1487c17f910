#include "engine/tape/tape.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace rankine {

void Tape::check_top(const void* owner, std::string_view layer, const std::type_info& type) const {
  if (frames_.empty()) {
    throw std::logic_error(join("tape: ", layer, " wants a frame, but the tape is empty"));
  }
  const Entry& top = frames_.back();
  if (top.owner != owner || top.frame->type() != type) {
    throw std::logic_error(join("tape: ", layer, " wants its frame, but the top one belongs to ", top.layer,
                                top.owner == owner ? " with another type" : "",
                                ": backward must mirror forward"));
  }
}

void Tape::note_peaks(const Context& c) const {
  const TapeStats& peaks = storages_.peaks();
  c.runtime().traffic().note_tape(peaks.resident_peak, peaks.paged_peak);
}

void Tape::add(const Context& c, Entry entry) {
  entry.frame->visit([&](Tensor& t) { entry.held.push_back(storages_.hold(t)); });
  frames_.push_back(std::move(entry));
  note_peaks(c);
  if (backward_) return;
  if (policy().page) {
    if (!memory_->pages) throw std::logic_error("tape: a policy pages, but there is nothing to page to");
    for (const Storages::Held& held : frames_.back().held) storages_.may_leave(held);
  }
  storages_.move_out();
}

Tape::Entry Tape::take_top(const Context& c) {
  if (!backward_) {
    backward_ = true;
    note_saved();
    storages_.stay();
    not_brought_ = frames_.size();
  }
  Entry entry = std::move(frames_.back());
  frames_.pop_back();
  not_brought_ = std::min(not_brought_, frames_.size());
  std::size_t i = 0;
  entry.frame->visit([&](Tensor& t) { storages_.give(c, t, entry.held[i++]); });
  entry.held.clear();
  storages_.finish_one_leaving();
  bring_back(c);
  note_peaks(c);
  return entry;
}

// What frames below need soonest, as far as may be on its way at once.
void Tape::bring_back(const Context& c) {
  const auto comes = [&](const Storages::Held& held) { return storages_.bring_back(c, held); };
  while (not_brought_ > 0) {
    const std::vector<Storages::Held>& held = frames_[not_brought_ - 1].held;
    if (!std::all_of(held.begin(), held.end(), comes)) return;
    --not_brought_;
  }
}

// ---- units ----

UnitPolicy Tape::begin_unit(const Context& c, std::string_view name) {
  note_saved();
  ++unit_;
  if (!memory_) return {};
  if (unit_ == 0) memory_->units.clear();
  memory_->units.push_back({std::string(name)});
  if (unit_ > 0) before_ = storages_.bytes();
  began_ = c.clock() ? c.clock()->now() : 0;
  return policy();
}

void Tape::end_unit(const Context& c) {
  if (memory_ && c.clock()) memory_->units.back().forward_seconds = c.clock()->now() - began_;
}

// Of the unit that was the last.
void Tape::note_saved() {
  if (memory_ && unit_ >= 0) memory_->units.back().saved = storages_.bytes() - before_;
}

std::map<std::string, std::size_t> Tape::bytes_by_layer() const {
  std::map<std::string, std::size_t> bytes;
  std::set<const Storages::Storage*> seen;
  for (const Entry& entry : frames_) {
    for (const Storages::Held& held : entry.held) {
      Storages::visit(held, [&](const Storages::Storage& s) {
        if (seen.insert(&s).second) bytes[entry.layer] += s.bytes;
      });
    }
  }
  return bytes;
}

}  // namespace rankine
