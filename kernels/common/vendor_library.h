// A library of the card's vendor, looked for when its first function is wanted: a program starts without it.
//
//   struct Api : VendorLibrary {
//     Api() : VendorLibrary("libcudnn.so.9") {}
//     RANKINE_VENDOR_FUNCTION(cudnnCreate)  // a pointer to it, null where the library is not complete
//   };
//   const Api& api() {
//     static const Api loaded;
//     return loaded;
//   }
#pragma once

#include <dlfcn.h>

#include <string>

#include "engine/core/error.h"

namespace rankine::cuda {

class VendorLibrary {
 public:
  explicit VendorLibrary(std::string file)
      : file_(std::move(file)), handle_(dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) missing_ = file_ + " is not installed";
  }
  bool complete() const { return missing_.empty(); }
  // "13.1.0" of the library's number of its version, or why it is not used.
  template <class Version>
  std::string state(Version version) const {
    if (!complete()) return missing_;
    const std::size_t v = version();
    return join(v / 10000, ".", v / 100 % 100, ".", v % 100);
  }

 protected:
  template <class Function>
  Function find(const char* name) {
    void* found = handle_ ? dlsym(handle_, name) : nullptr;
    if (handle_ && !found) missing_ = join(file_, " has no function ", name);
    return reinterpret_cast<Function>(found);
  }

 private:
  std::string file_;
  void* handle_;  // kept: what it gave is used until the process ends
  std::string missing_;
};

#define RANKINE_VENDOR_FUNCTION(name) decltype(&::name) name = find<decltype(&::name)>(#name);

}  // namespace rankine::cuda
