#include <cstring>

#include "engine/core/transfer.h"
#include "kernels/optim/optim_impl.h"

namespace rankine {
namespace {

template <class T>
std::span<const std::byte> bytes_of_all(const std::vector<T>& items) {
  return std::as_bytes(std::span<const T>(items));
}

// Structs in a tensor of the device: whole words.
template <class T>
Tensor on_device(const Context& c, const std::vector<T>& items, std::string name) {
  static_assert(sizeof(T) % sizeof(float) == 0 && std::is_trivially_copyable_v<T>);
  const auto words = static_cast<std::int64_t>(items.size() * sizeof(T) / sizeof(float));
  Tensor t(c.memory(), {words}, DType::f32, Account::optimizer, std::move(name));
  if (words > 0) upload(t, bytes_of_all(items));
  return t;
}

void check_copy(const UpdateSegment& s, const UpdateSegment::Copy& copy) {
  const Tensor& to = copy.to;
  const DType type = to.dtype();
  require<ShapeError>(type == DType::f16 || type == DType::bf16 || type == DType::f32,
                      "UpdatePlan: expected a copy of type f16, bf16 or f32, got ", name_of(type));
  if (copy.cols == 0) {
    require<ShapeError>(to.numel() == s.count, "UpdatePlan: expected a copy of ", s.count, " numbers, got ",
                        to.shape());
    return;
  }
  require<ShapeError>(copy.cols > 0 && s.count % copy.cols == 0, "UpdatePlan: ", s.count,
                      " numbers are no matrix of ", copy.cols, " columns");
  require<ShapeError>(to.shape().rank() == 2 && to.dim(0) == s.count / copy.cols && copy.first_column >= 0 &&
                          copy.first_column <= to.dim(1) - copy.cols,
                      "UpdatePlan: expected a copy of ", s.count / copy.cols, " rows with ", copy.cols,
                      " columns from ", copy.first_column, " on, got ", to.shape());
}

UpdateCopy copy_of(UpdateSegment::Copy copy) {
  if (!copy.to.defined()) return {};
  auto* to = static_cast<std::byte*>(copy.to.raw());
  if (to) to += static_cast<std::size_t>(copy.first_column) * size_of(copy.to.dtype());
  return {to, copy.scale, copy.to.dtype(), copy.cols, copy.cols == 0 ? 0 : copy.to.dim(1)};
}

// The run's elements between multiples of kUpdateTile.
void add_tiles(std::vector<UpdateTile>& tiles, const UpdateSegment& s, std::size_t run) {
  const std::int64_t end = s.first + s.count;
  for (std::int64_t begin = s.first; begin < end;) {
    const std::int64_t next = std::min(end, (begin / kUpdateTile + 1) * kUpdateTile);
    tiles.push_back({begin, static_cast<std::int32_t>(next - begin), static_cast<std::int32_t>(run)});
    begin = next;
  }
}

void check_state(std::string_view op, const Tensor& state) {
  check_float(op, "state", state, {kStepNumbers});
}

}  // namespace

UpdatePlan::UpdatePlan(const Context& c, std::int64_t numel, std::vector<UpdateSegment> segments)
    : numel_(numel), segments_(std::move(segments)) {
  constexpr std::int64_t kMostNumbers = INT32_MAX;  // of a run: copies are addressed in 32 bits
  std::vector<UpdateRun> runs;
  std::vector<UpdateTile> tiles;
  std::int64_t end = 0;
  for (const UpdateSegment& s : segments_) {
    require<ShapeError>(
        s.first >= end && s.count >= 0 && s.count <= kMostNumbers && s.first <= numel - s.count,
        "UpdatePlan: a segment of ", s.count, " numbers from ", s.first, " on follows ", end,
        " in an arena of ", numel);
    end = s.first + s.count;
    for (const UpdateSegment::Copy& copy : s.copies) {
      if (!copy.to.defined()) continue;
      check_copy(s, copy);
      copied_bytes_ += static_cast<double>(s.count) * static_cast<double>(size_of(copy.to.dtype()));
    }
    add_tiles(tiles, s, runs.size());
    runs.push_back(
        {s.first, s.count, s.lr_scale, s.weight_decay, {copy_of(s.copies[0]), copy_of(s.copies[1])}});
  }
  runs_ = on_device(c, runs, "update runs");
  tiles_ = on_device(c, tiles, "update tiles");
}

Tensor make_step_state(const Context& c, const StepState& initial) {
  return on_device(c, std::vector<StepState>{initial}, "step state");
}

void set_step_inputs(const Context& c, Tensor& state, float lr, float grad_scale, float max_norm) {
  check_state("set_step_inputs", state);
  const std::array<float, 3> inputs{lr, grad_scale, max_norm};
  Tensor first = state.flat(0, {3});
  upload(first, std::as_bytes(std::span(inputs)));
}

StepState read_step_state(const Context& c, const Tensor& state) {
  check_state("read_step_state", state);
  StepState s;
  download(std::as_writable_bytes(std::span(&s, 1)), state);
  return s;
}

void grad_stats(const Context& c, Tensor& state, const Tensor& grad, const Tensor& loss,
                const UpdateSpec& spec) {
  constexpr std::string_view kName = "grad_stats";
  require<ShapeError>(grad.defined() && grad.shape().rank() == 1, kName, ": expected a flat grad (n), got ",
                      grad.defined() ? grad.shape().to_string() : "an undefined tensor");
  check_float(kName, "grad", grad, grad.shape());
  check_state(kName, state);
  if (loss.defined()) check_float(kName, "loss", loss, {1});
  const std::int64_t n = grad.numel();
  // No fp64 tensors exist: two fp32 words hold one partial sum.
  Tensor partial = c.workspace({stats_partials(c.device().is_cuda(), n), 2}, std::string(kName));
  Op op(c, kName, {3.0 * double(n), double(grad.bytes())});
  if (op.planned()) return;
  const GradStatsArgs args{static_cast<StepState*>(state.raw()), grad.data<float>(),
                           loss.defined() ? loss.data<float>() : nullptr, n,
                           static_cast<double*>(partial.raw())};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::grad_stats(c.cuda_stream(), args, spec);
  }
  cpu::grad_stats(c.pool(), args, spec);
}

