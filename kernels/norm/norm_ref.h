// The meaning of norm.h in scalar loops, for any number type T. Empty gains and biases mean 1 and 0.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/activation/activation_ref.h"

namespace rankine::ref {

template <class T>
struct NormInput {
  std::vector<T> x, gain, bias;
  T eps;
  T g(std::int64_t channel) const { return gain.empty() ? T(1) : gain[channel]; }
  T b(std::int64_t channel) const { return bias.empty() ? T(0) : bias[channel]; }
};

// Groups of elements that are normalised together: element i belongs to group_of(i) and has channel_of(i).
struct NormLayout {
  std::int64_t samples, space, channels, groups;  // a layer norm over rows is (rows, 1, C) in one group
  std::int64_t size() const { return samples * space * channels; }
  std::int64_t channel_of(std::int64_t i) const { return i % channels; }
  std::int64_t group_of(std::int64_t i) const {
    return i / (space * channels) * groups + channel_of(i) / (channels / groups);
  }
  std::int64_t group_size() const { return space * channels / groups; }
};

// (samples * groups, 2) = mean, rstd. An RMS norm is the same with the mean taken as zero.
template <class T>
std::vector<T> norm_stats(const NormInput<T>& in, const NormLayout& l, bool centred = true) {
  std::vector<T> mean(l.samples * l.groups), square(mean.size()), stats;
  const T count = T(l.group_size());
  for (std::int64_t i = 0; centred && i < l.size(); ++i) mean[l.group_of(i)] += in.x[i] / count;
  for (std::int64_t i = 0; i < l.size(); ++i) {
    const T d = in.x[i] - mean[l.group_of(i)];
    square[l.group_of(i)] += d * d / count;
  }
  for (std::size_t g = 0; g < mean.size(); ++g) {
    stats.push_back(mean[g]);
    stats.push_back(1 / std::sqrt(square[g] + in.eps));
  }
  return stats;
}

// y = xhat gain + bias, then SiLU where asked.
template <class T>
std::vector<T> norm_forward(const NormInput<T>& in, const NormLayout& l, bool centred, bool then_silu) {
  const std::vector<T> stats = norm_stats(in, l, centred);
  std::vector<T> y(in.x.size());
  for (std::int64_t i = 0; i < l.size(); ++i) {
    const T xhat = (in.x[i] - stats[2 * l.group_of(i)]) * stats[2 * l.group_of(i) + 1];
    const T h = xhat * in.g(l.channel_of(i)) + in.b(l.channel_of(i));
    y[i] = then_silu ? silu(h) : h;
  }
  return y;
}

template <class T>
struct NormGrads {
  std::vector<T> dx, dgain, dbias;
};
// dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dh gain; without mean(g) where the norm is not centred.
template <class T>
NormGrads<T> norm_backward(const NormInput<T>& in, const NormLayout& l, const std::vector<T>& dy,
                           bool centred, bool then_silu) {
  const std::vector<T> stats = norm_stats(in, l, centred);
  NormGrads<T> out{std::vector<T>(l.size()), std::vector<T>(l.channels), std::vector<T>(l.channels)};
  std::vector<T> g(l.size()), xhat(l.size()), mean_g(l.samples * l.groups), mean_gx(mean_g.size());
  for (std::int64_t i = 0; i < l.size(); ++i) {
    const std::int64_t group = l.group_of(i), channel = l.channel_of(i);
    xhat[i] = (in.x[i] - stats[2 * group]) * stats[2 * group + 1];
    const T dh = then_silu ? dy[i] * silu_slope(xhat[i] * in.g(channel) + in.b(channel)) : dy[i];
    out.dgain[channel] += dh * xhat[i];
    out.dbias[channel] += dh;
    g[i] = dh * in.g(channel);
    if (centred) mean_g[group] += g[i] / T(l.group_size());
    mean_gx[group] += g[i] * xhat[i] / T(l.group_size());
  }
  for (std::int64_t i = 0; i < l.size(); ++i) {
    const std::int64_t group = l.group_of(i);
    out.dx[i] = stats[2 * group + 1] * (g[i] - mean_g[group] - xhat[i] * mean_gx[group]);
  }
  return out;
}

}  // namespace rankine::ref
