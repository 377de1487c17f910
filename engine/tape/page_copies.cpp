#include "engine/tape/page_copies.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/core/cuda_device.h"
#include "engine/core/error.h"

namespace rankine {
namespace {

std::shared_ptr<std::byte> locked_bytes([[maybe_unused]] std::size_t bytes) {
  if constexpr (build::cuda) {
    try {
      return cuda::pinned_bytes(bytes);
    } catch (const Error& e) {
      throw OutOfMemory(join("pages of the tape: the system does not lock ", human_bytes(double(bytes)),
                             " of the host's memory for them: ", e.what(), "; set page_memory to less"));
    }
  }
  return {};
}

}  // namespace

PageCopies::PageCopies(Runtime& runtime, std::size_t host_bytes, std::size_t stage_bytes,
                       std::unique_ptr<PageFile> file)
    : runtime_(runtime),
      stage_bytes_(stage_bytes),
      file_(std::move(file)),
      to_host_(runtime.device()),
      from_host_(runtime.device()),
      to_file_(runtime.device()),
      from_file_(runtime.device()) {
  if (!runtime.device().is_cuda()) return;
  if (host_bytes > 0) host_ = locked_bytes(host_bytes);
  if (!file_) return;
  for (Ring& ring : rings_) ring.bytes = locked_bytes(kStages * stage_bytes);
}

PageCopies::~PageCopies() { drain(); }

void PageCopies::drain() {
  Stream main = Stream::over(runtime_.cuda_stream());  // which may be playing recordings that call this
  for (Stream* stream : {&main, &to_host_, &from_host_, &to_file_, &from_file_}) {
    try {
      stream->synchronize();
    } catch (const std::exception&) {  // of a file: noted; of the device: it is lost, as every call will say
      continue;
    }
  }
}

void PageCopies::throw_if_failed() const {
  if (!failed_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  std::rethrow_exception(failure_);
}

// Runs on the threads of streams.
void PageCopies::move_file(Way way, std::size_t offset, std::span<std::byte> bytes) {
  throw_if_failed();
  try {
    if (way == Way::out)
      file_->write(offset, bytes);
    else
      file_->read(offset, bytes);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    failed_.store(true, std::memory_order_release);
    throw;
  }
}

Event PageCopies::move(Way way, const Place& place, std::byte* memory) {
  if (place.bytes == 0) return {};
  if (runtime_.device().is_cuda())
    return place.in_file ? through_stages(way, place, memory) : through_host(way, place, memory);
  Stream& disk = way == Way::out ? to_file_ : from_file_;
  disk.run([this, way, place, memory] { move_file(way, place.offset, {memory, place.bytes}); });
  return disk.record();
}

void PageCopies::join(const Event& done) {
  if (!runtime_.device().is_cuda()) return done.synchronize();
  Stream main = Stream::over(runtime_.cuda_stream());
  main.wait(done);
}

Event PageCopies::fork() { return Stream::over(runtime_.cuda_stream()).record(); }

// Events of another recording, or from before this one, cannot be waited for in it, and need not be: what
// they end was finished in the work that began it.
void PageCopies::forget_other_work() {
  if (work_ == runtime_.work()) return;
  work_ = runtime_.work();
  for (Ring& ring : rings_) {
    ring.free = {};
    ring.next = 0;
  }
}

Event PageCopies::through_host(Way way, const Place& place, [[maybe_unused]] std::byte* device) {
  Stream& link = way == Way::out ? to_host_ : from_host_;
  link.wait(fork());
  if constexpr (build::cuda) {
    std::byte* host = host_.get() + place.offset;
    cuda::copy_bytes(link.cuda_stream(), way == Way::out ? host : device, way == Way::out ? device : host,
                     place.bytes);
  }
  return link.record();
}

const PageCopies::HostWork& PageCopies::host_work(Way way, std::size_t offset, std::span<std::byte> stage) {
  HostWork& work = host_work_[{way, offset, stage.data(), stage.size()}];
  if (work) return work;
  work = std::make_shared<const std::function<void()>>([this, way, offset, stage] {
    try {
      move_file(way, offset, stage);
    } catch (...) {  // noted
      if (way == Way::in) std::memset(stage.data(), 0xFF, stage.size());
    }
  });
  return work;
}

Event PageCopies::through_stages(Way way, const Place& place, [[maybe_unused]] std::byte* device) {
  forget_other_work();
  Ring& ring = rings_[static_cast<int>(way)];
  const bool out = way == Way::out;
  Stream &link = out ? to_host_ : from_host_, &disk = out ? to_file_ : from_file_;
  Stream &first = out ? link : disk, &second = out ? disk : link;
  first.wait(fork());
  Event done;
  for (std::size_t at = 0; at < place.bytes; at += stage_bytes_) {
    const std::size_t slot = std::exchange(ring.next, (ring.next + 1) % kStages);
    const std::span<std::byte> stage(ring.bytes.get() + slot * stage_bytes_,
                                     std::min(stage_bytes_, place.bytes - at));
    const HostWork& work = host_work(way, place.offset + at, stage);
    first.wait(ring.free[slot]);
    if (!out) first.run_on_host(work);
    if constexpr (build::cuda) {
      if (out) cuda::copy_bytes(link.cuda_stream(), stage.data(), device + at, stage.size());
    }
    second.wait(first.record());
    if (out) second.run_on_host(work);
    if constexpr (build::cuda) {
      if (!out) cuda::copy_bytes(link.cuda_stream(), device + at, stage.data(), stage.size());
    }
    done = ring.free[slot] = second.record();
  }
  return done;
}

}  // namespace rankine
