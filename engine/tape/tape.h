// The record of one forward pass: a stack of typed frames, one per leaf that backward needs something from.
//
// Forward pushes, backward pops in the mirror order; composites push nothing. A frame belongs to the layer
// that pushed it: popping somebody else's frame, or one of another type, throws std::logic_error with both
// names. House rule: never two tape-touching calls as arguments of one call; C++ leaves their order open.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "engine/core/context.h"
#include "engine/tape/fields.h"

namespace rankine {

class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  template <class Saved>
  void push(const void* owner, std::string_view layer, Saved saved) {
    frames_.push_back({owner, std::string(layer), std::make_unique<Frame<Saved>>(std::move(saved))});
  }
  template <class Saved>
  Saved pop(const void* owner, std::string_view layer) {
    check_top(owner, layer, typeid(Saved));
    Saved saved = std::move(static_cast<Frame<Saved>&>(*frames_.back().frame).saved);
    frames_.pop_back();
    return saved;
  }

  bool empty() const { return frames_.empty(); }
  std::size_t depth() const { return frames_.size(); }
  void clear() { frames_.clear(); }

  // Bytes of the distinct storages that frames hold, in all and by layer (a storage counts for the first
  // frame that saved it).
  std::size_t bytes() const;
  std::map<std::string, std::size_t> bytes_by_layer() const;

 private:
  struct FrameBase {
    virtual ~FrameBase() = default;
    virtual const std::type_info& type() const = 0;
    virtual void visit(const std::function<void(const Tensor&)>& visitor) const = 0;
  };
  template <class Saved>
  struct Frame final : FrameBase {
    explicit Frame(Saved s) : saved(std::move(s)) {}
    const std::type_info& type() const override { return typeid(Saved); }
    void visit(const std::function<void(const Tensor&)>& visitor) const override {
      tape_detail::visit_tensors(saved, visitor);
    }
    Saved saved;
  };
  struct Entry {
    const void* owner;
    std::string layer;
    std::unique_ptr<FrameBase> frame;
  };
  void check_top(const void* owner, std::string_view layer, const std::type_info& type) const;

  std::vector<Entry> frames_;
};

// What layers call: save does nothing without a tape; restore without one is a misuse and throws.
template <class Saved>
void save(const Context& c, const void* owner, std::string_view layer, Saved saved) {
  if (c.tape()) c.tape()->push(owner, layer, std::move(saved));
}
template <class Saved>
Saved restore(const Context& c, const void* owner, std::string_view layer) {
  if (!c.tape()) throw std::logic_error("backward of " + std::string(layer) + " without a tape");
  return c.tape()->pop<Saved>(owner, layer);
}

}  // namespace rankine