void adamw_update(const Context& c, UpdateTensors t, const Tensor& state, const UpdatePlan& plan,
                  const UpdateSpec& spec) {
  constexpr std::string_view kName = "adamw_update";
  const Shape shape{plan.numel()};
  check_float(kName, "grad", t.grad, shape);
  check_float(kName, "value", t.value, shape);
  check_float(kName, "m", t.m, shape);
  check_float(kName, "v", t.v, shape);
  if (t.ema.defined()) check_float(kName, "ema", t.ema, shape);
  check_state(kName, state);
  const double n = double(plan.numel());
  Op op(c, kName, {14.0 * n, 28.0 * n + (t.ema.defined() ? 8.0 * n : 0) + plan.copied_bytes()});
  if (op.planned() || plan.tiles().numel() == 0) return;
  const UpdateArgs args{
      {t.value.data<float>(), t.m.data<float>(), t.v.data<float>(), t.grad.data<float>(), plan.numel()},
      t.ema.defined() ? t.ema.data<float>() : nullptr,
      static_cast<const StepState*>(state.raw()),
      static_cast<const UpdateRun*>(plan.runs().raw()),
      static_cast<const UpdateTile*>(plan.tiles().raw()),
      static_cast<std::int64_t>(plan.segments().size()),
      plan.tiles().numel() * std::int64_t{sizeof(float)} / std::int64_t{sizeof(UpdateTile)}};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::adamw_update(c.cuda_stream(), args, spec);
  }
  cpu::adamw_update(c.pool(), args, spec);
}

}  // namespace rankine
