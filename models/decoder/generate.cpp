#include "models/decoder/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/transfer.h"
#include "engine/tape/weight_stream.h"
#include "kernels/embedding/embedding.h"

namespace rankine {
namespace {

struct Candidate {
  std::int32_t id;
  double probability;
};

// The likeliest tokens first; equal ones by id.
std::vector<Candidate> candidates(std::span<const float> logits, const SamplingOptions& o) {
  std::vector<Candidate> all(logits.size());
  const double top = *std::max_element(logits.begin(), logits.end());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    all[i] = {static_cast<std::int32_t>(i), std::exp((static_cast<double>(logits[i]) - top) / o.temperature)};
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.probability != b.probability ? a.probability > b.probability : a.id < b.id;
  });
  if (o.top_k > 0 && o.top_k < static_cast<std::int64_t>(all.size()))
    all.resize(static_cast<std::size_t>(o.top_k));
  return all;
}

double total(const std::vector<Candidate>& all) {
  return std::accumulate(all.begin(), all.end(), 0.0,
                         [](double sum, const Candidate& k) { return sum + k.probability; });
}

std::int64_t first_visible(const DecoderConfig& k, std::int64_t row) {
  return k.sliding_window > 0 ? std::max<std::int64_t>(0, row + 1 - k.sliding_window) : 0;
}

Tensor ints(const Context& c, std::int64_t rows, const char* name) {
  return c.empty({1, rows}, name, DType::i32);
}

}  // namespace

std::int32_t sample_token(std::span<const float> logits, const SamplingOptions& o, std::uint32_t number) {
  if (o.temperature <= 0) {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  std::vector<Candidate> all = candidates(logits, o);
  if (o.top_p < 1) {
    const double enough = o.top_p * total(all);
    double held = 0;
    std::size_t keep = 0;
    while (keep < all.size() && held < enough) held += all[keep++].probability;
    all.resize(std::max<std::size_t>(1, keep));
  }
  HostRandom random(RandomStream{o.seed, purpose("next token"), number, 0});
  double left = static_cast<double>(random.uniform()) * total(all);
  for (const Candidate& k : all) {
    left -= k.probability;
    if (left < 0) return k.id;
  }
  return all.back().id;
}

DecoderInput sequence_input(const Context& c, const DecoderConfig& k, std::span<const std::int32_t> ids,
                            std::int32_t prefix, std::int64_t begin) {
  const auto rows = static_cast<std::int64_t>(ids.size());
  const bool two_positions = k.prefix_lm();
  DecoderInput in;
  in.ids = ints(c, rows, "token ids");
  in.positions = ints(c, rows, "positions");
  if (two_positions) in.block_positions = ints(c, rows, "block positions");
  if (k.sliding_window > 0 || (two_positions && begin == 0))
    in.visible = c.empty({1, rows, 2}, "visible", DType::i32);
  if (c.planning()) return in;
  check_ids("token ids", ids, k.vocab);
  std::vector<std::int32_t> positions, blocks, visible;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = begin + i;
    const bool behind = two_positions && row >= prefix;  // the place of <sop> and after
    positions.push_back(static_cast<std::int32_t>(behind ? std::max(0, prefix - 1) : row));
    blocks.push_back(static_cast<std::int32_t>(behind ? row - prefix + 1 : 0));
    visible.push_back(static_cast<std::int32_t>(first_visible(k, row)));
    visible.push_back(
        static_cast<std::int32_t>(two_positions ? std::max<std::int64_t>(prefix, row + 1) : row + 1));
  }
  set_ints(in.ids, ids);
  set_ints(in.positions, positions);
  if (two_positions) set_ints(in.block_positions, blocks);
  if (in.visible.defined()) set_ints(in.visible, visible);
  return in;
}

Tensor sequence_logits(const Context& c, Decoder& model, std::span<const std::int32_t> ids,
                       std::int32_t prefix) {
  const Context quiet = c.without_tape();
  const WeightPass pass(c);
  const Tensor hidden = model.forward(quiet, sequence_input(quiet, model.config(), ids, prefix, 0));
  return model.head().logits(quiet, hidden);
}

Generated generate(const Context& c, Decoder& model, const GenerateRequest& r,
                   const std::function<bool(std::int32_t)>& on_token) {
  const DecoderConfig& k = model.config();
  const auto length = static_cast<std::int64_t>(r.prompt.size());
  require<DataError>(length > 0, "generate: the prompt has no tokens");
  require<DataError>(length < k.context, "generate: the prompt has ", length, " tokens, the model's context ",
                     k.context);
  const std::int64_t room = std::min(r.max_new_tokens, k.context - length);
  const Context quiet = c.without_tape();
  const WeightPass pass(c);
  KvCache cache = model.make_cache(quiet, length + room);
  Generated out;
  std::span<const std::int32_t> next(r.prompt);
  std::int32_t token = 0;
  for (std::int64_t made = 0; made < room; ++made) {
    r.stop.throw_if_set();
    DecoderInput in = sequence_input(quiet, k, next, r.prefix, cache.length());
    in.cache = &cache;
    const Tensor hidden = model.forward(quiet, in);
    const Tensor last = hidden.reshape({hidden.dim(1), k.width}).slice(hidden.dim(1) - 1, hidden.dim(1));
    const Tensor logits = model.head().logits(quiet, last);
    if (c.planning()) return out;
    token = sample_token(floats_of(logits), r.sampling, static_cast<std::uint32_t>(made));
    if (std::find(r.stops.begin(), r.stops.end(), token) != r.stops.end()) {
      out.reason = StopReason::stop_token;
      return out;
    }
    out.ids.push_back(token);
    if (on_token && !on_token(token)) {
      out.reason = StopReason::cancelled;
      return out;
    }
    next = std::span<const std::int32_t>(&token, 1);
  }
  return out;
}

}  // namespace rankine
