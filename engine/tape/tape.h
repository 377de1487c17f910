// The record of one forward pass: a stack of typed frames, one per leaf that backward needs something from.
//
// Forward pushes, backward pops in the mirror order; composites push nothing. A frame belongs to the layer
// that pushed it: popping somebody else's frame, or one of another type, throws std::logic_error with both
// names. House rule: never two tape-touching calls as arguments of one call; C++ leaves their order open.
//
// While a frame lies on the tape, its tensors are without storage: the tape keeps each storage once, and may
// keep it elsewhere or not at all (storages.h). So what it says of memory holds for models that know nothing
// of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "engine/core/context.h"
#include "engine/tape/fields.h"
#include "engine/tape/storages.h"

namespace rankine {

class Tape {
 public:
  // Goes by `memory` (step_memory.h), which must outlive it; without one every unit is kept.
  explicit Tape(StepMemory* memory = nullptr) : memory_(memory), storages_(memory) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  template <class Saved>
  void push(const Context& c, const void* owner, std::string_view layer, Saved saved) {
    add(c, {owner, std::string(layer), std::make_unique<Frame<Saved>>(std::move(saved)), {}});
  }
  template <class Saved>
  Saved pop(const Context& c, const void* owner, std::string_view layer) {
    check_top(owner, layer, typeid(Saved));
    const Entry entry = take_top(c);
    return std::move(static_cast<Frame<Saved>&>(*entry.frame).saved);
  }
  // Whether the top frame is one that pop<Saved>(owner) takes.
  template <class Saved>
  bool has(const void* owner) const {
    return !frames_.empty() && frames_.back().owner == owner && frames_.back().frame->type() == typeid(Saved);
  }

  bool empty() const { return frames_.empty(); }
  std::size_t depth() const { return frames_.size(); }

  Storages& storages() { return storages_; }

  // A unit of forward begins, and ends (unit.h): what to do with it.
  UnitPolicy begin_unit(const Context& c, std::string_view name);
  void end_unit(const Context& c);

  // Bytes of the distinct storages that frames hold or are made from, in all and by layer (a storage counts
  // for the first frame that saved it).
  std::size_t bytes() const { return storages_.bytes(); }
  std::map<std::string, std::size_t> bytes_by_layer() const;

 private:
  struct FrameBase {
    virtual ~FrameBase() = default;
    virtual const std::type_info& type() const = 0;
    virtual void visit(const std::function<void(Tensor&)>& visitor) = 0;
  };
  template <class Saved>
  struct Frame final : FrameBase {
    explicit Frame(Saved s) : saved(std::move(s)) {}
    const std::type_info& type() const override { return typeid(Saved); }
    void visit(const std::function<void(Tensor&)>& visitor) override {
      tape_detail::visit_tensors(saved, visitor);
    }
    Saved saved;
  };
  struct Entry {
    const void* owner;
    std::string layer;
    std::unique_ptr<FrameBase> frame;
    std::vector<Storages::Held> held;  // of its tensors, in the order of visit
  };
  void add(const Context& c, Entry entry);
  Entry take_top(const Context& c);
  void bring_back(const Context& c);
  void note_peaks(const Context& c) const;
  void check_top(const void* owner, std::string_view layer, const std::type_info& type) const;

  UnitPolicy policy() const { return memory_ ? memory_->policy.at(std::max(unit_, 0)) : UnitPolicy{}; }
  void note_saved();

  StepMemory* memory_;
  Storages storages_;  // outlives the frames
  std::vector<Entry> frames_;
  bool backward_ = false;
  int unit_ = -1;           // of forward, the last one that began
  std::size_t before_ = 0;  // bytes on the tape that belong to earlier ones
  double began_ = 0;
  std::size_t not_brought_ = 0;  // frames from here on need nothing that is out
};

// What layers call: save does nothing without a tape; restore without one is a misuse and throws.
template <class Saved>
void save(const Context& c, const void* owner, std::string_view layer, Saved saved) {
  if (c.tape()) c.tape()->push(c, owner, layer, std::move(saved));
}
template <class Saved>
Saved restore(const Context& c, const void* owner, std::string_view layer) {
  if (!c.tape()) throw std::logic_error("backward of " + std::string(layer) + " without a tape");
  return c.tape()->pop<Saved>(c, owner, layer);
}

// Says that y, all of its storage, can be written again from `from` by make(c, y, from), to the same bits:
// then frames that save y keep `from` in its place. For what costs bandwidth alone. Without a tape nothing is
// noted.
inline void derive(const Context& c, const Tensor& y, const std::vector<Tensor>& from, Storages::Make make) {
  if (c.tape()) c.tape()->storages().derive(y, from, std::move(make));
}
// Says the same of a change of y in place that follows this call; does nothing when y could not be made
// again.
inline void derive_in_place(const Context& c, const Tensor& y, const std::vector<Tensor>& from,
                            Storages::Make make) {
  if (c.tape()) c.tape()->storages().derive_in_place(y, from, std::move(make));
}

}  // namespace rankine
