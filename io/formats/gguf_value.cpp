#include "io/formats/gguf_value.h"

#include <array>
#include <type_traits>
#include <utility>

#include "engine/core/error.h"

namespace rankine {
namespace {

constexpr std::size_t kScalars = 12;
constexpr std::array<int, kScalars> kIds = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12};
constexpr std::array<std::string_view, kScalars> kNames = {"u8",  "i8",   "u16",  "i16", "u32", "i32",
                                                           "f32", "bool", "text", "u64", "i64", "f64"};
static_assert(std::variant_size_v<GgufVariant> == 2 * kScalars);

template <class T>
struct ElementOf {
  using Type = void;
};
template <class E>
struct ElementOf<std::vector<E>> {
  using Type = E;
};
template <class T>
using Element = typename ElementOf<T>::Type;
template <class T>
constexpr bool is_whole = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class To, class From>
std::optional<To> scalar_as(const From& x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (is_whole<To> && is_whole<From>) {
    return std::in_range<To>(x) ? std::optional<To>(static_cast<To>(x)) : std::nullopt;
  } else if constexpr (std::is_floating_point_v<To> && std::is_floating_point_v<From>) {
    return static_cast<To>(x);
  } else {
    return std::nullopt;
  }
}

template <class T>
std::string scalar_text(const T& x) {
  if constexpr (std::is_same_v<T, std::string>)
    return x;
  else if constexpr (std::is_same_v<T, bool>)
    return x ? "true" : "false";
  else
    return join(+x);  // + shows 8-bit numbers as numbers
}

}  // namespace

GgufValue::GgufValue() = default;
GgufValue::GgufValue(const GgufValue& other) = default;
GgufValue::GgufValue(GgufValue&& other) noexcept = default;
GgufValue& GgufValue::operator=(const GgufValue& other) = default;
GgufValue& GgufValue::operator=(GgufValue&& other) noexcept = default;
GgufValue::~GgufValue() = default;

bool operator==(const GgufValue& a, const GgufValue& b) {
  return static_cast<const GgufVariant&>(a) == static_cast<const GgufVariant&>(b);
}

int gguf_type_id(const GgufValue& value) { return kIds[value.index() % kScalars]; }
bool is_array(const GgufValue& value) { return value.index() >= kScalars; }

std::string gguf_type_name(const GgufValue& value) {
  const std::string name(kNames[value.index() % kScalars]);
  return is_array(value) ? "array of " + name : name;
}

std::string shown(const GgufValue& value) {
  return std::visit(
      [&]<class T>(const T& x) {
        if constexpr (std::is_void_v<Element<T>>) {
          return scalar_text(x);
        } else {
          if (x.size() > 8) return join('[', x.size(), " of ", kNames[value.index() % kScalars], ']');
          std::string text = "[";
          for (const auto& element : x)
            text += (text.size() > 1 ? ", " : "") + scalar_text<Element<T>>(element);
          return text + "]";
        }
      },
      static_cast<const GgufVariant&>(value));
}

namespace {

template <class T, class From>
std::optional<T> converted(const From& x) {
  if constexpr (std::is_void_v<Element<T>> && std::is_void_v<Element<From>>) {
    return scalar_as<T>(x);
  } else if constexpr (!std::is_void_v<Element<T>> && !std::is_void_v<Element<From>>) {
    T all;
    all.reserve(x.size());
    for (const auto& element : x) {
      const std::optional<Element<T>> one = scalar_as<Element<T>, Element<From>>(element);
      if (!one) return std::nullopt;
      all.push_back(*one);
    }
    return all;
  } else {
    return std::nullopt;
  }
}

}  // namespace

template <class T>
std::optional<T> gguf_as(const GgufValue& value) {
  return std::visit([](const auto& x) -> std::optional<T> { return converted<T>(x); },
                    static_cast<const GgufVariant&>(value));
}

template std::optional<std::uint32_t> gguf_as(const GgufValue&);
template std::optional<std::int32_t> gguf_as(const GgufValue&);
template std::optional<std::uint64_t> gguf_as(const GgufValue&);
template std::optional<std::int64_t> gguf_as(const GgufValue&);
template std::optional<float> gguf_as(const GgufValue&);
template std::optional<double> gguf_as(const GgufValue&);
template std::optional<bool> gguf_as(const GgufValue&);
template std::optional<std::string> gguf_as(const GgufValue&);
template std::optional<std::vector<std::uint32_t>> gguf_as(const GgufValue&);
template std::optional<std::vector<std::int32_t>> gguf_as(const GgufValue&);
template std::optional<std::vector<std::uint64_t>> gguf_as(const GgufValue&);
template std::optional<std::vector<std::int64_t>> gguf_as(const GgufValue&);
template std::optional<std::vector<float>> gguf_as(const GgufValue&);
template std::optional<std::vector<double>> gguf_as(const GgufValue&);
template std::optional<std::vector<bool>> gguf_as(const GgufValue&);
template std::optional<std::vector<std::string>> gguf_as(const GgufValue&);

}  // namespace rankine
