// The closed choices of the run file, each with its one table of names.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace rankine::config {

enum class TaskType { text_to_image, text_generation, autoencoder };
enum class Method { lora, full };
enum class OnBadData { fail, skip };
enum class Optimizer { adamw };
enum class LrScheduler { constant, linear, cosine, cosine_with_restarts, polynomial };
enum class PredictionType { automatic, epsilon, v_prediction };
enum class LossType { mse, huber, smooth_l1 };
enum class SaveDtype { fp16, bf16, fp32 };
enum class ComputeDtype { automatic, fp32, fp16, bf16 };
enum class Sampler { ddim, euler, euler_a, dpmpp_2m };
enum class Truncation { prompt, drop, fail };
enum class LoraInit { standard, pissa };
enum class BaseQuantisation { none, nf4, q8_0, q4_0 };
enum class MemoryUse { automatic, always, never };

// EnumNames<E>::value: every name of E as written in the run file, with its value.
template <class E>
struct EnumNames;

template <class E, std::size_t N>
using NameTable = std::array<std::pair<std::string_view, E>, N>;

template <>
struct EnumNames<TaskType> {
  static constexpr NameTable<TaskType, 3> value{{{"text-to-image", TaskType::text_to_image},
                                                 {"text-generation", TaskType::text_generation},
                                                 {"autoencoder", TaskType::autoencoder}}};
};
template <>
struct EnumNames<Method> {
  static constexpr NameTable<Method, 2> value{{{"lora", Method::lora}, {"full", Method::full}}};
};
template <>
struct EnumNames<OnBadData> {
  static constexpr NameTable<OnBadData, 2> value{{{"fail", OnBadData::fail}, {"skip", OnBadData::skip}}};
};
template <>
struct EnumNames<Optimizer> {
  static constexpr NameTable<Optimizer, 1> value{{{"adamw", Optimizer::adamw}}};
};
template <>
struct EnumNames<LrScheduler> {
  static constexpr NameTable<LrScheduler, 5> value{
      {{"constant", LrScheduler::constant},
       {"linear", LrScheduler::linear},
       {"cosine", LrScheduler::cosine},
       {"cosine_with_restarts", LrScheduler::cosine_with_restarts},
       {"polynomial", LrScheduler::polynomial}}};
};
template <>
struct EnumNames<PredictionType> {
  static constexpr NameTable<PredictionType, 3> value{{{"auto", PredictionType::automatic},
                                                       {"epsilon", PredictionType::epsilon},
                                                       {"v_prediction", PredictionType::v_prediction}}};
};
template <>
struct EnumNames<LossType> {
  static constexpr NameTable<LossType, 3> value{
      {{"mse", LossType::mse}, {"huber", LossType::huber}, {"smooth_l1", LossType::smooth_l1}}};
};
template <>
struct EnumNames<SaveDtype> {
  static constexpr NameTable<SaveDtype, 3> value{
      {{"fp16", SaveDtype::fp16}, {"bf16", SaveDtype::bf16}, {"fp32", SaveDtype::fp32}}};
};
template <>
struct EnumNames<ComputeDtype> {
  static constexpr NameTable<ComputeDtype, 4> value{{{"auto", ComputeDtype::automatic},
                                                     {"fp32", ComputeDtype::fp32},
                                                     {"fp16", ComputeDtype::fp16},
                                                     {"bf16", ComputeDtype::bf16}}};
};
template <>
struct EnumNames<MemoryUse> {
  static constexpr NameTable<MemoryUse, 3> value{
      {{"auto", MemoryUse::automatic}, {"always", MemoryUse::always}, {"never", MemoryUse::never}}};
};
template <>
struct EnumNames<Sampler> {
  static constexpr NameTable<Sampler, 4> value{{{"ddim", Sampler::ddim},
                                                {"euler", Sampler::euler},
                                                {"euler_a", Sampler::euler_a},
                                                {"dpmpp_2m", Sampler::dpmpp_2m}}};
};

template <>
struct EnumNames<Truncation> {
  static constexpr NameTable<Truncation, 3> value{
      {{"prompt", Truncation::prompt}, {"drop", Truncation::drop}, {"fail", Truncation::fail}}};
};
template <>
struct EnumNames<LoraInit> {
  static constexpr NameTable<LoraInit, 2> value{
      {{"standard", LoraInit::standard}, {"pissa", LoraInit::pissa}}};
};
template <>
struct EnumNames<BaseQuantisation> {
  static constexpr NameTable<BaseQuantisation, 4> value{{{"none", BaseQuantisation::none},
                                                         {"nf4", BaseQuantisation::nf4},
                                                         {"q8_0", BaseQuantisation::q8_0},
                                                         {"q4_0", BaseQuantisation::q4_0}}};
};

// The name of `e` as written in the run file.
template <class E>
constexpr std::string_view name_of(E e) {
  for (const auto& [name, value] : EnumNames<E>::value)
    if (value == e) return name;
  return "?";
}

}  // namespace rankine::config
