// Stored weights decoded one product ahead (kernels/matmul/matmul.h), on a stream of its own: while the
// tensor cores multiply with one weight, memory decodes the next one into a second buffer.
//
// Which weight is next is learnt: a model uses its frozen weights in the same order step after step, so the
// one that followed the last two before is decoded; a weight that comes otherwise is decoded where it is
// used, as without this service. No bit of a result depends on it. Work ahead is forked from the context's
// stream by an event and joined again before the product's call returns, so all may be recorded
// (step_graph.h): what is in the buffers is forgotten where a recorded piece of work begins and ends.
//
// A service of a Context: c.decode_ahead. Products whose weight is in blocks and fits ask it instead of
// taking scratch. It takes two buffers of memory and keeps the weights it has seen, so it leaves
// alone those that are streamed. One stream may use it,
// that of the runtime.
#pragma once

#include <map>
#include <utility>

#include "engine/core/context.h"

namespace rankine {

class DecodeAhead {
 public:
  // Buffers for weights of up to `elements` numbers, of the type of activations, on a CUDA device.
  DecodeAhead(Runtime& runtime, std::int64_t elements);

  // Whether a product on `c` reads w, as `type`, through it.
  bool takes(const Context& c, const Tensor& w, DType type) const;

  // The numbers of w, valid for what is launched on the runtime's stream before the next call, ...
  const void* take(const Tensor& w);
  // ... and the next weight, beside what is launched until join().
  void fork();
  void join();

  std::int64_t found() const { return found_; }  // weights that had been decoded ahead, or were still there
  std::int64_t decoded() const { return decoded_; }  // weights that had not

 private:
  struct Buffer {
    Tensor numbers, weight;  // weight: whose numbers; undefined: nobody's
  };
  void decode(CudaStream stream, Buffer& to, const Tensor& w);
  Buffer* holding(const void* weight);
  void forget_other_work();

  Runtime& runtime_;
  std::int64_t elements_;
  Stream side_;
  Event ahead_;
  bool forked_ = false;
  Buffer buffers_[2];
  int used_ = 0;                                                // the buffer of the last take()
  std::pair<const void*, const void*> last_{};                  // the last two weights
  std::map<std::pair<const void*, const void*>, Tensor> next_;  // what followed two weights
  std::uint64_t work_ = 0;                                      // Runtime::work() of what the buffers hold
  std::int64_t found_ = 0, decoded_ = 0;
};

// Calls f(data): the numbers of w out of c.decode_ahead, which goes on to the next weight beside what f
// launches.
template <class F>
void with_decoded_ahead(const Context& c, const Tensor& w, const F& f) {
  DecodeAhead& ahead = *c.decode_ahead;
  const void* data = ahead.take(w);
  ahead.fork();
  f(data);
  ahead.join();
}

}  // namespace rankine
