#include "engine/core/stream.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/core/cuda_device.h"
#include "engine/core/error.h"

namespace rankine {

// ---- Event ----

struct Event::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool reached = false;
  std::exception_ptr error;

  void reach(std::exception_ptr section_error) {
    {
      const std::lock_guard lock(mutex);
      reached = true;
      error = std::move(section_error);
    }
    changed.notify_all();
  }
  std::exception_ptr await() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return reached; });
    return error;
  }
};

bool Event::reached() const {
  if constexpr (build::cuda) {
    if (cuda_) return cuda::reached(cuda_);
  }
  if (!state_) return true;
  const std::lock_guard lock(state_->mutex);
  return state_->reached;
}

void Event::synchronize() const {
  if constexpr (build::cuda) {
    if (cuda_) return cuda::synchronize(cuda_);
  }
  if (!state_) return;
  if (const std::exception_ptr error = state_->await()) std::rethrow_exception(error);
}

// ---- Stream ----

struct Stream::Worker {
  struct Entry {  // one of three
    std::function<void()> work;
    std::shared_ptr<Event::State> wait_for;
    std::shared_ptr<Event::State> reaches;
  };

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Entry> queue;
  bool closing = false;
  std::thread thread;        // started by the first entry
  std::exception_ptr error;  // of the present section; touched by `thread` alone

  ~Worker() {
    {
      const std::lock_guard lock(mutex);
      closing = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }

  void add(Entry entry) {
    {
      const std::lock_guard lock(mutex);
      queue.push_back(std::move(entry));
      if (!thread.joinable()) thread = std::thread([this] { loop(); });
    }
    changed.notify_all();
  }

  void loop() {
    for (;;) {
      Entry entry;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return closing || !queue.empty(); });
        if (queue.empty()) return;
        entry = std::move(queue.front());
        queue.pop_front();
      }
      take(entry);
    }
  }

  void take(Entry& entry) {
    if (entry.reaches) {
      entry.reaches->reach(std::exchange(error, nullptr));
    } else if (entry.wait_for) {  // also in a failed section: the order holds for the next one
      const std::exception_ptr theirs = entry.wait_for->await();
      if (!error) error = theirs;
    } else if (!error) {
      try {
        entry.work();
      } catch (...) {
        error = std::current_exception();
      }
    }
  }
};

Stream::Stream(Device device) {
  if (device.plan) return;
  if (!device.is_cuda()) {
    worker_ = std::make_unique<Worker>();
  } else if constexpr (build::cuda) {
    cuda_ = cuda::make_stream(device);
  } else {
    throw Error("Stream: this build has no CUDA runtime; use device: cpu");
  }
}

Stream::Stream(std::shared_ptr<CUstream_st> cuda) : cuda_(std::move(cuda)) {}

Stream Stream::over(CudaStream stream) {
  return Stream(std::shared_ptr<CUstream_st>(std::shared_ptr<void>(), stream));
}

Stream::Stream(Stream&&) noexcept = default;

Stream::~Stream() = default;

void Stream::run(std::function<void()> work) {
  if (worker_)
    worker_->add({std::move(work), nullptr, nullptr});
  else if (cuda_)
    work();
}

void Stream::run_on_host(const std::shared_ptr<const std::function<void()>>& work) {
  if (worker_) return run([work] { (*work)(); });
  if constexpr (build::cuda) {
    if (cuda_) cuda::call_on_host(cuda_.get(), *work);
  }
}

Event Stream::record() {
  Event event;
  if constexpr (build::cuda) {
    if (cuda_) event.cuda_ = cuda::record_event(cuda_.get());
  }
  if (!worker_) return event;
  event.state_ = std::make_shared<Event::State>();
  worker_->add({nullptr, nullptr, event.state_});
  return event;
}

void Stream::wait(const Event& event) {
  if constexpr (build::cuda) {
    if (cuda_ && event.cuda_) return cuda::wait_for(cuda_.get(), event.cuda_);
  }
  if (cuda_) return event.synchronize();  // the host's work: what is launched from now on comes after it
  if (worker_ && event.cuda_) {
    run([event] { event.synchronize(); });
    return;
  }
  if (worker_ && event.state_) worker_->add({nullptr, event.state_, nullptr});
}

void Stream::synchronize() {
  if constexpr (build::cuda) {
    if (cuda_) return cuda::synchronize(cuda_.get());
  }
  if (!worker_) return;
  {
    const std::lock_guard lock(worker_->mutex);
    if (worker_->thread.get_id() == std::this_thread::get_id())
      throw std::logic_error("Stream: work waits for its own stream");
  }
  record().synchronize();
}

}  // namespace rankine
