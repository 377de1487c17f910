#include "kernels/decode_ahead/decode_ahead.h"

#include "kernels/matmul/decode_cuda.h"

namespace rankine {

DecodeAhead::DecodeAhead(Runtime& runtime, std::int64_t elements)
    : runtime_(runtime), elements_(elements), side_(runtime.device()) {
  require<Error>(runtime.device().is_cuda(), "decode ahead: on ", runtime.device().to_string(),
                 " products decode by themselves");
  for (Buffer& b : buffers_)
    b.numbers = Tensor(runtime.memory(), {elements}, runtime.activations(), Account::workspace,
                       "weight decoded ahead");
}

bool DecodeAhead::takes(const Context& c, const Tensor& w, DType type) const {
  const bool stays = w.defined() && w.storage()->account() != Account::streamed;
  return stays && is_block(w.dtype()) && type == runtime_.activations() && w.numel() <= elements_ &&
         &c.runtime() == &runtime_ && c.cuda_stream() == runtime_.cuda_stream();
}

void DecodeAhead::decode(CudaStream stream, Buffer& to, const Tensor& w) {
  to.weight = {};  // nobody's, should the launch fail
  if constexpr (build::cuda)
    cuda::decode_weight(stream, to.numbers.raw(), to.numbers.dtype(), w.raw(), w.dtype(), w.dim(0), w.dim(1));
  to.weight = w;
}

DecodeAhead::Buffer* DecodeAhead::holding(const void* weight) {
  for (Buffer& b : buffers_) {
    if (b.weight.defined() && b.weight.raw() == weight) return &b;
  }
  return nullptr;
}

void DecodeAhead::forget_other_work() {
  if (work_ == runtime_.work()) return;
  work_ = runtime_.work();
  for (Buffer& b : buffers_) b.weight = {};
  last_ = {};
  forked_ = false;
}

const void* DecodeAhead::take(const Tensor& w) {
  forget_other_work();
  join();
  Buffer* at = holding(w.raw());
  ++(at ? found_ : decoded_);
  if (!at) {
    at = &buffers_[1 - used_];
    decode(runtime_.cuda_stream(), *at, w);
  }
  used_ = static_cast<int>(at - buffers_);
  if (last_.second) next_[last_] = w;
  last_ = {last_.second, w.raw()};
  return at->numbers.raw();
}

void DecodeAhead::fork() {
  const auto next = next_.find(last_);
  if (next == next_.end() || holding(next->second.raw())) return;
  Stream main = Stream::over(runtime_.cuda_stream());
  side_.wait(main.record());  // products before this one read the other buffer
  decode(side_.cuda_stream(), buffers_[1 - used_], next->second);
  ahead_ = side_.record();
  forked_ = true;
}

void DecodeAhead::join() {
  if (!forked_) return;
  forked_ = false;
  Stream main = Stream::over(runtime_.cuda_stream());
  main.wait(ahead_);
}

}  // namespace rankine
