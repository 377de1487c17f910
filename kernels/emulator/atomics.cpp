#include "kernels/emulator/include/emulator_atomics.h"

#include <algorithm>

#include "kernels/emulator/executor.h"
#include "kernels/emulator/shadow.h"

namespace {

// The sums of signed numbers wrap, as on the device.
template <class T>
T sum(T a, T b) {
  if constexpr (std::is_same_v<T, int>)
    return static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  else
    return a + b;
}

template <class T, class Change>
T update(T* address, const void* pc, Change change) {
  namespace shadow = rankine::emulator::shadow;
  const rankine::emulator::Inside e("atomic");
  shadow::access(*e, address, sizeof(T), shadow::Kind::atomic, pc);
  const T before = *address;
  *address = change(before);
  return before;
}

}  // namespace

#define RANKINE_EMULATOR_DEFINE(name, type, expression)                   \
  type name(type* address, type v) {                                      \
    return update(address, __builtin_return_address(0),                   \
                  [v](type x) { return static_cast<type>(expression); }); \
  }
#define RANKINE_EMULATOR_DEFINE_INTEGER(type)                                     \
  RANKINE_EMULATOR_DEFINE(atomicAdd, type, sum(x, v))                             \
  RANKINE_EMULATOR_DEFINE(atomicMax, type, std::max(x, v))                        \
  RANKINE_EMULATOR_DEFINE(atomicMin, type, std::min(x, v))                        \
  RANKINE_EMULATOR_DEFINE(atomicAnd, type, x& v)                                  \
  RANKINE_EMULATOR_DEFINE(atomicOr, type, x | v)                                  \
  RANKINE_EMULATOR_DEFINE(atomicXor, type, x ^ v)                                 \
  type atomicExch(type* address, type v) {                                        \
    return update(address, __builtin_return_address(0), [v](type) { return v; }); \
  }                                                                               \
  type atomicCAS(type* address, type compare, type v) {                           \
    return update(address, __builtin_return_address(0),                           \
                  [compare, v](type x) { return x == compare ? v : x; });         \
  }
RANKINE_EMULATOR_DEFINE_INTEGER(int)
RANKINE_EMULATOR_DEFINE_INTEGER(unsigned)
RANKINE_EMULATOR_DEFINE_INTEGER(unsigned long long)
RANKINE_EMULATOR_DEFINE(atomicSub, int, static_cast<unsigned>(x) - static_cast<unsigned>(v))
RANKINE_EMULATOR_DEFINE(atomicSub, unsigned, x - v)
RANKINE_EMULATOR_DEFINE(atomicAdd, float, x + v)
RANKINE_EMULATOR_DEFINE(atomicAdd, double, x + v)
RANKINE_EMULATOR_DEFINE(atomicInc, unsigned, x >= v ? 0 : x + 1)
RANKINE_EMULATOR_DEFINE(atomicDec, unsigned, x == 0 || x > v ? v : x - 1)

float atomicExch(float* address, float v) {
  return update(address, __builtin_return_address(0), [v](float) { return v; });
}
